"""A stand-in for the person: sloppy boxes, and clicks where the mask is most wrong."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

BoxRC = tuple[int, int, int, int]


def tight_box(mask: np.ndarray) -> BoxRC:
    """Return the half-open (r0, c0, r1, c1) bounds of a 2-D mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def pieces(mask: np.ndarray, min_area: int) -> list[np.ndarray]:
    """Return the connected pieces of a mask with at least this many pixels, the largest first.

    A person draws a box around one thing; two pieces of an organ on a slice are two things.
    """
    components, n_found = ndimage.label(mask)
    sizes = np.bincount(components.ravel(), minlength=n_found + 1)
    order = sorted(range(1, n_found + 1), key=lambda n: -sizes[n])
    return [components == n for n in order if sizes[n] >= min_area]


def jittered_box(
    box_rc: BoxRC, shape_rc: tuple[int, int], jitter: float, rng: np.random.Generator
) -> BoxRC:
    """Return a box as a hand would draw it: each side moved on its own, in or out.

    Each of the four sides moves by up to ``jitter`` times the box's length across it, evenly
    distributed; rounded to whole pixels, kept inside the image and at least two pixels wide where
    the image is.
    """
    r0, c0, r1, c1 = box_rc
    moved = []
    for low, high, size in ((r0, r1, shape_rc[0]), (c0, c1, shape_rc[1])):
        steps = rng.uniform(-1, 1, 2) * jitter * (high - low)
        start, stop = round(low + steps[0]), round(high + steps[1])
        start, stop = max(0, min(start, size - 1)), min(size, stop)
        if stop - start < 2:
            start = max(0, min(start, size - 2))
            stop = min(size, start + 2)
        moved.append((start, stop))
    return moved[0][0], moved[1][0], moved[0][1], moved[1][1]


def corrective_click(mask: np.ndarray, truth: np.ndarray) -> tuple[tuple[int, int], bool] | None:
    """Return where a person would click to correct a mask, and whether to add there.

    The middle of the largest wrong component: the maximum of its distance transform, as in the
    CVPR 2025 interactive segmentation challenge. Beyond the border of the image is not wrong.

    Returns
    -------
    (row, column), is_positive
        None if nothing is wrong.
    """
    best: tuple[int, np.ndarray, bool] | None = None
    for wrong, is_positive in ((truth & ~mask, True), (mask & ~truth, False)):
        components, n_found = ndimage.label(wrong)
        if n_found == 0:
            continue
        sizes = np.bincount(components.ravel())
        sizes[0] = 0
        largest = int(sizes.argmax())
        if best is None or sizes[largest] > best[0]:
            best = int(sizes[largest]), components == largest, is_positive
    if best is None:
        return None
    _, component, is_positive = best
    depth = ndimage.distance_transform_edt(np.pad(component, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return (int(row), int(column)), is_positive
