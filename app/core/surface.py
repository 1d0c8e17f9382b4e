"""Surfaces of masks: triangles in patient space.

Surface nets (Gibson, "Constrained Elastic Surface Nets", MICCAI 1998): one vertex in each cube of
eight voxel centres that the surface passes, one quadrilateral across each pair of neighbouring
voxels of which one is inside. Vertices are then smoothed, but never leave their cube: the surface
stays within half a voxel of the mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.core.geometry import Geometry, Region

N_RELAX = 10
# A step inwards and a slightly larger one outwards smooth without shrinking: Taubin, "A Signal
# Processing Approach to Fair Surface Design", SIGGRAPH 1995, with his pass-band of 0.1.
_SHRINK, _GROW = 0.5, -0.53


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles around a mask.

    Attributes
    ----------
    vertices_lps : (n, 3) float64
        LPS mm.
    triangles : (m, 3) int64
        Indices of vertices, counter-clockwise seen from outside.
    """

    vertices_lps: np.ndarray
    triangles: np.ndarray

    @property
    def volume_ml(self) -> float:
        """Volume inside, by the divergence theorem."""
        a, b, c = (self.vertices_lps[self.triangles[:, n]] for n in range(3))
        return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum()) / 6000.0


def surface_of(mask: np.ndarray, geometry: Geometry, n_relax: int = N_RELAX) -> Surface:
    """Return the closed surface around the true voxels of a (z, y, x) mask; empty for none."""
    tight = Region.of_mask(mask)
    if tight is None:
        return Surface(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    # One voxel of outside on all sides closes the surface at the border of the volume.
    inside = np.pad(mask[tight.slices], 1)
    cubes, quads = _net(inside)
    vertices = _relaxed(cubes, quads, n_relax)
    index_zyx = vertices + tight.start_zyx - 1
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    if np.linalg.det(geometry.affine[:3, :3]) < 0:
        # A mirrored index space turns every triangle inside out.
        triangles = triangles[:, ::-1]
    return Surface(geometry.index_to_lps(index_zyx), np.ascontiguousarray(triangles))


def _net(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest corners (n, 3) of the cubes on the surface, and quads (m, 4) of them."""
    shape = np.array(inside.shape)
    rings = []
    for axis in range(3):
        low = inside[tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))]
        high = inside[tuple(slice(1, None) if a == axis else slice(None) for a in range(3))]
        for leaving, around in ((low & ~high, (0, 1, 2, 3)), (~low & high, (3, 2, 1, 0))):
            edges = np.argwhere(leaving)
            b, c = np.eye(3, dtype=np.int64)[[(axis + 1) % 3, (axis + 2) % 3]]
            # The four cubes around the edge, counter-clockwise seen along the axis.
            corners = np.stack([edges, edges - b, edges - b - c, edges - c], axis=1)
            rings.append(corners[:, list(around)])
    ring = np.concatenate(rings)
    flat = np.ravel_multi_index(tuple(np.moveaxis(ring, -1, 0)), tuple(shape))
    cubes, quads = np.unique(flat, return_inverse=True)
    return np.stack(np.unravel_index(cubes, tuple(shape)), axis=1), quads.reshape(-1, 4)


def _relaxed(cubes: np.ndarray, quads: np.ndarray, n_relax: int) -> np.ndarray:
    """Return vertices (n, 3) in index space, each inside its cube."""
    centre = cubes + 0.5
    sides = np.sort(np.concatenate([quads[:, [n, (n + 1) % 4]] for n in range(4)]), axis=1)
    first, second = np.unique(sides, axis=0).T
    n = len(centre)
    n_neighbours = np.bincount(first, minlength=n) + np.bincount(second, minlength=n)
    vertices = centre
    for turn in range(2 * n_relax):
        mean = np.empty_like(vertices)
        for a in range(3):
            total = np.bincount(first, vertices[second, a], n)
            total += np.bincount(second, vertices[first, a], n)
            mean[:, a] = total / n_neighbours
        vertices = vertices + (_SHRINK if turn % 2 == 0 else _GROW) * (mean - vertices)
        vertices = np.clip(vertices, centre - 0.5, centre + 0.5)
    return vertices
