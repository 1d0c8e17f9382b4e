"""DICOM segmentation objects: as highdicom reads them, and back onto the scan."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from app.core.document import Document, Snapshot
from app.core.errors import ExportError, GeometryError, ReadError
from app.core.labels import LabelInfo, LabelMap, LabelTable
from app.core.tasks import NullContext
from app.core.volume import Volume
from app.exporters import EXPORTERS
from app.exporting import exporter_for
from app.io.dicom_seg import read_seg
from app.io.reader import read_labels, read_volume
from tests.io.files import dicom_slice, write_dicom
from tests.phantoms import torso_like

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    hd = pytest.importorskip("highdicom")

TABLE = LabelTable(
    (
        LabelInfo(3, "Liver", (200, 80, 60), code=("SCT", "10200004", "Liver")),
        LabelInfo(9, "Rest", (10, 200, 60)),
    )
)
STUDY = {
    "StudyInstanceUID": "1.2.3.4", "FrameOfReferenceUID": "1.2.3.5", "PatientID": "p",
    "PatientName": "n", "PatientBirthDate": "", "PatientSex": "O", "AccessionNumber": "",
    "StudyDate": "20200101", "StudyTime": "120000", "StudyID": "s", "ReferringPhysicianName": "",
}  # fmt: skip


def scan_in(folder: Path, n: int = 5, **more) -> Volume:
    return read_volume(write_dicom(folder, [dicom_slice(k, **STUDY, **more) for k in range(n)]))


def snapshot_of(volume: Volume) -> Snapshot:
    labels = np.zeros(volume.voxels.shape, np.uint8)
    labels[0, 0, 1] = 9
    labels[2, 1:3, -2] = 3
    labels[-1, -1, :] = 3
    document = Document(volume, LabelMap(volume.geometry, labels), TABLE)
    return document.snapshot(model_id="box-net", model_sha256="ab" * 32, app_version="1.0")


def export(snapshot: Snapshot, path: Path) -> Path:
    EXPORTERS.load()["dicom-seg"].export(snapshot, path, NullContext())
    return path


@pytest.mark.parametrize(
    "more", [{}, {"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0]}], ids=["plain", "turned"]
)
def test_segments_lie_on_their_slices(tmp_path: Path, more: dict):
    volume = scan_in(tmp_path / "s", **more)
    snapshot = snapshot_of(volume)
    path = export(snapshot, tmp_path / "seg.dcm")
    labels = snapshot.labelmap.voxels
    numbered = np.where(labels == 3, 1, np.where(labels == 9, 2, 0))
    assert np.array_equal(read_labels(path, volume.geometry), numbered)

    seg = hd.seg.segread(path)
    uids = [hd.spatial.pydicom.dcmread(p).SOPInstanceUID for p in volume.source_paths]
    by_slice = seg.get_pixels_by_source_instance(
        uids, combine_segments=True, assert_missing_frames_are_empty=True
    )
    from app.io.itk_bridge import to_file_array

    assert np.array_equal(by_slice, to_file_array(numbered, volume.source_orientation))
    first = seg.get_segment_description(1)
    assert first.segment_label == "Liver"
    assert first.segmented_property_type.value == "10200004"
    assert first.algorithm_type.value == "SEMIAUTOMATIC"
    assert seg.PatientID == "p"


def test_names_colours_and_codes_come_back(tmp_path: Path):
    volume = scan_in(tmp_path / "s")
    _, table = read_seg(export(snapshot_of(volume), tmp_path / "seg.dcm"), volume.geometry)
    assert [(i.id, i.name) for i in table] == [(1, "Liver"), (2, "Rest")]
    assert table.get(1).code == ("SCT", "10200004", "Liver")
    for info, given in zip(table, TABLE, strict=True):
        assert np.abs(np.array(info.colour) - given.colour).max() <= 2


def test_enhanced_source(tmp_path: Path, shared_data: Path):
    volume = read_volume(shared_data / "dicom" / "mr_enhanced_siemens_xa" / "6_2.dcm")
    snapshot = snapshot_of(volume)
    path = export(snapshot, tmp_path / "seg.dcm")
    assert np.array_equal(read_labels(path, volume.geometry) > 0, snapshot.labelmap.voxels > 0)


@pytest.mark.parametrize("suffix", [".dcm", ".rtstruct.dcm"])
def test_a_scan_whose_patient_was_taken_out_can_be_referred_to(tmp_path: Path, suffix):
    slices = [dicom_slice(k, **STUDY) for k in range(5)]
    for one in slices:
        for name in ("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyID"):
            delattr(one, name)
    volume = read_volume(write_dicom(tmp_path / "s", slices))
    snapshot, path = snapshot_of(volume), tmp_path / f"mask{suffix}"
    exporter_for(path).export(snapshot, path, NullContext())
    assert np.array_equal(read_labels(path, volume.geometry) > 0, snapshot.labelmap.voxels > 0)


def test_another_grid_is_refused(tmp_path: Path):
    path = export(snapshot_of(scan_in(tmp_path / "s")), tmp_path / "seg.dcm")
    other = scan_in(tmp_path / "t", PixelSpacing=[0.5, 0.8])
    with pytest.raises(GeometryError, match="does not fall on its voxels"):
        read_labels(path, other.geometry)
    fewer = scan_in(tmp_path / "u", n=3)
    with pytest.raises(GeometryError, match="10 x 8 pixels at"):
        read_labels(path, fewer.geometry)


def test_a_segmentation_is_no_scan(tmp_path: Path):
    path = export(snapshot_of(scan_in(tmp_path / "s")), tmp_path / "seg.dcm")
    with pytest.raises(ReadError, match="Segmentation Storage"):
        read_volume(path)


def test_damaged_segmentations_are_refused(tmp_path: Path):
    volume = scan_in(tmp_path / "s")
    content = export(snapshot_of(volume), tmp_path / "seg.dcm").read_bytes()
    path = tmp_path / "bad.dcm"
    rng = np.random.default_rng(0)
    n_refused = 0
    for n in range(60):
        altered = bytearray(content)
        if n % 3 == 0:
            del altered[int(rng.integers(200, len(altered))) :]
        else:
            altered[int(rng.integers(len(altered)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(altered)
        try:
            read_labels(path, volume.geometry)
        except (ReadError, GeometryError):
            n_refused += 1
    assert n_refused >= 15


def test_what_cannot_be_referred_to(tmp_path: Path, shared_data: Path):
    def refusal(snapshot: Snapshot) -> str:
        with pytest.raises(ExportError) as caught:
            export(snapshot, tmp_path / "x.dcm")
        assert not (tmp_path / "x.dcm").exists()
        return str(caught.value)

    assert "opened from DICOM" in refusal(snapshot_of(torso_like()))
    anonymised = read_volume(shared_data / "dicom" / "ct_jpeg2000")
    assert "has lost its SOPClassUID" in refusal(snapshot_of(anonymised))
    volume = scan_in(tmp_path / "s")
    empty = Document(volume, None, TABLE).snapshot()
    assert "no voxel has a label" in refusal(empty)
    for path in volume.source_paths:
        path.unlink()
    assert "not there any more" in refusal(snapshot_of(volume))
