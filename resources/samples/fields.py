"""Implicit shapes on a grid: fields of signed distance in mm, negative inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

Point = tuple[float, float, float]


@dataclass
class Canvas:
    """A grid in body coordinates: x to the left, y to the back, z to the head, in mm.

    Attributes
    ----------
    shape_zyx : tuple of 3 int
    spacing_zyx, first_zyx : tuple of 3 float
        Voxel size, and the centre of the first voxel.
    rng : numpy.random.Generator
        Every random number of the phantom comes from here, in one order.
    x, y, z : float32, broadcastable to shape_zyx
        Coordinates of voxel centres.
    """

    shape_zyx: tuple[int, int, int]
    spacing_zyx: tuple[float, float, float]
    first_zyx: tuple[float, float, float]
    rng: np.random.Generator
    x: np.ndarray = field(init=False)
    y: np.ndarray = field(init=False)
    z: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        z, y, x = (
            (first + step * np.arange(n)).astype(np.float32)
            for n, step, first in zip(self.shape_zyx, self.spacing_zyx, self.first_zyx, strict=True)
        )
        self.x, self.y, self.z = x[None, None, :], y[None, :, None], z[:, None, None]

    def noise(self, length_mm: float) -> np.ndarray:
        """Return smooth noise, mean 0 and standard deviation 1, of a correlation length."""
        coarse = tuple(
            int(np.ceil(n * step / length_mm)) + 4
            for n, step in zip(self.shape_zyx, self.spacing_zyx, strict=True)
        )
        values = self.rng.standard_normal(coarse).astype(np.float32)
        for axis, (n, step) in enumerate(zip(self.shape_zyx, self.spacing_zyx, strict=True)):
            values = _resample_cubic(values, 1 + np.arange(n) * step / length_mm, axis)
        values -= values.mean()
        values /= values.std()
        return values

    def ridges(self, length_mm: float, width: float) -> np.ndarray:
        """Return 1 on thin random sheets, falling to 0 beside them."""
        return np.exp(-((self.noise(length_mm) / width) ** 2))

    def ellipsoid(self, centre: Point, radii: Point, turn_deg: Point = (0, 0, 0)) -> np.ndarray:
        """Return the field of an ellipsoid, turned about the x, y and z axes through its centre.

        The first-order distance k0 (k0 - 1) / k1 with k0 = |p / r| and k1 = |p / r^2| is exact
        on the surface, which is all that is looked at.
        """
        offset = (self.x - centre[0], self.y - centre[1], self.z - centre[2])
        turn = rotation(turn_deg).astype(np.float32)
        local = [sum(turn[j, i] * offset[j] for j in range(3)) for i in range(3)]
        k0 = np.sqrt(sum((p / r) ** 2 for p, r in zip(local, radii, strict=True)))
        k1 = np.sqrt(sum((p / r**2) ** 2 for p, r in zip(local, radii, strict=True)))
        return k0 * (k0 - 1) / np.maximum(k1, 1e-6)

    def tube(self, path: np.ndarray, radii: np.ndarray | float, reach_mm: float = 4) -> np.ndarray:
        """Return the field of balls along a path; 1000 further than ``reach_mm`` outside it.

        Parameters
        ----------
        path : (n, 3) float
            Points (x, y, z), closer together than their radii.
        radii : (n,) float or float
        """
        distance = np.full(self.shape_zyx, 1000, np.float32)
        radii = np.broadcast_to(radii, len(path))
        spacing, first = np.array(self.spacing_zyx), np.array(self.first_zyx)
        for point, radius in zip(path, radii, strict=True):
            centre = (np.asarray(point)[::-1] - first) / spacing
            half = (radius + reach_mm) / spacing
            low = np.maximum(np.floor(centre - half), 0).astype(int)
            high = np.minimum(np.ceil(centre + half) + 1, self.shape_zyx).astype(int)
            if (low >= high).any():
                continue
            zs, ys, xs = (slice(a, b) for a, b in zip(low, high, strict=True))
            ball = (
                np.sqrt(
                    (self.x[..., xs] - point[0]) ** 2
                    + (self.y[:, ys] - point[1]) ** 2
                    + (self.z[zs] - point[2]) ** 2
                )
                - radius
            )
            np.minimum(distance[zs, ys, xs], ball, out=distance[zs, ys, xs])
        return distance

    def tree(
        self, start: Point, direction: Point, radius: float, *, n_levels: int, spread: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return points and radii of a branching vessel.

        Each branch is a bent line about 7 times its radius long; its two children are thinner by
        2^(-1/3) (Murray's law), a little less or more.
        """
        points: list[np.ndarray] = []
        widths: list[np.ndarray] = []
        tips = [(np.array(start, float), _unit(np.array(direction, float)), radius)]
        for _ in range(n_levels):
            grown = []
            for tip, heading, width in tips:
                length = width * self.rng.uniform(4.5, 8) + 4
                bend = self.rng.normal(0, 0.35, 3)
                steps = np.linspace(0, 1, max(3, int(length / max(width * 0.6, 0.6))))[:, None]
                line = tip + length * steps * (heading + bend * steps / 2)
                points.append(line)
                widths.append(np.linspace(width, width * 0.86, len(line)))
                for sign in (-1, 1):
                    aside = np.cross(heading, self.rng.normal(0, 1, 3))
                    new = _unit(heading + bend / 2 + sign * spread * _unit(aside))
                    grown.append((line[-1], new, width * self.rng.uniform(0.66, 0.86)))
            tips = grown
        return np.concatenate(points), np.concatenate(widths)


def _resample_cubic(values: np.ndarray, positions: np.ndarray, axis: int) -> np.ndarray:
    """Return values at fractional positions along one axis, by a cubic spline."""
    filtered = ndimage.spline_filter1d(values, 3, axis=axis, mode="mirror")
    base = np.floor(positions).astype(int)
    t = positions - base
    weights = np.zeros((len(positions), values.shape[axis]), np.float32)
    rows = np.arange(len(positions))
    weights[rows, base - 1] = (1 - t) ** 3 / 6
    weights[rows, base] = (3 * t**3 - 6 * t**2 + 4) / 6
    weights[rows, base + 1] = (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6
    weights[rows, base + 2] = t**3 / 6
    return np.moveaxis(np.tensordot(filtered.astype(np.float32), weights, (axis, 1)), -1, axis)


def rotation(turn_deg: Point) -> np.ndarray:
    """Return the (3, 3) rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(turn_deg)):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def curve(points: Sequence[Point], step_mm: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Return a smooth path through points and, for each of its points, 0 to 1 along it."""
    knots = np.array(points, float)
    along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))]
    n = int(along[-1] / step_mm) + 2
    t = np.linspace(0, along[-1], n)
    # Piecewise linear, then rounded: no overshoot, unlike an interpolating spline.
    path = np.stack([np.interp(t, along, knots[:, i]) for i in range(3)], axis=1)
    sigma = max(1.0, 0.12 * along[-1] / max(len(points) - 1, 1) / step_mm * 2.5)
    return ndimage.gaussian_filter1d(path, sigma, axis=0, mode="nearest"), t / along[-1]


def smooth_union(a: np.ndarray, b: np.ndarray, width_mm: float) -> np.ndarray:
    """Return the field of two shapes that flow into each other over a width."""
    share = np.clip(0.5 + 0.5 * (b - a) / width_mm, 0, 1)
    return b + (a - b) * share - width_mm * share * (1 - share)


def smooth_cut(a: np.ndarray, b: np.ndarray, width_mm: float) -> np.ndarray:
    """Return the field of the first shape without the second, with a rounded rim."""
    return -smooth_union(-a, b, width_mm)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(np.linalg.norm(vector), 1e-9)
