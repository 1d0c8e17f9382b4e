"""What the scene is made of lies where the scan does, however much it was averaged."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.geometry import Geometry, Region
from app.core.tasks import NullContext
from app.core.volume import Modality, Volume
from app.view3d.blocks import INSIDE, label_blocks, pooled, small_volume
from tests.phantoms import rotation

SHAPE = (20, 31, 26)


def _geometry(oblique: bool = True) -> Geometry:
    affine = np.eye(4)
    steps = np.array([[0, 0, 0.8], [0, 1.1, 0], [3.0, 0, 0]])
    affine[:3, :3] = rotation((20, -10, 15)) @ steps if oblique else steps
    affine[:3, 3] = (-40, 12, 300)
    return Geometry(SHAPE, affine)


def _labels() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint16)
    labels[3:9, 4:20, 5:11] = 2
    labels[12:13, 0:31, 20:26] = 300
    labels[0, 0, 0] = 7
    return labels


def _centre_lps(weights: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return the centre of mass in LPS mm."""
    index = np.argwhere(weights > 0)
    return np.average(geometry.index_to_lps(index), axis=0, weights=weights[weights > 0])


@pytest.mark.parametrize("max_voxels", [10**9, 300, 20])
def test_each_label_gets_a_block_in_its_place(max_voxels):
    labels, geometry = _labels(), _geometry()
    blocks = label_blocks(labels, Region.whole(SHAPE), geometry, NullContext(), max_voxels)
    assert [block.label_id for block in blocks] == [2, 7, 300]
    for block in blocks:
        mask = labels == block.label_id
        assert block.region == Region.of_mask(mask)
        assert np.prod(np.array(block.filled.shape) - 2) <= max_voxels
        assert block.filled.shape == block.geometry.shape_zyx
        border = np.ones(block.filled.shape, bool)
        border[1:-1, 1:-1, 1:-1] = False
        assert not block.filled[border].any()
        # Copies of the last voxel fill up the coarsest blocks: half of one is the most it moves.
        off = _centre_lps(block.filled, block.geometry) - _centre_lps(mask, geometry)
        allowed = 1e-6 if max_voxels > 10**8 else np.linalg.norm(block.geometry.spacing_zyx) / 2
        assert np.linalg.norm(off) <= allowed


def test_a_part_of_the_map_gives_the_same_blocks_as_all_of_it():
    labels, geometry = _labels(), _geometry()
    labels[labels != 2] = 0
    region = Region((2, 1, 3), (14, 25, 20))
    (whole,) = label_blocks(labels, Region.whole(SHAPE), geometry, NullContext())
    (part,) = label_blocks(labels[region.slices], region, geometry, NullContext())
    assert part.region == whole.region
    assert np.array_equal(part.filled, whole.filled)
    assert part.geometry.same_grid(whole.geometry)


def test_without_averaging_a_block_is_the_mask():
    labels = _labels()
    blocks = label_blocks(labels, Region.whole(SHAPE), _geometry(), NullContext())
    two = next(block for block in blocks if block.label_id == 2)
    assert np.array_equal(two.filled[1:-1, 1:-1, 1:-1] == INSIDE, np.ones((6, 16, 6), bool))


def test_averaging_keeps_means_and_divides_the_longest_axis():
    voxels = np.arange(8 * 4 * 2, dtype=np.float32).reshape(8, 4, 2)
    small, factors = pooled(voxels, 16)
    assert factors == (4, 1, 1)
    assert np.array_equal(small, voxels.reshape(2, 4, 4, 2).mean(axis=1))


@pytest.mark.parametrize("modality", [Modality.CT, Modality.MR])
def test_a_small_volume_lies_where_the_scan_does(modality):
    # One bright spot that survives averaging shows where things are.
    z, y, x = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    spot = np.exp(-((z - 12) ** 2 + (y - 9) ** 2 + (x - 17) ** 2) / 18)
    voxels = np.rint(1000 * spot).astype(np.int16)
    volume = Volume(voxels, _geometry(), modality)
    small = small_volume(volume, NullContext(), max_voxels=3000)
    assert small.values.size <= 3000
    bright = np.where(small.values > 300, small.values, 0).astype(float)
    expected = volume.geometry.index_to_lps((12, 9, 17))
    off = np.linalg.norm(_centre_lps(bright, small.geometry) - expected)
    assert off < min(small.geometry.spacing_zyx) / 2


def test_ct_keeps_its_units_and_mr_is_put_on_one_scale():
    rng = np.random.default_rng(1)
    voxels = rng.normal(100, 20, SHAPE).astype(np.float32)
    ct = small_volume(Volume(voxels, _geometry(), Modality.CT), NullContext())
    assert np.abs(ct.values - voxels).max() <= 0.5
    scans = [Volume(voxels * f, _geometry(), Modality.MR) for f in (1, 0.001, 50)]
    one, dark, bright = (small_volume(scan, NullContext()).values for scan in scans)
    assert np.abs(one - dark).max() <= 1
    assert np.abs(one - bright).max() <= 1
    assert np.percentile(one, 1) == pytest.approx(0, abs=30)
    assert np.percentile(one, 99) == pytest.approx(1000, abs=30)
