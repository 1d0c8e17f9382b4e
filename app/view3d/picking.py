"""Which voxel a line of sight meets."""

from __future__ import annotations

import numpy as np

from app.core.geometry import Geometry
from app.view3d.blocks import SmallVolume
from app.view3d.camera import Ray
from app.view3d.presets import VolumePreset

Index = tuple[int, int, int]

# A rendered volume is met where it has become this opaque.
_OPAQUE = 0.5


def plane_corners(geometry: Geometry, axis: int, index: int) -> np.ndarray:
    """Return the corners (4, 3) of a slice in LPS mm, its outermost voxels covered whole.

    In the order of a (row, column) picture: first, last column, last row and column, last row.
    """
    row, column = (a for a in range(3) if a != axis)
    corners = np.empty((4, 3))
    corners[:, axis] = index
    last_row, last_column = geometry.shape_zyx[row] - 0.5, geometry.shape_zyx[column] - 0.5
    corners[:, row] = (-0.5, -0.5, last_row, last_row)
    corners[:, column] = (-0.5, last_column, last_column, -0.5)
    return geometry.index_to_lps(corners)


def box_corners(geometry: Geometry) -> np.ndarray:
    """Return the corners (8, 3) of a scan in LPS mm; bit a of n says at which end of axis a."""
    last = np.array(geometry.shape_zyx) - 0.5
    ends = np.array([[last[a] if n >> a & 1 else -0.5 for a in range(3)] for n in range(8)])
    return geometry.index_to_lps(ends)


def plane_hit(geometry: Geometry, axis: int, index: int, ray: Ray) -> float | None:
    """Return how far away in mm a ray meets a slice; None if it passes by."""
    origin, step = _in_index_space(geometry, ray)
    if abs(step[axis]) < 1e-9:
        return None
    distance = (index - origin[axis]) / step[axis]
    return float(distance) if distance > 0 and _is_inside(geometry, ray.at(distance)) else None


def label_voxel(
    labels: np.ndarray, geometry: Geometry, label_id: int, ray: Ray, near_mm: float
) -> Index:
    """Return the voxel of a label that a ray enters close to where it meets the label's surface.

    Smoothing moves the surface a little to either side of the voxels' border.
    """
    spacing = np.array(geometry.spacing_zyx)
    reach = 1.5 * float(np.linalg.norm(spacing))
    steps = np.arange(-reach, 2 * reach, float(spacing.min()) / 4)
    index = np.rint(geometry.lps_to_index(ray.at(near_mm + steps))).astype(int)
    inside = ((index >= 0) & (index < labels.shape)).all(axis=1)
    held = np.zeros(len(index), bool)
    held[inside] = labels[tuple(index[inside].T)] == label_id
    if held.any():
        return _triple(index[int(held.argmax())])
    return voxel_at(geometry, ray.at(near_mm))


def volume_hit(small: SmallVolume, preset: VolumePreset, ray: Ray) -> float | None:
    """Return how far away in mm a rendered volume stops a ray; None if it does not."""
    geometry = small.geometry
    origin, step = _in_index_space(geometry, ray)
    upper = np.array(geometry.shape_zyx) - 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = (-0.5 - origin) / step, (upper - origin) / step
    near = max(0.0, float(np.nanmax(np.minimum(low, high))))
    far = float(np.nanmin(np.maximum(low, high)))
    if far <= near:
        return None
    pace = float(min(geometry.spacing_zyx)) / 2
    distance = np.arange(near, far, pace)
    index = np.rint(origin + distance[:, None] * step).astype(int)
    index = np.clip(index, 0, np.array(geometry.shape_zyx) - 1)
    opacity = np.clip(preset.opacity_at(small.values[tuple(index.T)]), 0, 1)
    seen = 1 - np.cumprod((1 - opacity) ** pace)
    met = np.flatnonzero(seen >= _OPAQUE)
    return float(distance[met[0]]) if met.size else None


def voxel_at(geometry: Geometry, point_lps: np.ndarray) -> Index:
    """Return the voxel nearest to a point in LPS mm."""
    index = np.rint(geometry.lps_to_index(point_lps))
    return _triple(np.clip(index, 0, np.array(geometry.shape_zyx) - 1))


def _in_index_space(geometry: Geometry, ray: Ray) -> tuple[np.ndarray, np.ndarray]:
    """Return the index (3,) where a ray begins and by how much it changes per mm."""
    origin = geometry.lps_to_index(ray.origin_lps)
    return origin, geometry.lps_to_index(ray.at(1.0)) - origin


def _is_inside(geometry: Geometry, point_lps: np.ndarray) -> bool:
    return geometry.contains(tuple(geometry.lps_to_index(point_lps)))


def _triple(index: np.ndarray) -> Index:
    z, y, x = (int(i) for i in index)
    return z, y, x
