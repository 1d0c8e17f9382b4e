"""The longest diameter of a mask on any of its slices, and the longest one across it.

As RECIST 1.1 wants lesions measured (Eisenhauer et al., "New response evaluation criteria in
solid tumours", European Journal of Cancer 2009): in the plane of the slices, on the slice where
the lesion is longest; and the longest line at right angles to that on the same slice. Pieces that
do not touch on a slice are measured each for itself.

The edge of a mask runs half way between the centres of voxels inside and outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.core.tasks import JobContext

Point = tuple[float, float, float]
Line = tuple[Point, Point]

# Slices are measured in the plane of acquisition; that is told by the gap between slices.
_CLEARLY_THICKER = 1.2
# Lines across the longest one, and samples along each: first everywhere, then near the best.
_N_COARSE, _N_FINE_LINES, _N_FINE = 256, 33, 2048
_TOUCHING = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Diameters:
    """Two lines at right angles on one slice.

    Attributes
    ----------
    axis, index : int
        The slice.
    long_zyx, short_zyx : two points (z, y, x)
        Ends as voxel indices, on the edge of the mask.
    long_mm, short_mm : float
    """

    axis: int
    index: int
    long_zyx: Line
    short_zyx: Line
    long_mm: float
    short_mm: float


def acquisition_axis(spacing_zyx: Sequence[float]) -> int:
    """Return the axis across the slices as acquired: the clearly thickest one, else axis 0."""
    order = np.argsort(spacing_zyx)
    is_clear = spacing_zyx[order[2]] > _CLEARLY_THICKER * spacing_zyx[order[1]]
    return int(order[2]) if is_clear else 0


def longest_diameters(
    mask: np.ndarray,
    start_zyx: Sequence[int],
    spacing_zyx: Sequence[float],
    axis: int,
    ctx: JobContext,
) -> Diameters | None:
    """Return the diameters of a mask on slices along an axis; None if it is empty.

    Parameters
    ----------
    mask : (z, y, x) bool
        A block of the volume.
    start_zyx : sequence of 3 int
        Where the block begins.
    spacing_zyx : sequence of 3 float
        Voxel size in mm.
    axis : int
    ctx : JobContext
    """
    # Here, because it would add to every start of the program.
    from scipy import ndimage

    planes = np.moveaxis(mask, axis, 0)
    spacing = np.array([s for a, s in enumerate(spacing_zyx) if a != axis])
    hits = (np.asarray(planes.any(axis=a)) for a in (2, 1))
    sides = np.stack([_lengths(hit) for hit in hits], axis=1)
    bounds = np.hypot(*(sides * spacing).T)
    best_mm, best = 0.0, None
    # Where a slice's bounding box is shorter than what was found there is nothing to look for.
    for index in np.argsort(-bounds, kind="stable"):
        if bounds[index] <= best_mm:
            break
        ctx.check()
        pieces, _ = ndimage.label(planes[index], _TOUCHING)
        for number, box in enumerate(ndimage.find_objects(pieces), start=1):
            size = np.array([s.stop - s.start for s in box])
            if np.hypot(*(size * spacing)) <= best_mm:
                continue
            piece = pieces[box] == number
            ends = _farthest(_edge_points(piece) * spacing)
            length = float(np.linalg.norm(ends[1] - ends[0]))
            if length > best_mm:
                corner = np.array([s.start for s in box])
                best_mm, best = length, (int(index), piece, corner, ends)
    if best is None:
        return None
    index, piece, corner, ends = best
    across = _longest_across(piece, ends, spacing)
    offset = np.array([s for a, s in enumerate(start_zyx) if a != axis]) + corner
    index += start_zyx[axis]

    def line(ends_mm: np.ndarray) -> Line:
        a, b = (np.insert(end / spacing + offset, axis, index).tolist() for end in ends_mm)
        return (a[0], a[1], a[2]), (b[0], b[1], b[2])

    short_mm = float(np.linalg.norm(across[1] - across[0]))
    return Diameters(axis, index, line(ends), line(across), best_mm, short_mm)


# -- inside -------------------------------------------------------------------------------------


def _lengths(hit: np.ndarray) -> np.ndarray:
    """Return from the first to the last true value of each row of a (n, m) bool array."""
    first, last = hit.argmax(axis=1), hit.shape[1] - hit[:, ::-1].argmax(axis=1)
    return np.where(hit.any(axis=1), last - first, 0)


def _edge_points(piece: np.ndarray) -> np.ndarray:
    """Return (n, 2) points on the edge that include all corners of its convex hull, in pixels."""
    rows, columns = np.arange(piece.shape[0]), np.arange(piece.shape[1])
    left, top = piece.argmax(axis=1) - 0.5, piece.argmax(axis=0) - 0.5
    right = piece.shape[1] - piece[:, ::-1].argmax(axis=1) - 0.5
    bottom = piece.shape[0] - piece[::-1].argmax(axis=0) - 0.5
    return np.concatenate(
        [
            np.stack([rows, left], axis=1),
            np.stack([rows, right], axis=1),
            np.stack([top, columns], axis=1),
            np.stack([bottom, columns], axis=1),
        ]
    )


def _farthest(points: np.ndarray) -> np.ndarray:
    """Return the two points (2, 2) that are farthest apart, of (n, 2) points."""
    from scipy.spatial import ConvexHull

    corners = points[ConvexHull(points).vertices]
    apart = ((corners[:, None] - corners[None]) ** 2).sum(axis=2)
    a, b = np.unravel_index(int(apart.argmax()), apart.shape)
    return corners[[a, b]]


def _longest_across(piece: np.ndarray, ends: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Return the ends (2, 2) in mm of the longest line of a piece at right angles to a line."""
    from scipy import ndimage

    length = float(np.linalg.norm(ends[1] - ends[0]))
    along = (ends[1] - ends[0]) / length
    side = np.array([-along[1], along[0]])
    reach = (_edge_points(piece) * spacing - ends[0]) @ side
    soft = np.pad(piece, 1).astype(np.float32)
    near, width = length / 2, length
    for n_lines, n_samples in ((_N_COARSE, _N_COARSE), (_N_FINE_LINES, _N_FINE)):
        at = np.clip(np.linspace(near - width / 2, near + width / 2, n_lines), 0, length)
        out = np.linspace(reach.min(), reach.max(), n_samples)
        places = ends[0] + at[:, None, None] * along + out[None, :, None] * side
        where = np.moveaxis(places / spacing + 1, -1, 0)
        inside = ndimage.map_coordinates(soft, where, order=1) >= 0.5
        first, n = inside.argmax(axis=1), _lengths(inside)
        line = int(n.argmax())
        near, width = float(at[line]), 2 * length / _N_COARSE
    low, high = out[first[line]], out[min(first[line] + max(n[line], 1), n_samples) - 1]
    return ends[0] + near * along + np.array([[low], [high]]) * side
