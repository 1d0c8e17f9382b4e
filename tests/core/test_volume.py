"""The scan: it never changes, and what made it is guessed from its values alone."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.errors import GeometryError
from app.core.geometry import Geometry
from app.core.volume import Modality, Volume, guess_modality, take_slice
from tests.phantoms import ramp


def volume(voxels: np.ndarray) -> Volume:
    return Volume(voxels, Geometry(voxels.shape, np.eye(4)))


def test_the_voxels_cannot_be_written_but_the_readers_array_stays_its_own():
    voxels = ramp((2, 3, 4))
    scan = volume(voxels)
    with pytest.raises(ValueError, match="read-only"):
        scan.voxels[0, 0, 0] = 1
    assert voxels.flags.writeable
    assert np.shares_memory(scan.voxels, voxels)  # a large scan is not copied


def test_two_loads_of_one_file_are_told_apart():
    voxels = ramp((2, 3, 4))
    assert volume(voxels).uid != volume(voxels).uid


def test_voxels_that_do_not_fit_the_grid_are_refused():
    with pytest.raises(GeometryError, match="grid"):
        Volume(ramp((2, 3, 4)), Geometry((4, 3, 2), np.eye(4)))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_keeps_the_order_of_the_other_axes(axis):
    voxels = ramp((3, 4, 5))
    picture = volume(voxels).slice_at(axis, 2)
    others = [a for a in range(3) if a != axis]
    for row, column in np.ndindex(picture.shape):
        index = [0, 0, 0]
        index[axis], index[others[0]], index[others[1]] = 2, row, column
        assert picture[row, column] == voxels[tuple(index)]
    assert np.shares_memory(take_slice(voxels, axis, 2), voxels)


def _noise(mean: float, sd: float) -> np.ndarray:
    return np.random.default_rng(3).normal(mean, sd, (24, 24, 24))


def _whole_ct() -> np.ndarray:
    voxels = np.full((24, 24, 24), -1000.0)
    voxels[6:18, 6:18, 6:18] = 40
    return voxels


def _cropped_ct() -> np.ndarray:
    voxels = np.rint(_noise(40, 20))
    voxels[:, :6] = np.rint(_noise(-100, 15))[:, :6]
    return voxels


@pytest.mark.parametrize(
    ("voxels", "expected"),
    [
        (_whole_ct(), Modality.CT),
        (_cropped_ct(), Modality.CT),
        (np.abs(_noise(300, 120)), Modality.MR),
        (np.zeros((4, 4, 4)), Modality.MR),
        (_noise(0, 1), Modality.MR),  # normalised to zero mean: negative, but no whole numbers
        (_whole_ct() / 1000, Modality.MR),  # rescaled to [-1, 0.04]
    ],
    ids=["CT with air", "CT cropped to tissue", "magnitude MR", "zeros", "z-scores", "rescaled"],
)
def test_the_modality_follows_from_the_values(voxels, expected):
    assert guess_modality(voxels) is expected
