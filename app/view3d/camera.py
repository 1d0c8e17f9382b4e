"""From where the scene is seen. Immutable; LPS millimetres; pixels count from the top left."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

VIEW_ANGLE_DEG = 30.0
# Dragging across the whole height of the view turns the scene this far.
_TURN_DEG = 240.0
# Around a scan of which all is seen.
_MARGIN = 1.06
_SMALLEST_MM, _LARGEST_MM = 1.0, 20_000.0

# Where the eye stands and what is up, for each side from which a patient can be looked at.
_SIDES = {
    "A": ((0, -1, 0), (0, 0, 1)),
    "P": ((0, 1, 0), (0, 0, 1)),
    "L": ((1, 0, 0), (0, 0, 1)),
    "R": ((-1, 0, 0), (0, 0, 1)),
    "S": ((0, 0, 1), (0, -1, 0)),
    "I": ((0, 0, -1), (0, -1, 0)),
}
SIDES = tuple(_SIDES)


@dataclass(frozen=True, eq=False)
class Ray:
    """A line of sight.

    Attributes
    ----------
    origin_lps, direction_lps : (3,) float64
        The direction has length 1.
    """

    origin_lps: np.ndarray
    direction_lps: np.ndarray

    def at(self, distance_mm: float | np.ndarray) -> np.ndarray:
        """Return the points (..., 3) at distances (...) from the origin."""
        distance = np.asarray(distance_mm, np.float64)[..., None]
        return self.origin_lps + distance * self.direction_lps


@dataclass(frozen=True, eq=False)
class Camera:
    """An eye that looks at a point, in perspective.

    Attributes
    ----------
    eye_lps, target_lps, up : (3,) float64
        ``up`` has length 1 and is at right angles to the line of sight.
    """

    eye_lps: np.ndarray
    target_lps: np.ndarray
    up: np.ndarray

    @property
    def distance_mm(self) -> float:
        return float(np.linalg.norm(self.eye_lps - self.target_lps))

    @property
    def forward(self) -> np.ndarray:
        """The direction in which the eye looks."""
        return (self.target_lps - self.eye_lps) / self.distance_mm

    @property
    def right(self) -> np.ndarray:
        """The direction that points to the right on the screen."""
        return np.cross(self.forward, self.up)

    def turned(self, right_px: float, down_px: float, height_px: float) -> Camera:
        """Return the camera after the scene was dragged: it follows the mouse like a ball."""
        turn = _rotation(self.up, -np.radians(_TURN_DEG * right_px / height_px))
        tilt = _rotation(self.right, -np.radians(_TURN_DEG * down_px / height_px))
        both = turn @ tilt
        eye = self.target_lps + both @ (self.eye_lps - self.target_lps)
        return _camera(eye, self.target_lps, both @ self.up)

    def moved(self, right_px: float, down_px: float, height_px: float) -> Camera:
        """Return the camera after the scene was shifted; the target's depth follows the mouse."""
        mm = 2 * self.distance_mm * np.tan(np.radians(VIEW_ANGLE_DEG / 2)) / height_px
        step = mm * (down_px * self.up - right_px * self.right)
        return replace(self, eye_lps=self.eye_lps + step, target_lps=self.target_lps + step)

    def zoomed(self, factor: float) -> Camera:
        """Return the camera with everything at the target ``factor`` times as large."""
        distance = min(max(self.distance_mm / factor, _SMALLEST_MM), _LARGEST_MM)
        return replace(self, eye_lps=self.target_lps - distance * self.forward)

    def ray(self, x_px: float, y_px: float, width_px: float, height_px: float) -> Ray:
        """Return the line of sight through a point of the screen."""
        half = np.tan(np.radians(VIEW_ANGLE_DEG / 2))
        along_x = (2 * x_px - width_px) / height_px * half
        along_y = (height_px - 2 * y_px) / height_px * half
        direction = self.forward + along_x * self.right + along_y * self.up
        return Ray(self.eye_lps, direction / np.linalg.norm(direction))

    def project(self, point_lps: np.ndarray, width_px: float, height_px: float) -> np.ndarray:
        """Return where points (..., 3) before the eye appear on the screen, (..., 2) pixels."""
        apart = np.asarray(point_lps, np.float64) - self.eye_lps
        depth = (apart @ self.forward) * np.tan(np.radians(VIEW_ANGLE_DEG / 2))
        x = width_px / 2 + (apart @ self.right) / depth * height_px / 2
        y = height_px / 2 - (apart @ self.up) / depth * height_px / 2
        return np.stack([x, y], axis=-1)


def camera_from(side: str, corners_lps: np.ndarray) -> Camera:
    """Return a camera that sees all of a scene from one side: A, P, L, R, S or I.

    Parameters
    ----------
    side : str
    corners_lps : (n, 3) float
        Of what is to be seen.
    """
    towards, up = (np.asarray(v, np.float64) for v in _SIDES[side])
    centre = (corners_lps.min(axis=0) + corners_lps.max(axis=0)) / 2
    apart = corners_lps - centre
    # A corner is seen if it is no farther to the side than the view is wide at its depth.
    aside = np.maximum(np.abs(apart @ up), np.abs(apart @ np.cross(towards, up)))
    needed = aside / np.tan(np.radians(VIEW_ANGLE_DEG / 2)) + apart @ towards
    distance = max(_MARGIN * float(needed.max()), _SMALLEST_MM)
    return _camera(centre + distance * towards, centre, up)


def _camera(eye: np.ndarray, target: np.ndarray, up: np.ndarray) -> Camera:
    """Return a camera whose ``up`` is exactly at right angles, however often it was turned."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    up = up - (up @ forward) * forward
    return Camera(eye, target, up / np.linalg.norm(up))


def _rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Return the (3, 3) rotation about an axis of length 1 (Rodrigues' formula)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: np.ndarray = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return turn
