"""Paint and erase by hand: a disk in mm on the plane under the pointer."""

from __future__ import annotations

import math

import numpy as np

from app.core.commands import EditVoxels
from app.core.document import Document
from app.core.labels import with_mask
from app.core.prompts import slice_region
from app.tools import TOOLS, Shape, ToolEvent, ToolHost, in_plane, slice_of


class BrushTool:
    """One stroke is one undo step; the right button or Shift erases the active label."""

    id = "brush"
    title = "Brush"
    shortcut = "D"
    hint = "Paint; right button or Shift erases. [ and ] change the size."
    takes_clicks = True

    def __init__(self) -> None:
        self.radius_mm = 5.0
        self._document: Document | None = None
        self._start: ToolEvent | None = None
        self._last: ToolEvent | None = None

    def press(self, host: ToolHost, event: ToolEvent) -> None:
        self.cancel(host)
        if host.document is None or host.document.is_in_group:
            return
        host.document.label_table.require_open(host.view_state.active_label)
        self._document, self._start, self._last = host.document, event, event
        self._document.begin_group("Erase" if event.is_alternate else "Paint")
        self._dab(host, event, event)

    def drag(self, host: ToolHost, event: ToolEvent) -> None:
        if self._document is None or self._last is None or event.axis != self._last.axis:
            return
        self._dab(host, self._last, event)
        self._last = event

    def release(self, host: ToolHost, event: ToolEvent) -> None:
        document, self._document, self._start, self._last = self._document, None, None, None
        if document is not None:
            document.commit_group()

    def cancel(self, host: ToolHost) -> None:
        document, self._document, self._start, self._last = self._document, None, None, None
        if document is not None:
            document.abort_group()

    def shapes(self) -> tuple[Shape, ...]:
        if self._start is None or self._last is None:
            return ()
        at = (self._last.position_zyx,)
        return (Shape("circle", self._start.axis, slice_of(self._start), at, self.radius_mm),)

    def _dab(self, host: ToolHost, start: ToolEvent, stop: ToolEvent) -> None:
        """Paint every voxel within the radius of the segment between two positions."""
        document, pressed = self._document, self._start
        assert document is not None
        assert pressed is not None
        axis = pressed.axis
        spacing = [s for a, s in enumerate(document.volume.geometry.spacing_zyx) if a != axis]
        shape = [n for a, n in enumerate(document.volume.voxels.shape) if a != axis]
        ends = np.array([in_plane(e.position_zyx, axis) for e in (start, stop)])
        reach = [self.radius_mm / s for s in spacing]
        low = [max(0, math.floor(ends[:, i].min() - reach[i])) for i in range(2)]
        high = [min(shape[i], math.ceil(ends[:, i].max() + reach[i]) + 1) for i in range(2)]
        index = slice_of(pressed)
        if low[0] >= high[0] or low[1] >= high[1]:
            return
        if not 0 <= index < document.volume.voxels.shape[axis]:
            return
        region = slice_region(axis, index, (low[0], low[1], high[0], high[1]))
        inside = _near_segment(low, high, ends, spacing, self.radius_mm)
        inside = np.expand_dims(inside, axis)
        label_id = host.view_state.active_label
        present = document.labelmap.voxels[region.slices]
        own = present == label_id
        # Shift may be let go of during a stroke; what counts is how it began.
        mask = own & ~inside if pressed.is_alternate else own | inside
        block = with_mask(present, label_id, mask, document.label_table, host.draw_over)
        document.do(EditVoxels("Paint", region, block))


def _near_segment(
    low: list[int], high: list[int], ends: np.ndarray, spacing: list[float], radius_mm: float
) -> np.ndarray:
    """Return which voxels of a (rows, columns) block lie within a radius of a segment."""
    rows, columns = np.mgrid[low[0] : high[0], low[1] : high[1]]
    points = np.stack([rows * spacing[0], columns * spacing[1]], axis=-1)
    a, b = ends[0] * spacing, ends[1] * spacing
    along = b - a
    length = float(along @ along)
    share = np.clip(((points - a) @ along) / length, 0, 1) if length > 0 else 0.0
    nearest = a + np.multiply.outer(share, along) if length > 0 else a
    offset = points - nearest
    return (offset**2).sum(axis=-1) <= radius_mm**2


TOOLS.register(BrushTool())
