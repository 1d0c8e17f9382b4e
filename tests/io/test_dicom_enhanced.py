"""Enhanced DICOM: frames of one file, told apart by their groups and rescaled by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from app.core.volume import Modality
from app.io.dicom_series import SeriesChoiceError
from app.io.reader import read_volume, scan
from tests.io.conftest import refusal
from tests.io.files import enhanced, stored_pixels, write_dicom


def test_enhanced_frames_are_rescaled_by_their_own_groups(tmp_path: Path):
    dataset = enhanced()
    for k, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        rescale = pydicom.Dataset()
        rescale.RescaleSlope, rescale.RescaleIntercept = k + 1, -10
        frame.PixelValueTransformationSequence = [rescale]
    folder = write_dicom(tmp_path / "s", [dataset])
    axial = read_volume(folder, series_uid=scan(folder)[1].uid)
    for z, k in enumerate((1, 3, 5)):
        assert np.array_equal(axial.voxels[z], stored_pixels(k) * (k + 1) - 10)


def test_enhanced_time_points_are_told_apart(shared_data: Path):
    folder = shared_data / "dicom" / "mr_enhanced_siemens_xa"
    found = scan(folder)
    assert [s.description[-14:] for s in found] == [f"(time point {t})" for t in (1, 2, 3, 4)]
    with pytest.raises(SeriesChoiceError, match="4 series"):
        read_volume(folder)
    third = read_volume(folder, series_uid=found[2].uid)
    pixels = pydicom.dcmread(folder / "6_3.dcm").pixel_array
    assert np.array_equal(third.voxels, pixels)
    assert third.geometry.spacing_zyx == pytest.approx((2.4, 3.375, 3.375), abs=1e-4)
    assert third.modality is Modality.MR


def test_stacks_of_one_enhanced_file_are_told_apart(tmp_path: Path):
    folder = write_dicom(tmp_path / "s", [enhanced()])
    found = scan(folder)
    assert [(s.size_xyz[2], s.spacing_mm[2]) for s in found] == [(3, 4.0), (3, 3.0)]
    axial = read_volume(folder, series_uid=found[1].uid)
    # No rescale in the groups: values as stored.
    assert np.array_equal(axial.voxels[2], stored_pixels(5))


def test_enhanced_file_that_contradicts_itself(tmp_path: Path):
    folder = write_dicom(tmp_path / "s", [enhanced(NumberOfFrames=5)])
    assert "says that it holds 5 frames, but describes 6" in refusal(folder)
