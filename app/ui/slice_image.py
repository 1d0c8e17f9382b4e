"""From voxels of one slice to what is painted: grey levels, colours, outlines. Numpy alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from app.core.labels import LabelTable


def grey_levels(pixels: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Return a slice as grey levels, black at the window's low end and white at its high end.

    Parameters
    ----------
    pixels : (rows, columns) any real dtype, finite
    window : tuple of 2 float
        Lowest and highest displayed intensity; where they are equal it is a threshold.

    Returns
    -------
    (rows, columns) uint8, C-contiguous
    """
    low, high = window
    scale = 255.0 / max(high - low, 1e-6)
    # One arithmetic path for every dtype: on 512 x 512 it is no slower than a look-up table.
    levels = np.subtract(pixels, np.float32(low), dtype=np.float32, order="C")
    levels *= np.float32(scale)
    levels += np.float32(0.5)
    np.clip(levels, 0, 255, out=levels)
    return levels.astype(np.uint8)


def label_colours(table: LabelTable, opacity: float, dtype: np.dtype) -> np.ndarray:
    """Return the colour of every label value, transparent for hidden and unknown ones.

    Parameters
    ----------
    table : LabelTable
    opacity : float, 0 to 1
        Of the whole overlay; each label's own opacity multiplies it.
    dtype : uint8 or uint16
        Of the label map; decides how many values there are.

    Returns
    -------
    (256,) or (65536,) uint32
        0xAARRGGBB, colours already multiplied by alpha, as Qt's fastest format wants them.
    """
    colours = np.zeros(np.iinfo(dtype).max + 1, np.uint32)
    for info in table:
        if info.visible and info.id < colours.size:
            colours[info.id] = premultiplied(info.colour, opacity * info.opacity)
    return colours


def shown_labels(table: LabelTable, dtype: np.dtype) -> np.ndarray:
    """Return whether each label value is shown, (256,) or (65536,) bool."""
    shown = np.zeros(np.iinfo(dtype).max + 1, bool)
    for info in table:
        if info.visible and info.id < shown.size:
            shown[info.id] = True
    return shown


def premultiplied(colour: tuple[int, int, int], alpha: float) -> int:
    """Return 0xAARRGGBB with the colour multiplied by alpha.

    >>> hex(premultiplied((255, 128, 0), 0.5))
    '0x80804000'
    """
    a, r, g, b = (round(255 * alpha), *(round(c * alpha) for c in colour))
    return a << 24 | r << 16 | g << 8 | b


def overlay_pixels(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return the painted overlay of a slice.

    Parameters
    ----------
    labels : (rows, columns) unsigned int
    colours : (n,) uint32
        From `label_colours`.

    Returns
    -------
    (rows, columns) uint32, C-contiguous
        0xAARRGGBB, premultiplied.
    """
    return np.take(colours, np.ascontiguousarray(labels))


@dataclass(frozen=True, eq=False)
class Outlines:
    """Straight pieces of the borders between labels, sorted by label.

    Attributes
    ----------
    labels : (n,) unsigned int
        Whose border each piece is.
    pieces : (n, 4) float32
        (column, row, column, row) of both ends in voxel indices; borders lie between voxel
        centres, at halves.
    """

    labels: np.ndarray
    pieces: np.ndarray

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (label, its pieces) for each label."""
        values, starts = np.unique(self.labels, return_index=True)
        stops = [*starts[1:], len(self.labels)][: len(starts)]  # none where there is no border
        for value, start, stop in zip(values.tolist(), starts, stops, strict=True):
            yield value, self.pieces[start:stop]


def find_outlines(labels: np.ndarray, shown: np.ndarray) -> Outlines:
    """Return the borders of the shown labels of a slice, in runs as long as they go.

    A border between two shown labels is returned once, as the higher one's.

    Parameters
    ----------
    labels : (rows, columns) unsigned int
    shown : (n,) bool
        Whether each label value is shown.
    """
    rows = np.flatnonzero(labels.any(axis=1))
    columns = np.flatnonzero(labels.any(axis=0))
    if rows.size == 0:
        return Outlines(np.empty(0, labels.dtype), np.empty((0, 4), np.float32))
    r0, c0 = int(rows[0]), int(columns[0])
    crop = labels[r0 : rows[-1] + 1, c0 : columns[-1] + 1]
    visible = np.where(shown, np.arange(shown.size), 0).astype(labels.dtype)
    padded = np.pad(np.take(visible, crop), 1)

    ids_h, line, start, stop = _runs(padded[:-1, 1:-1], padded[1:, 1:-1])
    y, left, right = line + (r0 - 0.5), start + (c0 - 0.5), stop + (c0 - 0.5)
    horizontal = np.stack([left, y, right, y], axis=1)
    ids_v, line, start, stop = _runs(padded[1:-1, :-1].T, padded[1:-1, 1:].T)
    x, upper, lower = line + (c0 - 0.5), start + (r0 - 0.5), stop + (r0 - 0.5)
    vertical = np.stack([x, upper, x, lower], axis=1)

    ids = np.concatenate([ids_h, ids_v])
    order = np.argsort(ids, kind="stable")
    pieces = np.concatenate([horizontal, vertical])[order]
    return Outlines(ids[order], pieces.astype(np.float32))


def _runs(
    before: np.ndarray, after: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (label, line, start, stop) of each run of border between neighbouring lines."""
    border = np.where(before != after, np.maximum(before, after), before.dtype.type(0))
    # Zeros at both ends close every run within its line.
    border = np.pad(border, ((0, 0), (1, 1)))
    is_change = border[:, 1:] != border[:, :-1]
    line, start = np.nonzero(is_change & (border[:, 1:] != 0))
    _, stop = np.nonzero(is_change & (border[:, :-1] != 0))
    return border[line, start + 1], line, start, stop
