"""Tools: what the left and right buttons do in a slice view. No Qt; positions are voxel indices.

Add a tool: one module, one class, one ``register`` line; tool bar, menu and shortcuts follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from app.core.annotations import Annotation
from app.core.document import Document
from app.core.labels import DrawOver
from app.core.registry import Registry
from app.core.view_state import ViewState
from app.editing.operation import Operation


@dataclass(frozen=True)
class ToolEvent:
    """A press, drag or release in one plane.

    Attributes
    ----------
    axis : int
        The plane that was touched.
    position_zyx : tuple of 3 float
        Voxel index under the pointer; may lie outside the volume.
    is_alternate : bool
        The right button, or Shift: erase, negative.
    reach_mm : float
        How near counts as a hit; follows the zoom.
    """

    axis: int
    position_zyx: tuple[float, float, float]
    is_alternate: bool = False
    reach_mm: float = 2.0


@dataclass(frozen=True)
class Shape:
    """Something a tool wants drawn: a closed or open line through voxel indices, or a circle.

    Attributes
    ----------
    kind : "box", "line" or "circle"
    axis, index : int
        Where it is seen.
    points_zyx : tuple of (z, y, x)
        Two opposite corners in pixel edges of a box, the points of a line, or a centre.
    radius_mm : float
        Of a circle, or half the width of a line.
    positive : bool
        Decides the colour.
    """

    kind: str
    axis: int
    index: int
    points_zyx: tuple[tuple[float, float, float], ...]
    radius_mm: float = 0.0
    positive: bool = True


class PromptHost(Protocol):
    """What tools may ask a model for; `Prompting` satisfies it."""

    @property
    def draw_over(self) -> DrawOver:
        """Which voxels of other labels may be taken."""

    def place_box(self, axis: int, index: int, box_rc: tuple[int, int, int, int]) -> None:
        """Ask for a mask."""

    def place_point(self, index_zyx: tuple[float, float, float], axis: int, positive: bool) -> None:
        """Ask for a mask."""

    def place_scribble(
        self,
        points_zyx: tuple[tuple[float, float, float], ...],
        axis: int,
        radius_mm: float,
        positive: bool,
        *,
        step: str = "Scribble",
    ) -> None:
        """Ask for a mask; ``step`` names the undo step."""

    def carry_through(self, start: int, stop: int, object_id: int | None = None) -> None:
        """Carry an object's mask through a half-open range of slices."""

    def preview_box(self, axis: int, index: int, box_rc: tuple[int, int, int, int] | None) -> None:
        """Show the mask of a box that is being dragged."""


class ToolHost(Protocol):
    """What tools may use; `Session` satisfies it."""

    document: Document | None
    view_state: ViewState

    @property
    def prompting(self) -> PromptHost:
        """What asks a model for masks."""

    def edit_mask(self, operation: Operation) -> None:
        """Do an operation on the active label, as one undo step, soon."""

    @property
    def marks(self) -> tuple[Annotation, ...]:
        """Lines whose ends can be moved."""

    def keep_mark(self, annotation: Annotation) -> None:
        """Add an annotation, or replace the one with its id; one undo step."""


class Tool(Protocol):
    """One tool. Survives press, drag, release and cancel in any order.

    Attributes
    ----------
    takes_clicks : bool
        A single click does something, and the right button its opposite; otherwise the right
        button and the double-click keep what they do for looking. One that is done with a click,
        without a drag, may say so by ``is_click = True``.
    """

    id: str
    title: str
    shortcut: str
    hint: str
    takes_clicks: bool

    def press(self, host: ToolHost, event: ToolEvent) -> None:
        """Begin at a position."""

    def drag(self, host: ToolHost, event: ToolEvent) -> None:
        """Go on, with the button down."""

    def release(self, host: ToolHost, event: ToolEvent) -> None:
        """End."""

    def cancel(self, host: ToolHost) -> None:
        """Give up what was begun; nothing stays."""

    def shapes(self) -> tuple[Shape, ...]:
        """Return what to draw now."""


TOOLS: Registry[Tool] = Registry("app.tools")


def slice_of(event: ToolEvent) -> int:
    """Return the slice an event lies on."""
    return round(event.position_zyx[event.axis])


def in_plane(position_zyx: tuple[float, float, float], axis: int) -> tuple[float, float]:
    """Return (row, column) of a voxel index on slices along an axis."""
    row, column = (v for a, v in enumerate(position_zyx) if a != axis)
    return row, column


def tools_in_order() -> list[Tool]:
    """Return the tools as bars and menus show them: looking, prompts, hand tools, measuring."""
    order = (
        *("navigate", "box", "point", "scribble", "lasso"),
        *("brush", "flood_fill", "lasso_fill", "ruler", "angle"),
    )
    tools = TOOLS.load()
    first = [tools[name] for name in order if name in tools]
    return first + [tool for name, tool in tools.items() if name not in order]
