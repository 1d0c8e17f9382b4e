"""What a predicted mask changes where the same object has an earlier one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from app.core.document import Document
from app.core.errors import GeometryError
from app.core.geometry import Region
from app.core.labels import DrawOver, VoxelDelta, writable


@dataclass(frozen=True, eq=False)
class Prediction:
    """A mask that a model made of an object, and the rules by which it enters the label map.

    Voxels that the earlier prediction wrote inside ``covered`` and that still hold its label are
    given back first; edits that a person made in between survive. Then the new mask is written
    where the draw-over policy and the padlocks allow it.

    Attributes
    ----------
    object_id, label_id : int
    region : Region, optional
        Where ``mask`` lies; None for an empty mask.
    mask : (z, y, x) bool, optional
        Shape of ``region``.
    covered : Region
        What the prediction speaks about: the slices that were run, whole.
    draw_over : DrawOver
    """

    object_id: int
    label_id: int
    region: Region | None
    mask: np.ndarray | None
    covered: Region
    draw_over: DrawOver

    def outcome(self, document: Document) -> tuple[VoxelDelta | None, Mapping[int, VoxelDelta]]:
        """Return the change of the label map, None if there is none, and `Document.written` then.

        Raises
        ------
        GeometryError
            The mask leaves the image, or does not have the shape of its region.
        """
        earlier = document.written.get(self.object_id)
        extent = self._extent(document, earlier)
        if extent is None:
            return None, document.written
        present = document.labelmap.voxels[extent.slices]
        # What was there before this object wrote anything.
        base = present.copy()
        if earlier is not None:
            restored = base.copy()
            touched = earlier.paint_old(restored, extent)
            still_ours = touched & (present == self.label_id)
            base[still_ours] = restored[still_ours]
        after = self._after(document, extent, base, present)
        written = {k: v for k, v in document.written.items() if k != self.object_id}
        own = VoxelDelta.from_blocks(extent, base, after)
        if own is not None:
            written[self.object_id] = own
        return VoxelDelta.from_blocks(extent, present, after), written

    def _extent(self, document: Document, earlier: VoxelDelta | None) -> Region | None:
        """Return what the mask and the earlier prediction cover; None if both are empty."""
        if self.region is not None:
            if self.mask is None or self.mask.shape != self.region.shape_zyx:
                raise GeometryError("The predicted mask does not have the shape of its region.")
            if not self.region.is_inside(document.volume.geometry.shape_zyx):
                raise GeometryError("The predicted mask leaves the image.")
        earlier_region = None if earlier is None else earlier.region
        parts = [r for r in (self.region, earlier_region) if r is not None]
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else parts[0].union(parts[1])

    def _after(
        self, document: Document, extent: Region, base: np.ndarray, present: np.ndarray
    ) -> np.ndarray:
        """Return the label values of the extent with the mask written."""
        # Outside what was run, the earlier prediction stands.
        after = present.copy()
        covered = extent.intersection(self.covered)
        if covered is not None:
            inside = covered.relative_to(extent).slices
            after[inside] = base[inside]
        if self.region is not None and self.mask is not None:
            where = self.region.relative_to(extent).slices
            block = after[where]
            allowed = writable(block, self.label_id, document.label_table, self.draw_over)
            if self.label_id > np.iinfo(after.dtype).max:
                after = after.astype(np.uint16)
                block = after[where]
            block[self.mask & allowed] = self.label_id
        # A padlock that was closed after the prediction was made keeps its voxels.
        locked = document.label_table.locked_ids
        if locked:
            keep = np.isin(present, locked)
            after[keep] = present[keep]
        return after
