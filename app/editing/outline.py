"""Closed outlines drawn on a slice: the pixels inside, and a stroke through their middle."""

from __future__ import annotations

from collections import deque

import numpy as np

_EIGHT = np.ones((3, 3), bool)
# The eight neighbours of a pixel, clockwise, from the left one.
_ROUND = ((0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1))


def fill_outline(points_rc: np.ndarray, shape_rc: tuple[int, int]) -> np.ndarray:
    """Return the pixels whose centres lie inside a closed outline, by the even-odd rule.

    Parameters
    ----------
    points_rc : (n, 2) float
        Corners in pixels; the last is joined to the first. May leave the slice.
    shape_rc : tuple of 2 int

    Returns
    -------
    (rows, columns) bool
    """
    mask = np.zeros(shape_rc, bool)
    if len(points_rc) < 3:
        return mask
    rows = np.arange(shape_rc[0])
    columns = np.arange(shape_rc[1])
    for (r0, c0), (r1, c1) in zip(points_rc, np.roll(points_rc, -1, axis=0), strict=True):
        if r0 == r1:
            continue
        # Rows whose centre line this edge crosses; half-open, so that corners count once.
        crossed = rows[(rows >= min(r0, r1)) & (rows < max(r0, r1))]
        at = c0 + (crossed - r0) * (c1 - c0) / (r1 - r0)
        mask[crossed] ^= columns > at[:, None]
    return mask


def middle_stroke(mask: np.ndarray, spacing_rc: tuple[float, float]) -> tuple[np.ndarray, float]:
    """Return a stroke through the middle of a mask's largest piece, and how far it is from the rim.

    The longest path through the skeleton, without the ends that run into corners: of each end,
    what lies nearer to the rim than half of the largest distance is left out.

    Parameters
    ----------
    mask : (rows, columns) bool
        With at least one pixel.
    spacing_rc : tuple of 2 float
        Pixel size in mm.

    Returns
    -------
    (n, 2) int
        Pixels, each a neighbour of the one before.
    float
        Distance in mm of the stroke from the nearest pixel outside the mask, at its nearest.
    """
    import SimpleITK as sitk
    from scipy import ndimage

    padded = np.pad(largest_piece(mask), 1)
    depth = ndimage.distance_transform_edt(padded, sampling=spacing_rc)
    image = sitk.GetImageFromArray(padded.astype(np.uint8))
    skeleton = sitk.GetArrayFromImage(sitk.BinaryThinning(image)) > 0
    if not skeleton.any():
        skeleton = depth == depth.max()
    core = skeleton & (depth >= depth[skeleton].max() / 2)
    core = largest_piece(core)
    first = tuple(np.argwhere(core)[0])
    # In a tree, the pixel farthest from any one is an end of the longest path.
    path = _path_to_farthest(core, _path_to_farthest(core, first)[-1])
    nearest = min(float(depth[p]) for p in path)
    return np.array(path) - 1, nearest


def rim_strokes(mask: np.ndarray, distance: int) -> list[np.ndarray]:
    """Return strokes that run round a mask's largest piece, outside it.

    Moore's neighbour tracing (Gonzalez and Woods, "Digital Image Processing", section on boundary
    following) round the mask, its holes filled, dilated by ``distance`` pixels.

    Parameters
    ----------
    mask : (rows, columns) bool
        With at least one pixel.
    distance : int
        1 or more; counted in steps through the sides of pixels.

    Returns
    -------
    list of (n, 2) int
        Pixels in order; one closed stroke, or several where the mask is near the border.
    """
    from scipy import ndimage

    room = distance + 1
    wide = np.pad(ndimage.binary_fill_holes(largest_piece(mask)), room)
    wide = ndimage.binary_dilation(wide, iterations=distance)
    row, column = (int(i) for i in np.argwhere(wide)[0])
    start = pixel = (row, column)
    came = 0  # the pixel to the left of the first one is outside
    trace = [start]
    while len(trace) == 1 or pixel != start:
        # The first neighbour inside, clockwise.
        turn = next(
            t % 8
            for t in range(came, came + 8)
            if wide[pixel[0] + _ROUND[t % 8][0], pixel[1] + _ROUND[t % 8][1]]
        )
        pixel = (pixel[0] + _ROUND[turn][0], pixel[1] + _ROUND[turn][1])
        # The first one, seen from here, of which it is not known that it is outside.
        came = (turn + 6) % 8
        trace.append(pixel)
    points = np.array(trace) - room
    inside = ((points >= 0) & (points < mask.shape)).all(axis=1)
    cuts = np.flatnonzero(np.diff(inside.astype(int))) + 1
    return [p for p, i in zip(np.split(points, cuts), np.split(inside, cuts), strict=True) if i[0]]


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """Return the largest 8-connected piece of a 2-D mask."""
    from scipy import ndimage

    pieces, n = ndimage.label(mask, _EIGHT)
    if n < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    largest: np.ndarray = pieces == sizes.argmax()
    return largest


def _path_to_farthest(mask: np.ndarray, start: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the shortest path within a mask from a pixel to the one that takes most steps."""
    came_from: dict[tuple[int, ...], tuple[int, ...] | None] = {start: None}
    queue = deque([start])
    last = start
    while queue:
        last = queue.popleft()
        for dr in (-1, 0, 1):
            for dc in (-1, 0, 1):
                pixel = (last[0] + dr, last[1] + dc)
                if mask[pixel] and pixel not in came_from:
                    came_from[pixel] = last
                    queue.append(pixel)
    path = [last]
    while (before := came_from[path[-1]]) is not None:
        path.append(before)
    return path[::-1]
