"""The arrangement of the three planes: side by side, one large, or one alone."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QWidget

from app.core.prompts import AXIAL, CORONAL, SAGITTAL
from app.session import Session
from app.ui.plane_panel import PlanePanel

# name -> (axis, row, column, rows, columns)
LAYOUTS = {
    "main": ((AXIAL, 0, 0, 2, 2), (CORONAL, 0, 2, 1, 1), (SAGITTAL, 1, 2, 1, 1)),
    "row": ((AXIAL, 0, 0, 1, 1), (CORONAL, 0, 1, 1, 1), (SAGITTAL, 0, 2, 1, 1)),
    "tall": ((AXIAL, 0, 0, 1, 1), (CORONAL, 1, 0, 1, 1), (SAGITTAL, 2, 0, 1, 1)),
}


class ViewGrid(QWidget):
    """Three linked slice views.

    Signals
    -------
    hover_changed : HoverInfo or None
    """

    hover_changed = Signal(object)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.panels = tuple(PlanePanel(session, axis) for axis in (AXIAL, CORONAL, SAGITTAL))
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(3)
        self._layout = "main"
        self._maximised: int | None = None
        self._active_axis = AXIAL
        for panel in self.panels:
            panel.view.hover_changed.connect(self.hover_changed)
            panel.view.maximise_requested.connect(self._toggle)
            panel.view.focus_entered.connect(self._on_focus)
        self.set_layout("main")

    @property
    def active_axis(self) -> int:
        """The plane that was last clicked."""
        return self._active_axis

    @property
    def maximised(self) -> int | None:
        """The plane that is shown alone, if one is."""
        return self._maximised

    def fit(self) -> None:
        """Show the whole slice in every view."""
        for panel in self.panels:
            panel.view.fit()

    def set_layout(self, name: str) -> None:
        """Arrange the planes: "main", "row" or "tall"."""
        self._layout, self._maximised = name, None
        for panel in self.panels:
            self._grid.removeWidget(panel)
        for row in range(3):
            self._grid.setRowStretch(row, 0)
            self._grid.setColumnStretch(row, 0)
        for axis, row, column, rows, columns in LAYOUTS[name]:
            self._grid.addWidget(self.panels[axis], row, column, rows, columns)
            for r in range(row, row + rows):
                self._grid.setRowStretch(r, 1)
            for c in range(column, column + columns):
                self._grid.setColumnStretch(c, 1)
        for panel in self.panels:
            panel.show()

    def maximise(self, axis: int | None) -> None:
        """Show one plane alone; None shows all again."""
        self._maximised = axis
        if axis is None:
            self.set_layout(self._layout)
            return
        for panel in self.panels:
            panel.setVisible(panel.axis == axis)
        self.panels[axis].view.setFocus(Qt.FocusReason.OtherFocusReason)

    def close_views(self) -> None:
        """Stop listening to the session."""
        for panel in self.panels:
            panel.close_panel()

    def _toggle(self, axis: int) -> None:
        self.maximise(None if self._maximised == axis else axis)

    def _on_focus(self, axis: int) -> None:
        self._active_axis = axis
