"""Box, point and scribble: point at something and get its mask."""

from __future__ import annotations

import math

from app.core.prompts import BoxPrompt, latest_box
from app.tools import TOOLS, Shape, ToolEvent, ToolHost, in_plane, slice_of

SCRIBBLE_RADIUS_MM = 1.5
# The end of a box in depth is taken this close to it, in mm, or within one voxel.
_END_REACH_MM = 3.0
# A drag shorter than this many voxels along either side is a slip, not a box.
_MIN_BOX_VOXELS = 2


class BoxTool:
    """Drag a rectangle; the mask follows while it is dragged.

    In the other planes the box in hand shows how far it reaches in depth. An end of it that is
    dragged there makes it deeper or less deep, and its mask is carried through.
    """

    id = "box"
    title = "Box"
    shortcut = "B"
    hint = "Drag a box round an organ or lesion; drag its ends in the other planes."
    takes_clicks = False

    def __init__(self) -> None:
        self._start: ToolEvent | None = None
        self._now: ToolEvent | None = None
        # While an end in depth is dragged: which end, and the range as it was.
        self._end = 0
        self._range_before: tuple[int, int, int] | None = None

    def press(self, host: ToolHost, event: ToolEvent) -> None:
        self.cancel(host)
        end = self._end_at(host, event)
        if end is not None:
            self._end, self._range_before = end, host.view_state.carry_range
            return
        self._start = self._now = event

    def drag(self, host: ToolHost, event: ToolEvent) -> None:
        if self._range_before is not None:
            self._drag_end(host, event)
        if self._start is None or event.axis != self._start.axis:
            return
        self._now = event
        box = self._box(host)
        if box is not None:
            host.prompting.preview_box(event.axis, slice_of(self._start), box)

    def release(self, host: ToolHost, event: ToolEvent) -> None:
        self.drag(host, event)
        before, self._range_before = self._range_before, None
        box, carried = _box_in_hand(host), host.view_state.carry_range
        if before is not None and box is not None and carried is not None and carried != before:
            host.prompting.carry_through(carried[1], carried[2], box.object_id)
        start, drawn = self._start, self._box(host)
        self._start = self._now = None
        if start is None:
            return
        if drawn is None:
            host.prompting.preview_box(start.axis, slice_of(start), None)
        else:
            host.prompting.place_box(start.axis, slice_of(start), drawn)

    def cancel(self, host: ToolHost) -> None:
        if self._range_before is not None:
            host.view_state.carry_range, self._range_before = self._range_before, None
        if self._start is not None:
            host.prompting.preview_box(self._start.axis, slice_of(self._start), None)
        self._start = self._now = None

    def shapes(self) -> tuple[Shape, ...]:
        if self._start is None or self._now is None:
            return ()
        corners = (self._start.position_zyx, self._now.position_zyx)
        return (Shape("box", self._start.axis, slice_of(self._start), corners),)

    def _end_at(self, host: ToolHost, event: ToolEvent) -> int | None:
        """Return which end in depth of the box in hand lies under a position in another plane."""
        box, carried = _box_in_hand(host), host.view_state.carry_range
        if box is None or carried is None or host.document is None:
            return None
        depth = box.axis
        if depth == event.axis or carried[0] != depth:
            return None
        spacing = host.document.volume.geometry.spacing_zyx
        reach = [max(1.0, _END_REACH_MM / s) for s in spacing]
        for axis, at in enumerate(event.position_zyx):
            low, high = box.region.start_zyx[axis] - 0.5, box.region.stop_zyx[axis] - 0.5
            is_beside = not low - reach[axis] <= at <= high + reach[axis]
            if axis not in (depth, event.axis) and is_beside:
                return None
            # Where the shown slice does not cut the box, there is nothing to take hold of.
            if axis == event.axis and not low <= at <= high:
                return None
        far = [abs(event.position_zyx[depth] - (edge - 0.5)) for edge in carried[1:]]
        end = 0 if far[0] < far[1] else 1
        return end if far[end] <= reach[depth] else None

    def _drag_end(self, host: ToolHost, event: ToolEvent) -> None:
        box, carried = _box_in_hand(host), host.view_state.carry_range
        if box is None or carried is None or host.document is None or event.axis == box.axis:
            return
        axis, start, stop = carried
        n_slices = host.document.volume.voxels.shape[axis]
        edge = math.floor(event.position_zyx[axis] + 1.0)
        if self._end == 0:
            start = max(0, min(edge, box.slice_index))
        else:
            stop = min(n_slices, max(edge, box.slice_index + 1))
        host.view_state.carry_range = (axis, start, stop)

    def _box(self, host: ToolHost) -> tuple[int, int, int, int] | None:
        """Return the half-open box of whole voxels, inside the slice; None for a slip."""
        if self._start is None or self._now is None or host.document is None:
            return None
        axis = self._start.axis
        a, b = in_plane(self._start.position_zyx, axis), in_plane(self._now.position_zyx, axis)
        rows, columns = (n for i, n in enumerate(host.document.volume.voxels.shape) if i != axis)
        bounds = []
        for p, q, n in ((a[0], b[0], rows), (a[1], b[1], columns)):
            # Edges snap to the nearest voxel edge: voxel i spans [i - 1/2, i + 1/2).
            low, high = math.floor(min(p, q) + 1.0), math.floor(max(p, q) + 1.0)
            low, high = max(0, low), min(n, high)
            if high - low < min(_MIN_BOX_VOXELS, n):
                return None
            bounds.append((low, high))
        return bounds[0][0], bounds[1][0], bounds[0][1], bounds[1][1]


def _box_in_hand(host: ToolHost) -> BoxPrompt | None:
    """Return the box that a range of slices belongs to."""
    if host.document is None:
        return None
    return latest_box(host.document.prompts, host.view_state.active_label)


class PointTool:
    """Click on what belongs to the object, or (right button, Shift) on what does not."""

    id = "point"
    title = "Point"
    shortcut = "P"
    hint = "Click inside the object; right button or Shift marks what does not belong."
    takes_clicks = True
    is_click = True

    def __init__(self) -> None:
        self._pressed: ToolEvent | None = None

    def press(self, host: ToolHost, event: ToolEvent) -> None:
        self._pressed = event

    def drag(self, host: ToolHost, event: ToolEvent) -> None:
        """A point stays where it was pressed."""

    def release(self, host: ToolHost, event: ToolEvent) -> None:
        pressed, self._pressed = self._pressed, None
        if pressed is None or host.document is None:
            return
        if host.document.volume.geometry.contains(pressed.position_zyx):
            positive = host.view_state.positive != pressed.is_alternate
            host.prompting.place_point(pressed.position_zyx, pressed.axis, positive)

    def cancel(self, host: ToolHost) -> None:
        self._pressed = None

    def shapes(self) -> tuple[Shape, ...]:
        return ()


class ScribbleTool:
    """Draw a stroke over what belongs to the object, or over what does not."""

    id = "scribble"
    title = "Scribble"
    shortcut = "S"
    hint = "Draw over the object; right button or Shift over what does not belong."
    takes_clicks = True

    def __init__(self) -> None:
        self._points: list[tuple[float, float, float]] = []
        self._axis = 0
        self._index = 0
        self._positive = True

    def press(self, host: ToolHost, event: ToolEvent) -> None:
        self._axis, self._index = event.axis, slice_of(event)
        self._positive = host.view_state.positive != event.is_alternate
        self._points = [event.position_zyx]

    def drag(self, host: ToolHost, event: ToolEvent) -> None:
        if self._points and event.axis == self._axis:
            self._points.append(event.position_zyx)

    def release(self, host: ToolHost, event: ToolEvent) -> None:
        points, self._points = self._points, []
        if host.document is None:
            return
        inside = tuple(p for p in points if host.document.volume.geometry.contains(p))
        if inside:
            host.prompting.place_scribble(inside, self._axis, SCRIBBLE_RADIUS_MM, self._positive)

    def cancel(self, host: ToolHost) -> None:
        self._points = []

    def shapes(self) -> tuple[Shape, ...]:
        if not self._points:
            return ()
        points = tuple(self._points)
        return (Shape("line", self._axis, self._index, points, SCRIBBLE_RADIUS_MM, self._positive),)


TOOLS.register(BoxTool())
TOOLS.register(PointTool())
TOOLS.register(ScribbleTool())
