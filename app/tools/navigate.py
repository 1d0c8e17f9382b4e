"""Moves the linked crosshair."""

from __future__ import annotations

from app.tools import TOOLS, Shape, ToolEvent, ToolHost


class Navigate:
    """Left-drag moves the crosshair; the other planes follow."""

    id = "navigate"
    title = "Navigate"
    shortcut = "Q"
    hint = "Drag to move the crosshair; the other planes follow."
    takes_clicks = False

    def press(self, host: ToolHost, event: ToolEvent) -> None:
        move_cursor(host, event)

    def drag(self, host: ToolHost, event: ToolEvent) -> None:
        move_cursor(host, event)

    def release(self, host: ToolHost, event: ToolEvent) -> None:
        """Nothing is left to do."""

    def cancel(self, host: ToolHost) -> None:
        """Nothing to give up."""

    def shapes(self) -> tuple[Shape, ...]:
        return ()


def move_cursor(host: ToolHost, event: ToolEvent) -> None:
    """Put the crosshair on the voxel under the pointer, inside the volume."""
    if host.document is None:
        return
    shape = host.document.volume.voxels.shape
    z, y, x = (min(max(0, round(p)), n - 1) for p, n in zip(event.position_zyx, shape, strict=True))
    host.view_state.cursor_zyx = (z, y, x)


TOOLS.register(Navigate())
