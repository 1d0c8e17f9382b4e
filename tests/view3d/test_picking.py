"""A line of sight finds the voxel that was aimed at, on oblique grids of unequal voxels."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.geometry import Geometry
from app.core.volume import Modality
from app.view3d.blocks import SmallVolume
from app.view3d.camera import SIDES, Ray, camera_from
from app.view3d.picking import (
    box_corners,
    label_voxel,
    plane_corners,
    plane_hit,
    volume_hit,
    voxel_at,
)
from app.view3d.presets import presets_for
from tests.phantoms import rotation

SHAPE = (14, 30, 22)


@pytest.fixture(params=[(0, 0, 0), (25, -15, 40)], ids=["straight", "oblique"])
def geometry(request) -> Geometry:
    affine = np.eye(4)
    steps = np.array([[0, 0, 0.9], [0, 0.7, 0], [2.5, 0, 0]])
    affine[:3, :3] = rotation(request.param) @ steps
    affine[:3, 3] = (30, -80, 500)
    return Geometry(SHAPE, affine)


def _ray_at(point_lps: np.ndarray, geometry: Geometry, side: str = "A") -> Ray:
    """Return the line of sight through the pixel where a point is seen, from a skewed view."""
    camera = camera_from(side, box_corners(geometry)).turned(31, 17, 400)
    x, y = camera.project(point_lps, 600, 400)
    return camera.ray(x, y, 600, 400)


def test_corners_enclose_every_voxel(geometry):
    corners = box_corners(geometry)
    index = geometry.lps_to_index(corners)
    assert np.allclose(index.min(axis=0), -0.5)
    assert np.allclose(index.max(axis=0), np.array(SHAPE) - 0.5)
    assert len(np.unique(index.round(6), axis=0)) == 8


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_lies_in_its_place_with_its_picture_the_right_way_round(geometry, axis):
    row, column = (a for a in range(3) if a != axis)
    index = geometry.lps_to_index(plane_corners(geometry, axis, 5))
    assert np.allclose(index[:, axis], 5)
    # First pixel, end of the first row, end of the last row, begin of the last row.
    assert np.allclose(index[:, row], [-0.5, -0.5, SHAPE[row] - 0.5, SHAPE[row] - 0.5])
    assert np.allclose(index[:, column], [-0.5, SHAPE[column] - 0.5, SHAPE[column] - 0.5, -0.5])


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_click_on_a_slice_finds_the_voxel_under_it(geometry, axis, side):
    wanted = (9, 21, 4)
    ray = _ray_at(geometry.index_to_lps(wanted), geometry, side)
    distance = plane_hit(geometry, axis, wanted[axis], ray)
    assert distance is not None
    assert voxel_at(geometry, ray.at(distance)) == wanted


def test_a_click_beside_a_slice_meets_nothing(geometry):
    beside = geometry.index_to_lps((SHAPE[0] + 3, 5, 4))
    assert plane_hit(geometry, 2, 4, _ray_at(beside, geometry, "L")) is None


def test_a_slice_behind_the_eye_is_not_met(geometry):
    ray = _ray_at(geometry.index_to_lps((9, 21, 4)), geometry)
    away = Ray(ray.origin_lps, -ray.direction_lps)
    assert all(plane_hit(geometry, axis, 5, away) is None for axis in range(3))


@pytest.mark.parametrize("off_mm", [-0.6, 0.0, 0.6])
def test_a_surface_that_smoothing_moved_leads_to_the_outermost_voxel(geometry, off_mm):
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:10, 8:20, 6:15] = 3
    labels[4:10, 6:8, 6:15] = 5  # another label before it
    wanted = (7, 8, 10)
    towards = geometry.affine[:3, 1] / np.linalg.norm(geometry.affine[:3, 1])
    face = geometry.index_to_lps((7, 7.5, 10))
    ray = Ray(face - 100 * towards, towards)
    assert label_voxel(labels, geometry, 3, ray, 100 + off_mm) == wanted


def test_a_rendered_volume_is_met_where_it_becomes_opaque(geometry):
    values = np.full(SHAPE, -1000, np.int16)
    values[:, 12:, :] = 2000
    small = SmallVolume(values, geometry, Modality.CT)
    bone = next(p for p in presets_for(Modality.CT) if p.name == "Bone")
    towards = geometry.affine[:3, 1] / np.linalg.norm(geometry.affine[:3, 1])
    ray = Ray(geometry.index_to_lps((7, 0, 10)) - 60 * towards, towards)
    distance = volume_hit(small, bone, ray)
    assert distance is not None
    z, y, x = geometry.lps_to_index(ray.at(distance))
    assert (round(z), round(x)) == (7, 10)
    assert 11.4 <= y <= 15
    values[:] = -1000
    assert volume_hit(small, bone, ray) is None


def test_presets_grow_and_stay_between_nothing_and_all():
    for modality in (Modality.CT, Modality.MR):
        presets = presets_for(modality)
        assert len({p.name for p in presets}) == len(presets)
        for preset in presets:
            at, opacity = np.array(preset.opacity).T
            assert (np.diff(at) > 0).all()
            assert opacity[0] == 0  # air, and what is not scanned, is not seen
            assert 0 <= opacity.min() < opacity.max() <= 1
            colours = np.array(preset.colour)
            assert (np.diff(colours[:, 0]) > 0).all()
            assert 0 <= colours[:, 1:].min() <= colours[:, 1:].max() <= 1
    assert {p.name for p in presets_for(Modality.CT)} >= {"Bone", "Soft tissue", "Vessels", "Lung"}
