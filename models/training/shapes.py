"""Label maps of invented anatomy: blobs, tubes, shells, touching neighbours."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

# How often there is next to nothing but the object, as in a phantom. Without such pictures a
# network that does well on patients leaves out parts of a plain disk.
_PLAIN_SHARE = 0.4


def random_label_map(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return (3, size, size) int label maps of three adjacent slices of invented anatomy."""
    maps = np.zeros((3, size, size), np.int64)
    if rng.random() < _PLAIN_SHARE:
        for label in range(1, int(rng.integers(2, 5))):
            maps[_plain(rng, size)] = label
        return maps
    if rng.random() < 0.7:
        maps[:] = _partition(rng, size, int(rng.integers(2, 7)))
    for _ in range(int(rng.integers(2, 9))):
        label = int(maps.max()) + 1
        kind = rng.random()
        if kind < 0.55:
            maps[_blob(rng, size)] = label
        elif kind < 0.75:
            maps[_tube(rng, size)] = label
        else:
            outer = _blob(rng, size)
            maps[outer] = label
            wall = int(rng.integers(2, 6))
            inner = np.stack([ndimage.binary_erosion(s, iterations=wall) for s in outer])
            maps[inner] = label + 1
    return maps


def _smooth(rng: np.random.Generator, size: int, grain: float) -> np.ndarray:
    """Return smooth noise of unit spread, varying slowly across three slices."""
    n = max(4, round(size / grain))
    coarse = torch.from_numpy(rng.standard_normal((1, 3, n, n), dtype=np.float32))
    field = functional.interpolate(coarse, size=(size, size), mode="bicubic")[0].numpy()
    field[0] = 0.75 * field[1] + 0.25 * field[0]
    field[2] = 0.75 * field[1] + 0.25 * field[2]
    return field / max(float(field.std()), 1e-6)


def _partition(rng: np.random.Generator, size: int, n: int) -> np.ndarray:
    field = _smooth(rng, size, rng.uniform(20, 60))
    cuts = np.quantile(field[1], np.sort(rng.uniform(0.05, 0.95, n - 1)))
    return np.digitize(field, cuts)


def _blob(rng: np.random.Generator, size: int) -> np.ndarray:
    u, v, radii = _turned(rng, size)
    rough = _smooth(rng, size, max(6.0, float(radii.min()) * rng.uniform(0.4, 1.5)))
    growth = 1 + np.array([rng.normal(0, 0.08), 0, rng.normal(0, 0.08)])[:, None, None]
    return np.hypot(u, v)[None] + rng.uniform(0, 0.35) * rough < growth


def _plain(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return an ellipse or a box, turned, that hardly changes across three slices."""
    u, v, _ = _turned(rng, size)
    reach = np.maximum(np.abs(u), np.abs(v)) if rng.random() < 0.25 else np.hypot(u, v)
    growth = 1 + np.array([rng.normal(0, 0.05), 0, rng.normal(0, 0.05)])[:, None, None]
    return reach[None] < growth


def _turned(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return coordinates (size, size) about a point along two turned axes, in their half lengths,
    and those (2,).
    """
    centre = rng.uniform(0.15, 0.85, 2) * size
    radii = np.exp(rng.uniform(np.log(4), np.log(size / 3.5), 2))
    radii[1] = radii[0] * np.exp(rng.normal(0, 0.4))
    angle = rng.uniform(0, np.pi)
    grid = np.indices((size, size)).astype(float) - centre[:, None, None]
    u = np.cos(angle) * grid[0] + np.sin(angle) * grid[1]
    v = -np.sin(angle) * grid[0] + np.cos(angle) * grid[1]
    return u / radii[0], v / radii[1], radii


def _tube(rng: np.random.Generator, size: int) -> np.ndarray:
    at, heading = rng.uniform(0.1, 0.9, 2) * size, rng.uniform(0, 2 * np.pi)
    canvas = np.ones((size, size), bool)
    for _ in range(int(rng.integers(20, 140))):
        heading += rng.normal(0, 0.15)
        at = at + np.array((np.cos(heading), np.sin(heading)))
        r, c = round(float(at[0])), round(float(at[1]))
        if not (0 <= r < size and 0 <= c < size):
            break
        canvas[r, c] = False
    distance = ndimage.distance_transform_edt(canvas)
    radius = rng.uniform(1.5, 8)
    change = np.array([rng.normal(0, 0.4), 0, rng.normal(0, 0.4)])
    return np.stack([distance < max(1.0, radius + d) for d in change])
