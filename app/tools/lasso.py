"""Lasso: draw round an object, and its mask is found inside; or fill what was drawn, as it is."""

from __future__ import annotations

import numpy as np

from app.core.commands import EditVoxels
from app.core.document import Document
from app.core.labels import with_mask
from app.core.prompts import slice_region
from app.editing.outline import fill_outline, middle_stroke, rim_strokes
from app.tools import TOOLS, Shape, ToolEvent, ToolHost, in_plane, slice_of
from app.tools.prompt_tools import SCRIBBLE_RADIUS_MM

# An outline that holds fewer pixels than this is a slip.
_MIN_PIXELS = 4
# How far from what was drawn the negative stroke runs.
_OFF_PIXELS = 2
# The stroke that an outline becomes is as good with every third of its points.
_KEEP_EVERY = 3

BoxRC = tuple[int, int, int, int]


class _Outline:
    """Drawing a closed line on one slice; what becomes of it is up to the tool.

    Attributes
    ----------
    is_alternate : bool
        How the button went down.
    """

    takes_clicks = True

    def __init__(self) -> None:
        self.axis = self.index = 0
        self.is_alternate = False
        self._points: list[tuple[float, float, float]] = []

    def press(self, host: ToolHost, event: ToolEvent) -> None:
        self.axis, self.index = event.axis, slice_of(event)
        self.is_alternate = event.is_alternate
        self._points = [event.position_zyx]

    def drag(self, host: ToolHost, event: ToolEvent) -> None:
        if self._points and event.axis == self.axis:
            self._points.append(event.position_zyx)

    def release(self, host: ToolHost, event: ToolEvent) -> None:
        points, self._points = self._points, []
        document = host.document
        if document is None or not points:
            return
        if not 0 <= self.index < document.volume.voxels.shape[self.axis]:
            return
        rows, columns = (n for a, n in enumerate(document.volume.voxels.shape) if a != self.axis)
        outline = np.array([in_plane(p, self.axis) for p in points])
        inside = fill_outline(outline, (rows, columns))
        if np.count_nonzero(inside) >= _MIN_PIXELS:
            self.finish(host, document, inside)

    def cancel(self, host: ToolHost) -> None:
        self._points = []

    def shapes(self) -> tuple[Shape, ...]:
        if not self._points:
            return ()
        # The line back to the start shows what will be inside.
        points = (*self._points, self._points[0])
        return (Shape("line", self.axis, self.index, points, positive=self.is_positive),)

    @property
    def is_positive(self) -> bool:
        """Decides the colour while it is drawn."""
        return not self.is_alternate

    def finish(self, host: ToolHost, document: Document, inside: np.ndarray) -> None:
        """Do what the outline is for; ``inside`` is (rows, columns) bool with some true."""
        raise NotImplementedError


class LassoTool(_Outline):
    """Three prompts: the bounds as a box, a stroke through the middle, a negative one round it.

    The object lies inside what was drawn, but not up to its line: people draw a lasso round a
    thing with some room, as they do with a box. The negative stroke keeps off the line, so that an
    outline on the very edge does not cut into the object. A negative lasso is a negative stroke
    through its middle alone.
    """

    id = "lasso"
    title = "Lasso"
    shortcut = "L"
    hint = "Draw round the object; right button or Shift round what does not belong."

    def __init__(self) -> None:
        super().__init__()
        self._is_positive = True

    @property
    def is_positive(self) -> bool:
        """Decides the colour and the sign."""
        return self._is_positive

    def press(self, host: ToolHost, event: ToolEvent) -> None:
        super().press(host, event)
        self._is_positive = host.view_state.positive != event.is_alternate

    def finish(self, host: ToolHost, document: Document, inside: np.ndarray) -> None:
        spacing = [s for a, s in enumerate(document.volume.geometry.spacing_zyx) if a != self.axis]
        middle, room_mm = middle_stroke(inside, (spacing[0], spacing[1]))
        # A stroke thicker than the room that it has would mark what lies outside, too.
        radius_mm = min(SCRIBBLE_RADIUS_MM, room_mm / 2)
        if self._is_positive:
            host.prompting.place_box(self.axis, self.index, _bounds(inside))
            for rim in rim_strokes(inside, _OFF_PIXELS):
                self._place(host, rim, min(spacing) / 2, is_positive=False)
        self._place(host, middle, radius_mm, is_positive=self._is_positive)

    def _place(
        self, host: ToolHost, stroke: np.ndarray, radius_mm: float, *, is_positive: bool
    ) -> None:
        kept = [*stroke[:-1:_KEEP_EVERY], stroke[-1]]
        points = tuple(_on_slice(self.axis, self.index, float(r), float(c)) for r, c in kept)
        host.prompting.place_scribble(points, self.axis, radius_mm, is_positive, step=self.title)


class LassoFillTool(_Outline):
    """Gives what lies inside the outline to the active label, or takes it from it."""

    id = "lasso_fill"
    title = "Lasso fill"
    shortcut = "Shift+L"
    hint = "Draw an outline to fill it by hand; right button or Shift erases inside."

    def press(self, host: ToolHost, event: ToolEvent) -> None:
        if host.document is not None:
            host.document.label_table.require_open(host.view_state.active_label)
        super().press(host, event)

    def finish(self, host: ToolHost, document: Document, inside: np.ndarray) -> None:
        label_id = host.view_state.active_label
        # Its padlock may have been closed, or the label deleted, while the outline was drawn.
        document.label_table.require_open(label_id)
        box = _bounds(inside)
        region = slice_region(self.axis, self.index, box)
        drawn = np.expand_dims(inside[box[0] : box[2], box[1] : box[3]], self.axis)
        present = document.labelmap.voxels[region.slices]
        own = present == label_id
        mask = own & ~drawn if self.is_alternate else own | drawn
        block = with_mask(present, label_id, mask, document.label_table, host.prompting.draw_over)
        name = "Lasso erase" if self.is_alternate else self.title
        document.do(EditVoxels(name, region, block))


def _bounds(inside: np.ndarray) -> BoxRC:
    """Return the half-open (r0, c0, r1, c1) of a 2-D mask's true pixels."""
    rows = np.flatnonzero(inside.any(axis=1))
    columns = np.flatnonzero(inside.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _on_slice(axis: int, index: int, row: float, column: float) -> tuple[float, float, float]:
    position = [row, column]
    position.insert(axis, float(index))
    return position[0], position[1], position[2]


TOOLS.register(LassoTool())
TOOLS.register(LassoFillTool())
