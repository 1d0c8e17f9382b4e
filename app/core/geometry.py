"""Voxel grids in patient space: one affine, array order (z, y, x), LPS millimetres."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from app.core.errors import GeometryError

Triple = tuple[int, int, int]

# Where an LPS axis grows to, for positive and negative steps.
_LETTERS = (("L", "R"), ("P", "A"), ("S", "I"))
OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "S": "I", "I": "S"}

# Directions are compared against this: below it rounding in headers, above it a real shear.
MAX_SHEAR = 1e-3


@dataclass(frozen=True)
class Region:
    """A half-open block of voxels: ``start_zyx`` is inside, ``stop_zyx`` is not.

    Raises
    ------
    GeometryError
        ``stop_zyx`` is not larger than ``start_zyx`` along every axis.
    """

    start_zyx: Triple
    stop_zyx: Triple

    def __post_init__(self) -> None:
        start, stop = _triple(self.start_zyx), _triple(self.stop_zyx)
        if any(b <= a for a, b in zip(start, stop, strict=True)):
            raise GeometryError(f"A region from {start} to {stop} holds no voxel.")
        object.__setattr__(self, "start_zyx", start)
        object.__setattr__(self, "stop_zyx", stop)

    @classmethod
    def whole(cls, shape_zyx: Sequence[int]) -> Region:
        """Return the region that covers an array of this shape."""
        return cls((0, 0, 0), _triple(shape_zyx))

    @classmethod
    def of_mask(cls, mask: np.ndarray) -> Region | None:
        """Return the tight region of a 3-D mask's true voxels; None if there is none."""
        bounds = []
        for axis in range(3):
            hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
            if hit.size == 0:
                return None
            bounds.append((int(hit[0]), int(hit[-1]) + 1))
        return cls(_triple(b[0] for b in bounds), _triple(b[1] for b in bounds))

    @property
    def shape_zyx(self) -> Triple:
        return _triple(b - a for a, b in zip(self.start_zyx, self.stop_zyx, strict=True))

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Three slices that index an array of the whole volume."""
        a, b = self.start_zyx, self.stop_zyx
        return slice(a[0], b[0]), slice(a[1], b[1]), slice(a[2], b[2])

    @property
    def n_voxels(self) -> int:
        return int(np.prod(self.shape_zyx))

    def union(self, other: Region) -> Region:
        """Return the smallest region that covers both."""
        return Region(
            _triple(min(p) for p in zip(self.start_zyx, other.start_zyx, strict=True)),
            _triple(max(p) for p in zip(self.stop_zyx, other.stop_zyx, strict=True)),
        )

    def intersection(self, other: Region) -> Region | None:
        """Return what both cover; None if they do not meet."""
        start = _triple(max(p) for p in zip(self.start_zyx, other.start_zyx, strict=True))
        stop = _triple(min(p) for p in zip(self.stop_zyx, other.stop_zyx, strict=True))
        if any(b <= a for a, b in zip(start, stop, strict=True)):
            return None
        return Region(start, stop)

    def clipped_to(self, shape_zyx: Sequence[int]) -> Region | None:
        """Return the part inside an array of this shape; None if there is none."""
        return self.intersection(Region.whole(shape_zyx))

    def is_inside(self, shape_zyx: Sequence[int]) -> bool:
        """Return whether the whole region lies in an array of this shape."""
        return all(a >= 0 for a in self.start_zyx) and all(
            b <= n for b, n in zip(self.stop_zyx, shape_zyx, strict=True)
        )

    def moved_by(self, step_zyx: Sequence[int]) -> Region:
        """Return the region moved by whole voxels."""
        start = (a + s for a, s in zip(self.start_zyx, step_zyx, strict=True))
        stop = (b + s for b, s in zip(self.stop_zyx, step_zyx, strict=True))
        return Region(_triple(start), _triple(stop))

    def relative_to(self, other: Region) -> Region:
        """Return this region counted from the start of the other."""
        return self.moved_by([-n for n in other.start_zyx])

    def with_axis(self, axis: int, start: int, stop: int) -> Region:
        """Return this region with another range along one axis."""
        a, b = list(self.start_zyx), list(self.stop_zyx)
        a[axis], b[axis] = start, stop
        return Region(_triple(a), _triple(b))


@dataclass(frozen=True, eq=False)
class Geometry:
    """A voxel grid in patient space.

    ``point_lps = affine @ (z, y, x, 1)``: column *a* of the affine is the step in mm along array
    axis *a*; the last column is the centre of voxel (0, 0, 0). No second matrix exists.

    Attributes
    ----------
    shape_zyx : tuple of 3 int
    affine : (4, 4) float64, read-only

    Raises
    ------
    GeometryError
        The affine is not finite, singular or sheared, or the shape is not positive.
    """

    shape_zyx: Triple
    affine: np.ndarray

    def __post_init__(self) -> None:
        shape = _triple(self.shape_zyx)
        # A copy isolates the grid from whoever made the matrix.
        affine = np.array(self.affine, dtype=np.float64)
        if any(n < 1 for n in shape):
            raise GeometryError(f"The image has no voxels: its size is {_plain(shape)}.")
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError(
                "The position of the image in space is not given as finite numbers."
            )
        if not np.allclose(affine[3], (0, 0, 0, 1)):
            raise GeometryError("The image's affine is not affine: its last row is not 0 0 0 1.")
        steps = affine[:3, :3]
        spacing = np.linalg.norm(steps, axis=0)
        if (spacing < 1e-6).any() or abs(np.linalg.det(steps / spacing)) < 0.5:
            raise GeometryError(
                f"The image's axes do not span space (voxel steps of {_plain(spacing)} mm along "
                "its three axes); export it again with its geometry."
            )
        cosines = (steps / spacing).T @ (steps / spacing)
        worst = float(np.abs(cosines - np.eye(3)).max())
        if worst > MAX_SHEAR:
            angle = np.degrees(np.arcsin(min(worst, 1.0)))
            raise GeometryError(
                f"The image's axes are not at right angles (off by {angle:.2f} degrees); "
                "resample it to a regular grid first."
            )
        affine.setflags(write=False)
        object.__setattr__(self, "shape_zyx", shape)
        object.__setattr__(self, "affine", affine)

    @property
    def spacing_zyx(self) -> tuple[float, float, float]:
        """Voxel size in mm along each array axis."""
        z, y, x = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(z), float(y), float(x)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(np.prod(self.spacing_zyx)) / 1000.0

    @property
    def axis_letters(self) -> tuple[str, str, str]:
        """The patient direction towards which each array axis grows, e.g. ("S", "P", "L").

        Oblique axes get the nearest letter; each of the three anatomical axes is used once.
        """
        steps = self.affine[:3, :3] / np.asarray(self.spacing_zyx)
        letters = ["", "", ""]
        remaining = np.abs(steps).copy()
        for _ in range(3):
            lps_axis, array_axis = np.unravel_index(int(remaining.argmax()), (3, 3))
            negative = steps[lps_axis, array_axis] < 0
            letters[array_axis] = _LETTERS[lps_axis][int(negative)]
            remaining[lps_axis, :] = -1
            remaining[:, array_axis] = -1
        return letters[0], letters[1], letters[2]

    def index_to_lps(self, index_zyx: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return the positions (..., 3) in LPS mm of voxel indices (..., 3)."""
        index = np.asarray(index_zyx, dtype=np.float64)
        point: np.ndarray = index @ self.affine[:3, :3].T + self.affine[:3, 3]
        return point

    def lps_to_index(self, point_lps: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return the continuous voxel indices (..., 3) of positions (..., 3) in LPS mm."""
        point = np.asarray(point_lps, dtype=np.float64) - self.affine[:3, 3]
        index: np.ndarray = point @ np.linalg.inv(self.affine[:3, :3]).T
        return index

    def same_grid(self, other: Geometry, atol_mm: float = 1e-3) -> bool:
        """Return whether both grids have the same voxels in the same places.

        Every corner may differ by at most ``atol_mm``, so errors do not hide at the far end.
        """
        if self.shape_zyx != other.shape_zyx:
            return False
        last = np.asarray(self.shape_zyx) - 1
        corners = np.array([[(i >> a & 1) * last[a] for a in range(3)] for i in range(8)])
        apart = np.abs(self.index_to_lps(corners) - other.index_to_lps(corners)).max()
        return bool(apart <= atol_mm)

    def reoriented(self, permutation: Sequence[int], flips: Sequence[bool]) -> Geometry:
        """Return the grid of ``voxels.transpose(permutation)`` flipped along ``flips`` after it.

        Every voxel keeps its place in space; only the order in which it is counted changes.
        """
        steps = self.affine[:3, list(permutation)].copy()
        shape = [self.shape_zyx[p] for p in permutation]
        origin = self.affine[:3, 3].copy()
        for axis, flip in enumerate(flips):
            if flip:
                origin += steps[:, axis] * (shape[axis] - 1)
                steps[:, axis] *= -1
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = steps, origin
        return Geometry(_triple(shape), affine)

    def contains(self, index_zyx: Sequence[float]) -> bool:
        """Return whether a continuous index lies in some voxel of the grid."""
        return all(-0.5 <= i < n - 0.5 for i, n in zip(index_zyx, self.shape_zyx, strict=True))


def orientation_to(geometry: Geometry, letters: str) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Return the permutation and flips that make the array axes grow towards ``letters``.

    Parameters
    ----------
    geometry : Geometry
    letters : str
        Three letters in array order, e.g. "SPL".

    Returns
    -------
    permutation : tuple of 3 int
        For `numpy.transpose`.
    flips : tuple of 3 bool
        Which axes to reverse after the transpose.
    """
    have = geometry.axis_letters
    permutation, flips = [], []
    for letter in letters:
        axis = next(a for a, h in enumerate(have) if letter in (h, OPPOSITE[h]))
        permutation.append(axis)
        flips.append(have[axis] != letter)
    return tuple(permutation), tuple(flips)


def inverse_orientation(
    permutation: Sequence[int], flips: Sequence[bool]
) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Return the permutation and flips that undo a transpose followed by flips."""
    back = tuple(int(i) for i in np.argsort(permutation))
    return back, tuple(bool(flips[i]) for i in back)


def reorient_array(
    voxels: np.ndarray, permutation: Sequence[int], flips: Sequence[bool]
) -> np.ndarray:
    """Return a view of a 3-D array, transposed, then flipped along the given axes."""
    step = tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)
    return voxels.transpose(tuple(permutation))[step]


def _triple(values: Iterable[int]) -> Triple:
    a, b, c = (int(v) for v in values)
    return a, b, c


def _plain(values: Iterable[float]) -> str:
    return " x ".join(f"{v:g}" for v in _round(values))


def _round(values: Iterable[float]) -> Iterator[float]:
    return (round(float(v), 4) for v in values)
