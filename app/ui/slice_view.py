"""One plane of the scan: mouse and keyboard over its picture become tool events and looking."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QElapsedTimer, QEvent, QPointF, Qt, Signal
from PySide6.QtGui import (
    QEnterEvent,
    QFocusEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QAbstractSpinBox, QApplication, QLineEdit, QWidget

from app.core.document import Document
from app.core.errors import AppError
from app.session import Message, Session
from app.tools import TOOLS, Shape, Tool, ToolEvent, ToolHost
from app.tools.navigate import move_cursor
from app.tools.ruler import end_near
from app.ui.hover import hover_at
from app.ui.key_pointer import RELEASES, Clicks, KeyPointer
from app.ui.mouse import (
    CONTROL,
    LEFT,
    NOTCH,
    SHIFT,
    Drag,
    HasRadius,
    WheelSteps,
    drag_for,
    dragged_window,
    key_target,
    resize,
    tool_event,
)
from app.ui.slice_canvas import SliceCanvas

ZOOM_STEP = 1.15
# Held, it puts a magnifying glass under the pointer.
MAGNIFY_KEY = Qt.Key.Key_Z
# V held for longer shows or hides the masks for as long as it is held.
PEEK_MS = 350
PEEK_KEY = "V"
# This many pixels of a zoom drag are one step.
_ZOOM_DRAG_PX = 16
_BRACKETS = {Qt.Key.Key_BracketLeft: -1, Qt.Key.Key_BracketRight: 1}
_NO_BUTTON = Qt.MouseButton.NoButton


class SliceView(SliceCanvas):
    """A slice that is looked through and worked on with mouse and keyboard.

    Signals
    -------
    hover_changed : HoverInfo or None
    activated : int
        Its axis: the pointer went over it, or it got the focus.
    maximise_requested : int
        Its axis: it was double-clicked.
    tool_resized : None
        The tool in hand became larger or smaller.
    """

    hover_changed = Signal(object)
    activated = Signal(int)
    maximise_requested = Signal(int)
    tool_resized = Signal()

    def __init__(self, session: Session, axis: int, parent: QWidget | None = None) -> None:
        self._drag = Drag.NONE
        self._button = _NO_BUTTON
        self._dragged_tool: Tool | None = None
        self._last = self._pressed_at = QPointF()
        self._hovered: QPointF | None = None
        self._is_space_down = self._has_space_panned = False
        self._wheel, self._brush_wheel = WheelSteps(), WheelSteps()
        self._peek = QElapsedTimer()
        self._keys = KeyPointer(session.view_state, axis)
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
            self._dragged_tool = self._tool_at(event)
            self._tell(self._dragged_tool.press, event)
        self._update_pointer()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Go on with a drag, or follow the pointer."""
        event.accept()
        if self._frame is None:
            return
        at = event.position()
        moved, self._last = at - self._last, at
        if self.magnifier.at is not None:
            self._magnify(at)
        if self._dragged_tool is not None and not self._keys.is_down:
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
        if event.button() != self._button or self._keys.is_down:
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
        self._hovered = None
        self.repaint_later()
        self.hover_changed.emit(None)

    # -- keyboard ------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Claim keys that mean something here before shortcuts of the window get them."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.ShortcutOverride:
            is_dragging = self._dragged_tool is not None
            if (
                event.key() == Qt.Key.Key_Space
                or self._is_peek(event)
                or _is_magnify(event)
                or (event.key() == Qt.Key.Key_Escape and is_dragging)
                or (event.key() in RELEASES and self._keys.is_down)
                or self._keys.moves(event.key(), event.modifiers())
            ):
                event.accept()
                return True
        return bool(super().event(event))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Change the slice, give up what a tool began, or get ready to pan."""
        event.accept()
        target = key_target(event.key(), event.modifiers(), self.index, self.n_slices)
        is_dragging = self._dragged_tool is not None
        if self._frame is not None and self._keys.moves(event.key(), event.modifiers()):
            self._keys.move(event.key(), event.modifiers(), self._frame)
            self.bring_into_view(self._keys.event().position_zyx)
            if self._keys.is_down and self._dragged_tool is not None:
                self._act(self._dragged_tool.drag, self._keys.event())
        elif event.key() in RELEASES and self._keys.is_down:
            if not event.isAutoRepeat():
                self.press_key()
        elif target is not None and not is_dragging:
            self.show_slice(target)
        elif event.key() == Qt.Key.Key_Escape and is_dragging:
            self._give_up()
        elif event.key() in _BRACKETS and not event.modifiers() & CONTROL:
            self._resize_tool(_BRACKETS[Qt.Key(event.key())])
        elif event.key() == Qt.Key.Key_Space:
            if not event.isAutoRepeat():
                self._is_space_down, self._has_space_panned = True, False
                self._update_pointer()
        elif _is_magnify(event):
            if not event.isAutoRepeat():
                self._magnify(self._last)
        elif self._is_peek(event):
            if not event.isAutoRepeat():
                self._flip_masks()
                self._peek.start()
        else:
            event.ignore()

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """End panning, peeking or magnifying; a Space that did not pan accepts the object."""
        if event.key() == MAGNIFY_KEY and self.magnifier.at is not None:
            event.accept()
            if not event.isAutoRepeat():
                self._magnify(None)
            return
        if self._is_peek(event) and self._peek.isValid() and not event.isAutoRepeat():
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
                self.session.prompting.accept()

    def press_key(self, *, is_alternate: bool = False) -> None:
        """Press the tool in hand at the crosshair, or let go of it."""
        if self._frame is None:
            return
        self.setFocus(Qt.FocusReason.ShortcutFocusReason)
        tool = self._dragged_tool
        if tool is None:
            tool = self._dragged_tool = self.tool
            self._drag = Drag.TOOL
            self._keys.is_down, self._keys.is_alternate = True, is_alternate
            self.session.view_state.crosshair_visible = True
            if not self._act(tool.press, self._keys.event()):
                self._give_up()
                return
            if not isinstance(tool, Clicks):
                return
        elif not self._keys.is_down:
            return  # the mouse is at work
        self._keys.is_down = False
        self._dragged_tool, self._drag = None, Drag.NONE
        self._act(tool.release, self._keys.event())

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Become the active view."""
        super().focusInEvent(event)
        self.activated.emit(self.axis)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Forget a held key: its release will go elsewhere."""
        super().focusOutEvent(event)
        self._is_space_down = False
        self._magnify(None)
        self._update_pointer()

    def shapes(self) -> tuple[Shape, ...]:
        """Return what the tool is doing; before it does anything, how large it is."""
        shapes, tool = super().shapes(), self.tool
        if shapes or self._hovered is None or not isinstance(tool, HasRadius):
            return shapes
        at = self.index_at(self._hovered)
        return (Shape("circle", self.axis, self.index, (at,), tool.radius_mm),)

    # -- inside --------------------------------------------------------------------------------

    def _tell(self, act: Callable[[ToolHost, ToolEvent], None], event: QMouseEvent) -> None:
        """Pass an event to a tool; what it refuses becomes a message."""
        position = self.index_at(event.position())
        modifiers, zoom = event.modifiers(), self.px_per_mm
        self._act(act, tool_event(self.axis, position, self._button, modifiers, zoom))

    def _act(self, act: Callable[[ToolHost, ToolEvent], None], event: ToolEvent) -> bool:
        """Let a tool act; False if it refused."""
        try:
            act(self.session, event)
        except AppError as error:
            self.session.message.emit(Message(str(error), is_error=True))
            return False
        finally:
            self.repaint_later()
        return True

    def _is_peek(self, event: QKeyEvent) -> bool:
        """Return whether a key shows and hides the masks: held, only for as long as it is."""
        keys = self.session.settings.shortcuts.get("show_mask", PEEK_KEY)
        return QKeySequence(event.keyCombination()) in [QKeySequence(k) for k in keys.split("|")]

    def _magnify(self, at: QPointF | None) -> None:
        self.magnifier.at = at
        self.repaint_later()

    def _flip_masks(self) -> None:
        state = self.session.view_state
        state.overlay_visible = not state.overlay_visible

    def _resize_tool(self, steps: int) -> None:
        resize(self.tool, steps)
        self.tool_resized.emit()
        self.repaint_later()

    def _tool_at(self, event: QMouseEvent) -> Tool:
        """Return the tool in hand; ends of lines can be moved without taking up the ruler."""
        if self.tool.id != "navigate":
            return self.tool
        position = self.index_at(event.position())
        pressed = tool_event(self.axis, position, event.button(), event.modifiers(), self.px_per_mm)
        return self.tool if end_near(self.session, pressed) is None else TOOLS.load()["ruler"]

    def _give_up(self) -> None:
        """End a drag as if it had not begun."""
        tool, self._dragged_tool = self._dragged_tool or self.tool, None
        self._drag, self._button = Drag.NONE, _NO_BUTTON
        self._keys.is_down = False
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
        else:
            shape = shapes.ArrowCursor if self.tool.id == "navigate" else shapes.CrossCursor
        self.viewport().setCursor(shape)

    def _tell_hover(self, point: QPointF) -> None:
        document = self.session.document
        if document is None:
            return
        position, self._hovered = self.index_at(point), point
        if isinstance(self.tool, HasRadius):
            self.repaint_later()
        self.hover_changed.emit(hover_at(document, position))


def _is_magnify(event: QKeyEvent) -> bool:
    return event.key() == MAGNIFY_KEY and not event.modifiers()
