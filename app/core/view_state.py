"""What only affects looking: not saved with the result, not on the undo stack."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from app.core.events import Event


@dataclass
class ViewState:
    """Where the user looks and how. Assigning a field tells the listeners its name.

    Attributes
    ----------
    cursor_zyx : tuple of 3 int
        The voxel under the linked crosshair; each view shows the slice through it.
    window : tuple of 2 float
        Lowest and highest displayed intensity.
    active_label : int
        The label that new work gets.
    active_tool : str
        Id of the tool in hand.
    overlay_opacity : float, 0 to 1
    overlay_visible, outline : bool
        Whether masks are shown, and whether only as outlines.
    fill : bool
        Whether masks are filled; an outline alone lets the image be seen.
    colour_map : str
        Colours of the image, one of `app.ui.colour_maps.COLOUR_MAPS`.
    inverted : bool
        Whether those colours run the other way.
    slab_mm : float
        Thickness of what is projected onto each displayed slice; 0 shows the slice itself. Models
        and tools always work on the slice itself.
    slab_kind : "maximum", "mean" or "minimum"
    linked_zoom : bool
        Whether the three planes share their zoom and what they are centred on.
    crosshair_visible : bool
    carry_range : tuple of 3 int, optional
        (axis, first slice, slice after the last) through which the box in hand is to be carried.
    positive : bool
        Whether points and scribbles mark the object or the background.

    Events
    ------
    changed : str
        The name of the field that changed.
    """

    cursor_zyx: tuple[int, int, int] = (0, 0, 0)
    window: tuple[float, float] = (0.0, 1.0)
    active_label: int = 1
    active_tool: str = "navigate"
    overlay_opacity: float = 0.45
    overlay_visible: bool = True
    outline: bool = True
    fill: bool = True
    colour_map: str = "grey"
    inverted: bool = False
    slab_mm: float = 0.0
    slab_kind: str = "maximum"
    linked_zoom: bool = False
    crosshair_visible: bool = True
    positive: bool = True
    carry_range: tuple[int, int, int] | None = None
    changed: Event[str] = field(default_factory=Event, repr=False, compare=False)

    def __setattr__(self, name: str, value: object) -> None:
        is_change = getattr(self, name, None) != value
        super().__setattr__(name, value)
        if is_change and name != "changed" and "changed" in self.__dict__:
            self.changed.emit(name)


VIEW_FIELDS = tuple(f.name for f in fields(ViewState) if f.name != "changed")
