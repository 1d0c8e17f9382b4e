"""The area of a mask's surface, without making the surface."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np

from app.core.tasks import JobContext

# One of each pair of opposite directions from a voxel to its 26 neighbours.
_DIRECTIONS = np.array([d for d in product((0, 1, -1), repeat=3) if d > (0, 0, 0)])
_N_ON_SPHERE = 50_000


def surface_area_mm2(
    mask: np.ndarray, spacing_zyx: tuple[float, float, float], ctx: JobContext
) -> float:
    """Return the area in mm2, by how often lines in 13 directions pass the surface.

    Cauchy and Crofton: the area is twice the mean, over all directions, of the passages of
    parallel lines times the area that each line stands for. Voxels give lines in 13 directions;
    each stands for the directions nearest to it (Ohser and Mücklich, "Statistical Analysis of
    Microstructures in Materials Science", 2000, chapter 4). Unlike the sum of voxel faces it does
    not grow with the steps of a slanted surface: within 4 % for round shapes on uneven grids, where
    triangles round voxels give up to 10 % too much. A block with flat sides along the axes comes
    out as much as 12 % too small. Inner surfaces of holes count.

    Parameters
    ----------
    mask : (z, y, x) bool
        What lies beyond its border counts as outside.
    spacing_zyx : tuple of 3 float
    ctx : JobContext
    """
    padded = np.pad(mask, 1)
    area = 0.0
    for direction, weight in zip(_DIRECTIONS, _weights(tuple(spacing_zyx)), strict=True):
        ctx.check()
        here = tuple(slice(max(0, -d), min(0, -d) or None) for d in direction)
        there = tuple(slice(max(0, d), min(0, d) or None) for d in direction)
        n_passages = np.count_nonzero(padded[here] != padded[there])
        area += weight * n_passages
    return float(2 * area * np.prod(spacing_zyx))


@lru_cache(maxsize=8)
def _weights(spacing_zyx: tuple[float, float, float]) -> np.ndarray:
    """Return, per direction, its share of the sphere over its length in mm."""
    steps = _DIRECTIONS * spacing_zyx
    lengths = np.linalg.norm(steps, axis=1)
    # Points spread evenly over a half sphere: a spiral with the golden angle.
    n = np.arange(_N_ON_SPHERE)
    z = (n + 0.5) / _N_ON_SPHERE
    turn, radius = np.pi * (3 - np.sqrt(5)) * n, np.sqrt(1 - z**2)
    points = np.stack([z, radius * np.cos(turn), radius * np.sin(turn)])
    nearest = np.abs(steps / lengths[:, None] @ points).argmax(axis=0)
    return np.bincount(nearest, minlength=len(steps)) / _N_ON_SPHERE / lengths
