"""Slices between drawn slices: contours that turn from one shape into the next."""

from __future__ import annotations

import itertools

import numpy as np

from app.editing.morphology import distance_mm


def fill_between(
    mask: np.ndarray, spacing_zyx: tuple[float, float, float], axis: int
) -> np.ndarray:
    """Return the mask with the empty slices between drawn ones filled in.

    Shape-based interpolation: Raya and Udupa, "Shape-based interpolation of multidimensional
    objects", IEEE TMI 9(1), 1990. Signed distances to the two contours are mixed in proportion;
    the object is where the mixture is inside. Two shapes that do not overlap are first shifted
    onto the line between their centres, or nothing would be left half-way.

    Parameters
    ----------
    mask : (z, y, x) bool
    spacing_zyx : tuple of 3 float
        Voxel size in mm.
    axis : int
        The axis across the slices.

    Returns
    -------
    (z, y, x) bool
        Drawn slices are as they were; slices before the first and after the last stay empty.
    """
    slices = np.moveaxis(mask, axis, 0)
    spacing = [s for a, s in enumerate(spacing_zyx) if a != axis]
    drawn = np.flatnonzero(slices.any(axis=(1, 2)))
    filled = mask.copy()
    out = np.moveaxis(filled, axis, 0)
    for first, last in itertools.pairwise(drawn):
        for index in range(first + 1, last):
            share = (index - first) / (last - first)
            out[index] = mixed_shape(slices[first], slices[last], share, (spacing[0], spacing[1]))
    return filled


def mixed_shape(
    first: np.ndarray, last: np.ndarray, share: float, spacing_rc: tuple[float, float]
) -> np.ndarray:
    """Return the 2-D shape that lies between two: the first at share 0, the last at share 1."""
    if not (first & last).any():
        centre = [np.argwhere(shape).mean(axis=0) for shape in (first, last)]
        way = centre[1] - centre[0]
        return _shifted_mix(first, last, share, spacing_rc, way)
    mix = (1 - share) * _signed_mm(first, spacing_rc) + share * _signed_mm(last, spacing_rc)
    inside: np.ndarray = mix < 0
    return inside


def _shifted_mix(
    first: np.ndarray,
    last: np.ndarray,
    share: float,
    spacing_rc: tuple[float, float],
    way_rc: np.ndarray,
) -> np.ndarray:
    from scipy import ndimage

    # Each shape is moved to where the object is by now; beyond the slice all is outside.
    moved = [
        ndimage.shift(_signed_mm(shape, spacing_rc), by, order=1, mode="nearest")
        for shape, by in ((first, share * way_rc), (last, (share - 1) * way_rc))
    ]
    inside: np.ndarray = (1 - share) * moved[0] + share * moved[1] < 0
    return inside


def _signed_mm(shape: np.ndarray, spacing_rc: tuple[float, float]) -> np.ndarray:
    """Return the distance in mm from the rim of a 2-D shape, negative inside.

    The rim lies half-way between the centres of neighbouring pixels inside and outside: each
    distance is the mean of those from the last pixel on this side and the first on the other.
    Without that a mixture of shapes is off by up to half a pixel.
    """
    from scipy import ndimage

    last_inside = shape & ~ndimage.binary_erosion(shape, border_value=1)
    first_outside = ndimage.binary_dilation(shape) & ~shape
    outwards = (_distance_mm(shape, spacing_rc) + _distance_mm(first_outside, spacing_rc)) / 2
    inwards = (_distance_mm(~shape, spacing_rc) + _distance_mm(last_inside, spacing_rc)) / 2
    # A shape that fills the slice has no rim; all of it is then far inside, but finitely so.
    far = float(np.hypot(*np.multiply(shape.shape, spacing_rc)))
    signed: np.ndarray = np.where(shape, -np.minimum(inwards, far), np.minimum(outwards, far))
    return signed


def _distance_mm(shape: np.ndarray, spacing_rc: tuple[float, float]) -> np.ndarray:
    distance: np.ndarray = distance_mm(shape[None], (1.0, *spacing_rc))[0]
    return distance
