"""What lies under the pointer: where it is, its value and its label."""

from __future__ import annotations

from dataclasses import dataclass

from app.core.document import Document


@dataclass(frozen=True)
class HoverInfo:
    """What lies under the pointer."""

    index_zyx: tuple[int, int, int]
    position_lps: tuple[float, float, float]
    value: float
    label_id: int


def hover_at(document: Document, position_zyx: tuple[float, float, float]) -> HoverInfo | None:
    """Return what lies at a position, counted in voxels; None outside the image."""
    geometry = document.volume.geometry
    if not geometry.contains(position_zyx):
        return None
    z, y, x = (round(p) for p in position_zyx)
    lps = geometry.index_to_lps((z, y, x))
    return HoverInfo(
        (z, y, x),
        (float(lps[0]), float(lps[1]), float(lps[2])),
        float(document.volume.voxels[z, y, x]),
        int(document.labelmap.voxels[z, y, x]),
    )
