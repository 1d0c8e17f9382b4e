"""Shapes of masks in millimetres: grow, shrink, smooth, fill holes, sort out pieces.

Every function takes and returns (z, y, x) bool and leaves its input as it is. Voxels may be longer
along one axis than along another; distances go from centre to centre.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# SimpleITK and SciPy are imported where they are needed: the window is up half a second sooner.
# `warm_up` imports them on a worker, so that nobody waits for them on the first edit either.

Spacing = tuple[float, float, float]

# A millimetre is reached even if adding up voxel sizes came out a hair longer.
_HAIR = 1 + 1e-5


def warm_up() -> None:
    """Load the libraries that editing needs."""
    import SimpleITK  # noqa: F401
    from scipy import ndimage  # noqa: F401


def distance_mm(mask: np.ndarray, spacing_zyx: Spacing) -> np.ndarray:
    """Return each voxel's distance in mm from the nearest voxel of the mask; 0 inside.

    Maurer, Qi, Raghavan: "A linear time algorithm for computing exact Euclidean distance
    transforms of binary images in arbitrary dimensions", IEEE PAMI 25(2), 2003.

    Parameters
    ----------
    mask : (z, y, x) bool
    spacing_zyx : tuple of 3 float
        Voxel size in mm.

    Returns
    -------
    (z, y, x) float32
        Infinite everywhere if the mask is empty.
    """
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(mask.view(np.uint8))
    image.SetSpacing(spacing_zyx[::-1])  # ITK counts x first
    signed = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    return np.maximum(sitk.GetArrayFromImage(signed), 0)


def grow(mask: np.ndarray, spacing_zyx: Spacing, margin_mm: float) -> np.ndarray:
    """Return the mask with every voxel within a distance of it."""
    grown: np.ndarray = distance_mm(mask, spacing_zyx) <= margin_mm * _HAIR
    return grown


def shrink(mask: np.ndarray, spacing_zyx: Spacing, margin_mm: float) -> np.ndarray:
    """Return the mask without the voxels that are within a distance of what is outside.

    Beyond the array nothing is outside: where the object leaves the scan it is not worn away.
    """
    kept: np.ndarray = distance_mm(~mask, spacing_zyx) > margin_mm * _HAIR
    return kept


def smooth_median(mask: np.ndarray, spacing_zyx: Spacing, radius_mm: float) -> np.ndarray:
    """Return where most of a voxel's surroundings are inside: a block of this radius around it.

    Takes away spikes and fills dents; straight faces stay where they are.
    """
    from scipy import ndimage

    size = [2 * int(radius_mm / s + 0.5) + 1 for s in spacing_zyx]
    share = ndimage.uniform_filter(mask.astype(np.float32), size, mode="nearest")
    # The number of voxels in the block is odd: there are no ties.
    smooth: np.ndarray = share > 0.5
    return smooth


def smooth_gaussian(mask: np.ndarray, spacing_zyx: Spacing, sigma_mm: float) -> np.ndarray:
    """Return where the mask, blurred by a Gaussian, is above one half.

    Rounds corners; convex objects get a little smaller.
    """
    from scipy import ndimage

    sigma = [sigma_mm / s for s in spacing_zyx]
    blurred = ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="nearest")
    smooth: np.ndarray = blurred > 0.5
    return smooth


def fill_holes(mask: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Return the mask with every cavity filled that has no way out.

    Ways go through the faces of voxels. An opening at the border of the array is a way out.

    Parameters
    ----------
    mask : (z, y, x) bool
    axis : int, optional
        Fill holes of the slices along this axis, each on its own; None for cavities in 3-D.
    """
    from scipy import ndimage

    steps = ndimage.generate_binary_structure(3, 1)
    pad = [(1, 1)] * 3
    if axis is not None:
        # Slices are not connected, nor is there anything beyond the first and the last.
        steps = steps & (np.indices((3, 3, 3))[axis] == 1)
        pad[axis] = (0, 0)
    pieces, _ = ndimage.label(~np.pad(mask, pad), steps)
    outside = np.unique(np.moveaxis(pieces, axis or 0, 0)[:, 0, 0])
    is_outside = np.zeros(int(pieces.max()) + 1, bool)
    is_outside[outside] = True
    is_outside[0] = False  # that is the mask itself
    inner = tuple(slice(a, n - b) for (a, b), n in zip(pad, pieces.shape, strict=True))
    return ~is_outside[pieces[inner]]


def keep_largest(mask: np.ndarray) -> np.ndarray:
    """Return the largest piece of the mask; voxels are connected through their faces.

    Of several that are equally large, the first one in array order.
    """
    return _kept(mask, lambda sizes: np.arange(sizes.size) == sizes.argmax())


def remove_islands(mask: np.ndarray, spacing_zyx: Spacing, min_ml: float) -> np.ndarray:
    """Return the mask without pieces smaller than a volume in millilitres."""
    voxel_ml = float(np.prod(spacing_zyx)) / 1000
    return _kept(mask, lambda sizes: sizes * voxel_ml * _HAIR >= min_ml)


def piece_at(mask: np.ndarray, index_zyx: tuple[int, int, int]) -> np.ndarray:
    """Return the piece of the mask that holds a voxel; nothing if the mask does not hold it."""
    if not mask[index_zyx]:
        return np.zeros_like(mask)
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    seed = tuple(int(i) for i in index_zyx[::-1])  # ITK counts x first
    filled = sitk.ConnectedThreshold(image, [seed], lower=1, upper=1)
    piece: np.ndarray = sitk.GetArrayFromImage(filled).view(bool)
    return piece


def _kept(mask: np.ndarray, is_kept: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    from scipy import ndimage

    pieces, n = ndimage.label(mask)
    if n == 0:
        return mask.copy()
    sizes = np.bincount(pieces.ravel())
    keep = np.zeros(n + 1, bool)
    keep[1:] = is_kept(sizes[1:])
    kept: np.ndarray = keep[pieces]
    return kept
