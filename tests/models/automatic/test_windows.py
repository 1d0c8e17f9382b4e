"""Sliding windows against MONAI's, and what is skipped or handed out early."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.geometry import Region
from models.automatic.windows import slide, softmax, weights, window_starts

SHAPES = [
    ((20, 33, 40), (16, 16, 16)),
    ((10, 50, 17), (16, 32, 16)),  # shorter than a tile along one axis
    ((7, 9, 11), (16, 16, 16)),  # along all of them
    ((5, 40, 30), (1, 16, 16)),  # slices
]


def _mixing(tiles: np.ndarray) -> np.ndarray:
    """Return logits that depend on where a voxel lies in its tile, so that weights matter."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in tiles.shape[2:]), indexing="ij")
    image = tiles[:, 0]
    return np.stack([image * 0, image * (1 + y), 2 * image * x - z], 1).astype(np.float32)


@pytest.mark.parametrize(("shape", "tile"), SHAPES)
@pytest.mark.parametrize("batch", [1, 3])
def test_the_same_as_monai(shape, tile, batch):
    torch = pytest.importorskip("torch")
    monai = pytest.importorskip("monai.inferers")
    image = np.random.default_rng(0).random(shape, np.float32)

    def predictor(tiles):
        found = _mixing(tiles.numpy())
        return torch.from_numpy(np.stack([softmax(one) for one in found]))

    expected = monai.sliding_window_inference(
        torch.from_numpy(image)[None, None], tile, batch, predictor, overlap=0.5, mode="gaussian"
    )[0].numpy()
    found = list(slide(image, tile, 3, _mixing, batch=batch))
    assert [one.index for one in found] == list(range(shape[0]))
    got = np.stack([one.probability for one in found], 1)
    np.testing.assert_allclose(got, expected, atol=2e-6)
    assert found[-1].fraction == 1.0


def test_weights_are_monais():
    torch = pytest.importorskip("torch")
    utils = pytest.importorskip("monai.data.utils")
    expected = utils.compute_importance_map((16, 8, 12), mode="gaussian", sigma_scale=0.125)
    np.testing.assert_allclose(weights((16, 8, 12)), torch.as_tensor(expected).numpy(), atol=1e-6)


def test_a_region_is_the_same_as_in_the_whole_scan_with_fewer_windows():
    image = np.random.default_rng(1).random((40, 48, 48), np.float32)
    tile, wanted = (16, 16, 16), Region((18, 20, 0), (25, 30, 12))
    calls = []

    def predict(tiles):
        calls.append(len(tiles))
        return _mixing(tiles)

    whole = {s.index: s.probability for s in slide(image, tile, 3, _mixing)}
    part = list(slide(image, tile, 3, predict, wanted=wanted))
    assert [one.index for one in part] == list(range(18, 25))
    for one in part:
        np.testing.assert_array_equal(
            one.probability[:, 20:30, 0:12], whole[one.index][:, 20:30, 0:12]
        )
    assert sum(calls) == len(window_starts(image.shape, tile, wanted))
    assert sum(calls) < len(window_starts(image.shape, tile)) / 3


def test_slices_come_as_soon_as_they_are_final():
    image = np.zeros((64, 16, 16), np.float32)
    n_calls = 0

    def predict(tiles):
        nonlocal n_calls
        n_calls += 1
        return _mixing(tiles)

    first = next(slide(image, (16, 16, 16), 3, predict))
    # Seven windows cover the height; the second one begins where the first half ends.
    assert (first.index, n_calls) == (0, 1)


def test_windows_cover_everything_within_the_scan():
    shape, tile = (37, 16, 50), (16, 16, 32)
    seen = np.zeros(shape, int)
    for start in window_starts(shape, tile):
        where = tuple(slice(s, s + t) for s, t in zip(start, tile, strict=True))
        assert seen[where].shape == tile
        seen[where] += 1
    assert seen.min() >= 1
