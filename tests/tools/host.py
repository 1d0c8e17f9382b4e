"""What tools see in tests: a small document, and a list of what was asked for."""

from __future__ import annotations

import numpy as np

from app.core.annotations import Annotation, with_annotation
from app.core.commands import SetAnnotations
from app.core.document import Document
from app.core.geometry import Geometry
from app.core.labels import DrawOver, LabelTable
from app.core.view_state import ViewState
from app.core.volume import Volume
from app.editing.operation import Operation
from app.tools import Tool, ToolEvent

SHAPE = (10, 20, 30)
# mm along z, y, x: all different, so that a swap shows.
SPACING = (4.0, 2.0, 1.0)


class FakePrompting:
    """Satisfies `PromptHost`; notes every call as (name, arguments ...)."""

    def __init__(self, asked: list[tuple]) -> None:
        self.draw_over = DrawOver.EMPTY
        self._asked = asked

    def __getattr__(self, name: str):
        if not name.startswith(("place_", "preview_", "carry_")):
            raise AttributeError(name)
        return lambda *arguments, **options: self._asked.append((name, *arguments))


class FakeHost:
    """Satisfies `ToolHost`; ``asked`` holds every call as (name, arguments ...)."""

    def __init__(self, voxels: np.ndarray | None = None) -> None:
        voxels = np.zeros(SHAPE, np.int16) if voxels is None else voxels
        affine = np.zeros((4, 4))
        affine[[2, 1, 0, 3], [0, 1, 2, 3]] = (*SPACING, 1.0)
        table = LabelTable()
        for name in ("organ", "lesion"):
            table = table.with_added(table.new_label(name))
        volume = Volume(voxels, Geometry(voxels.shape, affine))
        self.document: Document | None = Document(volume, label_table=table)
        self.view_state = ViewState()
        self.asked: list[tuple] = []
        self.prompting = FakePrompting(self.asked)

    def edit_mask(self, operation: Operation) -> None:
        self.asked.append(("edit_mask", operation))

    @property
    def marks(self) -> tuple[Annotation, ...]:
        return () if self.document is None else self.document.annotations

    def keep_mark(self, annotation: Annotation) -> None:
        assert self.document is not None
        kept = with_annotation(self.document.annotations, annotation)
        self.document.do(SetAnnotations("Mark", kept))

    @property
    def labels(self) -> np.ndarray:
        assert self.document is not None
        return self.document.labelmap.voxels


def stroke(tool: Tool, host: FakeHost, axis: int, *points, is_alternate: bool = False) -> None:
    """Press at the first position, drag over the others, release at the last."""
    events = [ToolEvent(axis, point, is_alternate) for point in points]
    tool.press(host, events[0])
    for event in events[1:]:
        tool.drag(host, event)
    tool.release(host, events[-1])
