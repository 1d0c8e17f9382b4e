"""DICOM: slices that make a regular grid, and those that are refused because they make none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.io.reader import read_volume, scan
from tests.io.conftest import refusal
from tests.io.files import dicom_slice, write_dicom


def test_missing_slice(tmp_path: Path):
    folder = write_dicom(tmp_path / "s", [dicom_slice(k) for k in (0, 1, 2, 4, 5, 6)])
    text = refusal(folder)
    assert "5.00 mm between slices 3 and 4" in text
    assert "1 slice seems to be missing" in text
    (info,) = scan(folder)
    assert (info.is_openable, info.reason) == (False, text)


def test_uneven_slices(tmp_path: Path):
    places = (0, 2.5, 5, 9, 11.5)
    datasets = [dicom_slice(k, ImagePositionPatient=[0, 0, z]) for k, z in enumerate(places)]
    text = refusal(write_dicom(tmp_path / "s", datasets))
    assert "2.50 mm between slices 1 and 2, 4.00 mm between slices 3 and 4" in text


def test_rounded_positions_are_even(tmp_path: Path):
    places = [round(0.6251 * k, 2) for k in range(30)]
    datasets = [dicom_slice(k, ImagePositionPatient=[0, 0, z]) for k, z in enumerate(places)]
    volume = read_volume(write_dicom(tmp_path / "s", datasets))
    assert volume.geometry.spacing_zyx[0] == pytest.approx(0.625, abs=1e-3)
    assert volume.notes == ()


def test_tilt(tmp_path: Path):
    shift = 2.5 * np.tan(np.radians(12))
    datasets = [dicom_slice(k, ImagePositionPatient=[0, shift * k, 2.5 * k]) for k in range(6)]
    text = refusal(write_dicom(tmp_path / "s", datasets))
    assert "tilted (gantry tilt) by 12.0 degrees" in text


def test_a_drift_of_rounding_is_no_tilt(tmp_path: Path):
    datasets = [dicom_slice(k, ImagePositionPatient=[0, 0.004 * k, 2.5 * k]) for k in range(6)]
    assert read_volume(write_dicom(tmp_path / "s", datasets)).voxels.shape[0] == 6


def test_tilted_and_uneven_scanner_series_is_refused_with_its_numbers(shared_data: Path):
    folder = shared_data / "dicom" / "ct_ge_tilt_uneven"
    (info,) = scan(folder)
    assert not info.is_openable
    assert info.size_xyz == (512, 512, 28)
    text = refusal(folder)
    for number in ("18.5 degrees", "1.08 mm between slices 14 and 15", "7.00 mm", "4.00 mm"):
        assert number in text
