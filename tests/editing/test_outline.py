"""Outlines: which pixels are inside, and a stroke that stays in the middle of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from app.editing.outline import fill_outline, middle_stroke, rim_strokes

SHAPE = (24, 30)
# Steps of a sixteenth, off by a bit: no line passes exactly through a centre.
corner = st.tuples(st.integers(-96, 480), st.integers(-96, 576)).map(
    lambda p: (p[0] / 16 + 0.0371, p[1] / 16 + 0.0293)
)


def turned_angle(points: np.ndarray) -> np.ndarray:
    """Return by how much an outline turns round each pixel: 0 outside, 2 pi per turn inside."""
    rows, columns = (i[..., None] for i in np.indices(SHAPE))
    angles = np.arctan2(points[:, 0] - rows, points[:, 1] - columns)
    steps = np.diff(angles, axis=-1, append=angles[..., :1])
    return np.sum((steps + np.pi) % (2 * np.pi) - np.pi, axis=-1)


@given(st.lists(corner, min_size=3, max_size=6))
def test_an_outline_holds_the_pixels_that_it_winds_round_an_odd_number_of_times(corners):
    points = np.array(corners)
    turns = np.rint(turned_angle(points) / (2 * np.pi)).astype(int)
    np.testing.assert_array_equal(fill_outline(points, SHAPE), turns % 2 == 1)


def test_neighbouring_outlines_share_no_pixel_and_leave_none_out():
    left = fill_outline(np.array([(0, 0), (0, 10), (20, 10), (20, 0)], float), SHAPE)
    right = fill_outline(np.array([(0, 10), (0, 25), (20, 25), (20, 10)], float), SHAPE)
    assert not (left & right).any()
    both = fill_outline(np.array([(0, 0), (0, 25), (20, 25), (20, 0)], float), SHAPE)
    np.testing.assert_array_equal(left | right, both)
    assert both.sum() == 20 * 25


def test_a_line_that_holds_nothing_fills_nothing():
    assert not fill_outline(np.array([(1.0, 1.0), (9.0, 9.0)]), SHAPE).any()
    assert not fill_outline(np.zeros((0, 2)), SHAPE).any()


def ring_sector(shape=(60, 60)) -> np.ndarray:
    rows, columns = np.indices(shape)
    radius = np.hypot(rows - 30, columns - 30)
    return (radius > 14) & (radius < 24) & ~((rows > 30) & (abs(columns - 30) < 12))


def block(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((40, 50), bool)
    mask[rows, columns] = True
    return mask


def wedge() -> np.ndarray:
    rows, columns = np.indices((40, 60))
    return (np.abs(rows - 20) < (columns - 4) / 4) & (columns < 55)


@pytest.mark.parametrize(
    "mask",
    [
        ring_sector(),
        wedge(),
        block(slice(4, 12), slice(3, 46)),
        block(slice(0, 40), slice(0, 50)),
        block(slice(7, 8), slice(9, 10)),
        block(slice(7, 9), slice(9, 11)),
        block(slice(5, 6), slice(9, 30)),
    ],
    ids=["sickle", "wedge", "bar", "whole slice", "one pixel", "four pixels", "line"],
)
def test_the_stroke_is_a_connected_path_that_keeps_off_the_rim(mask):
    stroke, room_mm = middle_stroke(mask, (1.0, 1.0))
    assert mask[tuple(stroke.T)].all()
    if len(stroke) > 1:
        assert np.abs(np.diff(stroke, axis=0)).max() == 1
    assert len({tuple(p) for p in stroke}) == len(stroke)
    rim = np.argwhere(~np.pad(mask, 1)) - 1
    depths = [np.hypot(*(rim - p).T).min() for p in stroke]
    assert min(depths) == pytest.approx(room_mm)
    assert room_mm >= 0.45 * max(depths)


def test_the_stroke_runs_along_a_bar_and_round_a_sickle():
    bar, _ = middle_stroke(block(slice(4, 13), slice(3, 46)), (1.0, 1.0))
    assert np.ptp(bar[:, 1]) >= 30
    assert set(bar[:, 0]) <= {7, 8, 9}
    sickle, _ = middle_stroke(ring_sector(), (1.0, 1.0))
    assert np.ptp(sickle[:, 1]) >= 30  # from one horn over the top to the other
    assert sickle[:, 0].min() < 15


def test_of_two_pieces_the_larger_one_gets_the_stroke():
    mask = block(slice(2, 6), slice(2, 6)) | block(slice(10, 30), slice(10, 40))
    stroke, _ = middle_stroke(mask, (1.0, 1.0))
    assert (stroke >= 10).all()


def steps_apart(points: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return how many steps through sides each point is from the mask."""
    return np.array([np.abs(np.argwhere(mask) - p).sum(axis=1).min() for p in points])


@pytest.mark.parametrize("distance", [1, 2, 3])
@pytest.mark.parametrize(
    "mask",
    [
        np.pad(ring_sector(), 5),
        block(slice(14, 15), slice(19, 20)),
        block(slice(9, 20), slice(8, 31)),
    ],
    ids=["sickle", "one pixel", "bar"],
)
def test_a_rim_runs_once_round_the_mask_at_its_distance(mask, distance):
    (rim,) = rim_strokes(mask, distance)
    np.testing.assert_array_equal(rim[0], rim[-1])
    assert np.abs(np.diff(rim, axis=0)).max() == 1
    assert set(steps_apart(rim, mask)) == {distance}
    # Nothing of what is that far away is left out, and no way leads through the rim.
    on_rim = np.zeros(mask.shape, bool)
    on_rim[tuple(rim.T)] = True
    pieces, n_pieces = ndimage.label(~on_rim)
    assert n_pieces == 2
    assert len(set(np.unique(pieces[mask]))) == 1
    assert pieces[0, 0] not in pieces[mask]


def test_a_rim_is_cut_where_the_mask_meets_the_border():
    strokes = rim_strokes(block(slice(0, 10), slice(20, 30)), 2)
    points = np.concatenate(strokes)
    assert (points >= 0).all()
    assert set(steps_apart(points, block(slice(0, 10), slice(20, 30)))) == {2}
    assert points[:, 0].max() == 11
    assert rim_strokes(np.ones((6, 7), bool), 2) == []


def test_holes_have_no_rim():
    mask = block(slice(5, 30), slice(5, 40))
    solid = rim_strokes(mask, 2)
    mask[12:20, 12:20] = False
    np.testing.assert_array_equal(rim_strokes(mask, 2)[0], solid[0])
