"""Working without a mouse: the crosshair takes the place of the pointer in a slice view.

Ctrl and an arrow move the crosshair in the plane, by five voxels with Shift. One key presses the
tool in hand there; from then on the arrows alone drag it, and Enter, Space or the same key lets go.
What a click does (point, flood fill) is done by one press.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from PySide6.QtCore import Qt

from app.core.view_state import ViewState
from app.tools import ToolEvent
from app.ui.mouse import CONTROL, SHIFT, SHIFT_STEP
from app.ui.plane_frame import PlaneFrame, clamp

# (down the screen, to the right)
_ARROWS = {
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
}
# What lets go, beside the key that pressed.
RELEASES = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space)


@runtime_checkable
class Clicks(Protocol):
    """A tool that is done with one click: dragging means nothing to it."""

    is_click: bool


class KeyPointer:
    """Where the pointer of the keys is in one view, and whether it is down.

    Attributes
    ----------
    is_down : bool
    is_alternate : bool
        Whether it went down as the right button would: erase, negative.
    """

    def __init__(self, state: ViewState, axis: int) -> None:
        self.is_down = False
        self.is_alternate = False
        self._state = state
        self._axis = axis

    def event(self) -> ToolEvent:
        """Return the event at the crosshair."""
        z, y, x = self._state.cursor_zyx
        return ToolEvent(self._axis, (float(z), float(y), float(x)), self.is_alternate)

    def moves(self, key: int, modifiers: Qt.KeyboardModifier) -> bool:
        """Return whether a key moves the crosshair in the plane."""
        return key in _ARROWS and (self.is_down or bool(modifiers & CONTROL))

    def move(self, key: int, modifiers: Qt.KeyboardModifier, frame: PlaneFrame) -> None:
        """Move the crosshair as it is seen on the screen, inside the volume."""
        down, right = _ARROWS[Qt.Key(key)]
        step = SHIFT_STEP if modifiers & SHIFT else 1
        row, column = frame.axes_rc
        rows, columns = frame.shape_rc
        cursor = list(self._state.cursor_zyx)
        cursor[row] = clamp(cursor[row] + step * (down if frame.rows_go_down else -down), rows)
        cursor[column] = clamp(cursor[column] + step * right, columns)
        self._state.crosshair_visible = True
        self._state.cursor_zyx = (cursor[0], cursor[1], cursor[2])
