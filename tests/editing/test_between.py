"""Slices between drawn ones: where a shape stays, grows or wanders, so does what lies between."""

from __future__ import annotations

import numpy as np
import pytest

from app.editing.between import fill_between

SPACING = (5.0, 1.0, 0.5)
SHAPE = (11, 40, 60)


def disk(centre_rc_mm=(20.0, 15.0), radius_mm=8.0) -> np.ndarray:
    rows, columns = np.indices(SHAPE[1:])
    return np.hypot(rows * 1.0 - centre_rc_mm[0], columns * 0.5 - centre_rc_mm[1]) <= radius_mm


def stack(**slices: np.ndarray) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    for name, shape in slices.items():
        mask[int(name.removeprefix("z"))] = shape
    return mask


def area_mm2(shape: np.ndarray) -> float:
    return shape.sum() * 0.5


def test_a_shape_that_stays_fills_the_gap_unchanged_and_nothing_else():
    mask = stack(z2=disk(), z8=disk())
    filled = fill_between(mask, SPACING, axis=0)
    assert np.flatnonzero(filled.any(axis=(1, 2))).tolist() == list(range(2, 9))
    for index in range(2, 9):
        np.testing.assert_array_equal(filled[index], disk())


def test_a_cone_grows_by_the_same_step_on_each_slice():
    filled = fill_between(stack(z0=disk(radius_mm=4.0), z10=disk(radius_mm=12.0)), SPACING, axis=0)
    for index in range(11):
        radius_mm = 4.0 + 0.8 * index
        assert area_mm2(filled[index]) == pytest.approx(np.pi * radius_mm**2, rel=0.08), index
        # Nowhere more than a pixel from the true circle.
        smaller = disk(radius_mm=radius_mm - 1.0)
        assert (filled[index] >= smaller).all()
        assert (filled[index] <= disk(radius_mm=radius_mm + 1.0)).all()


def test_a_vessel_that_runs_aslant_is_not_lost_half_way():
    first, last = (12.0, 8.0), (28.0, 22.0)
    mask = stack(z0=disk(first, 5.0), z10=disk(last, 5.0))
    assert not (mask[0] & mask[10]).any()
    filled = fill_between(mask, SPACING, axis=0)
    for index in range(1, 10):
        share = index / 10
        centre = np.argwhere(filled[index]).mean(axis=0) * (1.0, 0.5)
        expected = np.multiply(first, 1 - share) + np.multiply(last, share)
        np.testing.assert_allclose(centre, expected, atol=0.5)
        assert area_mm2(filled[index]) == pytest.approx(np.pi * 25, rel=0.1)


def test_three_drawn_slices_are_joined_one_after_another():
    mask = stack(z1=disk(radius_mm=5.0), z4=disk(radius_mm=10.0), z9=disk(radius_mm=6.0))
    filled = fill_between(mask, SPACING, axis=0)
    areas = [area_mm2(shape) for shape in filled]
    assert areas[0] == areas[10] == 0
    assert areas[1] < areas[2] < areas[3] < areas[4] > areas[5] > areas[6] > areas[7] > areas[8]
    np.testing.assert_array_equal(filled[[1, 4, 9]], mask[[1, 4, 9]])


@pytest.mark.parametrize("axis", [1, 2])
def test_any_plane_is_filled_the_same_way(axis):
    mask = stack(z0=disk(radius_mm=4.0), z10=disk((22.0, 17.0), radius_mm=12.0))
    spacing = list(SPACING[1:])
    spacing.insert(axis, SPACING[0])
    moved = fill_between(np.moveaxis(mask, 0, axis), tuple(spacing), axis)
    expected = fill_between(mask, SPACING, axis=0)
    np.testing.assert_array_equal(np.moveaxis(moved, axis, 0), expected)


def test_a_slice_that_is_all_inside_and_a_single_slice_do_no_harm():
    whole = np.ones(SHAPE[1:], bool)
    filled = fill_between(stack(z0=whole, z2=disk()), SPACING, axis=0)
    assert disk().sum() < filled[1].sum() <= whole.sum()
    alone = stack(z5=disk())
    np.testing.assert_array_equal(fill_between(alone, SPACING, axis=0), alone)
