"""Surfaces: closed, around the right volume, in the right place, the right side out."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.geometry import Geometry
from app.core.surface import surface_of

SPACING_ZYX = (2.0, 1.0, 0.8)


def grid(shape: tuple[int, int, int], flip: bool = False) -> Geometry:
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, -1 if flip else 1], [0, 1, 0], [1, 0, 0]]) * SPACING_ZYX
    affine[:3, 3] = (10, -20, 30)
    return Geometry(shape, affine)


def ball(geometry: Geometry, radius_mm: float) -> np.ndarray:
    z, y, x = np.meshgrid(*map(np.arange, geometry.shape_zyx), indexing="ij")
    points = geometry.index_to_lps(np.stack([z, y, x], axis=-1))
    centre = geometry.index_to_lps((np.array(geometry.shape_zyx) - 1) / 2)
    return np.linalg.norm(points - centre, axis=-1) < radius_mm


def n_open_edges(triangles: np.ndarray) -> int:
    """Return how many directed edges lack their opposite: none in a closed, oriented surface."""
    edges = np.concatenate([triangles[:, [n, (n + 1) % 3]] for n in range(3)])
    forth, forth_counts = np.unique(edges, axis=0, return_counts=True)
    back, back_counts = np.unique(edges[:, ::-1], axis=0, return_counts=True)
    same = len(forth) == len(back) and (forth == back).all() and (forth_counts == back_counts).all()
    return 0 if same else 1


@pytest.mark.parametrize("flip", [False, True])
def test_a_ball_keeps_volume_place_and_outside(flip: bool):
    geometry = grid((24, 44, 54), flip)
    mask = ball(geometry, 18.0)
    surface = surface_of(mask, geometry)
    assert n_open_edges(surface.triangles) == 0
    # Positive: normals point outwards. Within 2 % of the voxels that are inside.
    assert surface.volume_ml == pytest.approx(mask.sum() * geometry.voxel_volume_ml, rel=0.02)
    centre = geometry.index_to_lps((np.array(geometry.shape_zyx) - 1) / 2)
    away = np.linalg.norm(surface.vertices_lps - centre, axis=1)
    # Every vertex within half a voxel diagonal of the true ball.
    assert np.abs(away - 18.0).max() < np.linalg.norm(SPACING_ZYX)


def test_random_masks_and_masks_at_the_border_are_closed():
    rng = np.random.default_rng(0)
    for _ in range(20):
        shape = tuple(int(n) for n in rng.integers(1, 7, 3))
        mask = rng.random(shape) < 0.5
        surface = surface_of(mask, grid(shape), n_relax=0)
        assert n_open_edges(surface.triangles) == 0
        if mask.any():
            # Unrelaxed, each voxel face is one square: boxes have the volume of their voxels.
            assert surface.volume_ml > 0


def test_unrelaxed_surface_of_a_box_is_the_box():
    mask = np.zeros((5, 6, 7), bool)
    mask[1:3, 2:5, 1:6] = True
    surface = surface_of(mask, grid(mask.shape), n_relax=0)
    assert surface.volume_ml == pytest.approx(2 * 3 * 5 * np.prod(SPACING_ZYX) / 1000)
    low, high = surface.vertices_lps.min(axis=0), surface.vertices_lps.max(axis=0)
    # Voxel edges, half a voxel beyond the outer centres: x 0.5 to 5.5, y 1.5 to 4.5, z 0.5 to 2.5.
    assert np.allclose(low, (10 + 0.5 * 0.8, -20 + 1.5, 30 + 0.5 * 2))
    assert np.allclose(high, (10 + 5.5 * 0.8, -20 + 4.5, 30 + 2.5 * 2))


def test_nothing_has_no_surface():
    assert len(surface_of(np.zeros((3, 3, 3), bool), grid((3, 3, 3))).triangles) == 0
