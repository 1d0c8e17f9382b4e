"""What mouse and keyboard mean in a slice view: the habits of PACS and research viewers."""

from __future__ import annotations

import math
from enum import Enum, auto
from typing import Protocol, runtime_checkable

from PySide6.QtCore import Qt

from app.tools import ToolEvent

CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
MIDDLE = Qt.MouseButton.MiddleButton

# What Qt reports for one notch of an ordinary wheel, in eighths of a degree.
NOTCH = 120
# How near the pointer has to be to an end of a line.
REACH_PX = 8

# Slices per key press while Shift is held.
SHIFT_STEP = 5

# Brush sizes: a step is this factor, and sizes stay within a range.
SIZE_STEP = 1.15
MIN_RADIUS_MM, MAX_RADIUS_MM = 0.5, 80.0

_FORWARD = {Qt.Key.Key_Up, Qt.Key.Key_Right, Qt.Key.Key_PageUp}
_BACK = {Qt.Key.Key_Down, Qt.Key.Key_Left, Qt.Key.Key_PageDown}


class Drag(Enum):
    """What a pressed button does until it is released."""

    TOOL = auto()
    PAN = auto()
    ZOOM = auto()
    WINDOW = auto()
    NONE = auto()


def drag_for(
    button: Qt.MouseButton,
    modifiers: Qt.KeyboardModifier,
    scheme: str,
    *,
    takes_clicks: bool = False,
    is_space_down: bool = False,
) -> Drag:
    """Return what pressing a button begins.

    Parameters
    ----------
    button, modifiers
    scheme : "pacs", "research" or ""
        Whether the right button changes the window and, with Ctrl, zooms; or the reverse. Empty
        (nobody was asked yet) is "pacs".
    takes_clicks : bool
        The tool in hand has its own use for the right button (erase, negative); Ctrl then gives
        the button back to looking.
    is_space_down : bool
    """
    if button == MIDDLE or (button == LEFT and is_space_down):
        return Drag.PAN
    if button == LEFT:
        return Drag.TOOL
    if button != RIGHT:
        return Drag.NONE
    has_control = bool(modifiers & CONTROL)
    if takes_clicks:
        if not has_control:
            return Drag.TOOL
        has_control = False
    is_window = (scheme != "research") != has_control
    return Drag.WINDOW if is_window else Drag.ZOOM


def tool_event(
    axis: int,
    position_zyx: tuple[float, float, float],
    button: Qt.MouseButton,
    modifiers: Qt.KeyboardModifier,
    px_per_mm: float = REACH_PX / 2,
) -> ToolEvent:
    """Return the event that tools understand."""
    is_alternate = button == RIGHT or bool(modifiers & SHIFT)
    return ToolEvent(axis, position_zyx, is_alternate, REACH_PX / px_per_mm)


def dragged_window(window: tuple[float, float], dx_px: float, dy_px: float) -> tuple[float, float]:
    """Return a window (low, high) after a drag: right widens it, down raises its level.

    A drag of 256 px doubles the width or moves the level by it, whatever the unit of intensity.
    """
    low, high = window
    width, level = high - low, (low + high) / 2
    level += width * dy_px / 256
    width *= math.exp2(dx_px / 256)
    return level - width / 2, level + width / 2


class WheelSteps:
    """Collects the small turns of free wheels and touch pads into whole steps."""

    def __init__(self) -> None:
        self._rest = 0

    def add(self, delta: int) -> int:
        """Return the whole steps that ``delta`` eighths of a degree complete."""
        if delta * self._rest < 0:
            # Turning back answers at once.
            self._rest = 0
        steps = int((self._rest + delta) / NOTCH)
        self._rest += delta - steps * NOTCH
        return steps


@runtime_checkable
class HasRadius(Protocol):
    """A tool whose size can be changed."""

    radius_mm: float


def resize(tool: object, steps: int) -> None:
    """Make a tool that has a size larger, or smaller for negative steps."""
    if isinstance(tool, HasRadius):
        radius_mm = tool.radius_mm * SIZE_STEP**steps
        tool.radius_mm = min(max(radius_mm, MIN_RADIUS_MM), MAX_RADIUS_MM)


def key_target(key: int, modifiers: Qt.KeyboardModifier, index: int, n_slices: int) -> int | None:
    """Return the slice that a key leads to; None for a key that does not change the slice."""
    if modifiers & CONTROL:
        return None
    if key == Qt.Key.Key_Home:
        return 0
    if key == Qt.Key.Key_End:
        return n_slices - 1
    step = int(key in _FORWARD) - int(key in _BACK)
    if step == 0:
        return None
    step *= SHIFT_STEP if modifiers & SHIFT else 1
    return min(max(0, index + step), n_slices - 1)
