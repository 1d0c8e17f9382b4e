"""What the sliders and corners tell about slices."""

from __future__ import annotations

import numpy as np

from app.core.geometry import Region
from app.core.prompts import BoxPrompt
from app.ui.slice_marks import has_mask, runs, slice_score


def box(object_id: int, axis: int, index: int, label_id: int = 1) -> BoxPrompt:
    start, stop = [2, 2, 2], [6, 6, 6]
    start[axis], stop[axis] = index, index + 1
    region = Region(tuple(start), tuple(stop))
    return BoxPrompt(label_id=label_id, object_id=object_id, axis=axis, region=region)


def test_runs_of_masks_along_each_axis():
    labels = np.zeros((8, 9, 10), np.uint8)
    labels[2:4, 5, 7] = 3
    labels[6, 5, 7] = 1
    assert runs(has_mask(labels, 0, 0, 8)) == ((2, 4), (6, 7))
    assert runs(has_mask(labels, 1, 0, 9)) == ((5, 6),)
    assert runs(has_mask(labels, 2, 5, 10)) == ((2, 3),)


def test_the_score_is_of_the_latest_object_of_the_label():
    prompts = (box(1, 0, 3), box(2, 0, 3), box(3, 0, 3, label_id=2))
    scores = {1: {3: 0.5, 4: 0.6}, 2: {3: 0.8}, 3: {3: 0.1}}
    assert slice_score(prompts, scores, 0, 3, label_id=1) == 0.8
    assert slice_score(prompts, scores, 0, 4, label_id=1) == 0.6
    assert slice_score(prompts, scores, 0, 5, label_id=1) is None
    assert slice_score(prompts, scores, 1, 3, label_id=1) is None
