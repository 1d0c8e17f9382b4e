"""What the window remembers between starts: its place, its panels, its views, the tool in hand."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, QRect, QSize, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDockWidget, QToolBar

from app.tools import TOOLS
from app.ui.view_grid import LAYOUTS

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow

SIZE = QSize(1440, 900)
SMALLEST = QSize(900, 600)
# About what a window's frame takes on any system.
_FRAME = QSize(4, 50)
FIRST_TOOL = "box"
FIRST_LAYOUT = "main"


class WindowMemory:
    """Restores the layout, remembers it, and puts it back to how it came.

    Create it when every panel is in its place: that is what `reset` goes back to.
    """

    def __init__(self, window: MainWindow) -> None:
        self._window = window
        self._session = window.session
        self._has_tool = False
        # A layout of other panels than these cannot be restored as a whole.
        parts = (*window.findChildren(QDockWidget), *window.findChildren(QToolBar))
        names = " ".join(sorted(part.objectName() for part in parts))
        self._version = zlib.crc32(names.encode()) & 0x7FFFFFFF
        self._default = window.saveState(self._version)

    def restore(self) -> None:
        """Put everything where it was, as far as it fits on the screen of today."""
        window, settings = self._window, self._session.settings
        room = self._room()
        window.setMinimumSize(SMALLEST.boundedTo(room.size() - _FRAME))
        window.resize(SIZE.boundedTo(room.size() - _FRAME))
        if settings.window_geometry:
            window.restoreGeometry(_bytes(settings.window_geometry))
            # Once it is shown: only then is it known how wide its frame is.
            QTimer.singleShot(0, window, self._keep_on_screen)
        if settings.window_state:
            window.restoreState(_bytes(settings.window_state), self._version)
            self._dock_what_is_out_of_sight()
        if settings.view_layout in LAYOUTS:
            window.grid.set_layout(settings.view_layout)
        if settings.maximised_view >= 0:
            window.grid.maximise(settings.maximised_view)
        state = self._session.view_state
        state.overlay_opacity, state.outline = settings.overlay_opacity, settings.outline

    def take_tool(self) -> None:
        """Take the tool in hand that was in hand last; for the first scan of a start."""
        if self._has_tool:
            return
        self._has_tool = True
        last = self._session.settings.last_tool
        self._session.view_state.active_tool = last if last in TOOLS.load() else FIRST_TOOL

    def remember(self) -> None:
        """Write down how it is now."""
        window, settings = self._window, self._session.settings
        state = self._session.view_state
        settings.window_geometry = _text(window.saveGeometry())
        settings.window_state = _text(window.saveState(self._version))
        settings.view_layout = window.grid.layout_name
        settings.maximised_view = -1 if window.grid.maximised is None else window.grid.maximised
        if self._has_tool:
            settings.last_tool = state.active_tool
        settings.overlay_opacity, settings.outline = state.overlay_opacity, state.outline
        settings.save()

    def reset(self) -> None:
        """Put panels and views back to where they were at the very first start."""
        for dock in self._window.findChildren(QDockWidget):
            dock.setFloating(False)
        self._window.restoreState(self._default, self._version)
        self._window.grid.set_layout(FIRST_LAYOUT)
        self._keep_on_screen()

    # -- inside --------------------------------------------------------------------------------

    def _room(self) -> QRect:
        screen = self._window.screen() or QGuiApplication.primaryScreen()
        return screen.availableGeometry()

    def _keep_on_screen(self) -> None:
        """Shrink and move the window until all of it can be seen."""
        window = self._window
        if window.isMaximized() or window.isFullScreen():
            return
        room, frame = self._room(), window.frameGeometry()
        if room.contains(frame):
            return
        border = frame.size() - window.size()
        window.resize(window.size().boundedTo(room.size() - border))
        frame = window.frameGeometry()
        left = min(max(frame.left(), room.left()), room.right() + 1 - frame.width())
        top = min(max(frame.top(), room.top()), room.bottom() + 1 - frame.height())
        window.move(left, top)

    def _dock_what_is_out_of_sight(self) -> None:
        """Fetch panels back that float where there is no screen any more."""
        for dock in self._window.findChildren(QDockWidget):
            if dock.isFloating() and not any(
                screen.availableGeometry().intersects(dock.frameGeometry())
                for screen in QGuiApplication.screens()
            ):
                dock.setFloating(False)


def _text(saved: QByteArray) -> str:
    return base64.b64encode(saved.data()).decode()


def _bytes(text: str) -> QByteArray:
    return QByteArray(base64.b64decode(text))
