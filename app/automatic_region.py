"""A region of interest from a box that a person drew."""

from __future__ import annotations

import math

from app.core.geometry import Geometry, Region
from app.core.prompts import BoxPrompt


def region_round(box: BoxPrompt, geometry: Geometry) -> Region:
    """Return the region that a box stands for, inside the scan.

    A box that is thick along all axes, or that was carried through slices, says itself how far it
    reaches. One on a single slice reaches as far along its axis as it is wide, in millimetres.

    Parameters
    ----------
    box : BoxPrompt
    geometry : Geometry
    """
    axis, region = box.axis, box.region
    low, high = region.start_zyx[axis], region.stop_zyx[axis]
    if box.through is not None:
        low, high = min(low, box.through[0]), max(high, box.through[1])
    elif not box.is_3d:
        sides = [
            n * mm
            for a, (n, mm) in enumerate(zip(region.shape_zyx, geometry.spacing_zyx, strict=True))
            if a != axis
        ]
        reach = math.ceil(max(sides) / 2 / geometry.spacing_zyx[axis])
        low, high = low - reach, high + reach
    n_slices = geometry.shape_zyx[axis]
    return region.with_axis(axis, max(0, low), min(n_slices, high))
