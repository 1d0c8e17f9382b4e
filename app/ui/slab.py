"""Thick slabs: several slices projected onto the one that is displayed. Numpy alone.

For looking only: tools and models work on the slice itself.
"""

from __future__ import annotations

import numpy as np

from app.core.volume import take_slice

SLAB_KINDS = ("maximum", "mean", "minimum")


def slab_range(index: int, n_slices: int, spacing_mm: float, slab_mm: float) -> tuple[int, int]:
    """Return the half-open range of slices around one that a thickness covers, at least itself.

    >>> slab_range(10, 50, 2.0, 10.0)
    (8, 13)
    """
    count = max(1, round(slab_mm / spacing_mm))
    start = index - (count - 1) // 2
    return max(0, start), min(n_slices, start + count)


def project(voxels: np.ndarray, axis: int, start: int, stop: int, kind: str) -> np.ndarray:
    """Return the maximum, mean or minimum across a range of slices.

    Parameters
    ----------
    voxels : (z, y, x)
    axis, start, stop : int
        Half-open range of slices across an axis.
    kind : "maximum", "mean" or "minimum"

    Returns
    -------
    (rows, columns)
        In the type of the voxels; float32 for a mean.
    """
    if stop - start == 1:
        return take_slice(voxels, axis, start)
    where = [slice(None)] * 3
    where[axis] = slice(start, stop)
    block = voxels[tuple(where)]
    if kind == "mean":
        mean: np.ndarray = block.mean(axis=axis, dtype=np.float32)
        return mean
    extreme: np.ndarray = block.max(axis=axis) if kind == "maximum" else block.min(axis=axis)
    return extreme
