"""Cine: the slices of the active plane one after the other, at a chosen speed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    from app.ui.view_grid import ViewGrid

SLOWEST, FASTEST = 1, 60


class Cine(QObject):
    """Plays slices until it is stopped, or at the end if it does not loop.

    Attributes
    ----------
    loops : bool
        Whether the first slice follows the last.

    Signals
    -------
    playing_changed : bool
    """

    playing_changed = Signal(bool)

    def __init__(self, grid: ViewGrid) -> None:
        super().__init__(grid)
        self.loops = True
        self._grid = grid
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._show_next)
        self._leave = grid.session.document_changed.connect(lambda _: self.stop())
        self.set_speed(15)

    @property
    def is_playing(self) -> bool:
        return self._timer.isActive()

    @property
    def slices_per_s(self) -> int:
        """The speed."""
        return self._slices_per_s

    def set_speed(self, slices_per_s: int) -> None:
        """Play this many slices a second, from 1 to 60."""
        self._slices_per_s = min(max(slices_per_s, SLOWEST), FASTEST)
        self._timer.setInterval(round(1000 / self._slices_per_s))

    def toggle(self) -> None:
        """Play, or stop."""
        if self.is_playing:
            self.stop()
        elif self._grid.session.document is not None:
            view = self._grid.panels[self._grid.active_axis].view
            if not self.loops and view.index == view.n_slices - 1:
                view.show_slice(0)
            self._timer.start()
            self.playing_changed.emit(True)

    def stop(self) -> None:
        """Stay where it is."""
        if self.is_playing:
            self._timer.stop()
            self.playing_changed.emit(False)

    def _show_next(self) -> None:
        view = self._grid.panels[self._grid.active_axis].view
        following = view.index + 1
        if following >= view.n_slices:
            if not self.loops:
                self.stop()
                return
            following = 0
        view.show_slice(following)
