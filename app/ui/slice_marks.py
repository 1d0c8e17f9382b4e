"""Which slices along an axis hold masks, prompts and doubt. No Qt."""

from __future__ import annotations

import numpy as np

from app.core.geometry import Region
from app.core.labels import Colour, LabelTable
from app.core.prompts import BoxPrompt, Prompt

_UNKNOWN_LABEL: Colour = (255, 255, 255)


def has_mask(labels: np.ndarray, axis: int, start: int, stop: int) -> np.ndarray:
    """Return whether each slice in [start, stop) along an axis holds any label, bool."""
    where = [slice(None)] * 3
    where[axis] = slice(start, stop)
    others = tuple(a for a in range(3) if a != axis)
    # The largest value rather than `any`: numpy does it with vector instructions.
    return labels[tuple(where)].max(axis=others) > 0


def updated_marks(flags: np.ndarray, labels: np.ndarray, axis: int, region: Region) -> np.ndarray:
    """Return which slices hold any label, after voxels in a region may have changed.

    Parameters
    ----------
    flags : (n_slices,) bool
        What it was before.
    labels : (z, y, x)
    axis : int
    region : Region
    """
    start, stop = region.start_zyx[axis], region.stop_zyx[axis]
    flags = flags.copy()
    now = has_mask(labels[region.slices], axis, 0, stop - start)
    # Only what lost all that it had in the region has to be looked through whole.
    for first, last in runs(flags[start:stop] & ~now):
        now[first:last] = has_mask(labels, axis, start + first, start + last)
    flags[start:stop] = now
    return flags


def runs(flags: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Return the half-open runs of true values.

    >>> runs(np.array([True, True, False, True]))
    ((0, 2), (3, 4))
    """
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return tuple(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def prompt_ticks(
    prompts: tuple[Prompt, ...], table: LabelTable, axis: int
) -> tuple[tuple[int, Colour], ...]:
    """Return (slice, colour) of every prompt that was given on this plane."""
    ticks = {(p.slice_index, _colour(table, p)) for p in prompts if p.axis == axis}
    return tuple(sorted(ticks))


def carried_ranges(
    prompts: tuple[Prompt, ...], table: LabelTable, axis: int
) -> tuple[tuple[int, int, Colour], ...]:
    """Return (start, stop, colour) of every range that a box is carried through."""
    found = {
        (*p.through, _colour(table, p))
        for p in prompts
        if isinstance(p, BoxPrompt) and p.axis == axis and p.through is not None
    }
    return tuple(sorted(found))


def _colour(table: LabelTable, prompt: Prompt) -> Colour:
    info = table.get(prompt.label_id)
    return _UNKNOWN_LABEL if info is None else info.colour
