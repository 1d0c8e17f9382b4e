"""From where the scene is seen, against the patient's directions."""

from __future__ import annotations

import numpy as np
import pytest

from app.view3d.camera import SIDES, Camera, camera_from

# A scan of 200 x 100 x 300 mm whose middle is not the origin.
CORNERS = np.array(
    [(x, y, z) for x in (-60.0, 140.0) for y in (-30.0, 70.0) for z in (10.0, 310.0)]
)
WIDTH, HEIGHT = 640, 480
_LPS = {
    "L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0),
    "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1),
}  # fmt: skip


def _letter(direction: np.ndarray) -> str:
    return max(_LPS, key=lambda letter: float(np.dot(_LPS[letter], direction)))


@pytest.mark.parametrize(
    ("side", "right", "up"),
    # As a patient is drawn who is looked at from there; from below as on axial slices.
    [
        ("A", "L", "S"),
        ("P", "R", "S"),
        ("L", "P", "S"),
        ("R", "A", "S"),
        ("S", "R", "A"),
        ("I", "L", "A"),
    ],
)
def test_a_side_shows_the_patient_as_it_is_usually_drawn(side, right, up):
    camera = camera_from(side, CORNERS)
    assert _letter(-camera.forward) == side
    assert _letter(camera.right) == right
    assert _letter(camera.up) == up


@pytest.mark.parametrize("side", SIDES)
def test_all_of_the_scan_is_seen_and_fills_most_of_the_view(side):
    seen = camera_from(side, CORNERS).project(CORNERS, HEIGHT, HEIGHT)
    assert seen.min() >= 0
    assert seen.max() <= HEIGHT
    assert np.ptp(seen, axis=0).max() > 0.8 * HEIGHT


def _turned_a_lot() -> Camera:
    camera = camera_from("A", CORNERS)
    for n in range(500):
        camera = camera.turned(7 * np.sin(n), 5 * np.cos(2 * n), HEIGHT)
    return camera.moved(30, -12, HEIGHT).zoomed(1.7)


def test_turning_keeps_distance_and_right_angles():
    camera = camera_from("A", CORNERS)
    turned = camera
    for n in range(500):
        turned = turned.turned(7 * np.sin(n), 5 * np.cos(2 * n), HEIGHT)
    assert turned.distance_mm == pytest.approx(camera.distance_mm)
    assert turned.up @ turned.forward == pytest.approx(0, abs=1e-9)
    assert np.linalg.norm(turned.up) == pytest.approx(1)


def test_a_ray_passes_through_what_is_seen_at_its_pixel():
    camera = _turned_a_lot()
    for corner in CORNERS:
        x, y = camera.project(corner, WIDTH, HEIGHT)
        ray = camera.ray(x, y, WIDTH, HEIGHT)
        away = corner - ray.origin_lps
        nearest = ray.at(float(away @ ray.direction_lps))
        assert np.allclose(nearest, corner, atol=1e-6)


def test_what_is_dragged_follows_the_mouse():
    camera = _turned_a_lot()
    target = camera.target_lps
    before = camera.project(target, WIDTH, HEIGHT)
    after = camera.moved(25, -40, HEIGHT).project(target, WIDTH, HEIGHT)
    assert np.allclose(after - before, (25, -40))
    # What is nearer to the eye than the target goes the way of the mouse when the scene is turned.
    near = camera.eye_lps + 0.7 * (target - camera.eye_lps)
    step = camera.turned(6, 4, HEIGHT).project(near, WIDTH, HEIGHT) - before
    assert step[0] > 0
    assert step[1] > 0


def test_zooming_enlarges_by_the_factor():
    camera = _turned_a_lot()
    aside = camera.target_lps + 3 * camera.right
    middle = np.array([WIDTH / 2, HEIGHT / 2])
    before = camera.project(aside, WIDTH, HEIGHT) - middle
    after = camera.zoomed(2).project(aside, WIDTH, HEIGHT) - middle
    assert np.allclose(after, 2 * before)
