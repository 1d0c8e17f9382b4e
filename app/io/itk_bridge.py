"""Between files and the canonical array: the one place that knows a file's own axis order.

Files count voxels (i, j, k), first index fastest; SimpleITK and nibabel both count like that.
Arrays in this program are (z, y, x) with axes that grow to S, P, L. The way between the two is a
permutation and flips, never a resampling, and follows from the three letters that a `Volume`
keeps as ``source_orientation``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from app.core.errors import GeometryError, ReadError
from app.core.geometry import (
    OPPOSITE,
    Geometry,
    Region,
    inverse_orientation,
    orientation_to,
    reorient_array,
)
from app.core.volume import CANONICAL, Volume

if TYPE_CHECKING:
    import SimpleITK

Triple = tuple[int, int, int]


def file_geometry(shape_ijk: Sequence[int], affine_ijk: np.ndarray) -> Geometry:
    """Return the grid of a file's array in (k, j, i) order, not yet canonical.

    Parameters
    ----------
    shape_ijk : sequence of 3 int
    affine_ijk : (4, 4) float
        ``point_lps = affine_ijk @ (i, j, k, 1)``, mm.

    Raises
    ------
    GeometryError
        The affine is singular, sheared or not finite.
    """
    affine = np.array(affine_ijk, dtype=np.float64)
    affine[:, :3] = affine[:, 2::-1]
    return Geometry((int(shape_ijk[2]), int(shape_ijk[1]), int(shape_ijk[0])), affine)


def canonical_geometry(file_grid: Geometry) -> tuple[Geometry, str]:
    """Return the canonical grid of a file's (k, j, i) grid, and its source orientation."""
    letters = file_grid.axis_letters
    permutation, flips = orientation_to(file_grid, CANONICAL)
    return file_grid.reoriented(permutation, flips), "".join(reversed(letters))


def file_layout(source_orientation: str) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Return the permutation and flips from the canonical array to the file's (k, j, i) array.

    It follows from the letters alone, so that an axis at 45 degrees, which has no clear nearest
    letter, takes the same way back as it came.
    """
    permutation, flips = [], []
    for letter in reversed(source_orientation):
        is_flipped = letter not in CANONICAL
        permutation.append(CANONICAL.index(OPPOSITE[letter] if is_flipped else letter))
        flips.append(is_flipped)
    return tuple(permutation), tuple(flips)


def to_file_array(voxels: np.ndarray, source_orientation: str) -> np.ndarray:
    """Return a view of a canonical (z, y, x) array in the file's (k, j, i) order."""
    return reorient_array(voxels, *file_layout(source_orientation))


def from_file_array(voxels_kji: np.ndarray, source_orientation: str) -> np.ndarray:
    """Return a canonical (z, y, x) view of an array in the file's (k, j, i) order."""
    permutation, flips = inverse_orientation(*file_layout(source_orientation))
    return reorient_array(voxels_kji, permutation, flips)


def source_geometry(volume: Volume) -> Geometry:
    """Return the grid of the opened file in its own (k, j, i) array order."""
    return volume.geometry.reoriented(*file_layout(volume.source_orientation))


# -- indices ------------------------------------------------------------------------------------


def to_source_index(volume: Volume, index_zyx: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return indices (..., 3) in the file's (i, j, k) order of canonical indices (..., 3)."""
    permutation, flips = file_layout(volume.source_orientation)
    index = np.asarray(index_zyx, dtype=np.float64)[..., list(permutation)]
    last = np.asarray(volume.geometry.shape_zyx)[list(permutation)] - 1
    return np.where(flips, last - index, index)[..., ::-1]


def from_source_index(volume: Volume, index_ijk: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return canonical indices (..., 3) of indices (..., 3) in the file's (i, j, k) order."""
    permutation, flips = file_layout(volume.source_orientation)
    index = np.asarray(index_ijk, dtype=np.float64)[..., ::-1]
    last = np.asarray(volume.geometry.shape_zyx)[list(permutation)] - 1
    return np.where(flips, last - index, index)[..., list(np.argsort(permutation))]


def to_source_region(volume: Volume, region: Region) -> tuple[Triple, Triple]:
    """Return (start_ijk, stop_ijk), half-open, of a canonical region."""
    first = to_source_index(volume, region.start_zyx)
    last = to_source_index(volume, [b - 1 for b in region.stop_zyx])
    return _triple(np.minimum(first, last)), _triple(np.maximum(first, last) + 1)


def from_source_region(volume: Volume, start_ijk: Sequence[int], stop_ijk: Sequence[int]) -> Region:
    """Return the canonical region of a half-open block of the file's own indices.

    Raises
    ------
    GeometryError
        The block holds no voxel.
    """
    if any(b <= a for a, b in zip(start_ijk, stop_ijk, strict=True)):
        raise GeometryError(f"A block from {list(start_ijk)} to {list(stop_ijk)} holds no voxel.")
    first = from_source_index(volume, start_ijk)
    last = from_source_index(volume, [b - 1 for b in stop_ijk])
    return Region(_triple(np.minimum(first, last)), _triple(np.maximum(first, last) + 1))


def source_axis(volume: Volume, axis: int) -> int:
    """Return the file axis (0 = i, 1 = j, 2 = k) that a canonical axis (0 = z) runs along."""
    permutation, _ = file_layout(volume.source_orientation)
    return 2 - permutation.index(axis)


def canonical_axis(volume: Volume, file_axis: int) -> int:
    """Return the canonical axis (0 = z) that a file axis (0 = i, 1 = j, 2 = k) runs along."""
    permutation, _ = file_layout(volume.source_orientation)
    return permutation[2 - file_axis]


def flip_range(volume: Volume, axis: int, start: int, stop: int) -> tuple[int, int]:
    """Return a half-open range along a canonical axis as the file counts it, or the reverse."""
    permutation, flips = file_layout(volume.source_orientation)
    if not flips[permutation.index(axis)]:
        return start, stop
    n = volume.geometry.shape_zyx[axis]
    return n - stop, n - start


# -- SimpleITK ----------------------------------------------------------------------------------


def to_image(voxels: np.ndarray, volume: Volume) -> SimpleITK.Image:
    """Return a SimpleITK image of canonical voxels, on the grid and axis order of the source.

    Parameters
    ----------
    voxels : (z, y, x) array
        On the grid of ``volume``: its own intensities, or labels.
    volume : Volume
    """
    import SimpleITK as sitk

    grid = source_geometry(volume)
    image = sitk.GetImageFromArray(
        np.ascontiguousarray(to_file_array(voxels, volume.source_orientation))
    )
    steps_ijk = grid.affine[:3, 2::-1]
    spacing_ijk = np.array(grid.spacing_zyx[::-1])
    image.SetSpacing([float(s) for s in spacing_ijk])
    image.SetOrigin([float(p) for p in grid.affine[:3, 3]])
    image.SetDirection([float(d) for d in (steps_ijk / spacing_ijk).ravel()])
    return image


def from_image(image: SimpleITK.Image, *, name: str = "") -> Volume:
    """Return a volume in canonical orientation from a SimpleITK image of two or three axes.

    Raises
    ------
    ReadError
        The image has four axes, or several values per voxel.
    GeometryError
        Its axes are sheared or do not span space.
    """
    import SimpleITK as sitk

    if image.GetNumberOfComponentsPerPixel() != 1:
        raise ReadError(
            f"The image has {image.GetNumberOfComponentsPerPixel()} values per voxel; "
            "only images with one grey value per voxel can be opened."
        )
    if image.GetDimension() == 2:
        image = sitk.JoinSeries([image])
    if image.GetDimension() != 3:
        raise ReadError(f"The image has {image.GetDimension()} axes; open one volume of it.")
    spacing, direction = np.array(image.GetSpacing()), np.array(image.GetDirection())
    affine_ijk = np.eye(4)
    affine_ijk[:3, :3] = direction.reshape(3, 3) * spacing
    affine_ijk[:3, 3] = image.GetOrigin()
    geometry, orientation = canonical_geometry(file_geometry(image.GetSize(), affine_ijk))
    voxels = from_file_array(sitk.GetArrayViewFromImage(image), orientation)
    return Volume(np.array(voxels, order="C"), geometry, source_orientation=orientation, name=name)


def _triple(values: np.ndarray) -> Triple:
    a, b, c = (round(float(v)) for v in values)
    return a, b, c
