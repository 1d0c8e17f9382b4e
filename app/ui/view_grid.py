"""The three planes and the 3-D view, linked, in the arrangement that was chosen."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QWidget

from app.core.prompts import AXIAL, CORONAL, SAGITTAL
from app.session import Session
from app.ui.cine import Cine
from app.ui.plane_panel import PlanePanel
from app.ui.scene_panel import ScenePanel

# The 3-D view, where the planes have their axis.
SCENE = 3
# (pane, row, column, rows, columns) of each pane that is shown.
LAYOUTS = {
    "main": ((AXIAL, 0, 0, 2, 2), (CORONAL, 0, 2, 1, 1), (SAGITTAL, 1, 2, 1, 1)),
    "row": ((AXIAL, 0, 0, 1, 1), (CORONAL, 0, 1, 1, 1), (SAGITTAL, 0, 2, 1, 1)),
    "four": (
        (AXIAL, 0, 0, 1, 1),
        (CORONAL, 0, 1, 1, 1),
        (SAGITTAL, 1, 0, 1, 1),
        (SCENE, 1, 1, 1, 1),
    ),
    "tall": ((AXIAL, 0, 0, 1, 1), (CORONAL, 1, 0, 1, 1), (SAGITTAL, 2, 0, 1, 1)),
}


class ViewGrid(QWidget):
    """Axial, coronal and sagittal views of the session's scan, and one in three dimensions.

    Attributes
    ----------
    panels : tuple of PlanePanel
        By axis.
    cine : Cine
        Plays the slices of the active plane.
    scene : ScenePanel
        Starts nothing before it is first seen.

    Signals
    -------
    hover_changed : HoverInfo or None
        What lies under the pointer, for the status bar.
    active_axis_changed : int
    tool_resized : None
        The tool in hand became larger or smaller in one of the views.
    """

    hover_changed = Signal(object)
    active_axis_changed = Signal(int)
    tool_resized = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._active_axis = AXIAL
        self._maximised: int | None = None
        self._layout_name = ""
        self.session = session
        self.cine = Cine(self)
        self.panels = tuple(PlanePanel(session, axis) for axis in (AXIAL, CORONAL, SAGITTAL))
        self.scene = ScenePanel(session)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(2)
        for panel in self.panels:
            panel.maximise_requested.connect(self._toggle)
            panel.view.activated.connect(self._on_activated)
            panel.view.tool_resized.connect(self.tool_resized)
            panel.view.hover_changed.connect(self.hover_changed)
            panel.view.looked_elsewhere.connect(partial(self._link, panel.axis))
        self.scene.maximise_requested.connect(lambda: self._toggle(SCENE))
        self.set_layout("main")
        self.panels[AXIAL].view.set_active(True)
        # Tab goes from view to view; what a slider does, the keys of its view do.
        for panel in self.panels:
            panel.slider.setFocusPolicy(Qt.FocusPolicy.ClickFocus)

    @property
    def active_axis(self) -> int:
        """The plane that was last pointed at."""
        return self._active_axis

    @property
    def maximised(self) -> int | None:
        """The pane that is shown alone, if one is: an axis or `SCENE`."""
        return self._maximised

    @property
    def layout_name(self) -> str:
        return self._layout_name

    def fit(self) -> None:
        """Show the whole slice in every view."""
        for panel in self.panels:
            panel.view.fit()
        self.link_views()

    def link_views(self) -> None:
        """Give all planes one zoom, at which each slice that was whole stays whole."""
        shown = [panel.view for panel in self.panels if panel.view.frame is not None]
        if self.session.view_state.linked_zoom and shown:
            px_per_mm = min(view.px_per_mm for view in shown)
            for view in shown:
                view.look_at(view.centre_zyx, px_per_mm)

    def focus_next(self) -> None:
        """Let keys go to the next view that is shown, or from elsewhere to the active one."""
        shown = [panel for panel in self.panels if panel.isVisible()]
        at = next((n for n, panel in enumerate(shown) if panel.view.hasFocus()), None)
        if at is None:
            target = next((p for p in shown if p.axis == self._active_axis), shown[0])
        else:
            target = shown[(at + 1) % len(shown)]
        target.view.setFocus(Qt.FocusReason.TabFocusReason)

    def set_layout(self, name: str) -> None:
        """Arrange the panes: "main" (axial large), "row", "four" (with the 3-D view) or "tall"."""
        self._layout_name = name
        for line in range(3):
            self._grid.setRowStretch(line, 0)
            self._grid.setColumnStretch(line, 0)
        for pane, row, column, rows, columns in LAYOUTS[name]:
            widget = self._pane(pane)
            self._grid.removeWidget(widget)
            self._grid.addWidget(widget, row, column, rows, columns)
            for line in range(row, row + rows):
                self._grid.setRowStretch(line, 1)
            for line in range(column, column + columns):
                self._grid.setColumnStretch(line, 1)
        self.maximise(None)

    def maximise(self, pane: int | None) -> None:
        """Show one pane alone, an axis or `SCENE`; None shows all of the layout again."""
        self._maximised = pane
        shown = {place[0] for place in LAYOUTS[self._layout_name]} if pane is None else {pane}
        if pane is not None and self._grid.indexOf(self._pane(pane)) < 0:
            # Not in this layout: beside the others, which are hidden.
            self._grid.addWidget(self._pane(pane), 0, 0)
        for number in (*range(len(self.panels)), SCENE):
            widget = self._pane(number)
            widget.setVisible(number in shown)
            widget.set_maximised(number == pane)
        if pane is not None:
            self._pane(pane).view.setFocus(Qt.FocusReason.OtherFocusReason)

    def close_views(self) -> None:
        """Stop listening to the session."""
        for panel in self.panels:
            panel.close_panel()
        self.scene.close_panel()
        self.cine.stop()

    def _link(self, axis: int) -> None:
        """Let the other planes show what a plane shows: its zoom, and its middle where they can."""
        if not self.session.view_state.linked_zoom:
            return
        leader = self.panels[axis].view
        for panel in self.panels:
            if panel.axis != axis:
                centre = list(leader.centre_zyx)
                # Across its slices the leader has no middle; the other keeps its own there.
                centre[axis] = panel.view.centre_zyx[axis]
                panel.view.look_at((centre[0], centre[1], centre[2]), leader.px_per_mm)

    def _pane(self, number: int) -> PlanePanel | ScenePanel:
        return self.scene if number == SCENE else self.panels[number]

    def _toggle(self, pane: int) -> None:
        self.maximise(None if self._maximised == pane else pane)

    def _on_activated(self, axis: int) -> None:
        if axis == self._active_axis:
            return
        self._active_axis = axis
        for panel in self.panels:
            panel.view.set_active(panel.axis == axis)
        self.active_axis_changed.emit(axis)
