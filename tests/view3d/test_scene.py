"""What is drawn lies where the scan does; needs OpenGL, with or without a GPU."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from app.core.geometry import Geometry, Region
from app.core.tasks import NullContext
from app.view3d.blocks import label_blocks
from app.view3d.camera import Camera, Ray, camera_from
from app.view3d.picking import box_corners, label_voxel, plane_corners
from tests.phantoms import rotation

pytestmark = pytest.mark.usefixtures("opengl")

SHAPE = (18, 40, 36)
WIDTH, HEIGHT = 240, 180


@pytest.fixture(scope="module")
def drawn():
    from app.view3d.scene import Scene

    return Scene()


@pytest.fixture
def scene(drawn):
    drawn.clear()
    return drawn


@pytest.fixture(params=[(0, 0, 0), (20, -30, 35)], ids=["straight", "oblique"])
def geometry(request) -> Geometry:
    affine = np.eye(4)
    steps = np.array([[0, 0, 0.8], [0, 1.0, 0], [3.0, 0, 0]])
    affine[:3, :3] = rotation(request.param) @ steps
    affine[:3, 3] = (-20, 45, -600)
    return Geometry(SHAPE, affine)


def _ball(geometry: Geometry, centre_zyx, radius_mm: float) -> np.ndarray:
    index = np.moveaxis(np.indices(SHAPE), 0, -1)
    apart = geometry.index_to_lps(index) - geometry.index_to_lps(centre_zyx)
    return np.linalg.norm(apart, axis=-1) <= radius_mm


def _show(scene, labels: np.ndarray, geometry: Geometry) -> None:
    for block in label_blocks(labels, Region.whole(SHAPE), geometry, NullContext()):
        scene.set_surface(block.label_id, block.filled, block.geometry.affine)
        scene.style_surface(block.label_id, (1, 0, 0), 1.0, True)


def _camera(geometry: Geometry) -> Camera:
    return camera_from("A", box_corners(geometry)).turned(40, 25, HEIGHT)


def _draw(scene, geometry: Geometry, *, is_moving: bool = False) -> np.ndarray:
    picture = scene.draw(_camera(geometry), WIDTH, HEIGHT, is_moving=is_moving)
    return picture.astype(int)


def _reddish(picture: np.ndarray) -> np.ndarray:
    return picture[..., 0] > 40 + picture[..., 1]


@pytest.mark.parametrize("centre", [(9, 20, 18), (3, 8, 10)])
def test_a_surface_lies_around_the_mask(scene, geometry, centre):
    mask = _ball(geometry, centre, 7.5)
    _show(scene, mask.astype(np.uint8), geometry)
    x0, x1, y0, y1, z0, z1 = scene.surface_bounds(1)
    voxels = geometry.index_to_lps(np.argwhere(mask))
    # The corners of the voxels reach half a diagonal farther than their centres.
    half = np.linalg.norm(geometry.spacing_zyx) / 2
    assert np.abs(np.array([x0, y0, z0]) - voxels.min(axis=0)).max() < 1.15 * half
    assert np.abs(np.array([x1, y1, z1]) - voxels.max(axis=0)).max() < 1.15 * half


def test_no_point_of_a_surface_leaves_the_border_of_the_mask(geometry):
    from vtkmodules.util.numpy_support import vtk_to_numpy

    from app.view3d.scene import surface_mesh

    labels = np.zeros(SHAPE, np.uint8)
    labels[4:12, 10:30, 8:28] = 1  # with corners, which smoothing rounds
    (block,) = label_blocks(labels, Region.whole(SHAPE), geometry, NullContext())
    mesh = surface_mesh(block.filled, block.geometry.affine)
    points = vtk_to_numpy(mesh.GetPoints().GetData())
    diagonal = np.linalg.norm(geometry.spacing_zyx)
    for mask in (labels == 1, labels == 0):
        centres = cKDTree(geometry.index_to_lps(np.argwhere(mask)))
        away = centres.query(points)[0]
        # Half a diagonal is the most without smoothing; corners are rounded a little more.
        assert away.max() < 0.75 * diagonal
        assert away.mean() < 0.5 * diagonal


def test_a_surface_at_the_border_of_the_scan_is_closed(scene, geometry):
    labels = np.zeros(SHAPE, np.uint8)
    labels[:6, :10, :] = 1
    _show(scene, labels, geometry)
    inside = geometry.index_to_lps((3, 5, 18))
    for axis in range(3):
        for sign in (1, -1):
            towards = sign * geometry.affine[:3, axis] / geometry.spacing_zyx[axis]
            assert scene.surface_hit(Ray(inside, towards), 500) is not None


def test_smoothing_keeps_the_volume(geometry):
    from vtkmodules.vtkFiltersCore import vtkMassProperties

    from app.view3d.scene import surface_mesh

    mask = _ball(geometry, (9, 20, 18), 12)
    (block,) = label_blocks(mask.astype(np.uint8), Region.whole(SHAPE), geometry, NullContext())
    measure = vtkMassProperties()
    measure.SetInputData(surface_mesh(block.filled, block.geometry.affine))
    expected = mask.sum() * geometry.voxel_volume_ml * 1000
    assert measure.GetVolume() == pytest.approx(expected, rel=0.05)


def test_a_ray_finds_the_voxel_that_was_aimed_at(scene, geometry):
    labels = 4 * _ball(geometry, (9, 20, 18), 10).astype(np.uint8)
    _show(scene, labels, geometry)
    for n in range(12):
        camera = _camera(geometry).turned(31 * n, 17 * n, HEIGHT)
        aim = geometry.index_to_lps((9, 20, 18)) + 3 * camera.right - 2 * camera.up
        x, y = camera.project(aim, WIDTH, HEIGHT)
        ray = camera.ray(x, y, WIDTH, HEIGHT)
        hit = scene.surface_hit(ray, 2000)
        assert hit is not None
        label_id, distance = hit
        assert label_id == 4
        voxel = label_voxel(labels, geometry, label_id, ray, distance)
        # The first voxel of the label on the line, found without the surface.
        along = ray.at(np.arange(0, 2000, 0.02))
        index = np.rint(geometry.lps_to_index(along)).astype(int)
        inside = ((index >= 0) & (index < SHAPE)).all(axis=1)
        index = index[inside]
        first = index[np.argmax(labels[tuple(index.T)] == 4)]
        assert np.abs(np.array(voxel) - first).max() <= 1
        assert labels[voxel] == 4
        off = np.linalg.norm(geometry.index_to_lps(voxel) - geometry.index_to_lps(first))
        assert off <= max(geometry.spacing_zyx)


def test_hidden_and_dropped_surfaces_are_neither_seen_nor_met(scene, geometry):
    labels = _ball(geometry, (9, 20, 18), 10).astype(np.uint8)
    _show(scene, labels, geometry)
    camera = _camera(geometry)
    ray = camera.ray(
        *camera.project(geometry.index_to_lps((9, 20, 18)), WIDTH, HEIGHT), WIDTH, HEIGHT
    )
    assert _reddish(_draw(scene, geometry)).any()
    scene.style_surface(1, (1, 0, 0), 1.0, False)
    assert not _reddish(_draw(scene, geometry)).any()
    assert scene.surface_hit(ray, 2000) is None
    scene.style_surface(1, (1, 0, 0), 0.4, True)
    assert scene.surface_hit(ray, 2000) is not None
    scene.drop_surface(1)
    scene.drop_surface(1)
    assert not _reddish(_draw(scene, geometry)).any()
    assert scene.surface_hit(ray, 2000) is None


def test_a_new_surface_keeps_the_look_of_the_old_one(scene, geometry):
    labels = _ball(geometry, (9, 20, 18), 10).astype(np.uint8)
    _show(scene, labels, geometry)
    (block,) = label_blocks(
        _ball(geometry, (9, 20, 18), 6).astype(np.uint8), Region.whole(SHAPE), geometry,
        NullContext(),
    )  # fmt: skip
    before = _reddish(_draw(scene, geometry)).sum()
    scene.set_surface(1, block.filled, block.geometry.affine)
    assert 0 < _reddish(_draw(scene, geometry)).sum() < before


@pytest.mark.parametrize("is_moving", [False, True])
def test_a_surface_is_drawn_where_the_camera_says(scene, geometry, is_moving):
    centre = (6, 28, 9)
    _show(scene, _ball(geometry, centre, 8).astype(np.uint8), geometry)
    rows, columns = np.nonzero(_reddish(_draw(scene, geometry, is_moving=is_moving)))
    x, y = _camera(geometry).project(geometry.index_to_lps(centre), WIDTH, HEIGHT)
    assert abs(columns.mean() - x) < 2.5
    assert abs(rows.mean() - y) < 2.5


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_shows_its_pixels_in_their_places(scene, geometry, axis):
    shape = [n for a, n in enumerate(SHAPE) if a != axis]
    wanted = [3, 5]  # a bright spot, off the middle in both directions
    grey = np.zeros(shape, np.uint8)
    grey[wanted[0] - 2 : wanted[0] + 3, wanted[1] - 2 : wanted[1] + 3] = 255
    corners = plane_corners(geometry, axis, 7)
    scene.set_plane(0, corners, grey, (0, 0, 1))
    middle = corners.mean(axis=0)
    normal = np.cross(corners[1] - corners[0], corners[3] - corners[0])
    normal /= np.linalg.norm(normal)
    up = (corners[0] - corners[3]) / np.linalg.norm(corners[0] - corners[3])
    camera = Camera(middle + 150 * normal, middle, up)
    picture = scene.draw(camera, WIDTH, HEIGHT, is_moving=False).astype(int)
    rows, columns = np.nonzero(picture.min(axis=-1) > 180)
    index = np.insert(np.array(wanted, float), axis, 7)
    x, y = camera.project(geometry.index_to_lps(index), WIDTH, HEIGHT)
    assert abs(columns.mean() - x) < 2.5
    assert abs(rows.mean() - y) < 2.5
    scene.hide_planes()
    assert scene.draw(camera, WIDTH, HEIGHT, is_moving=False).max() < 60


def test_a_volume_is_rendered_in_its_place(scene, geometry):
    centre = (6, 28, 9)
    values = np.where(_ball(geometry, centre, 7), 1500, -1000).astype(np.int16)
    scene.set_volume(values, geometry.affine)
    scene.render_volume([(100, 0), (500, 0.9)], [(0, 1, 0, 0), (1000, 1, 0, 0)])
    rows, columns = np.nonzero(_reddish(_draw(scene, geometry)))
    x, y = _camera(geometry).project(geometry.index_to_lps(centre), WIDTH, HEIGHT)
    assert abs(columns.mean() - x) < 2.5
    assert abs(rows.mean() - y) < 2.5
    scene.render_volume([], [])
    assert not _reddish(_draw(scene, geometry)).any()


def test_clearing_takes_everything_out(scene, geometry):
    _show(scene, _ball(geometry, (9, 20, 18), 10).astype(np.uint8), geometry)
    scene.set_plane(1, plane_corners(geometry, 1, 7), np.full((18, 36), 255, np.uint8), (0, 0, 1))
    values = np.full(SHAPE, 1000, np.int16)
    scene.set_volume(values, geometry.affine)
    scene.render_volume([(100, 0), (500, 0.9)], [(0, 1, 1, 1)])
    assert _draw(scene, geometry).max() > 100
    scene.clear()
    assert _draw(scene, geometry).max() < 30
