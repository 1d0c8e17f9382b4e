"""Paint and erase by hand: a disk in mm on the plane under the pointer, or a ball."""

from __future__ import annotations

import numpy as np

from app.core.commands import EditVoxels
from app.core.document import Document
from app.core.geometry import Region
from app.core.labels import with_mask
from app.tools import TOOLS, Shape, ToolEvent, ToolHost, slice_of


class BrushTool:
    """One stroke is one undo step; the right button or Shift erases the active label.

    Attributes
    ----------
    radius_mm : float
    is_ball : bool
        Whether it reaches into neighbouring slices.
    limits : tuple of 2 float, optional
        Lowest and highest intensity that it touches.
    """

    id = "brush"
    title = "Brush"
    shortcut = "D"
    hint = "Paint; right button or Shift erases. [ and ] change the size."
    takes_clicks = True

    def __init__(self) -> None:
        self.radius_mm = 5.0
        self.is_ball = False
        self.limits: tuple[float, float] | None = None
        self._document: Document | None = None
        self._label_id = 0
        self._start: ToolEvent | None = None
        self._last: ToolEvent | None = None

    def press(self, host: ToolHost, event: ToolEvent) -> None:
        self.cancel(host)
        if host.document is None or host.document.is_in_group:
            return
        self._label_id = host.view_state.active_label
        host.document.label_table.require_open(self._label_id)
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
        volume, index = document.volume, slice_of(pressed)
        # A label may be deleted during a stroke; there is nothing left to paint then.
        label_id, is_known = self._label_id, self._label_id in document.label_table
        if not is_known or not 0 <= index < volume.voxels.shape[pressed.axis]:
            return
        ends = np.array([start.position_zyx, stop.position_zyx])
        ends[:, pressed.axis] = index  # the stroke stays on the slice where it began
        spacing = np.array(volume.geometry.spacing_zyx)
        reach = self.radius_mm / spacing
        if not self.is_ball:
            reach[pressed.axis] = 0
        low = np.floor(ends.min(axis=0) - reach).astype(int)
        high = np.ceil(ends.max(axis=0) + reach).astype(int) + 1
        low, high = np.maximum(low, 0), np.minimum(high, volume.voxels.shape)
        if (low >= high).any():
            return
        region = Region((low[0], low[1], low[2]), (high[0], high[1], high[2]))
        inside = _near_segment(region, ends, spacing, self.radius_mm)
        if self.limits is not None:
            values = volume.voxels[region.slices]
            inside &= (values >= self.limits[0]) & (values <= self.limits[1])
        present = document.labelmap.voxels[region.slices]
        own = present == label_id
        # Shift may be let go of during a stroke; what counts is how it began.
        mask = own & ~inside if pressed.is_alternate else own | inside
        block = with_mask(present, label_id, mask, document.label_table, host.prompting.draw_over)
        document.do(EditVoxels("Paint", region, block))


def _near_segment(
    region: Region, ends: np.ndarray, spacing: np.ndarray, radius_mm: float
) -> np.ndarray:
    """Return which voxels of a region lie within a radius of a segment.

    Parameters
    ----------
    region : Region
    ends : (2, 3) float
        The segment's ends, as voxel indices.
    spacing : (3,) float
        Voxel size in mm.
    radius_mm : float

    Returns
    -------
    (z, y, x) bool
    """
    first, last = ends * spacing
    along = last - first
    # One vector per axis: sums of them make the block, and single precision halves the memory
    # that goes through the processor, so that a large ball costs little.
    offset = [
        (grid * s - a).astype(np.float32)
        for grid, s, a in zip(np.ogrid[region.slices], spacing, first, strict=True)
    ]
    squared: np.ndarray = offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2
    length = float(along @ along)
    if length > 0:
        # With t the share of the way, 0 to 1: |o - t a|^2 = |o|^2 - t (2 o.a - t a.a).
        steps = [o * np.float32(a) for o, a in zip(offset, along, strict=True)]
        reached = steps[0] + steps[1] + steps[2]
        share = np.clip(reached * np.float32(1 / length), 0, 1)
        reached *= 2
        reached -= share * np.float32(length)
        reached *= share
        squared -= reached
    # Rounding must not leave out what lies on the rim.
    near: np.ndarray = squared <= np.float32(radius_mm**2 * (1 + 1e-5))
    return near


TOOLS.register(BrushTool())
