"""Other outlines of the latest answer, where the model was unsure, one after the other."""

from __future__ import annotations

import numpy as np

from app.core.geometry import Region
from models.base import SegmentationResult


class Alternatives:
    """The answer that is in the document and its alternatives, in a ring.

    Parameters
    ----------
    object_id, label_id : int
        Whose masks they are.
    result : SegmentationResult
        With alternatives.
    """

    def __init__(self, object_id: int, label_id: int, result: SegmentationResult) -> None:
        self.object_id = object_id
        self.label_id = label_id
        self.covered = result.covered
        first = np.zeros(result.covered.shape_zyx, bool)
        if result.region is not None and result.mask is not None:
            inside = result.region.moved_by([-v for v in result.covered.start_zyx])
            first[inside.slices] = result.mask
        self._outlines = (first, *result.alternatives)
        self._shown = 0

    def next(self) -> tuple[Region | None, np.ndarray | None]:
        """Return the next outline as a tight region of the volume and its (z, y, x) bool mask."""
        self._shown = (self._shown + 1) % len(self._outlines)
        outline = self._outlines[self._shown]
        tight = Region.of_mask(outline)
        if tight is None:
            return None, None
        return tight.moved_by(self.covered.start_zyx), outline[tight.slices]
