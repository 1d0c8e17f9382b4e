"""The stand-in for the person."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.evaluation.simulate import corrective_click, jittered_box, pieces, tight_box


def test_tight_box_is_half_open():
    mask = np.zeros((20, 30), bool)
    mask[4:9, 7:21] = True
    assert tight_box(mask) == (4, 7, 9, 21)


def test_no_jitter_leaves_the_box_alone():
    box = (4, 7, 9, 21)
    assert jittered_box(box, (20, 30), 0.0, np.random.default_rng(0)) == box


def test_each_side_moves_on_its_own_by_its_share_of_the_length_across():
    rng = np.random.default_rng(0)
    box, shape = (400, 300, 600, 700), (1000, 1000)
    moves = np.array([jittered_box(box, shape, 0.05, rng) for _ in range(4000)]) - box
    # Evenly over [-j, j]: a deviation of j / sqrt(3); rows are 200 long, columns 400.
    np.testing.assert_allclose(moves.std(axis=0) * 3**0.5, [10, 20, 10, 20], rtol=0.05)
    np.testing.assert_allclose(moves.mean(axis=0), 0, atol=1.0)
    assert abs(moves).max(axis=0).tolist() == [10, 20, 10, 20]
    off_diagonal = np.corrcoef(moves.T) - np.eye(4)
    assert abs(off_diagonal).max() < 0.06


@given(
    seed=st.integers(0, 2**20),
    jitter=st.floats(0, 1),
    start=st.tuples(st.integers(0, 28), st.integers(0, 28)),
    size=st.tuples(st.integers(1, 29), st.integers(1, 29)),
)
def test_a_jittered_box_stays_in_the_image_and_holds_pixels(seed, jitter, start, size):
    shape = (30, 31)
    stop = [min(a + n, m) for a, n, m in zip(start, size, shape, strict=True)]
    box = (start[0], start[1], stop[0], stop[1])
    r0, c0, r1, c1 = jittered_box(box, shape, jitter, np.random.default_rng(seed))
    assert 0 <= r0 < r0 + 2 <= r1 <= shape[0]
    assert 0 <= c0 < c0 + 2 <= c1 <= shape[1]


def test_a_click_goes_to_the_middle_of_the_largest_error():
    truth, mask = np.zeros((2, 40, 40), bool)
    truth[5:24, 5:24] = True
    mask[5:24, 5:14] = True  # 19 x 10 missing
    mask[30:34, 30:34] = True  # 4 x 4 too much
    found = corrective_click(mask, truth)
    assert found is not None
    (row, column), is_positive = found
    assert is_positive
    assert 9 <= row <= 19
    assert column in (18, 19)


def test_a_click_takes_away_what_is_too_much():
    truth, mask = np.zeros((2, 40, 40), bool)
    truth[5:24, 5:24] = True
    mask[5:24, 5:31] = True
    (_, column), is_positive = corrective_click(mask, truth)
    assert not is_positive
    assert column == 27


def test_beyond_the_border_is_not_wrong():
    truth, mask = np.zeros((2, 21, 21), bool)
    truth[:9, :] = True
    (row, _), is_positive = corrective_click(mask, truth)
    assert is_positive
    assert row == 4


def test_nothing_wrong_needs_no_click():
    mask = np.eye(5, dtype=bool)
    assert corrective_click(mask, mask) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_click_lies_on_a_wrong_pixel(seed):
    rng = np.random.default_rng(seed)
    mask, truth = rng.random((2, 16, 16)) > 0.5
    (row, column), is_positive = corrective_click(mask, truth)
    assert mask[row, column] != truth[row, column]
    assert truth[row, column] == is_positive


def test_pieces_are_large_enough_and_the_largest_comes_first():
    mask = np.zeros((20, 20), bool)
    mask[1:4, 1:4] = mask[8:14, 8:14] = mask[16:18, 2:4] = True
    assert [int(p.sum()) for p in pieces(mask, 9)] == [36, 9]
    assert pieces(np.zeros((4, 4), bool), 1) == []
