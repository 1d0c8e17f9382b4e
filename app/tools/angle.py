"""Angle: drag one arm from its end to the corner, then press and drag the end of the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeGuard

from app.core.annotations import Annotation, AnnotationKind
from app.tools import TOOLS, ToolEvent, ToolHost, slice_of
from app.tools.ruler import MarkTool


class AngleTool(MarkTool):
    """Two drags are one angle and one undo step."""

    id = "angle"
    title = "Angle"
    shortcut = "Shift+M"
    hint = "Drag from the end of one arm to the corner, then click where the other arm ends."
    kind = AnnotationKind.ANGLE

    def press(self, host: ToolHost, event: ToolEvent) -> None:
        arm = self.draft
        if _is_waiting(arm) and (arm.axis, arm.index) == (event.axis, slice_of(event)):
            corner = arm.points_zyx[1]
            self.draft = replace(arm, points_zyx=(*arm.points_zyx, corner))
            self._number = 2
            self.drag(host, event)
            return
        super().press(host, event)

    def release(self, host: ToolHost, event: ToolEvent) -> None:
        draft, document = self.draft, host.document
        if _is_waiting(draft) and document is not None:
            if min(draft.lengths_mm(document.volume.geometry.spacing_zyx)) > 0:
                # The arm waits for the other one.
                return
        super().release(host, event)


def _is_waiting(arm: Annotation | None) -> TypeGuard[Annotation]:
    return arm is not None and arm.kind is AnnotationKind.ANGLE and len(arm.points_zyx) == 2


TOOLS.register(AngleTool())
