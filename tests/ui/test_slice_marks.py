"""What the sliders and corners tell about slices."""

from __future__ import annotations

import numpy as np

from app.ui.slice_marks import has_mask, runs


def test_runs_of_masks_along_each_axis():
    labels = np.zeros((8, 9, 10), np.uint8)
    labels[2:4, 5, 7] = 3
    labels[6, 5, 7] = 1
    assert runs(has_mask(labels, 0, 0, 8)) == ((2, 4), (6, 7))
    assert runs(has_mask(labels, 1, 0, 9)) == ((5, 6),)
    assert runs(has_mask(labels, 2, 5, 10)) == ((2, 3),)
