"""From probabilities on the network's grid to labels on the scan's, slice after slice.

Probabilities are interpolated linearly and the most probable class is taken. Two facts keep this
exact and cheap: where all neighbours are background first of all, so is every mixture of them; and
a class that is nowhere at least as probable as one in C never comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from app.core.geometry import Region
from models.automatic.grid import Line, line
from models.automatic.windows import GridSlice


@dataclass(frozen=True, eq=False)
class ScanSlice:
    """One slice of the scan.

    Attributes
    ----------
    index : int
    channels : (y, x) uint8
        Output channel; 0 is background.
    certainty : (y, x) uint8
        Probability of that channel in 255ths; 0 where the channel is background.
    fraction : float
    """

    index: int
    channels: np.ndarray
    certainty: np.ndarray
    fraction: float


def scan_slices(
    slices: Iterable[GridSlice], grid: Sequence[int], shape_zyx: Sequence[int], roi: Region
) -> Iterator[ScanSlice]:
    """Yield the labelled slices of a scan, those of ``roi``, as soon as their neighbours are there.

    Parameters
    ----------
    slices : iterable of GridSlice
        In order, all that the region is interpolated from.
    grid, shape_zyx : sequence of 3 int
        Sizes of the network's grid and of the scan.
    roi : Region
        Of the scan; outside it everything is background.
    """
    start, stop = roi.start_zyx[0], roi.stop_zyx[0]
    across = line(grid[0], shape_zyx[0]).part(start, stop)
    plane = _Plane(grid, shape_zyx, roi)
    for mixed in between_slices(slices, across):
        channels, certainty = plane.labelled(mixed.probability)
        yield ScanSlice(start + mixed.index, channels, certainty, mixed.fraction)


def between_slices(slices: Iterable[GridSlice], across: Line) -> Iterator[GridSlice]:
    """Yield a slice for each target of ``across``, as soon as its neighbours are there.

    Their indices count targets.
    """
    held: dict[int, GridSlice] = {}
    index, end = 0, len(across.low)
    for arrived in slices:
        held[arrived.index] = arrived
        while index < end and across.high[index] <= arrived.index:
            low, high = int(across.low[index]), int(across.high[index])
            share = float(across.share[index])
            mixed = held[low].probability
            if share > 0:
                mixed = mixed + (held[high].probability - mixed) * np.float32(share)
            yield GridSlice(index, mixed, arrived.fraction)
            index += 1
        keep_from = int(across.low[index]) if index < end else arrived.index
        for gone in [k for k in held if k < keep_from]:
            del held[gone]


class _Plane:
    """Interpolates within slices."""

    def __init__(self, grid: Sequence[int], shape_zyx: Sequence[int], roi: Region) -> None:
        self._shape = shape_zyx[1], shape_zyx[2]
        self._rows, self._columns = line(grid[1], shape_zyx[1]), line(grid[2], shape_zyx[2])
        self._roi = roi

    def labelled(self, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return channels and certainty (y, x) of (C, H, W) probabilities."""
        channels = np.zeros(self._shape, np.uint8)
        certainty = np.zeros(self._shape, np.uint8)
        inside = probability[0] < probability[1:].max(axis=0)
        hit = Region.of_mask(inside[None])
        if hit is None:
            return channels, certainty
        ends = []
        for axis, towards in ((1, self._rows), (2, self._columns)):
            near = (towards.high >= hit.start_zyx[axis]) & (towards.low < hit.stop_zyx[axis])
            reached = np.flatnonzero(near)
            if reached.size == 0:
                return channels, certainty
            start = max(int(reached[0]), self._roi.start_zyx[axis])
            stop = min(int(reached[-1]) + 1, self._roi.stop_zyx[axis])
            if stop <= start:
                return channels, certainty
            ends.append((start, stop))
        (r0, r1), (c0, c1) = ends
        rows, columns = self._rows.part(r0, r1), self._columns.part(c0, c1)
        likely = probability.reshape(len(probability), -1).max(axis=1) >= 1 / len(probability)
        likely[0] = True
        kept = np.flatnonzero(likely)
        fine = columns.apply(rows.apply(probability[kept], 1), 2)
        winner = fine.argmax(axis=0)
        best = np.take_along_axis(fine, winner[None], 0)[0]
        found = kept[winner].astype(np.uint8)
        channels[r0:r1, c0:c1] = found
        certainty[r0:r1, c0:c1] = np.where(found > 0, np.rint(best * 255), 0).astype(np.uint8)
        return channels, certainty
