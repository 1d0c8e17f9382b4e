"""Labels of one grid on another: resampled, where a person has agreed to it."""

from __future__ import annotations

import numpy as np

from app.core.errors import GeometryError
from app.core.geometry import Geometry
from app.core.tasks import JobContext
from app.core.volume import Volume
from app.io.itk_bridge import to_image

# Depths of slices may differ from even steps by this part of a step.
_UNEVEN = 0.05


def labels_on(
    labels: np.ndarray, own: Geometry, like: Geometry, ctx: JobContext | None = None
) -> np.ndarray:
    """Return labels on another grid: each voxel has the label of the voxel that its centre lies in.

    Nothing is mixed, so no value arises that was not there before; thin structures between the
    centres of coarser voxels are lost.

    Parameters
    ----------
    labels : (z, y, x) unsigned int
    own, like : Geometry
        The grid of the labels, and the one that is wanted.
    ctx : JobContext, optional

    Returns
    -------
    (z, y, x) of the dtype of ``labels``
        0 outside of ``own``.

    Raises
    ------
    GeometryError
        There are labels, but none lies inside of ``like``.
    """
    import SimpleITK as sitk

    if ctx is not None:
        ctx.check()
    spacing = np.array(like.spacing_zyx[::-1])
    image = to_image(labels, Volume(labels, own))
    found = sitk.Resample(
        image,
        like.shape_zyx[::-1],
        sitk.Transform(),
        sitk.sitkNearestNeighbor,
        like.affine[:3, 3].tolist(),
        spacing.tolist(),
        (like.affine[:3, 2::-1] / spacing).ravel().tolist(),
        0,
        image.GetPixelID(),
    )
    result: np.ndarray = sitk.GetArrayFromImage(found)
    if labels.any() and not result.any():
        raise GeometryError("The labels lie outside of the scan.")
    return result


def even_steps(depths: np.ndarray, step: float | None = None) -> tuple[float, float, int]:
    """Return the first of some slice depths, their step, and how many slices there are.

    Slices may be missing in between, and a depth may occur more than once.

    Parameters
    ----------
    depths : (n,) float
    step : float, optional
        Where it is known; else the smallest distance.

    Raises
    ------
    GeometryError
        There is one slice only, or the steps are uneven.
    """
    found = np.unique(np.round(depths, 4))
    gaps = np.diff(found)
    gaps = gaps[gaps > 1e-3 * max(1e-9, float(np.ptp(found)))]
    if not len(gaps):
        if step:
            return float(found[0]), step, 1
        raise GeometryError(
            "The labels are not on the grid of the scan, and hold one slice alone, which cannot "
            "be resampled."
        )
    step = step or float(gaps.min())
    whole = (found - found[0]) / step
    if np.abs(whole - np.rint(whole)).max() > _UNEVEN * max(1.0, float(whole[-1]) / 20):
        raise GeometryError(
            "The labels are not on the grid of the scan, and their slices are unevenly spaced, so "
            "they cannot be resampled."
        )
    n = round(float(whole[-1])) + 1
    return float(found[0]), float(found[-1] - found[0]) / (n - 1), n
