"""The numbers in single files: which type they come in, how they are scaled, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.core.errors import ReadError
from app.io.itk_bridge import to_file_array
from app.io.reader import read_volume
from tests.io.files import SCALING, VOXELS, nifti, write_image
from tests.phantoms import file_affine


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "f4"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_native_type_is_kept(tmp_path: Path, dtype: str, suffix: str):
    voxels = (VOXELS % 100).astype(dtype)
    volume = read_volume(write_image(tmp_path / f"a{suffix}", voxels, file_affine("RAS")))
    assert volume.voxels.dtype == dtype
    assert np.array_equal(to_file_array(volume.voxels, "RAS"), voxels)


def test_wide_whole_numbers_are_narrowed_if_they_fit(tmp_path: Path):
    low = np.where(VOXELS == 0, -1024, VOXELS).astype("i4")
    for voxels, expected in (
        (low, np.int16),
        (low.astype("i8"), np.int16),
        (np.where(VOXELS == 0, 60000, VOXELS.astype("i4")), np.uint16),
        (np.where(VOXELS == 0, 70000, VOXELS.astype("i4")), np.int32),
        (low.astype("f8"), np.float32),
    ):
        volume = read_volume(nifti(tmp_path, voxels))
        assert volume.voxels.dtype == expected
        assert np.array_equal(to_file_array(volume.voxels, volume.source_orientation), voxels)


def test_values_beyond_32_bits_are_refused(tmp_path: Path):
    path = nifti(tmp_path, np.where(VOXELS == 0, 1 << 40, VOXELS.astype("i8")))
    with pytest.raises(ReadError, match="reach from 1 to 1099511627776"):
        read_volume(path)


def test_nifti_scaling(tmp_path: Path):
    whole = read_volume(nifti(tmp_path, scl=(SCALING, "2f", (2.0, -1024.0))))
    assert whole.voxels.dtype == np.int16
    assert (whole.voxels.min(), whole.voxels.max()) == (-1024, 2 * 119 - 1024)
    fraction = read_volume(nifti(tmp_path, scl=(SCALING, "2f", (0.5, 1.0))))
    assert fraction.voxels.dtype == np.float32
    assert fraction.voxels.max() == 0.5 * 119 + 1
    huge = read_volume(nifti(tmp_path, scl=(SCALING, "2f", (2.0**80, 0.0))))
    assert huge.voxels.max() == np.float32(119 * 2.0**80)
    unset = read_volume(nifti(tmp_path, scl=(SCALING, "2f", (0.0, 7.0))))
    assert unset.voxels.max() == 119


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_voxels_that_are_no_numbers_are_refused(tmp_path: Path, bad: float):
    voxels = VOXELS.astype("f4")
    voxels[2, 1, 1:3] = bad
    with pytest.raises(ReadError, match="2 voxels of a slice are not finite"):
        read_volume(nifti(tmp_path, voxels))
