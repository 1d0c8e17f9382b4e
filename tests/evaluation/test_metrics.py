"""Metrics against shapes for which the answer is known on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.evaluation.metrics import (
    agreement,
    dice,
    hausdorff_95,
    surface_dice,
    surface_elements,
)


def _ball(shape, centre, radius, spacing):
    grids = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    away = sum(((g - c) * s) ** 2 for g, c, s in zip(grids, centre, spacing, strict=True))
    return away <= radius**2


def _box(shape, start, stop):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return mask


def test_dice_of_a_shifted_box():
    # 8 x 8 shifted by 2: 6 x 8 pixels are common, 64 in each.
    a, b = _box((20, 20), (4, 4), (12, 12)), _box((20, 20), (6, 4), (14, 12))
    assert dice(a, b) == pytest.approx(48 / 64)


def test_what_is_not_defined_is_nan_or_zero_and_never_flattering():
    full, empty = _box((9, 9), (2, 2), (5, 5)), np.zeros((9, 9), bool)
    both = agreement(empty, empty, (1, 1), 2)
    assert math.isnan(both.dice)
    assert math.isnan(both.nsd)
    assert math.isnan(both.hd95)
    for a, b in ((full, empty), (empty, full)):
        one = agreement(a, b, (1, 1), 2)
        assert (one.dice, one.nsd) == (0, 0)
        assert math.isnan(one.hd95)


def test_surface_of_a_box_is_its_area_in_millimetres():
    # 10 x 8 x 6 voxels of 1 x 2 x 3 mm: a block of 10 x 16 x 18 mm.
    elements = surface_elements(_box((20, 20, 20), (3, 4, 5), (13, 12, 11)), (1.0, 2.0, 3.0))
    area = 2 * (10 * 16 + 10 * 18 + 16 * 18)
    # The gradient rounds edges and corners off, which costs less than a voxel along each edge.
    assert area * 0.93 < elements.sum() < area


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.5)])
def test_circumference_of_a_disc(spacing):
    radius = 30 * spacing[0]
    disc = _ball((80, 80), (40, 40), radius, spacing)
    # Steps of 0 and 45 degrees overestimate a circle by 8 (sqrt(2) - 1) / pi, 5.5 %.
    expected = 2 * math.pi * radius * 8 * (math.sqrt(2) - 1) / math.pi
    assert surface_elements(disc, spacing).sum() == pytest.approx(expected, rel=0.015)


def test_area_of_an_anisotropic_ball():
    spacing = (3.0, 1.0, 1.5)
    ball = _ball((24, 64, 44), (12, 32, 22), 30.0, spacing)
    area = 4 * math.pi * 900
    # Never too little, and too much by the staircase alone; 1.5 without the spacing.
    assert area < surface_elements(ball, spacing).sum() < 1.12 * area


@pytest.mark.parametrize(("gap", "expected"), [(1.0, 1.0), (1.5, 1.0), (2.5, 0.0), (5.0, 0.0)])
def test_surface_dice_of_concentric_balls_asks_whether_the_gap_is_within_the_tolerance(
    gap, expected
):
    # Sampled at a quarter of a millimetre, so that the gap is met within that.
    spacing = (0.25, 0.25)
    a = _ball((160, 160), (80, 80), 12.0, spacing)
    b = _ball((160, 160), (80, 80), 12.0 + gap, spacing)
    assert surface_dice(a, b, spacing, 2.0) == pytest.approx(expected, abs=0.12)


def test_surface_dice_of_a_shifted_box_counts_the_sides_that_moved():
    a, b = _box((60, 60), (10, 10), (30, 30)), _box((60, 60), (10, 13), (30, 33))
    # A 20 x 20 mm square moved by 3 mm, tolerance 2 mm. Of each square's 80 mm are too far away:
    # the side outside the other square, 20; the side inside it, but for 2 mm at both ends, 16;
    # and of the other two sides what sticks out by more than 2 mm, 1 each.
    expected = 1 - (20 + 16 + 2) / 80
    assert surface_dice(a, b, (1.0, 1.0), 2.0) == pytest.approx(expected, abs=0.03)


def test_hausdorff_distance_is_in_millimetres_along_the_right_axis():
    shape, spacing = (30, 30, 30), (4.0, 1.0, 2.0)
    a = _box(shape, (5, 5, 5), (15, 15, 15))
    for axis, step in ((0, 2), (1, 5), (2, 3)):
        b = np.roll(a, step, axis=axis)
        assert hausdorff_95(a, b, spacing) == pytest.approx(step * spacing[axis])


def test_hausdorff_95_forgives_a_few_stray_voxels():
    a = _ball((100, 100), (50, 40), 25, (1, 1))
    b = a.copy()
    b[50, 95] = True
    assert hausdorff_95(a, b, (1, 1)) == 0
    assert dice(a, b) > 0.999


@given(seed=st.integers(0, 2**20), n_axes=st.sampled_from((2, 3)), tolerance=st.floats(0, 4))
def test_measures_are_symmetric_and_bounded(seed, n_axes, tolerance):
    rng = np.random.default_rng(seed)
    a, b = (rng.random((7, 8, 6)[:n_axes]) > 0.7 for _ in range(2))
    spacing = tuple(rng.uniform(0.5, 3, n_axes))
    one, other = agreement(a, b, spacing, tolerance), agreement(b, a, spacing, tolerance)
    assert [one.dice, one.nsd, one.hd95] == pytest.approx(
        [other.dice, other.nsd, other.hd95], nan_ok=True
    )
    if a.any() and b.any():
        assert 0 <= one.dice <= 1
        assert 0 <= one.nsd <= 1
        assert one.hd95 >= 0
        same = agreement(a, a, spacing, 0)
        assert (same.dice, same.nsd, same.hd95) == (1, 1, 0)


def test_cropping_to_the_masks_changes_nothing():
    rng = np.random.default_rng(0)
    a, b = np.zeros((2, 40, 40), bool)
    a[18:25, 17:25] = rng.random((7, 8)) > 0.4
    b[18:25, 17:25] = rng.random((7, 8)) > 0.4
    tight = np.s_[17:26, 16:26]
    assert agreement(a, b, (1, 2), 1) == agreement(a[tight], b[tight], (1, 2), 1)
