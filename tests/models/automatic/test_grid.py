"""The way to the network's grid, against PyTorch, and back, voxel by voxel."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.geometry import Geometry, Region
from models.automatic.grid import (
    grid_shape,
    line,
    prepared,
    region_on_grid,
    resized,
    run_mvoxels,
)
from models.automatic.labelling import scan_slices
from models.automatic.windows import GridSlice
from tests.models.automatic.networks import spec_for


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [((9, 20, 31), (5, 33, 31)), ((1, 8, 8), (1, 16, 5)), ((12, 12, 12), (4, 5, 6))],
)
def test_resizing_is_pytorchs(shape, wanted):
    torch = pytest.importorskip("torch")
    voxels = np.random.default_rng(0).random(shape, np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(voxels)[None, None], wanted, mode="trilinear", align_corners=False
    )[0, 0].numpy()
    np.testing.assert_allclose(resized(voxels, wanted), expected, atol=2e-6)


def test_the_size_of_the_grid():
    spec = spec_for(spacing=(3.0, 2.0, 2.0))
    assert grid_shape((40, 100, 100), (1.5, 1.0, 0.9), spec) == (20, 50, 45)
    slices = spec_for("transunet", spacing=(3.0, 2.0, 2.0), tile=(1, 32, 32))
    assert grid_shape((40, 100, 100), (1.5, 1.0, 0.9), slices) == (40, 50, 45)
    whole = spec_for("transunet", spacing=None, tile=(1, 32, 32))
    # As large as the tile holds it, and no wider than it is.
    assert grid_shape((40, 100, 80), (1.5, 1.0, 0.9), whole) == (40, 32, 23)
    assert grid_shape((40, 80, 100), (1.5, 1.0, 2.0), whole) == (40, 13, 32)
    assert grid_shape((40, 512, 512), (1.0, 1.0, 1.0), whole) == (40, 32, 32)


def test_preparing_in_parts_is_preparing_at_once(monkeypatch):
    spec = spec_for(spacing=(2.0, 3.0, 1.5))
    voxels = np.random.default_rng(0).integers(-1000, 1000, (30, 40, 20)).astype(np.int16)
    at_once = resized(
        spec.intensity.scale(voxels, spec.intensity.values(voxels)),
        grid_shape(voxels.shape, (1.0, 1.0, 1.0), spec),
    )
    monkeypatch.setattr("models.automatic.grid._CHUNK_VOXELS", 3000)
    np.testing.assert_allclose(prepared(voxels, (1.0, 1.0, 1.0), spec), at_once, atol=2e-6)


def test_a_region_holds_all_that_it_is_interpolated_from():
    rng = np.random.default_rng(3)
    grid, shape = (7, 9, 30), (20, 9, 13)
    voxels = rng.random(grid, np.float32)
    region = Region((6, 2, 3), (11, 5, 9))
    on_grid = region_on_grid(region, shape, grid)
    without = np.full(grid, 100, np.float32)
    without[on_grid.slices] = voxels[on_grid.slices]
    np.testing.assert_array_equal(
        resized(without, shape)[region.slices], resized(voxels, shape)[region.slices]
    )


def _grid_slices(probability: np.ndarray):
    for z in range(probability.shape[1]):
        yield GridSlice(z, probability[:, z], (z + 1) / probability.shape[1])


@pytest.mark.parametrize("shape", [(13, 40, 25), (4, 10, 6), (6, 8, 9)])
def test_labels_are_those_of_interpolated_probabilities(shape):
    grid = (6, 8, 9)
    raw = np.random.default_rng(2).normal(0, 2, (5, *grid)).astype(np.float32)
    raw[0] += 3  # mostly background
    probability = np.exp(raw) / np.exp(raw).sum(0)
    expected = np.stack([resized(p, shape) for p in probability])
    whole = Region.whole(shape)
    found = list(scan_slices(_grid_slices(probability), grid, shape, whole))
    assert [one.index for one in found] == list(range(shape[0]))
    channels = np.stack([one.channels for one in found])
    assert 0 < np.count_nonzero(channels) < channels.size
    best = np.sort(expected, axis=0)
    clear = best[-1] - best[-2] > 1e-5  # a tie may fall either way
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(channels[clear], expected.argmax(0)[clear])
    certainty = np.stack([one.certainty for one in found])
    hit = channels > 0
    np.testing.assert_allclose(certainty[hit] / 255, expected.max(0)[hit], atol=0.5 / 255 + 1e-5)
    assert not certainty[~hit].any()


def test_outside_a_region_nothing_is_labelled():
    grid, shape = (6, 8, 9), (12, 16, 18)
    probability = np.zeros((2, *grid), np.float32)
    probability[1] = 1
    region = Region((3, 4, 5), (6, 10, 11))
    found = list(scan_slices(_grid_slices(probability), grid, shape, region))
    assert [one.index for one in found] == [3, 4, 5]
    inside = np.zeros(shape[1:], bool)
    inside[4:10, 5:11] = True
    for one in found:
        np.testing.assert_array_equal(one.channels == 1, inside)


def test_work_is_counted_in_windows():
    spec = spec_for(spacing=(1.0, 1.0, 1.0), tile=(16, 16, 16))
    geometry = Geometry((32, 16, 16), np.eye(4)[[2, 1, 0, 3]])
    # Three windows along the first axis, at 0, 8 and 16.
    assert run_mvoxels(geometry, spec) == pytest.approx(3 * 16**3 / 1e6)
    part = Region((0, 0, 0), (8, 16, 16))
    assert run_mvoxels(geometry, spec, part) == pytest.approx(16**3 / 1e6)


def test_each_target_lies_between_its_neighbours():
    towards = line(5, 12)
    at = towards.low + towards.share
    np.testing.assert_allclose(at, np.clip((np.arange(12) + 0.5) * 5 / 12 - 0.5, 0, 4), atol=1e-6)
