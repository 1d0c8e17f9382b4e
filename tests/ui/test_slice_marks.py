"""What the sliders and corners tell about slices."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.geometry import Region
from app.ui.slice_marks import has_mask, runs, updated_marks


def test_runs_of_masks_along_each_axis():
    labels = np.zeros((8, 9, 10), np.uint8)
    labels[2:4, 5, 7] = 3
    labels[6, 5, 7] = 1
    assert runs(has_mask(labels, 0, 0, 8)) == ((2, 4), (6, 7))
    assert runs(has_mask(labels, 1, 0, 9)) == ((5, 6),)
    assert runs(has_mask(labels, 2, 5, 10)) == ((2, 3),)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_marks_follow_painting_and_erasing_in_a_region(axis):
    rng = np.random.default_rng(axis)
    labels = (rng.random((7, 8, 9)) < 0.02).astype(np.uint8)
    flags = has_mask(labels, axis, 0, labels.shape[axis])
    for _ in range(30):
        start = [int(rng.integers(n)) for n in labels.shape]
        stop = [int(rng.integers(a, n)) + 1 for a, n in zip(start, labels.shape, strict=True)]
        region = Region(tuple(start), tuple(stop))
        labels[region.slices] = rng.random(region.shape_zyx) < rng.choice([0.0, 0.05])
        flags = updated_marks(flags, labels, axis, region)
        np.testing.assert_array_equal(flags, has_mask(labels, axis, 0, labels.shape[axis]))
