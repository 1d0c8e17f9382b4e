"""Flood fill: click, and everything that is joined to the voxel and about as bright is taken."""

from __future__ import annotations

from app.editing.operation import FloodFill
from app.tools import TOOLS, Shape, ToolEvent, ToolHost


class FloodFillTool:
    """One click is one undo step; the right button or Shift erases the piece that is clicked.

    Attributes
    ----------
    tolerance_percent : float
        How far intensities may be from the clicked one: a share of the displayed window's width,
        so that it means the same for CT and MR.
    is_3d : bool
        Whether it goes through slices or stays on the clicked one.
    """

    id = "flood_fill"
    title = "Flood fill"
    shortcut = "G"
    hint = "Click to fill what is joined and about as bright; right button or Shift erases a piece."
    takes_clicks = True
    is_click = True

    def __init__(self) -> None:
        self.tolerance_percent = 10.0
        self.is_3d = False
        self._pressed: ToolEvent | None = None

    def press(self, host: ToolHost, event: ToolEvent) -> None:
        if host.document is None:
            return
        host.document.label_table.require_open(host.view_state.active_label)
        self._pressed = event

    def drag(self, host: ToolHost, event: ToolEvent) -> None:
        """A fill starts where the button went down."""

    def release(self, host: ToolHost, event: ToolEvent) -> None:
        pressed, self._pressed = self._pressed, None
        if pressed is None or host.document is None:
            return
        if not host.document.volume.geometry.contains(pressed.position_zyx):
            return
        z, y, x = (round(p) for p in pressed.position_zyx)
        low, high = host.view_state.window
        host.edit_mask(
            FloodFill(
                (z, y, x),
                self.tolerance_percent / 100 * (high - low),
                None if self.is_3d else pressed.axis,
                pressed.is_alternate,
            )
        )

    def cancel(self, host: ToolHost) -> None:
        self._pressed = None

    def shapes(self) -> tuple[Shape, ...]:
        return ()


TOOLS.register(FloodFillTool())
