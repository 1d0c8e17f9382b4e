"""Contrast medium in training tiles."""

from __future__ import annotations

import numpy as np

from models.training.automatic_sampling import with_phase


def test_contrast_medium_leaves_structures_alone_that_have_none():
    rng = np.random.default_rng(0)
    x = np.full((1, 40, 40), 0.3, np.float32)
    labels = np.zeros((1, 40, 40), np.uint8)
    labels[0, 5:15, 5:15], labels[0, 20:35, 20:35] = 1, 2
    x[labels == 1], x[labels == 2] = 0.95, 0.5
    drawn = [with_phase(x, labels, rng) for _ in range(60)]
    enhanced = np.array([d[0, 10, 10] for d in drawn])
    # From all of its contrast to none, and never darker than plain tissue.
    assert 0.45 < enhanced.min() < 0.6
    assert enhanced.max() > 0.85
    plain = np.array([d[0, 27, 27] for d in drawn])
    assert abs(plain - 0.5).max() < 0.05
    assert all((d[0, 37:, :15] == np.float32(0.3)).all() for d in drawn)
