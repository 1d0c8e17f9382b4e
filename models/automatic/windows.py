"""Sliding windows: a network that sees one tile at a time, on a scan of any size. numpy alone.

The same windows and weights as MONAI's ``sliding_window_inference`` with ``mode="gaussian"``, but
slices are handed out as soon as no further window reaches them, so that no more than the height of
one tile is held in memory, whatever the size of the scan.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from app.core.geometry import Region, Triple

OVERLAP = 0.5
# Standard deviation of the weights, as a share of the tile's side.
SIGMA = 0.125

# (B, 1, D, H, W) float32 to logits (B, C, D, H, W).
Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class GridSlice:
    """One slice of the network's grid that is done.

    Attributes
    ----------
    index : int
    probability : (C, H, W) float32
        Sums to 1; all background where no window came.
    fraction : float
        Share of the windows that are done.
    """

    index: int
    probability: np.ndarray
    fraction: float


@functools.lru_cache(maxsize=4)
def weights(tile: Triple) -> np.ndarray:
    """Return the weight of each voxel of a tile, float32: a Gaussian about its middle.

    No weight is below a thousandth: what only the corners of tiles see is seen, too.
    """
    out = np.ones((1, 1, 1), np.float32)
    for axis, side in enumerate(tile):
        away = np.arange(side, dtype=np.float32) - (side - 1) / 2
        bell = np.exp(-(away**2) / (2 * (SIGMA * side) ** 2)).astype(np.float32)
        out = out * bell.reshape([-1 if a == axis else 1 for a in range(3)])
    out = np.maximum(out, max(float(out.min()), 1e-3)).astype(np.float32)
    out.setflags(write=False)
    return out


def padding(shape: Sequence[int], tile: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return how many voxels of zeros go before and after each axis of a scan below a tile."""
    missing = [max(0, t - n) for n, t in zip(shape, tile, strict=True)]
    return tuple((m // 2, m - m // 2) for m in missing)


def window_starts(
    shape: Sequence[int], tile: Sequence[int], wanted: Region | None = None
) -> list[Triple]:
    """Return where windows start on the padded scan, in order; those that touch ``wanted``."""
    pads = padding(shape, tile)
    per_axis: list[list[int]] = []
    for axis, side in enumerate(tile):
        size = max(shape[axis], side)
        step = side if size == side else max(1, int(side * (1 - OVERLAP)))
        n = 1 + max(0, -(-(size - side) // step))
        starts = [min(k * step, size - side) for k in range(n)]
        if wanted is not None:
            low = wanted.start_zyx[axis] + pads[axis][0]
            high = wanted.stop_zyx[axis] + pads[axis][0]
            starts = [s for s in starts if s < high and s + side > low]
        per_axis.append(starts)
    return [(z, y, x) for z in per_axis[0] for y in per_axis[1] for x in per_axis[2]]


def slide(
    image: np.ndarray,
    tile: Triple,
    n_classes: int,
    predict: Predict,
    *,
    batch: int = 1,
    wanted: Region | None = None,
) -> Iterator[GridSlice]:
    """Yield the slices of a scan with the probability of each class, in order.

    Parameters
    ----------
    image : (D, H, W) float32
    tile : tuple of 3 int
        (1, n, n) for a network of slices.
    n_classes : int
    predict : callable
        Gets at most ``batch`` tiles.
    batch : int
    wanted : Region, optional
        Windows that do not touch it are left out, and so are slices outside.
    """
    pads = padding(image.shape, tile)
    padded = np.pad(image, pads) if any(any(p) for p in pads) else image
    wanted = wanted or Region.whole(image.shape)
    starts = window_starts(image.shape, tile, wanted)
    weight = weights(tile)
    sums = _Sums(n_classes, (padded.shape[1], padded.shape[2]))
    inner = tuple(slice(low, low + n) for (low, _), n in zip(pads, image.shape, strict=True))
    next_slice, end = wanted.start_zyx[0], wanted.stop_zyx[0]
    for first in range(0, len(starts), batch):
        some = starts[first : first + batch]
        tiles = [padded[tuple(slice(s, s + t) for s, t in zip(w, tile, strict=True))] for w in some]
        logits = predict(np.stack(tiles)[:, None])
        for where, one in zip(some, logits, strict=True):
            sums.add(where, softmax(one), weight)
        done = first + len(some)
        # The padded slices below the next window are final.
        reach = starts[done][0] - pads[0][0] if done < len(starts) else end
        while next_slice < min(reach, end):
            probability = sums.pop(next_slice + pads[0][0])[:, inner[1], inner[2]]
            yield GridSlice(next_slice, probability, done / len(starts))
            next_slice += 1
        sums.drop_below(next_slice + pads[0][0])


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities (C, ...) float32 of logits (C, ...)."""
    shares = np.exp(logits - logits.max(axis=0, keepdims=True))
    shares /= shares.sum(axis=0, keepdims=True)
    return shares


class _Sums:
    """Weighted sums of probabilities for the slices that windows reach now."""

    def __init__(self, n_classes: int, shape_rc: tuple[int, int]) -> None:
        self._n_classes = n_classes
        self._shape = shape_rc
        self._slices: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def add(self, where: Triple, probability: np.ndarray, weight: np.ndarray) -> None:
        _, height, width = weight.shape
        rows, columns = slice(where[1], where[1] + height), slice(where[2], where[2] + width)
        for k in range(len(weight)):
            total, weights_sum = self._slice(where[0] + k)
            total[:, rows, columns] += probability[:, k] * weight[k]
            weights_sum[rows, columns] += weight[k]

    def pop(self, index: int) -> np.ndarray:
        """Return (C, H, W) of a slice and forget it."""
        total, weights_sum = self._slice(index)
        del self._slices[index]
        unseen = weights_sum == 0
        if unseen.any():
            total[0][unseen] = 1
            weights_sum[unseen] = 1
        total /= weights_sum
        return total

    def drop_below(self, index: int) -> None:
        for gone in [k for k in self._slices if k < index]:
            del self._slices[gone]

    def _slice(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if index not in self._slices:
            total = np.zeros((self._n_classes, *self._shape), np.float32)
            self._slices[index] = total, np.zeros(self._shape, np.float32)
        return self._slices[index]
