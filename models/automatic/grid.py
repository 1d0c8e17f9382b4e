"""The grid that an automatic network works on, and the way to it and back. numpy alone.

Both grids cover the same space: the network's first voxel begins where the scan's first voxel
begins, its last ends where the scan's last ends, and the number of voxels is rounded, so that the
true voxel size differs a little from the one that was asked for. The centre of voxel ``k`` of
``n`` lies at ``(k + 0.5) * m / n - 0.5`` voxels of a grid of ``m``, and no further out than its
outermost centres: half-pixel centres with repeated edges, as in PyTorch's ``interpolate`` with
``align_corners=False``. Values are interpolated linearly along each axis, without a blur before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.core.geometry import Geometry, Region, Triple
from models.automatic.spec import AutomaticSpec
from models.automatic.windows import window_starts

# Scans are brought to the grid in parts of about so many voxels.
_CHUNK_VOXELS = 4_000_000


@dataclass(frozen=True, eq=False)
class Line:
    """Linear interpolation along one axis: neighbours and the second one's share, per target.

    Attributes
    ----------
    low, high : (n,) int
    share : (n,) float32
    """

    low: np.ndarray
    high: np.ndarray
    share: np.ndarray

    def part(self, start: int, stop: int) -> Line:
        """Return the same for a half-open range of targets."""
        return Line(self.low[start:stop], self.high[start:stop], self.share[start:stop])

    def apply(self, values: np.ndarray, axis: int) -> np.ndarray:
        """Return float32 values at the targets along an axis."""
        if len(self.low) == values.shape[axis] and not self.share.any():
            if np.array_equal(self.low, np.arange(len(self.low))):
                return values
        shape = [1] * values.ndim
        shape[axis] = -1
        share = self.share.reshape(shape)
        low = np.take(values, self.low, axis=axis)
        return low + (np.take(values, self.high, axis=axis) - low) * share


def line(n_from: int, n_to: int) -> Line:
    """Return how values on ``n_from`` voxels become values on ``n_to`` over the same length."""
    at = (np.arange(n_to) + 0.5) * (n_from / n_to) - 0.5
    at = np.clip(at, 0, n_from - 1)
    low, high = np.floor(at).astype(np.intp), np.ceil(at).astype(np.intp)
    return Line(low, high, (at - low).astype(np.float32))


def grid_shape(
    shape_zyx: Sequence[int], spacing_zyx: Sequence[float], spec: AutomaticSpec
) -> Triple:
    """Return the size of a scan on the network's grid.

    Without a spacing of its own the network sees each slice as large as its tile holds it, with
    its proportions.
    """
    if spec.spacing_zyx is None:
        sides = [n * mm for n, mm in zip(shape_zyx[1:], spacing_zyx[1:], strict=True)]
        scale = min(t / side for t, side in zip(spec.tile_zyx[1:], sides, strict=True))
        rows, columns = (max(1, round(side * scale)) for side in sides)
        return shape_zyx[0], rows, columns
    z, y, x = (
        max(1, round(n * mm / wanted))
        for n, mm, wanted in zip(shape_zyx, spacing_zyx, spec.spacing_zyx, strict=True)
    )
    return (z if spec.is_volumetric else shape_zyx[0]), y, x


def resized(voxels: np.ndarray, shape_zyx: Sequence[int]) -> np.ndarray:
    """Return float32 voxels on a grid of another size over the same space, linearly."""
    out = np.asarray(voxels, np.float32)
    for axis in sorted(range(out.ndim), key=lambda a: shape_zyx[a] / out.shape[a]):
        # Axes that shrink come first: less is left to do for the others.
        out = line(out.shape[axis], shape_zyx[axis]).apply(out, axis)
    return out


def prepared(voxels: np.ndarray, spacing_zyx: Sequence[float], spec: AutomaticSpec) -> np.ndarray:
    """Return a scan as the network sees it: float32 in [0, 1] on its grid.

    Parameters
    ----------
    voxels : (z, y, x) array
        Canonical: axes grow towards superior, posterior, left. Of any type.
    spacing_zyx : sequence of 3 float
    spec : AutomaticSpec

    Returns
    -------
    (D, H, W) float32
    """
    shape = grid_shape(voxels.shape, spacing_zyx, spec)
    values = spec.intensity.values(voxels)
    flat = np.empty((voxels.shape[0], *shape[1:]), np.float32)
    step = max(1, _CHUNK_VOXELS // max(1, voxels[0].size))
    for start in range(0, voxels.shape[0], step):
        part = spec.intensity.scale(voxels[start : start + step], values)
        flat[start : start + step] = resized(part, (len(part), *shape[1:]))
    return line(flat.shape[0], shape[0]).apply(flat, 0)


def region_on_grid(region: Region, shape_zyx: Sequence[int], grid: Sequence[int]) -> Region:
    """Return the voxels of the network's grid that a region of the scan is interpolated from."""
    start, stop = [], []
    for axis in range(3):
        towards = line(grid[axis], shape_zyx[axis])
        start.append(int(towards.low[region.start_zyx[axis]]))
        stop.append(int(towards.high[region.stop_zyx[axis] - 1]) + 1)
    return Region((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def run_mvoxels(geometry: Geometry, spec: AutomaticSpec, roi: Region | None = None) -> float:
    """Return how many million voxels the network is given for a scan, overlaps counted."""
    shape = geometry.shape_zyx
    grid = grid_shape(shape, geometry.spacing_zyx, spec)
    wanted = Region.whole(grid) if roi is None else region_on_grid(roi, shape, grid)
    n_windows = len(window_starts(grid, spec.tile_zyx, wanted))
    return n_windows * float(np.prod(spec.tile_zyx)) / 1e6
