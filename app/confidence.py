"""How sure the program is of each slice of a carried mask.

Confidence of a slice is the weakest of up to three signs, each from 0 to 1:

score
    The model's own estimate of its Dice on the slice: of its quality head, or, where a volume
    network and the outline that was drawn from it were averaged, from their mean probability. That
    one ranks slices far better: `tests/campaigns/confidence.py` measures it.
agreement
    Dice of two ways to the slice, where there were two: the mask carried forward and backward
    between key slices.
overlap
    Mean Dice of the mask with the same object's masks on the neighbouring slices, divided by what
    is usual for this object (the median over its slices), at most 1. So thick slices, where every
    overlap is small, count no worse than thin ones. Measured on the voxels as they are now.

The weakest rather than a mean: each sign alone has proved a slice wrong, and two good ones do not
heal the third. A slice needs a look when its confidence is below `UNSURE` and nobody looked at it:
neither accepted nor corrected it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from app.core.geometry import Region
from models.agreement import dice


@dataclass(frozen=True)
class Look:
    """What the masks of an object look like now, by slice; slices without mask are left out."""

    digests: Mapping[int, int]
    overlap: Mapping[int, float]


def look_at(masks: np.ndarray, where: Region, axis: int) -> Look:
    """Return digests and overlaps of an object's masks.

    Parameters
    ----------
    masks : (slices, rows, columns) bool
        The object's voxels in a region, the slices first.
    where : Region
    axis : int
        Along which the slices lie.
    """
    first = where.start_zyx[axis]
    corner = tuple(v for a, v in enumerate(where.start_zyx) if a != axis)
    digests = {}
    for n, mask in enumerate(masks):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if rows.size:
            top, left = int(rows[0]), int(columns[0])
            tight = mask[top : rows[-1] + 1, left : columns[-1] + 1]
            # The place counts, too, whatever the region that was looked at.
            head = f"{top + corner[0]} {left + corner[1]} {tight.shape}".encode()
            digests[first + n] = zlib.crc32(np.packbits(tight).tobytes(), zlib.crc32(head)) or 1
    overlap = {}
    pairs = {n: dice(masks[n], masks[n + 1]) for n in range(len(masks) - 1)}
    for index in digests:
        beside = [
            pairs[n]
            for n in (index - first - 1, index - first)
            if n in pairs and first + n in digests and first + n + 1 in digests
        ]
        if beside:
            overlap[index] = float(np.mean(beside))
    return Look(digests, overlap)


def confidences(
    scores: Mapping[int, float], agreement: Mapping[int, float], overlap: Mapping[int, float]
) -> dict[int, tuple[float, str]]:
    """Return the confidence of each slice that has a score, and which sign is the weakest.

    See the module's text for the definition.

    >>> confidences({3: 0.9, 4: 0.8}, {4: 0.6}, {})
    {3: (0.9, 'score'), 4: (0.6, 'agreement')}
    """
    usual = float(np.median(list(overlap.values()))) if overlap else 0.0
    found = {}
    for index, score in scores.items():
        signs = [(score, "score")]
        if index in agreement:
            signs.append((agreement[index], "agreement"))
        if index in overlap and usual > 0:
            signs.append((min(1.0, overlap[index] / usual), "overlap"))
        found[index] = min(signs, key=lambda sign: sign[0])
    return found
