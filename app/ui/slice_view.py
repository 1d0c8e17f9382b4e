"""One plane of the scan: mouse and keyboard over its picture become tool events and looking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QElapsedTimer, QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QEnterEvent, QFocusEvent, QKeyEvent, QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QAbstractSpinBox, QApplication, QLineEdit, QWidget

from app.core.document import Document
from app.core.errors import AppError
from app.session import Message, Session
from app.tools import Tool, ToolEvent, ToolHost
from app.tools.navigate import move_cursor
from app.ui.mouse import (
    CONTROL,
    LEFT,
    NOTCH,
    SHIFT,
    Drag,
    WheelSteps,
    drag_for,
    dragged_window,
    key_target,
    resize,
    tool_event,
)
from app.ui.slice_canvas import SliceCanvas

ZOOM_STEP = 1.15
# V held for longer shows or hides the masks for as long as it is held.
PEEK_MS = 350
# This many pixels of a zoom drag are one step.
_ZOOM_DRAG_PX = 16
_BRACKETS = {Qt.Key.Key_BracketLeft: -1, Qt.Key.Key_BracketRight: 1}
_NO_BUTTON = Qt.MouseButton.NoButton


@dataclass(frozen=True)
class HoverInfo:
    """What lies under the pointer."""

    index_zyx: tuple[int, int, int]
    position_lps: tuple[float, float, float]
    value: float
    label_id: int


class SliceView(SliceCanvas):
    """A slice that is looked through and worked on with mouse and keyboard.

    Signals
    -------
    hover_changed : HoverInfo or None
    activated : int
        Its axis: the pointer went over it, or it got the focus.
    maximise_requested : int
        Its axis: it was double-clicked.
    """

    hover_changed = Signal(object)
    activated = Signal(int)
    maximise_requested = Signal(int)

    def __init__(self, session: Session, axis: int, parent: QWidget | None = None) -> None:
        self._drag = Drag.NONE
        self._button = _NO_BUTTON
        self._dragged_tool: Tool | None = None
        self._last = self._pressed_at = QPointF()
        self._is_space_down = self._has_space_panned = False
        self._wheel, self._brush_wheel = WheelSteps(), WheelSteps()
        self._peek = QElapsedTimer()
        super().__init__(session, axis, parent)
        self._update_pointer()

    def _on_document_changed(self, document: Document | None) -> None:
        self._give_up()
        super()._on_document_changed(document)
        self.hover_changed.emit(None)

    def _on_view_changed(self, name: str) -> None:
        if name == "active_tool":
            self._give_up()
            self._update_pointer()
        super()._on_view_changed(name)

    # -- mouse ---------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a drag."""
        event.accept()
        self.activated.emit(self.axis)
        if self._drag is not Drag.NONE or self._frame is None:
            return
        tool = self.tool
        self._drag = drag_for(
            event.button(),
            event.modifiers(),
            self.session.settings.mouse_scheme,
            takes_clicks=tool.takes_clicks,
            is_space_down=self._is_space_down,
        )
        self._button = event.button()
        self._last = self._pressed_at = event.position()
        self._has_space_panned |= self._is_space_down
        if self._drag is Drag.TOOL:
            self._dragged_tool = tool
            self._tell(tool.press, event)
        self._update_pointer()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Go on with a drag, or follow the pointer."""
        event.accept()
        if self._frame is None:
            return
        at = event.position()
        moved, self._last = at - self._last, at
        if self._dragged_tool is not None:
            self._tell(self._dragged_tool.drag, event)
        elif self._drag is Drag.PAN:
            self.pan(moved)
        elif self._drag is Drag.ZOOM:
            self.zoom(ZOOM_STEP ** (-moved.y() / _ZOOM_DRAG_PX), self._pressed_at)
        elif self._drag is Drag.WINDOW:
            state = self.session.view_state
            state.window = dragged_window(state.window, moved.x(), moved.y())
        elif event.modifiers() & SHIFT and not event.buttons():
            move_cursor(self.session, ToolEvent(self.axis, self.index_at(at)))
        self._tell_hover(at)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End a drag."""
        event.accept()
        if event.button() != self._button:
            return
        tool, self._dragged_tool = self._dragged_tool, None
        if tool is not None:
            self._tell(tool.release, event)
        self._drag, self._button = Drag.NONE, _NO_BUTTON
        self._update_pointer()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Ask for this view alone, unless the tool takes the second click as one more."""
        if event.button() == LEFT and not self.tool.takes_clicks:
            event.accept()
            self.maximise_requested.emit(self.axis)
        else:
            self.mousePressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Change the slice; with Ctrl the zoom, with Shift the brush."""
        event.accept()
        # Some systems turn the wheel sideways while Shift is held.
        delta = event.angleDelta().y() or event.angleDelta().x()
        if event.modifiers() & CONTROL:
            self.zoom(ZOOM_STEP ** (delta / NOTCH), event.position())
        elif event.modifiers() & SHIFT:
            self._resize_tool(self._brush_wheel.add(delta))
        elif self._dragged_tool is None:
            # While a tool is at work, its box or stroke stays on the slice where it began.
            self.show_slice(self.index + self._wheel.add(delta))
        self._tell_hover(event.position())

    def enterEvent(self, event: QEnterEvent) -> None:
        """Let keys go to the view under the pointer, unless somebody is typing elsewhere."""
        super().enterEvent(event)
        if not isinstance(QApplication.focusWidget(), QLineEdit | QAbstractSpinBox):
            self.setFocus(Qt.FocusReason.MouseFocusReason)
        self.activated.emit(self.axis)

    def leaveEvent(self, event: QEvent) -> None:
        """Tell that nothing lies under the pointer any more."""
        self.hover_changed.emit(None)

    # -- keyboard ------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Claim keys that mean something here before shortcuts of the window get them."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.ShortcutOverride:
            is_dragging = self._dragged_tool is not None
            is_peek = event.key() == Qt.Key.Key_V and not event.modifiers()
            if (
                event.key() == Qt.Key.Key_Space
                or is_peek
                or (event.key() == Qt.Key.Key_Escape and is_dragging)
            ):
                event.accept()
                return True
        return bool(super().event(event))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Change the slice, give up what a tool began, or get ready to pan."""
        event.accept()
        target = key_target(event.key(), event.modifiers(), self.index, self.n_slices)
        is_dragging = self._dragged_tool is not None
        if target is not None and not is_dragging:
            self.show_slice(target)
        elif event.key() == Qt.Key.Key_Escape and is_dragging:
            self._give_up()
        elif event.key() in _BRACKETS and not event.modifiers() & CONTROL:
            self._resize_tool(_BRACKETS[Qt.Key(event.key())])
        elif event.key() == Qt.Key.Key_Space:
            if not event.isAutoRepeat():
                self._is_space_down, self._has_space_panned = True, False
                self._update_pointer()
        elif event.key() == Qt.Key.Key_V and not event.modifiers():
            if not event.isAutoRepeat():
                self._flip_masks()
                self._peek.start()
        else:
            event.ignore()

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """End panning or peeking; a Space that did not pan accepts the current object."""
        if event.key() == Qt.Key.Key_V and self._peek.isValid() and not event.isAutoRepeat():
            event.accept()
            if self._peek.elapsed() >= PEEK_MS:
                self._flip_masks()
            self._peek.invalidate()
            return
        if event.key() != Qt.Key.Key_Space or not self._is_space_down:
            event.ignore()
            return
        event.accept()
        if not event.isAutoRepeat():
            self._is_space_down = False
            self._update_pointer()
            if not self._has_space_panned:
                self.session.accept()

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Become the active view."""
        super().focusInEvent(event)
        self.activated.emit(self.axis)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Forget a held key: its release will go elsewhere."""
        super().focusOutEvent(event)
        self._is_space_down = False
        self._update_pointer()

    # -- inside --------------------------------------------------------------------------------

    def _tell(self, act: Callable[[ToolHost, ToolEvent], None], event: QMouseEvent) -> None:
        """Pass an event to a tool; what it refuses becomes a message."""
        position = self.index_at(event.position())
        try:
            act(self.session, tool_event(self.axis, position, self._button, event.modifiers()))
        except AppError as error:
            self.session.message.emit(Message(str(error), is_error=True))
        self.repaint_later()

    def _flip_masks(self) -> None:
        state = self.session.view_state
        state.overlay_visible = not state.overlay_visible

    def _resize_tool(self, steps: int) -> None:
        resize(self.tool, steps)
        self.repaint_later()

    def _give_up(self) -> None:
        """End a drag as if it had not begun."""
        tool, self._dragged_tool = self._dragged_tool, None
        self._drag, self._button = Drag.NONE, _NO_BUTTON
        if tool is not None:
            tool.cancel(self.session)
            self.repaint_later()
            self._update_pointer()

    def _update_pointer(self) -> None:
        shapes = Qt.CursorShape
        if self._drag is Drag.PAN:
            shape = shapes.ClosedHandCursor
        elif self._is_space_down:
            shape = shapes.OpenHandCursor
        elif self.tool.id == "navigate":
            shape = shapes.ArrowCursor
        else:
            shape = shapes.CrossCursor
        self.viewport().setCursor(shape)

    def _tell_hover(self, point: QPointF) -> None:
        document = self.session.document
        if document is None:
            return
        position = self.index_at(point)
        geometry = document.volume.geometry
        if not geometry.contains(position):
            self.hover_changed.emit(None)
            return
        z, y, x = (round(p) for p in position)
        lps = geometry.index_to_lps((z, y, x))
        self.hover_changed.emit(
            HoverInfo(
                (z, y, x),
                (float(lps[0]), float(lps[1]), float(lps[2])),
                float(document.volume.voxels[z, y, x]),
                int(document.labelmap.voxels[z, y, x]),
            )
        )
