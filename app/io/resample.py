"""Tilted or unevenly spaced slices, resampled to a regular grid.

The new grid keeps the directions of rows and columns; its third axis is their normal. A plane of
it lies between two scanned slices. Each of these is moved inside its own plane, by the part of a
pixel that is left after whole pixels, and the two are mixed by distance: linear interpolation
along all three axes. Where one of them does not reach, the smallest value of the scan stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.core.geometry import Geometry
from app.core.tasks import JobContext
from app.io.dicom_header import SliceHeader
from app.io.dicom_series import Series
from app.io.grid_file import check_size
from app.io.itk_bridge import canonical_geometry, file_geometry, to_file_array

ReadSlice = Callable[[SliceHeader], np.ndarray]


@dataclass(frozen=True, eq=False)
class RegularGrid:
    """The grid that replaces uneven slices.

    Attributes
    ----------
    geometry, source_orientation : Geometry, str
        Canonical grid, and where the axes (columns, rows, normal) of the new grid grow to.
    shape_kji : tuple of 3 int
    spacing_mm : float
        Along the normal.
    depths_mm : (n,) float64
        Of the scanned slices along the normal, from the first.
    shifts_rc : (n, 2) float64
        Where pixel (0, 0) of each scanned slice lies in a plane of the new grid, pixels.
    """

    geometry: Geometry
    source_orientation: str
    shape_kji: tuple[int, int, int]
    spacing_mm: float
    depths_mm: np.ndarray
    shifts_rc: np.ndarray
    note: str


def regular_grid(series: Series) -> RegularGrid:
    """Return a grid that holds all slices: planes as far apart as most slices are.

    Raises
    ------
    ReadError
        It would not fit into memory.
    """
    slices = series.slices
    first = slices[0]
    positions = np.array([s.position_lps for s in slices])
    depths = (positions - positions[0]) @ first.normal_lps
    spacing = float(np.median(np.diff(depths)))
    away = positions - positions[0]
    shifts = np.stack(
        [away @ first.column_lps / first.spacing_rc[0], away @ first.row_lps / first.spacing_rc[1]],
        axis=1,
    )
    low = np.floor(shifts.min(axis=0) + 1e-6)
    high = np.ceil(shifts.max(axis=0) - 1e-6)
    n_k = int(np.floor(depths[-1] / spacing + 1e-6)) + 1
    shape = (n_k, int(first.rows + high[0] - low[0]), int(first.columns + high[1] - low[1]))
    check_size(shape[::-1], 4)
    affine = np.eye(4)
    affine[:3, 0] = first.row_lps * first.spacing_rc[1]
    affine[:3, 1] = first.column_lps * first.spacing_rc[0]
    affine[:3, 2] = first.normal_lps * spacing
    affine[:3, 3] = positions[0] + affine[:3, 1] * low[0] + affine[:3, 0] * low[1]
    geometry, orientation = canonical_geometry(file_geometry(shape[::-1], affine))
    return RegularGrid(
        geometry, orientation, shape, spacing, depths, shifts - low,
        f"Resampled to a regular grid, slices {spacing:.2f} mm apart; not scanned like this. "
        f"{' '.join(series.info.warnings)}",
    )  # fmt: skip


def resampled(
    series: Series, grid: RegularGrid, read: ReadSlice, dtype: np.dtype, ctx: JobContext
) -> np.ndarray:
    """Return the voxels of a series on a regular grid, canonical (z, y, x) of ``dtype``.

    ``read`` returns the intensities of one slice; each slice is read once.
    """
    voxels = np.empty(grid.geometry.shape_zyx, dtype)
    planes = to_file_array(voxels, grid.source_orientation)
    lowest = np.inf
    moved: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    uncovered: list[tuple[int, np.ndarray]] = []
    for k in range(grid.shape_kji[0]):
        ctx.report(k / grid.shape_kji[0], "Resampling")
        depth = k * grid.spacing_mm
        upper = int(np.searchsorted(grid.depths_mm, depth - 1e-6 * grid.spacing_mm))
        upper = min(max(upper, 1), len(grid.depths_mm) - 1)
        pair = (upper - 1, upper)
        for old in [n for n in moved if n not in pair]:
            del moved[old]
        for n in pair:
            if n not in moved:
                pixels = read(series.slices[n]).astype(np.float64)
                lowest = min(lowest, float(pixels.min()))
                moved[n] = _moved(pixels, grid.shifts_rc[n], grid.shape_kji[1:])
        gap = grid.depths_mm[pair[1]] - grid.depths_mm[pair[0]]
        weight = float(np.clip((depth - grid.depths_mm[pair[0]]) / gap, 0, 1))
        plane, covered = _mixed(moved[pair[0]], moved[pair[1]], weight)
        planes[k] = np.rint(plane) if dtype.kind in "iu" else plane
        uncovered.append((k, np.packbits(~covered)))
    for k, packed in uncovered:
        mask = np.unpackbits(packed, count=planes[k].size).reshape(planes[k].shape).view(bool)
        planes[k][mask] = lowest
    return voxels


def _moved(
    pixels: np.ndarray, shift_rc: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return a slice at its place in a plane of the new grid, and where it reaches (bool)."""
    weight = np.zeros(shape)
    total = np.zeros(shape)
    whole = np.floor(shift_rc + 1e-9).astype(int)
    part = np.maximum(shift_rc - whole, 0.0)
    for down in (0, 1):
        for right in (0, 1):
            w = (part[0] if down else 1 - part[0]) * (part[1] if right else 1 - part[1])
            if w < 1e-6:
                continue
            r, c = whole[0] + down, whole[1] + right
            window = (slice(r, r + pixels.shape[0]), slice(c, c + pixels.shape[1]))
            fitting = total[window].shape
            total[window] += w * pixels[: fitting[0], : fitting[1]]
            weight[window] += w
    # Only where all four neighbours are pixels of the slice is the value a real one.
    covered = weight > 1 - 1e-6
    return np.where(covered, total, 0.0), covered


def _mixed(
    below: tuple[np.ndarray, np.ndarray], above: tuple[np.ndarray, np.ndarray], weight: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mix of two slices, and where both reach (one is enough where it lies exactly)."""
    first = np.where(below[1], 1 - weight, 0.0)
    second = np.where(above[1], weight, 0.0)
    covered = first + second > 1 - 1e-6
    return np.where(covered, first * below[0] + second * above[0], 0.0), covered
