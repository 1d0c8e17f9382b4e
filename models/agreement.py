"""How far masks agree: with each other, and with the truth where only probabilities are known."""

from __future__ import annotations

import numpy as np


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Return how far two masks agree, 0 to 1; two empty ones agree."""
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2 * int(np.count_nonzero(a & b)) / total if total else 1.0


def expected_dice(probability: np.ndarray) -> float:
    """Return the Dice, 0 to 1, of a slice's mask if its probabilities (H, W) are right.

    The sum of the probability inside the mask takes the place of the voxels in common with the
    truth, the sum of all the place of its size. Where two ideas of an object were averaged it
    falls as they part, since what only one of them holds has a probability of a half.
    """
    mask = probability > 0.5
    total = float(probability.sum()) + int(np.count_nonzero(mask))
    return 2 * float(probability[mask].sum()) / total if total else 1.0
