"""Shapes in millimetres, checked against distances that are counted out voxel by voxel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from app.editing.morphology import (
    distance_mm,
    fill_holes,
    grow,
    keep_largest,
    piece_at,
    remove_islands,
    shrink,
    smooth_gaussian,
    smooth_median,
)

SHAPE = (5, 6, 7)
SPACING = (3.0, 1.5, 0.8)
masks = arrays(bool, SHAPE, elements=st.sampled_from([False, False, False, True]))


def counted_mm(mask: np.ndarray) -> np.ndarray:
    """Return each voxel's distance from the mask, pair by pair."""
    points = np.moveaxis(np.indices(SHAPE), 0, -1) * SPACING
    if not mask.any():
        return np.full(SHAPE, np.inf)
    return np.linalg.norm(points[..., None, :] - points[mask], axis=-1).min(axis=-1)


def ball(shape=(20, 24, 28), spacing=(2.0, 1.0, 1.0), radius_mm=8.0) -> np.ndarray:
    centre = (np.array(shape) - 1) / 2
    points = np.moveaxis(np.indices(shape), 0, -1)
    return np.linalg.norm((points - centre) * spacing, axis=-1) <= radius_mm


@settings(max_examples=40)
@given(masks)
def test_distances_are_millimetres_between_centres(mask):
    np.testing.assert_allclose(distance_mm(mask, SPACING), counted_mm(mask), rtol=1e-5)


@settings(max_examples=40)
@given(mask=masks, margin_mm=st.sampled_from([0.5, 0.8, 1.5, 2.0, 3.0, 4.5]))
def test_growing_and_shrinking_reach_as_far_as_asked(mask, margin_mm):
    grown, shrunk = grow(mask, SPACING, margin_mm), shrink(mask, SPACING, margin_mm)
    # A distance that equals the margin counts as within it, rounding or not.
    np.testing.assert_array_equal(grown, counted_mm(mask) <= margin_mm + 1e-3)
    np.testing.assert_array_equal(shrunk, mask & (counted_mm(~mask) > margin_mm + 1e-3))


def test_an_object_is_not_worn_away_where_it_leaves_the_scan():
    mask = np.zeros(SHAPE, bool)
    mask[:, :, 2:] = True
    assert shrink(mask, SPACING, 1.0)[:, :, 4:].all()
    assert not shrink(mask, SPACING, 1.0)[:, :, 2].any()


@pytest.mark.parametrize("smooth", [smooth_median, smooth_gaussian])
def test_smoothing_takes_spikes_and_fills_dents_but_leaves_faces(smooth):
    mask = np.zeros((12, 16, 20), bool)
    mask[:, :, :10] = True
    plain = mask.copy()
    np.testing.assert_array_equal(smooth(plain, (2.0, 1.0, 1.0), 2.0), plain)
    mask[6, 8, 10:13] = True
    mask[6, 3, 7:10] = False
    np.testing.assert_array_equal(smooth(mask, (2.0, 1.0, 1.0), 2.0), plain)


@pytest.mark.parametrize("smooth", [smooth_median, smooth_gaussian])
def test_smoothing_nearly_keeps_the_volume_of_a_ball_and_knows_thick_slices(smooth):
    mask = ball()
    smoothed = smooth(mask, (2.0, 1.0, 1.0), 1.5)
    assert smoothed.sum() == pytest.approx(mask.sum(), rel=0.15)
    # A plate one voxel thick goes where a voxel is thin against the size, and stays where not.
    plate = np.zeros((11, 11, 11), bool)
    plate[5] = True
    assert not smooth(plate, (1.0, 1.0, 1.0), 2.0).any()
    np.testing.assert_array_equal(smooth(plate, (9.0, 1.0, 1.0), 2.0), plate)


def test_a_cavity_is_filled_but_not_a_hole_that_leads_out():
    box = np.ones((6, 7, 8), bool)
    closed, open_end = box.copy(), box.copy()
    closed[2:4, 2:5, 3:5] = False
    open_end[2:, 2:5, 3:5] = False
    np.testing.assert_array_equal(fill_holes(closed), box)
    np.testing.assert_array_equal(fill_holes(open_end), open_end)
    # On each slice across the tunnel it is a hole; on those along it, it is not.
    np.testing.assert_array_equal(fill_holes(open_end, axis=0), box)
    np.testing.assert_array_equal(fill_holes(open_end, axis=1), open_end)


@settings(max_examples=40)
@given(mask=masks, axis=st.sampled_from([None, 0, 1, 2]))
def test_filling_holes_only_adds_and_leaves_none(mask, axis):
    filled = fill_holes(mask, axis)
    assert (filled >= mask).all()
    np.testing.assert_array_equal(fill_holes(filled, axis), filled)
    if axis is not None:  # slice by slice is what it says
        for index in range(SHAPE[axis]):
            one = np.take(mask, [index], axis=axis)
            np.testing.assert_array_equal(
                np.take(filled, [index], axis=axis), fill_holes(np.pad(one, 0), axis)
            )


def pieces() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a large, a middling and a tiny piece; the last two touch by an edge only."""
    large, middle, tiny = (np.zeros((8, 9, 10), bool) for _ in range(3))
    large[1:5, 1:5, 1:5] = True
    middle[6:8, 6:8, 6:9] = True
    tiny[5, 5, 6] = True
    return large, middle, tiny


def test_pieces_are_told_apart_by_faces_and_sorted_by_size():
    large, middle, tiny = pieces()
    everything = large | middle | tiny
    np.testing.assert_array_equal(keep_largest(everything), large)
    np.testing.assert_array_equal(piece_at(everything, (7, 7, 8)), middle)
    assert not piece_at(everything, (0, 0, 0)).any()
    # Voxels of 2 x 1 x 0.5 mm: 64, 12 and 1 of them are 0.064, 0.012 and 0.001 ml.
    spacing = (2.0, 1.0, 0.5)
    np.testing.assert_array_equal(remove_islands(everything, spacing, 0.002), large | middle)
    np.testing.assert_array_equal(remove_islands(everything, spacing, 0.012), large | middle)
    np.testing.assert_array_equal(remove_islands(everything, spacing, 0.0121), large)
    assert not remove_islands(everything, spacing, 1.0).any()


def test_of_two_equal_pieces_one_is_kept():
    mask = np.zeros((3, 3, 9), bool)
    mask[1, 1, 1:3] = mask[1, 1, 6:8] = True
    assert keep_largest(mask).sum() == 2
    assert not keep_largest(np.zeros_like(mask)).any()


@pytest.mark.parametrize(
    "change",
    [
        lambda mask, spacing: grow(mask, spacing, 2.0),
        lambda mask, spacing: shrink(mask, spacing, 1.0),
        lambda mask, spacing: smooth_median(mask, spacing, 2.0),
        lambda mask, spacing: smooth_gaussian(mask, spacing, 1.0),
        lambda mask, spacing: fill_holes(mask),
        lambda mask, spacing: remove_islands(mask, spacing, 0.02),
    ],
    ids=["grow", "shrink", "median", "gaussian", "holes", "islands"],
)
@pytest.mark.parametrize("order", [(1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_turning_the_scan_turns_the_result(change, order):
    """The same anatomy, stored along other axes and the other way round, is edited alike."""
    mask = np.random.default_rng(5).random((9, 10, 11)) < 0.55
    mask[2:7, 2:7, 2:7] = True
    spacing = tuple(SPACING[a] for a in order)
    turned = change(mask.transpose(order)[:, ::-1], spacing)
    np.testing.assert_array_equal(turned, change(mask, SPACING).transpose(order)[:, ::-1])
