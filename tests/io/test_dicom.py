"""DICOM: which slices belong together, and where they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import RTStructureSetStorage

from app.core.errors import ReadError
from app.core.volume import Modality
from app.io.dicom_series import SeriesChoiceError
from app.io.reader import read_volume, scan
from tests.io.conftest import refusal
from tests.io.files import dicom_slice, series, stored_pixels, write_dicom


def test_a_series_is_ordered_by_position(tmp_path: Path):
    volume = read_volume(series(tmp_path / "s"))
    assert volume.voxels.dtype == np.int16
    assert volume.modality is Modality.CT
    assert volume.source_orientation == "LPS"
    # Distances come from the positions, not from the thickness of 5 mm.
    assert volume.geometry.spacing_zyx == (2.5, 0.5, 0.75)
    assert volume.geometry.index_to_lps((2, 3, 4)).tolist() == [-7.0, -18.5, 5.0]
    expected = np.stack([stored_pixels(k) for k in range(5)]) - 1024
    assert np.array_equal(volume.voxels, expected)


def test_slices_stored_from_head_to_feet_and_turned(tmp_path: Path):
    # Coronal slices: rows run down, columns to the left, slices from back to front.
    datasets = [
        dicom_slice(k, ImageOrientationPatient=[1, 0, 0, 0, 0, -1],
                    ImagePositionPatient=[-10, 50 - 2.0 * k, 30])
        for k in range(4)
    ]  # fmt: skip
    volume = read_volume(write_dicom(tmp_path / "s", datasets))
    image = sitk.ReadImage(_by_gdcm(tmp_path / "s"))
    for index in ((0, 0, 0), (3, 2, 5), (7, 3, 9)):
        point = volume.geometry.index_to_lps(index)
        ijk = image.TransformPhysicalPointToIndex(point.tolist())
        assert image[ijk] == volume.voxels[index]


def _by_gdcm(folder: Path) -> tuple[str, ...]:
    return sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))


def test_a_single_file_and_a_file_without_preamble(tmp_path: Path):
    folder = series(tmp_path / "s", 1)
    (path,) = folder.iterdir()
    volume = read_volume(path)
    # A lone slice has no neighbours: its thickness is all there is.
    assert volume.geometry.spacing_zyx == (5.0, 0.5, 0.75)
    bare = tmp_path / "bare"
    content = path.read_bytes()
    start = content.index(b"\x08\x00")
    dataset = pydicom.dcmread(path)
    assert start > 132
    pydicom.dcmwrite(bare, _without_meta(dataset), implicit_vr=True, little_endian=True)
    assert np.array_equal(read_volume(bare).voxels, volume.voxels)


def _without_meta(dataset: pydicom.Dataset) -> pydicom.Dataset:
    plain = pydicom.Dataset(dataset)
    plain.file_meta = pydicom.dataset.FileMetaDataset()
    return plain


def test_series_are_told_apart_and_offered(tmp_path: Path):
    folder = series(tmp_path / "s", 5)
    other = [dicom_slice(k, SeriesInstanceUID="9.9", SeriesDescription="thin") for k in range(7)]
    write_dicom(folder, other, 5)
    scout = dicom_slice(
        50, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
    )  # fmt: skip
    report = dicom_slice(51, SOPClassUID=RTStructureSetStorage, Rows=None, SeriesInstanceUID="7.7")
    write_dicom(folder, [scout, report], 12)
    (folder / "notes.txt").write_text("not an image")
    found = scan(folder)
    assert [(s.uid, s.n_files, s.is_openable) for s in found] == [
        ("9.9", 7, True), ("1.2.3", 5, True), ("1.2.3#2", 1, True), ("7.7", 1, False),
    ]  # fmt: skip
    assert found[2].is_localizer
    assert "RT Structure Set Storage, which holds no image" in found[3].reason
    with pytest.raises(SeriesChoiceError, match="2 series here; choose one"):
        read_volume(folder)
    assert read_volume(folder, series_uid="9.9").voxels.shape[0] == 7
    assert read_volume(folder, series_uid="1.2.3#2").voxels.shape == (8, 10, 1)
    assert refusal_of(folder, "7.7").startswith("The file is a RT Structure Set")
    assert refusal_of(folder, "5.5") == "There is no series 5.5 here."
    assert not any("Secret" in str(s) for s in found)


def refusal_of(folder: Path, uid: str) -> str:
    with pytest.raises(ReadError) as caught:
        read_volume(folder, series_uid=uid)
    return str(caught.value)


def test_a_scout_beside_one_series_does_not_ask(tmp_path: Path):
    folder = series(tmp_path / "s", 5)
    write_dicom(folder, [dicom_slice(50, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])], 12)
    assert read_volume(folder).voxels.shape == (5, 8, 10)


def test_time_points_at_the_same_places_are_told_apart(tmp_path: Path):
    datasets = [
        dicom_slice(k, TemporalPositionIdentifier=t, RescaleIntercept=1000 * t)
        for t in (1, 2) for k in range(4)
    ]  # fmt: skip
    found = scan(write_dicom(tmp_path / "s", datasets))
    assert [s.description for s in found] == ["test (time point 1)", "test (time point 2)"]
    second = read_volume(tmp_path / "s", series_uid=found[1].uid)
    assert second.voxels.min() == 2000


def test_copies_are_left_out_and_other_duplicates_refused(tmp_path: Path):
    folder = series(tmp_path / "s", 5)
    write_dicom(folder, [dicom_slice(2)], 50)
    volume = read_volume(folder)
    assert volume.voxels.shape[0] == 5
    assert volume.notes == ("1 copy of a slice was left out.",)
    write_dicom(folder, [dicom_slice(3, SOPInstanceUID="5.6")], 51)
    assert "1 of the 6 images lie at the place of another one" in refusal(folder)
