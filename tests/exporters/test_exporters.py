"""Exports: on the source grid and axis order, complete or not there, as others read them."""

from __future__ import annotations

import csv
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from app.core.document import Document, Snapshot
from app.core.errors import Cancelled, ExportError, GeometryError
from app.core.labels import LabelInfo, LabelMap, LabelTable
from app.core.tasks import NullContext
from app.core.volume import Volume
from app.exporters import EXPORTERS
from app.io import atomic, writer
from app.io.itk_bridge import to_file_array
from app.io.label_sidecar import read_sidecar, sidecar_path
from app.io.reader import read_labels, read_volume
from app.io.writer import write_volume, write_voxels
from tests.io.files import write_image
from tests.phantoms import ORIENTATIONS, file_affine, ramp, torso_like

TABLE = LabelTable(
    (
        LabelInfo(1, "liver", (200, 80, 60)),
        LabelInfo(7, "Milz ½", (1, 2, 3), code=("SCT", "1", "x")),
    )
)


def snapshot_of(volume: Volume, labels: np.ndarray, table: LabelTable = TABLE) -> Snapshot:
    return Document(volume, LabelMap(volume.geometry, labels), table).snapshot()


def asymmetric_labels(volume: Volume) -> np.ndarray:
    """Return labels that no flip or swap of axes leaves as they are."""
    labels = np.zeros(volume.voxels.shape, np.uint8)
    labels[0, 0, 1] = 1
    labels[-1, 1:3, -2] = 7
    labels[1, -1, :] = 1
    return labels


def export(snapshot: Snapshot, path: Path) -> None:
    exporters = [e for e in EXPORTERS.load().values() if path.name.endswith(e.suffixes)]
    assert len(exporters) == 1
    exporters[0].export(snapshot, path, NullContext())


def test_every_exporter_loads_and_no_two_share_a_suffix():
    exporters = EXPORTERS.load()
    assert EXPORTERS.broken == {}
    suffixes = [s for e in exporters.values() for s in e.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert ".nii.gz" in suffixes


@pytest.mark.parametrize("oblique", [(0, 0, 0), (14, -9, 21)], ids=["straight", "oblique"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_label_maps_lie_on_the_source_for_simpleitk_and_nibabel(tmp_path, orientation, oblique):
    affine = file_affine(orientation, oblique_deg=oblique)
    source = write_image(tmp_path / "scan.nii.gz", ramp((4, 5, 6)), affine)
    volume = read_volume(source)
    labels = asymmetric_labels(volume)
    path = tmp_path / "mask.nii.gz"
    export(snapshot_of(volume, labels), path)

    given, made = sitk.ReadImage(str(source)), sitk.ReadImage(str(path))
    assert made.GetPixelID() == sitk.sitkUInt8
    assert made.GetSize() == given.GetSize()
    assert np.allclose(made.GetSpacing(), given.GetSpacing(), atol=1e-6)
    assert np.allclose(made.GetOrigin(), given.GetOrigin(), atol=1e-4)
    assert np.allclose(made.GetDirection(), given.GetDirection(), atol=1e-6)
    header = nibabel.load(path).header
    assert (int(header["qform_code"]), int(header["sform_code"])) == (1, 1)
    assert header.get_xyzt_units()[0] == "mm"
    assert np.allclose(header.get_qform(), header.get_sform(), atol=1e-4)
    assert np.allclose(header.get_sform(), nibabel.load(source).affine, atol=1e-4)

    expected = to_file_array(labels, orientation)
    assert np.array_equal(sitk.GetArrayFromImage(made), expected)
    assert np.array_equal(np.asarray(nibabel.load(path).dataobj).transpose(2, 1, 0), expected)


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("orientation", ["LPS", "RAI", "ASL"])
def test_simpleitk_finds_every_voxel_where_it_belongs(tmp_path: Path, suffix: str, orientation):
    volume = torso_like(source_orientation=orientation)
    labels = asymmetric_labels(volume)
    path = tmp_path / f"mask{suffix}"
    export(snapshot_of(volume, labels), path)
    image = sitk.ReadImage(str(path))
    for index in [*np.argwhere(labels)[:: max(1, (labels > 0).sum() // 20)], (1, 0, 0)]:
        point = volume.geometry.index_to_lps(tuple(int(i) for i in index))
        found = image[image.TransformPhysicalPointToIndex(point.tolist())]
        assert found == labels[tuple(index)]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_every_format_reads_back(tmp_path: Path, suffix: str):
    volume = torso_like(source_orientation="ASL")
    labels = asymmetric_labels(volume)
    path = tmp_path / f"mask{suffix}"
    export(snapshot_of(volume, labels), path)
    assert np.array_equal(read_labels(path, volume.geometry), labels)
    assert read_volume(path).source_orientation == "ASL"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, "mask.labels.json"])


def test_values_above_255_take_16_bits(tmp_path: Path):
    volume = torso_like()
    labels = asymmetric_labels(volume).astype(np.uint16)
    labels[0, 0, 0] = 40_000
    export(snapshot_of(volume, labels), tmp_path / "mask.nii.gz")
    assert sitk.ReadImage(str(tmp_path / "mask.nii.gz")).GetPixelID() == sitk.sitkUInt16
    assert read_labels(tmp_path / "mask.nii.gz", volume.geometry)[0, 0, 0] == 40_000


def test_dicom_source_keeps_its_axis_order(tmp_path: Path, shared_data: Path):
    folder = shared_data / "dicom" / "ct_jpeg2000"
    volume = read_volume(folder)
    path = tmp_path / "mask.nii.gz"
    export(snapshot_of(volume, asymmetric_labels(volume)), path)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    given, made = sitk.ReadImage(names), sitk.ReadImage(str(path))
    assert made.GetSize() == given.GetSize()
    assert np.allclose(made.GetOrigin(), given.GetOrigin(), atol=1e-3)
    assert np.allclose(made.GetDirection(), given.GetDirection())


def test_real_scans_keep_their_grid(tmp_path: Path, shared_data: Path):
    for pattern in ("openkbp_hn/dev/*", "sts_sarcoma/dev/*", "fetal_sb_atlas/*/*", "torso_ct/*"):
        source = min(shared_data.glob(f"{pattern}[gs]m*.nii.gz"), default=None) or min(
            shared_data.glob(f"{pattern}_img.nii.gz")
        )
        volume = read_volume(source)
        path = tmp_path / "mask.nii.gz"
        export(snapshot_of(volume, asymmetric_labels(volume)), path)
        assert np.allclose(nibabel.load(path).affine, nibabel.load(source).affine, atol=1e-4)
        assert nibabel.load(path).shape == nibabel.load(source).shape


# -- sidecars and tables ------------------------------------------------------------------------


def test_sidecar_names_the_labels(tmp_path: Path):
    volume = torso_like()
    export(snapshot_of(volume, asymmetric_labels(volume)), tmp_path / "a.b.nii.gz")
    sidecar = tmp_path / "a.b.labels.json"
    assert sidecar == sidecar_path(tmp_path / "a.b.nii.gz")
    assert read_sidecar(sidecar) == TABLE
    entry = json.loads(sidecar.read_text("utf-8"))["labels"][1]
    assert entry == {"value": 7, "name": "Milz ½", "colour": [1, 2, 3], "code": ["SCT", "1", "x"]}


def test_itksnap_description(tmp_path: Path):
    export(snapshot_of(torso_like(), asymmetric_labels(torso_like())), tmp_path / "m.label.txt")
    lines = (tmp_path / "m.label.txt").read_text("utf-8").splitlines()
    rows = [line.split(None, 7) for line in lines if not line.startswith("#")]
    assert [row[0] for row in rows] == ["0", "1", "7"]
    assert rows[1] == ["1", "200", "80", "60", "1.00", "1", "1", '"liver"']


def test_report(tmp_path: Path):
    volume = torso_like()
    labels = asymmetric_labels(volume)
    table = TABLE.with_added(LabelInfo(9, "=empty()", (0, 0, 0)))
    export(snapshot_of(volume, labels, table), tmp_path / "r.csv")
    with open(tmp_path / "r.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [r["label"] for r in rows] == ["liver", "Milz ½", "'=empty()"]
    for row in rows[:2]:
        inside = volume.voxels[labels == int(row["value"])]
        assert int(row["voxels"]) == inside.size
        # Voxels of 3 x 1.5 x 1.25 mm.
        assert float(row["volume_ml"]) == pytest.approx(inside.size * 5.625 / 1000, rel=1e-5)
        for name, value in (
            ("mean", inside.mean()), ("sd", inside.std()),
            ("minimum", inside.min()), ("maximum", inside.max()),
        ):  # fmt: skip
            assert float(row[name]) == pytest.approx(float(value), rel=1e-5, abs=1e-6)
    assert (rows[2]["voxels"], rows[2]["mean"]) == ("0", "")


# -- whole volumes ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "i4", "f4"])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_intensities_keep_type_and_grid(tmp_path: Path, dtype: str, suffix: str):
    voxels = (ramp((4, 5, 6)).astype("i8") * (1 if dtype[1] == "1" else 250)).astype(dtype)
    if dtype == "i4":
        voxels *= 1000
    source = write_image(tmp_path / "a.mha", voxels, file_affine("IPR", oblique_deg=(5, 6, 7)))
    path = tmp_path / f"b{suffix}"
    write_volume(path, read_volume(source))
    given, made = sitk.ReadImage(str(source)), sitk.ReadImage(str(path))
    assert made.GetPixelID() == given.GetPixelID()
    assert np.array_equal(sitk.GetArrayFromImage(made), voxels)
    assert np.allclose(made.GetDirection(), given.GetDirection(), atol=1e-6)
    assert np.allclose(made.GetOrigin(), given.GetOrigin(), atol=1e-4)


# -- failures -----------------------------------------------------------------------------------


@pytest.fixture
def old_file(tmp_path: Path) -> Iterator[Path]:
    """A file of the same name; afterwards it must be as it was, and alone."""
    folder = tmp_path / "out"
    folder.mkdir()
    path = folder / "mask.nii.gz"
    path.write_bytes(b"old")
    yield path
    assert path.read_bytes() == b"old"
    assert [p.name for p in folder.iterdir()] == ["mask.nii.gz"]


def refusal(path: Path) -> str:
    volume = torso_like()
    with pytest.raises(ExportError) as caught:
        EXPORTERS.load()["labelmap"].export(
            snapshot_of(volume, asymmetric_labels(volume)), path, NullContext()
        )
    return str(caught.value)


def failing(code: int):
    def fail(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "the folder is read-only"),
        (errno.EACCES, "you may not write there"),
        (errno.EIO, "the drive reports an error"),
    ],
)
@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_errors_of_the_drive(old_file: Path, monkeypatch, code: int, words: str, step: str):
    monkeypatch.setattr(atomic.os, step, failing(code))
    assert refusal(old_file) == f"“mask.nii.gz” cannot be saved: {words}."


def test_a_writer_that_fails(old_file: Path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError("itk")

    monkeypatch.setattr(sitk, "WriteImage", fail)
    assert "the drive does not take the file" in refusal(old_file)


def test_voxels_that_read_back_differently(old_file: Path, monkeypatch):
    real = sitk.WriteImage

    def one_voxel_off(image, *args, **more):
        image[3, 2, 1] = 99
        real(image, *args, **more)

    monkeypatch.setattr(sitk, "WriteImage", one_voxel_off)
    assert "(1 voxels differ); nothing was saved" in refusal(old_file)


def test_a_grid_that_reads_back_differently(old_file: Path, monkeypatch):
    real = sitk.WriteImage

    def shifted(image, *args, **more):
        image.SetOrigin([v + 1 for v in image.GetOrigin()])
        real(image, *args, **more)

    monkeypatch.setattr(sitk, "WriteImage", shifted)
    assert "(shifted by 1.73 mm)" in refusal(old_file)


def test_a_file_cut_while_it_was_written(old_file: Path, monkeypatch):
    real = sitk.WriteImage

    def cut(image, path, **more):
        real(image, path, **more)
        Path(path).write_bytes(Path(path).read_bytes()[:-20])

    monkeypatch.setattr(sitk, "WriteImage", cut)
    assert "cannot be read again" in refusal(old_file)


def test_cancelling_leaves_nothing(old_file: Path):
    class Stop(NullContext):
        def report(self, fraction: float, text: str = "") -> None:
            if text == "Checking":
                raise Cancelled

    volume = torso_like()
    with pytest.raises(Cancelled):
        write_voxels(old_file, volume.voxels, volume, Stop())


def test_folders_and_names(tmp_path: Path):
    assert "does not exist" in refusal(tmp_path / "none" / "mask.nii.gz")
    (tmp_path / "dir.nii.gz").mkdir()
    assert "a folder of that name is in the way" in refusal(tmp_path / "dir.nii.gz")
    assert "ends with .nii.gz, .nii, .nrrd, .mha" in refusal(tmp_path / "mask.jpg")
    assert [p.name for p in tmp_path.iterdir()] == ["dir.nii.gz"]


def test_labels_of_another_shape_cannot_be_exported():
    with pytest.raises(GeometryError):
        snapshot_of(torso_like(), np.zeros((2, 3, 4), np.uint8))


def test_written_files_have_the_users_permissions(tmp_path: Path):
    volume = torso_like()
    old = os.umask(0o027)
    try:
        write_voxels(tmp_path / "a.nii.gz", volume.voxels, volume)
    finally:
        os.umask(old)
    assert (tmp_path / "a.nii.gz").stat().st_mode & 0o777 == 0o640


def test_only_known_suffixes_are_written():
    with pytest.raises(ExportError, match="give it a name"):
        writer.writable_suffix(Path(".nii.gz"))
