"""Volumes in which every axis and every direction is recognisable."""

from __future__ import annotations

import itertools

import numpy as np

from app.core.geometry import OPPOSITE, Geometry
from app.core.volume import Modality, Volume

# All 48 ways in which the axes (x, y, z) of a file can lie, as ITK letters.
ORIENTATIONS: tuple[str, ...] = tuple(
    "".join(OPPOSITE[letter] if flip else letter for letter, flip in zip(order, flips, strict=True))
    for order in itertools.permutations("LPS")
    for flips in itertools.product((False, True), repeat=3)
)
_LPS_VECTORS = {
    "L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0),
    "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1),
}  # fmt: skip


def rotation(degrees_xyz: tuple[float, float, float]) -> np.ndarray:
    """Return a (3, 3) rotation: about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees_xyz)):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def file_affine(
    orientation: str,
    spacing_ijk: tuple[float, float, float] = (0.7, 0.9, 2.5),
    origin_lps: tuple[float, float, float] = (-12.0, 34.0, -560.0),
    oblique_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> np.ndarray:
    """Return the (4, 4) LPS affine for (i, j, k) of a file whose axes grow to three letters."""
    directions = np.array([_LPS_VECTORS[letter] for letter in orientation], np.float64).T
    affine = np.eye(4)
    affine[:3, :3] = rotation(oblique_deg) @ directions * np.array(spacing_ijk)
    affine[:3, 3] = origin_lps
    return affine


def ramp(shape: tuple[int, int, int], dtype: str = "int16") -> np.ndarray:
    """Return an array in which every voxel has its own value (below 2**15 voxels)."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def torso_like(
    shape_zyx: tuple[int, int, int] = (12, 20, 24),
    spacing_zyx: tuple[float, float, float] = (3.0, 1.5, 1.25),
    source_orientation: str = "LPS",
) -> Volume:
    """Return a small CT-like volume: air, a body, one bright corner in each direction.

    The voxel farthest to the left, posterior and superior is 300; the brightness of the body
    grows by different amounts along the three axes, so that no flip or swap keeps it.
    """
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape_zyx), indexing="ij")
    voxels = np.full(shape_zyx, -1000, np.int16)
    body = (y**2 / 0.8 + x**2 / 0.9) < 1
    voxels[body] = np.rint(20 + 40 * x + 10 * y + 3 * z)[body].astype(np.int16)
    ball = ((z - 0.2) ** 2 + (y + 0.1) ** 2 + (x - 0.35) ** 2) < 0.16
    voxels[ball] = 150
    voxels[-1, -1, -1] = 300
    affine = np.eye(4)
    # Array axes z, y, x grow to S, P, L.
    affine[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * np.array(spacing_zyx)
    affine[:3, 3] = (-15.0, -14.0, 100.0)
    return Volume(
        voxels, Geometry(shape_zyx, affine), Modality.CT, source_orientation, name="phantom"
    )
