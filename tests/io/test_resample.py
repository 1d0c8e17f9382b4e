"""Tilted and uneven slices on a regular grid: what is where, checked against a known function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.core.errors import ReadError
from app.io.reader import read_volume, scan
from tests.io.files import dicom_slice, write_dicom

TILT = np.radians(18.5)


def brightness(points_lps: np.ndarray) -> np.ndarray:
    """Return a linear function of the place: linear interpolation keeps it exactly."""
    return 500 + 4.0 * points_lps[..., 0] - 3.0 * points_lps[..., 1] + 5.0 * points_lps[..., 2]


def tilted(folder: Path, heights: list[float], tilt: float = TILT) -> Path:
    """Write slices that are turned about x and stacked along z, as a tilted gantry makes them."""
    row, column = np.array([1.0, 0, 0]), np.array([0, np.cos(tilt), -np.sin(tilt)])
    datasets = []
    for n, z in enumerate(heights):
        position = np.array([-10.0, -20.0, z])
        c, r = np.meshgrid(np.arange(20) * 0.75, np.arange(24) * 0.5)
        points = position + c[..., None] * row + r[..., None] * column
        stored = np.rint(brightness(points)).astype("<u2")
        datasets.append(
            dicom_slice(
                n, Rows=24, Columns=20, ImageOrientationPatient=[*row, *column], BitsStored=16,
                HighBit=15, RescaleIntercept=0, ImagePositionPatient=position.tolist(),
                PixelData=stored.tobytes(),
            )
        )  # fmt: skip
    return write_dicom(folder, datasets)


@pytest.mark.parametrize(
    ("heights", "tilt"),
    [
        ([2.5 * k for k in range(8)], TILT),
        ([2.5 * k for k in range(8)], -TILT),
        ([0, 2, 4, 6, 7, 11, 15, 19], TILT),
        ([0, 2, 4, 6, 7, 11, 15, 19], 0.0),
        ([0, 2, 4, 8, 10, 12], 0.0),
    ],
    ids=["tilt", "other-tilt", "tilt-and-uneven", "uneven", "missing"],
)
def test_every_covered_voxel_has_the_value_of_its_place(tmp_path: Path, heights, tilt):
    folder = tilted(tmp_path / "s", heights, tilt)
    with pytest.raises(ReadError):
        read_volume(folder)
    assert scan(folder)[0].can_resample
    volume = read_volume(folder, resample=True)
    index = np.stack(np.meshgrid(*map(np.arange, volume.voxels.shape), indexing="ij"), axis=-1)
    expected = brightness(volume.geometry.index_to_lps(index))
    is_right = np.abs(volume.voxels - expected) <= 1.0
    # Outside of what was scanned stands the smallest value of the scan.
    is_empty = volume.voxels == volume.voxels.min()
    assert (is_right | is_empty).all()
    n_scanned = len(heights) * 24 * 20 * 0.5
    assert is_right.sum() > n_scanned
    assert "Resampled to a regular grid" in volume.notes[0]


def test_the_grid_holds_all_slices_at_the_usual_distance(tmp_path: Path):
    heights = [0, 2, 4, 6, 7, 11, 15, 19, 21]
    volume = read_volume(tilted(tmp_path / "s", heights), resample=True)
    assert volume.geometry.spacing_zyx == pytest.approx((2 * np.cos(TILT), 0.5, 0.75))
    corners = np.array([[-10, -20, z] for z in heights])
    index = volume.geometry.lps_to_index(corners)
    assert (index > -0.5).all()
    assert (index < np.array(volume.voxels.shape) - 0.5).all()


def test_a_regular_series_is_not_resampled(tmp_path: Path):
    folder = write_dicom(tmp_path / "s", [dicom_slice(k) for k in range(4)])
    plain, asked = read_volume(folder), read_volume(folder, resample=True)
    assert np.array_equal(plain.voxels, asked.voxels)
    assert asked.notes == ()


def test_slices_at_one_place_cannot_be_resampled(tmp_path: Path):
    datasets = [dicom_slice(k) for k in (0, 1, 2)]
    folder = write_dicom(tmp_path / "s", [*datasets, dicom_slice(1, SOPInstanceUID="5.6")])
    with pytest.raises(ReadError, match="at the place of another one"):
        read_volume(folder, resample=True)


def test_the_scanner_series_opens_on_request(shared_data: Path):
    folder = shared_data / "dicom" / "ct_ge_tilt_uneven"
    (info,) = scan(folder)
    assert info.can_resample
    volume = read_volume(folder, resample=True)
    assert volume.geometry.spacing_zyx == pytest.approx((4.002, 0.488, 0.488), abs=1e-3)
    assert volume.voxels.dtype == np.int16
    for number in ("4.00 mm apart", "18.5 degrees", "7.00 mm", "1.08 mm"):
        assert number in volume.notes[0]
