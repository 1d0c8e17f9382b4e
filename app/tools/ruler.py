"""Ruler: drag a line, and it says how long it is. Its ends, and those of all others, move."""

from __future__ import annotations

import numpy as np

from app.core.annotations import Annotation, AnnotationKind, Point, next_annotation_id
from app.tools import TOOLS, Shape, ToolEvent, ToolHost, slice_of

# A line shorter than this is a slip.
_MIN_MM = 0.5


class MarkTool:
    """Draws lines of one kind; a press near the end of any line moves that end instead.

    Attributes
    ----------
    draft : Annotation, optional
        What is being drawn or moved; stands in for the one of its id.
    """

    takes_clicks = False
    kind = AnnotationKind.RULER

    def __init__(self) -> None:
        self.draft: Annotation | None = None
        self._number = 0

    def press(self, host: ToolHost, event: ToolEvent) -> None:
        self.draft = None
        if host.document is None:
            return
        grabbed = end_near(host, event)
        if grabbed is not None:
            self.draft, self._number = grabbed
            return
        place = _inside(host, event)
        if place is not None:
            new_id = next_annotation_id(host.document.annotations)
            self.draft = Annotation(new_id, self.kind, event.axis, (place, place))
            self._number = 1

    def drag(self, host: ToolHost, event: ToolEvent) -> None:
        if self.draft is None or event.axis != self.draft.axis:
            return
        place = _inside(host, event, is_clipped=True)
        if place is not None:
            self.draft = self.draft.moved(self._number, place)

    def release(self, host: ToolHost, event: ToolEvent) -> None:
        draft, self.draft = self.draft, None
        if draft is None or host.document is None:
            return
        if min(draft.lengths_mm(host.document.volume.geometry.spacing_zyx)) >= _MIN_MM:
            host.keep_mark(draft)

    def cancel(self, host: ToolHost) -> None:
        self.draft = None

    def shapes(self) -> tuple[Shape, ...]:
        return ()


class RulerTool(MarkTool):
    """One drag is one ruler and one undo step."""

    id = "ruler"
    title = "Ruler"
    shortcut = "M"
    hint = "Drag a line to measure it; drag an end of any line to move it. Delete removes it."


def end_near(host: ToolHost, event: ToolEvent) -> tuple[Annotation, int] | None:
    """Return the annotation on the slice whose end is nearest to a press, and which end it is."""
    if host.document is None:
        return None
    spacing = host.document.volume.geometry.spacing_zyx
    best: tuple[Annotation, int] | None = None
    reach_mm = event.reach_mm
    for mark in host.marks:
        if (mark.axis, mark.index) != (event.axis, slice_of(event)):
            continue
        for number, point in enumerate(mark.points_zyx):
            apart = np.subtract(point, event.position_zyx) * spacing
            apart[event.axis] = 0
            if np.linalg.norm(apart) <= reach_mm:
                reach_mm, best = float(np.linalg.norm(apart)), (mark, number)
    return best


def _inside(host: ToolHost, event: ToolEvent, *, is_clipped: bool = False) -> Point | None:
    """Return where an event lies on its slice; None, or the nearest place, outside the volume."""
    assert host.document is not None
    geometry = host.document.volume.geometry
    if not is_clipped and not geometry.contains(event.position_zyx):
        return None
    place = [
        min(max(p, -0.5), n - 0.5)
        for p, n in zip(event.position_zyx, geometry.shape_zyx, strict=True)
    ]
    place[event.axis] = float(round(place[event.axis]))
    return place[0], place[1], place[2]


TOOLS.register(RulerTool())
