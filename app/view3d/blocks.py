"""What the scene is made of: how much of each voxel a label fills, and a small copy of the scan.

Both are averaged down to a size that can be drawn quickly; where they lie in space stays exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.core.geometry import Geometry, Region
from app.core.tasks import JobContext
from app.core.volume import Modality, Volume

# A surface is made of at most so many voxels.
MAX_LABEL_VOXELS = 4_000_000
# Where no GPU helps, more would be drawn too slowly.
MAX_VOLUME_VOXELS = 4_000_000
INSIDE = 255


@dataclass(frozen=True, eq=False)
class LabelBlock:
    """One label's part of the grid.

    Attributes
    ----------
    label_id : int
    region : Region
        The tight region of the label in the label map.
    filled : (z, y, x) uint8
        0 outside the label, 255 inside, between where voxels were averaged. Its border is 0.
    geometry : Geometry
        Where the voxels of ``filled`` lie.
    """

    label_id: int
    region: Region
    filled: np.ndarray
    geometry: Geometry


def label_blocks(
    labels: np.ndarray,
    region: Region,
    geometry: Geometry,
    ctx: JobContext,
    max_voxels: int = MAX_LABEL_VOXELS,
) -> tuple[LabelBlock, ...]:
    """Return a block for every label in a part of the label map, which holds them whole.

    Parameters
    ----------
    labels : (z, y, x) integers
        A copy of the region.
    region : Region
    geometry : Geometry
        Of the whole label map.
    """
    blocks = []
    for label_id, (first, last) in sorted(_slices_of_labels(labels, ctx).items()):
        mask = labels[first : last + 1] == label_id
        tight = Region.of_mask(mask)
        assert tight is not None
        ctx.check()
        start = tuple(a + b for a, b in zip(region.start_zyx, (first, 0, 0), strict=True))
        inside = mask[tight.slices]
        filled, factors = pooled(inside.view(np.uint8) * np.uint8(INSIDE), max_voxels)
        ctx.check()
        where = tight.moved_by(start)
        coarse = coarse_geometry(geometry, where.start_zyx, filled.shape, factors)
        # A ring of outside closes the surface at the border of the scan.
        ringed = coarse_geometry(coarse, (-1, -1, -1), tuple(n + 2 for n in filled.shape))
        blocks.append(LabelBlock(label_id, where, np.pad(filled, 1), ringed))
    return tuple(blocks)


def _slices_of_labels(labels: np.ndarray, ctx: JobContext) -> dict[int, tuple[int, int]]:
    """Return the first and the last slice of each label but 0."""
    found: dict[int, tuple[int, int]] = {}
    for index, one in enumerate(labels):
        if index % 16 == 0:
            ctx.check()
        if not one.any():
            continue
        for label_id in np.flatnonzero(np.bincount(one.ravel())).tolist():
            if label_id:
                found[label_id] = (found.get(label_id, (index, index))[0], index)
    return found


@dataclass(frozen=True, eq=False)
class SmallVolume:
    """A scan for rendering.

    Attributes
    ----------
    values : (z, y, x) int16
        HU for CT; else thousandths of the range from the 1st to the 99th percentile.
    geometry : Geometry
    modality : Modality
    """

    values: np.ndarray
    geometry: Geometry
    modality: Modality


def small_volume(
    volume: Volume, ctx: JobContext, max_voxels: int = MAX_VOLUME_VOXELS
) -> SmallVolume:
    """Return a scan averaged down to at most so many voxels."""
    small, factors = pooled(volume.voxels, max_voxels, ctx)
    geometry = coarse_geometry(volume.geometry, (0, 0, 0), small.shape, factors)
    values = small.astype(np.float32)
    if volume.modality is not Modality.CT:
        low, high = np.percentile(values.ravel()[:: max(1, values.size // 200_000)], (1, 99))
        values = (values - low) * (1000 / max(float(high - low), 1e-6))
    limits = np.iinfo(np.int16)
    clipped = np.clip(np.nan_to_num(np.rint(values)), limits.min, limits.max)
    return SmallVolume(clipped.astype(np.int16), geometry, volume.modality)


def pooled(
    voxels: np.ndarray, max_voxels: int, ctx: JobContext | None = None
) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Return means of blocks of voxels, few enough, and the size (z, y, x) of a block.

    The longest axis is halved again and again; voxels that fill no block at the far end are
    averaged with copies of the last.
    """
    factors = [1, 1, 1]
    shape = list(voxels.shape)
    while np.prod(shape) > max_voxels:
        axis = int(np.argmax(shape))
        factors[axis] *= 2
        shape[axis] = -(-voxels.shape[axis] // factors[axis])
    f, g, h = factors
    if f * g * h == 1:
        return voxels, (f, g, h)
    small = np.empty(shape, np.float32)
    for index in range(shape[0]):
        if ctx is not None:
            ctx.check()
        slab = voxels[index * f : (index + 1) * f].mean(axis=0, dtype=np.float32)
        missing = [(0, n * k - m) for n, k, m in zip(shape[1:], (g, h), slab.shape, strict=True)]
        slab = np.pad(slab, missing, mode="edge")
        small[index] = slab.reshape(shape[1], g, shape[2], h).mean(axis=(1, 3))
    if np.issubdtype(voxels.dtype, np.integer):
        small = np.rint(small).astype(voxels.dtype)
    return small, (f, g, h)


def coarse_geometry(
    geometry: Geometry,
    start_zyx: tuple[int, ...],
    shape_zyx: tuple[int, ...],
    factors: tuple[int, int, int] = (1, 1, 1),
) -> Geometry:
    """Return the grid of blocks of voxels that begins at voxel ``start_zyx`` of another grid."""
    factor = np.array(factors, np.float64)
    affine = geometry.affine.copy()
    affine[:3, :3] *= factor
    # The centre of the first block lies between the centres of its voxels.
    affine[:3, 3] = geometry.index_to_lps(np.array(start_zyx) + (factor - 1) / 2)
    z, y, x = shape_zyx
    return Geometry((z, y, x), affine)
