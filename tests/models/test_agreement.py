"""How far masks agree, against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models.agreement import dice, expected_dice


def test_where_two_ideas_of_a_slice_part_the_expected_dice_falls():
    one, other = np.zeros((8, 8)), np.zeros((8, 8))
    one[2:6, 2:6], other[2:6, 3:7] = 0.98, 0.98
    together, apart = expected_dice(one), expected_dice((one + other) / 2)
    assert together == pytest.approx(0.99, abs=0.01)
    assert 0.7 < apart < 0.9
    assert expected_dice(np.zeros((8, 8))) == 1.0
    assert expected_dice(np.full((8, 8), 0.3)) == 0.0


def test_dice_of_masks_that_share_half():
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    a[0], b[0, :2], b[1, :2] = True, True, True
    assert dice(a, b) == 0.5
    assert dice(~a & a, b & ~b) == 1
