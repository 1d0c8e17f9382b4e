"""The methods that know nothing, against geometry and against scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.evaluation.baselines import filled_box, inscribed_ellipse, random_walker, walk
from app.evaluation.metrics import dice


def test_filled_box_is_half_open():
    mask = filled_box((8, 9), (2, 3, 5, 8))
    assert mask.sum() == 3 * 5
    assert mask[2:5, 3:8].all()


def test_ellipse_and_box_of_a_disc_have_the_known_dice():
    rows, columns = np.mgrid[:101, :101]
    disc = (rows - 50) ** 2 + (columns - 50) ** 2 <= 40.5**2
    box = (10, 10, 91, 91)
    # A disc fills pi / 4 of its box, so Dice = 2 (pi / 4) / (1 + pi / 4).
    assert dice(filled_box(disc.shape, box), disc) == pytest.approx(
        2 * (math.pi / 4) / (1 + math.pi / 4), abs=0.005
    )
    assert dice(inscribed_ellipse(disc.shape, box), disc) > 0.99


def test_ellipsoid_fills_its_box_by_a_sixth_of_pi():
    mask = inscribed_ellipse((30, 40, 50), (2, 4, 5, 27, 38, 45))
    assert mask.sum() / (25 * 34 * 40) == pytest.approx(math.pi / 6, rel=0.01)
    for axis, (low, high) in enumerate(((2, 27), (4, 38), (5, 45))):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        assert (hit[0], hit[-1]) == (low, high - 1)


@pytest.mark.parametrize("box", [(3, 3, 4, 4), (0, 0, 2, 1), (-2, 5, 3, 20)])
def test_an_ellipse_is_never_empty(box):
    assert inscribed_ellipse((10, 12), box, scale=0.4).any()


def _scene(noise: float) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:70, :80]
    truth = ((rows - 33) / 14) ** 2 + ((columns - 42) / 20) ** 2 < 1
    pixels = np.where(truth, 0.7, 0.3) + np.random.default_rng(1).normal(0, noise, truth.shape)
    return np.clip(pixels, 0, 1), truth


def test_random_walker_finds_the_edge_that_the_ellipse_cannot_know():
    pixels, truth = _scene(0.02)
    sloppy = (12, 15, 58, 70)
    assert dice(random_walker(pixels, sloppy), truth) > 0.97
    assert dice(inscribed_ellipse(truth.shape, sloppy), truth) < 0.85


def test_random_walker_works_on_a_large_crop_and_at_the_border():
    pixels, truth = (np.kron(part, np.ones((5, 5))) for part in _scene(0.02))
    box = (90, 100, 245, 320)
    assert dice(random_walker(pixels, box), truth > 0) > 0.95
    at_border = random_walker(pixels[100:, 120:], (0, 0, 145, 200))
    assert dice(at_border, (truth > 0)[100:, 120:]) > 0.8


def test_random_walker_in_three_dimensions():
    z, y, x = np.mgrid[:40, :44, :48]
    truth = ((z - 20) / 10) ** 2 + ((y - 20) / 12) ** 2 + ((x - 24) / 14) ** 2 < 1
    voxels = np.where(truth, 0.7, 0.3)
    assert dice(random_walker(voxels, (9, 7, 9, 32, 34, 40)), truth) > 0.9


@pytest.mark.parametrize("shape", [(14, 17), (7, 8, 9)])
def test_walk_equals_scikit_image(shape):
    segmentation = pytest.importorskip("skimage.segmentation")
    rng = np.random.default_rng(3)
    voxels = rng.random(shape)
    # Scaled so that the largest step is 1 and its standard deviation cancels scikit-image's own
    # scaling, which is beta / (10 * standard deviation).
    largest = max(np.abs(np.diff(voxels, axis=a)).max() for a in range(len(shape)))
    voxels = voxels / largest
    seeds = np.zeros(shape, int)
    seeds[tuple(n // 2 for n in shape)] = 1
    seeds[0] = 2
    beta = 5.0
    reference = segmentation.random_walker(
        voxels,
        seeds,
        beta=beta * 10 * voxels.std(),
        mode="cg_j",
        tol=1e-8,
        return_full_prob=True,
    )
    np.testing.assert_allclose(walk(voxels, seeds, beta), reference[0], atol=2e-3)


def test_a_flat_image_is_split_by_distance_alone():
    seeds = np.zeros((1, 9), int)
    seeds[0, 0], seeds[0, -1] = 1, 2
    np.testing.assert_allclose(walk(np.zeros((1, 9)), seeds)[0], np.linspace(1, 0, 9), atol=1e-9)
