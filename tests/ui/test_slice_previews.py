"""What is shown before it is in the document, on every plane."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.volume import take_slice
from app.ui.slice_image import find_outlines
from app.ui.slice_previews import SlicePreviews

SHAPE = (5, 6, 7)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_plane_cuts_the_slices_that_have_come(axis):
    truth = np.random.default_rng(axis).random(SHAPE) > 0.6
    previews, shown = SlicePreviews(), np.zeros(SHAPE, bool)
    for index in (2, 3, 1):
        previews.add(axis, index, take_slice(truth, axis, index), label_id=4)
        take_slice(shown, axis, index)[...] = take_slice(truth, axis, index)
        for plane in range(3):
            for cut in range(SHAPE[plane]):
                wanted = take_slice(shown, plane, cut)
                found = previews.on_plane(plane, cut, SHAPE)
                if found is None:
                    assert not wanted.any()
                else:
                    assert found[1] == 4
                    np.testing.assert_array_equal(found[0], wanted)


def test_another_axis_or_label_starts_afresh():
    previews = SlicePreviews()
    previews.add(0, 2, np.ones((6, 7), bool), label_id=4)
    previews.add(1, 3, np.ones((5, 7), bool), label_id=4)
    assert previews.on_plane(0, 2, SHAPE)[0].sum() == 7
    previews.add(1, 2, np.ones((5, 7), bool), label_id=5)
    assert previews.on_plane(1, 3, SHAPE) is None
    assert previews.clear()
    assert not previews.clear()
    assert previews.on_plane(1, 2, SHAPE) is None


def test_a_mask_without_a_voxel_has_no_outline():
    assert list(find_outlines(np.zeros((4, 5), np.uint8), np.array([False, True]))) == []
