"""One plane: image, masks, crosshair, prompts; the mouse becomes `ToolEvent`s.

View coordinates are in-plane millimetres from the centre of the first voxel, so
``index = coordinate / spacing``. Axes of the canonical array grow to S, P, L: axial slices are
drawn with rows downwards, the two others with rows upwards; nothing is flipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import (
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from app.core.document import Document
from app.core.errors import AppError
from app.core.events import Aspect, Change
from app.core.geometry import OPPOSITE
from app.core.prompts import AXIAL
from app.core.volume import take_slice
from app.session import Message, Preview, Session
from app.tools import TOOLS, Tool, ToolEvent
from app.tools.navigate import move_cursor
from app.ui.annotation_item import AnnotationItem
from app.ui.slice_image import overlay, windowed
from app.ui.view_text import draw_corner_text

_ZOOM_STEP = 1.15
_SHIFT_SLICES = 5


class _Drag(Enum):
    """What the mouse is doing."""

    NONE = auto()
    TOOL = auto()
    PAN = auto()
    ZOOM = auto()
    WINDOW = auto()


@dataclass(frozen=True)
class HoverInfo:
    """What lies under the pointer."""

    index_zyx: tuple[int, int, int]
    position_lps: tuple[float, float, float]
    value: float
    label_id: int


class SliceView(pg.GraphicsView):
    """Shows the slice through the cursor along one axis.

    Signals
    -------
    hover_changed : HoverInfo or None
    maximise_requested : int
        Double-click; the axis.
    focus_entered : int
    """

    hover_changed = Signal(object)
    maximise_requested = Signal(int)
    focus_entered = Signal(int)

    def __init__(self, session: Session, axis: int, parent: QWidget | None = None) -> None:
        super().__init__(parent, background="#0b0d10")
        self.axis = axis
        self.session = session
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(160, 160)
        self._box = pg.ViewBox(
            lockAspect=True, enableMouse=False, enableMenu=False, invertY=axis == AXIAL
        )
        self._box.setDefaultPadding(0.02)
        self.setCentralItem(self._box)
        self._image = pg.ImageItem(axisOrder="row-major")
        self._overlay = pg.ImageItem(axisOrder="row-major")
        self._preview = pg.ImageItem(axisOrder="row-major")
        self._notes = AnnotationItem(session, axis)
        for item in (self._image, self._overlay, self._preview, self._notes):
            self._box.addItem(item, ignoreBounds=item is not self._image)
        self._preview_now: Preview | None = None
        self._drag = _Drag.NONE
        self._drag_from = QPointF()
        self._is_alternate = False
        self._is_panning_key_down = False
        self._wheel_rest = 0.0
        # What has to be drawn again; repainting waits until the event is over.
        self._dirty_image = self._dirty_labels = self._dirty_notes = True
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.refresh)
        self._unsubscribe = [
            session.document_changed.connect(self._on_document_changed),
            session.view_state.changed.connect(self._on_view_changed),
            session.preview_changed.connect(self._on_preview_changed),
            session.pending_changed.connect(lambda _: self._mark(notes=True)),
            session.scores_changed.connect(lambda _: self._mark(notes=True)),
        ]
        self._leave_document = lambda: None
        self._on_document_changed(session.document)

    # -- where things are ----------------------------------------------------------------------

    @property
    def document(self) -> Document | None:
        return self.session.document

    @property
    def index(self) -> int:
        """The slice that is shown."""
        return self.session.view_state.cursor_zyx[self.axis]

    @property
    def n_slices(self) -> int:
        return 0 if self.document is None else self.document.volume.voxels.shape[self.axis]

    @property
    def in_plane_axes(self) -> tuple[int, int]:
        """The array axes of rows and columns."""
        rows, columns = (a for a in range(3) if a != self.axis)
        return rows, columns

    @property
    def spacing_rc(self) -> tuple[float, float]:
        assert self.document is not None
        spacing = self.document.volume.geometry.spacing_zyx
        rows, columns = self.in_plane_axes
        return spacing[rows], spacing[columns]

    @property
    def edge_letters(self) -> tuple[str, str, str, str]:
        """Patient directions at the top, bottom, left and right of the view."""
        if self.document is None:
            return "", "", "", ""
        letters = self.document.volume.geometry.axis_letters
        rows, columns = self.in_plane_axes
        down, right = letters[rows], letters[columns]
        if self.axis != AXIAL:
            down = OPPOSITE[down]
        return OPPOSITE[down], down, OPPOSITE[right], right

    def index_at(self, point: QPointF) -> tuple[float, float, float]:
        """Return the continuous voxel index under a point of the widget."""
        place = self._box.mapSceneToView(self.mapToScene(point.toPoint()))
        row_mm, column_mm = self.spacing_rc
        in_plane = [place.y() / row_mm, place.x() / column_mm]
        in_plane.insert(self.axis, float(self.index))
        return in_plane[0], in_plane[1], in_plane[2]

    def point_at(self, index_zyx: tuple[float, float, float]) -> QPointF:
        """Return the point of the widget over a voxel index; the inverse of `index_at`."""
        row_mm, column_mm = self.spacing_rc
        row, column = (index_zyx[a] for a in self.in_plane_axes)
        scene = self._box.mapViewToScene(QPointF(column * column_mm, row * row_mm))
        return QPointF(self.mapFromScene(scene))

    def fit(self) -> None:
        """Show the whole slice."""
        if self.document is None:
            return
        rows, columns = (self.document.volume.voxels.shape[a] for a in self.in_plane_axes)
        row_mm, column_mm = self.spacing_rc
        rect = QRectF(-column_mm / 2, -row_mm / 2, columns * column_mm, rows * row_mm)
        self._box.setRange(rect, padding=0.02)

    def show_slice(self, index: int) -> None:
        """Move the cursor to another slice, inside the volume."""
        if self.document is None:
            return
        cursor = list(self.session.view_state.cursor_zyx)
        cursor[self.axis] = min(max(0, index), self.n_slices - 1)
        self.session.view_state.cursor_zyx = (cursor[0], cursor[1], cursor[2])

    def close_view(self) -> None:
        """Stop listening."""
        self._timer.stop()
        for leave in (*self._unsubscribe, self._leave_document):
            leave()
        self._notes.close_item()

    # -- drawing -------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Draw again what is out of date."""
        document = self.document
        if document is None:
            for item in (self._image, self._overlay, self._preview):
                item.clear()
            self._notes.update()
            return
        state = self.session.view_state
        if self._dirty_image:
            pixels = take_slice(document.volume.voxels, self.axis, self.index)
            self._image.setImage(windowed(pixels, state.window), autoLevels=False, levels=None)
            self._image.setRect(self._rect())
        if self._dirty_labels:
            self._draw_labels(document)
        if self._dirty_notes:
            self._notes.show(self.index)
        self._dirty_image = self._dirty_labels = self._dirty_notes = False
        self.viewport().update()

    def _draw_labels(self, document: Document) -> None:
        state = self.session.view_state
        labels = take_slice(document.labelmap.voxels, self.axis, self.index)
        is_shown = state.overlay_visible and bool(labels.any())
        self._overlay.setVisible(is_shown)
        if is_shown:
            image = overlay(
                labels, document.label_table, state.overlay_opacity, has_outline=state.outline
            )
            self._overlay.setImage(image, autoLevels=False, levels=None)
            self._overlay.setRect(self._rect())
        now = self._preview_now
        is_here = now is not None and now.axis == self.axis and now.index == self.index
        self._preview.setVisible(is_here)
        if is_here and now is not None:
            info = document.label_table.get(now.label_id)
            rgba = np.zeros((*now.mask.shape, 4), np.uint8)
            rgba[now.mask] = (*(info.colour if info else (255, 255, 255)), 110)
            self._preview.setImage(rgba, autoLevels=False, levels=None)
            self._preview.setRect(self._rect())

    def _rect(self) -> QRectF:
        assert self.document is not None
        rows, columns = (self.document.volume.voxels.shape[a] for a in self.in_plane_axes)
        row_mm, column_mm = self.spacing_rc
        return QRectF(-column_mm / 2, -row_mm / 2, columns * column_mm, rows * row_mm)

    def _mark(self, *, image: bool = False, labels: bool = False, notes: bool = False) -> None:
        self._dirty_image |= image
        self._dirty_labels |= labels
        self._dirty_notes |= notes
        if not self._timer.isActive():
            self._timer.start(0)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self.viewport())
        draw_corner_text(painter, self)
        painter.end()

    # -- what happened -------------------------------------------------------------------------

    def _on_document_changed(self, document: Document | None) -> None:
        self._leave_document()
        self._leave_document = lambda: None
        if document is not None:
            self._leave_document = document.changed.connect(self._on_changed)
            self.fit()
        self._mark(image=True, labels=True, notes=True)

    def _on_changed(self, change: Change) -> None:
        if change.aspects & (Aspect.VOXELS | Aspect.LABELS):
            region = change.region
            is_here = (
                region is None
                or bool(change.aspects & Aspect.LABELS)
                or region.start_zyx[self.axis] <= self.index < region.stop_zyx[self.axis]
            )
            self._mark(labels=is_here)
        if change.aspects & (Aspect.PROMPTS | Aspect.LABELS):
            self._mark(notes=True)

    def _on_view_changed(self, name: str) -> None:
        if name == "cursor_zyx":
            self._mark(image=True, labels=True, notes=True)
        elif name == "window":
            self._mark(image=True)
        elif name in ("overlay_opacity", "overlay_visible", "outline"):
            self._mark(labels=True)
        else:
            self._mark(notes=True)

    def _on_preview_changed(self, preview: Preview | None) -> None:
        self._preview_now = preview
        self._mark(labels=True)

    # -- mouse and keyboard --------------------------------------------------------------------

    @property
    def tool(self) -> Tool:
        """The tool in hand."""
        tools = TOOLS.load()
        return tools.get(self.session.view_state.active_tool, tools["navigate"])

    def _event(self, event: QMouseEvent) -> ToolEvent:
        return ToolEvent(self.axis, self.index_at(event.position()), self._is_alternate)

    def _guarded(self, act: object, *arguments: object) -> None:
        """Run a tool; what it refuses becomes a message."""
        try:
            act(*arguments)  # type: ignore[operator]
        except AppError as error:
            self.session.message.emit(Message(str(error), is_error=True))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()
        self.setFocus()
        if self.document is None or self._drag is not _Drag.NONE:
            return
        self._drag_from = event.position()
        button, modifiers = event.button(), event.modifiers()
        is_ctrl = bool(modifiers & Qt.KeyboardModifier.ControlModifier)
        is_prompting = self.tool.id != "navigate"
        if button == Qt.MouseButton.MiddleButton or self._is_panning_key_down:
            self._drag = _Drag.PAN
        elif button == Qt.MouseButton.RightButton and not (is_prompting and self.tool.id != "box"):
            is_pacs = self.session.settings.mouse_scheme != "research"
            self._drag = _Drag.WINDOW if is_pacs != is_ctrl else _Drag.ZOOM
        elif button in (Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton):
            is_shift = bool(modifiers & Qt.KeyboardModifier.ShiftModifier)
            self._is_alternate = button == Qt.MouseButton.RightButton or (is_prompting and is_shift)
            self._drag = _Drag.TOOL
            self._guarded(self.tool.press, self.session, self._event(event))
            self._mark(notes=True)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        event.accept()
        if self.document is None:
            return
        moved = event.position() - self._drag_from
        if self._drag is _Drag.TOOL:
            self._guarded(self.tool.drag, self.session, self._event(event))
            self._mark(notes=True)
        elif self._drag is _Drag.PAN:
            before = self._box.mapSceneToView(self.mapToScene(self._drag_from.toPoint()))
            after = self._box.mapSceneToView(self.mapToScene(event.position().toPoint()))
            self._box.translateBy(x=before.x() - after.x(), y=before.y() - after.y())
        elif self._drag is _Drag.ZOOM:
            self._zoom(1.01 ** (-moved.y()), self._drag_from)
        elif self._drag is _Drag.WINDOW:
            self._change_window(moved)
        elif event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            move_cursor(self.session, self._event(event))
        if self._drag is not _Drag.TOOL:
            self._drag_from = event.position()
        self._tell_hover(event.position())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        event.accept()
        drag, self._drag = self._drag, _Drag.NONE
        if drag is _Drag.TOOL and self.document is not None:
            self._guarded(self.tool.release, self.session, self._event(event))
            self._mark(notes=True)
        self._is_alternate = False

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        event.accept()
        if self.tool.id == "navigate" and event.button() == Qt.MouseButton.LeftButton:
            self.maximise_requested.emit(self.axis)
        else:
            self.mousePressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.accept()
        steps = event.angleDelta().y() / 120
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self._zoom(_ZOOM_STEP**-steps, event.position())
            return
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self._change_brush(_ZOOM_STEP**steps)
            return
        # Trackpads send fractions of a step; they add up to whole slices.
        self._wheel_rest += steps
        whole = int(self._wheel_rest)
        self._wheel_rest -= whole
        if whole:
            self.show_slice(self.index + whole)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        is_shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        step = _SHIFT_SLICES if is_shift else 1
        if key in (Qt.Key.Key_Up, Qt.Key.Key_Right, Qt.Key.Key_PageUp):
            self.show_slice(self.index + step)
        elif key in (Qt.Key.Key_Down, Qt.Key.Key_Left, Qt.Key.Key_PageDown):
            self.show_slice(self.index - step)
        elif key == Qt.Key.Key_Home:
            self.show_slice(0)
        elif key == Qt.Key.Key_End:
            self.show_slice(self.n_slices - 1)
        elif key == Qt.Key.Key_Escape and self._drag is _Drag.TOOL:
            self._drag = _Drag.NONE
            self.tool.cancel(self.session)
            self._mark(notes=True)
        elif key == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._is_panning_key_down = True
        elif key in (Qt.Key.Key_BracketLeft, Qt.Key.Key_BracketRight):
            is_larger = key == Qt.Key.Key_BracketRight
            self._change_brush(_ZOOM_STEP if is_larger else 1 / _ZOOM_STEP)
        else:
            event.ignore()
            return
        event.accept()

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._is_panning_key_down = False
            event.accept()
        else:
            event.ignore()

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.focus_entered.emit(self.axis)
        self.viewport().update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._is_panning_key_down = False
        self.viewport().update()

    def leaveEvent(self, event: object) -> None:
        self.hover_changed.emit(None)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        if event is not None and self.document is not None:
            self.fit()

    def _zoom(self, factor: float, at: QPointF) -> None:
        centre = self._box.mapSceneToView(self.mapToScene(at.toPoint()))
        self._box.scaleBy((factor, factor), center=centre)

    def _change_window(self, moved: QPointF) -> None:
        low, high = self.session.view_state.window
        width, level = high - low, (high + low) / 2
        width = max(width * 1.005 ** moved.x(), 1e-3)
        level -= moved.y() * width / 250
        self.session.view_state.window = (level - width / 2, level + width / 2)

    def _change_brush(self, factor: float) -> None:
        brush = TOOLS.load().get("brush")
        if brush is not None:
            brush.radius_mm = min(80.0, max(0.5, brush.radius_mm * factor))  # type: ignore[attr-defined]
            self._mark(notes=True)

    def _tell_hover(self, point: QPointF) -> None:
        document = self.document
        assert document is not None
        index = self.index_at(point)
        if not document.volume.geometry.contains(index):
            self.hover_changed.emit(None)
            return
        z, y, x = (round(i) for i in index)
        position = document.volume.geometry.index_to_lps((z, y, x))
        self.hover_changed.emit(
            HoverInfo(
                (z, y, x),
                (float(position[0]), float(position[1]), float(position[2])),
                float(document.volume.voxels[z, y, x]),
                int(document.labelmap.voxels[z, y, x]),
            )
        )
