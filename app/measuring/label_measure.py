"""Volume, intensities, diameters and surface of each label of a map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from app.core.geometry import Region
from app.core.labels import LabelTable
from app.core.tasks import JobContext
from app.core.volume import Volume
from app.measuring.diameter import Diameters, acquisition_axis, longest_diameters
from app.measuring.surface_area import surface_area_mm2

PERCENTILES = (5, 25, 50, 75, 95)
# Slices that are looked through at once, so that a job stops soon and holds up nobody.
_SLAB = 16
_CHUNK = 1 << 20


@dataclass(frozen=True)
class LabelMeasure:
    """What one label measures; intensities are the scan's, NaN where the label is empty.

    Attributes
    ----------
    label_id, n_voxels : int
    volume_ml : float
    mean, sd, minimum, maximum : float
        HU in CT. The standard deviation is that of the voxels themselves (divided by n).
    percentiles : tuple of 5 float
        At 5, 25, 50, 75 and 95 %.
    region : Region, optional
        The label's bounds; None if it is empty.
    diameters : Diameters, optional
    surface_mm2 : float
    """

    label_id: int
    n_voxels: int = 0
    volume_ml: float = 0.0
    mean: float = np.nan
    sd: float = np.nan
    minimum: float = np.nan
    maximum: float = np.nan
    percentiles: tuple[float, ...] = (np.nan,) * len(PERCENTILES)
    region: Region | None = None
    diameters: Diameters | None = None
    surface_mm2: float = 0.0


def measure_labels(
    volume: Volume,
    labels: np.ndarray,
    table: LabelTable,
    ctx: JobContext,
    *,
    earlier: Mapping[int, LabelMeasure] | None = None,
    changed: Region | None = None,
    has_shape: bool = True,
) -> tuple[LabelMeasure, ...]:
    """Return the measures of all labels that are listed or drawn, in the order of the list.

    Parameters
    ----------
    volume : Volume
    labels : (z, y, x) unsigned int
        On the volume's grid.
    table : LabelTable
    ctx : JobContext
    earlier : mapping of label id to LabelMeasure, optional
        From before; labels that did not change since are not measured again.
    changed : Region, optional
        Where voxels may have changed since ``earlier``; None for nowhere.
    has_shape : bool
        Whether diameters and surfaces are wanted, which take longer.
    """
    regions = label_regions(labels, ctx)
    known = {} if earlier is None else dict(earlier)
    if changed is not None:
        present = set(np.unique(labels[changed.slices]).tolist())
        known = {i: m for i, m in known.items() if i not in present and not _meets(m, changed)}
    listed = [info.id for info in table]
    wanted = [*listed, *(i for i in sorted(regions) if i not in table)]
    found = []
    for n, label_id in enumerate(wanted):
        ctx.report(n / len(wanted), "Measuring")
        measure = known.get(label_id)
        if measure is None:
            region = regions.get(label_id)
            measure = LabelMeasure(label_id)
            if region is not None:
                measure = _measured(volume, labels, label_id, region, ctx, has_shape=has_shape)
        found.append(measure)
    return tuple(found)


def label_regions(labels: np.ndarray, ctx: JobContext) -> dict[int, Region]:
    """Return the bounds of every label that is drawn, by its value."""
    # Here, because it would add to every start of the program.
    from scipy import ndimage

    regions: dict[int, Region] = {}
    for start in range(0, labels.shape[0], _SLAB):
        ctx.check()
        for value, box in enumerate(ndimage.find_objects(labels[start : start + _SLAB]), start=1):
            if box is None:
                continue
            z, y, x = box
            found = Region((z.start + start, y.start, x.start), (z.stop + start, y.stop, x.stop))
            regions[value] = found.union(regions.get(value, found))
    return regions


# -- inside -------------------------------------------------------------------------------------


def _meets(measure: LabelMeasure, region: Region) -> bool:
    return measure.region is not None and measure.region.intersection(region) is not None


def _measured(
    volume: Volume,
    labels: np.ndarray,
    label_id: int,
    region: Region,
    ctx: JobContext,
    *,
    has_shape: bool,
) -> LabelMeasure:
    geometry = volume.geometry
    mask = labels[region.slices] == label_id
    values = volume.voxels[region.slices][mask]
    mean = float(values.mean(dtype=np.float64))
    squares = 0.0
    # In pieces: no copy of a large label's values in a wider type.
    for start in range(0, values.size, _CHUNK):
        ctx.check()
        squares += float(((values[start : start + _CHUNK].astype(np.float64) - mean) ** 2).sum())
    diameters, surface_mm2 = None, np.nan
    if has_shape:
        spacing = geometry.spacing_zyx
        axis = acquisition_axis(spacing)
        diameters = longest_diameters(mask, region.start_zyx, spacing, axis, ctx)
        surface_mm2 = surface_area_mm2(mask, spacing, ctx)
    low, high = float(values.min()), float(values.max())
    return LabelMeasure(
        label_id,
        values.size,
        values.size * geometry.voxel_volume_ml,
        mean,
        float(np.sqrt(squares / values.size)),
        low,
        high,
        tuple(float(v) for v in np.percentile(values, PERCENTILES, overwrite_input=True)),
        region,
        diameters,
        surface_mm2,
    )
