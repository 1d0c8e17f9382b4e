"""The picture of the 3-D scene: turned with the mouse, with the letters of the patient's sides."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from app.view3d.camera import Camera, camera_from

_BACKGROUND = QColor(14, 17, 20)
_LETTER = QColor(216, 221, 227)
# In the order of the LPS axes: the colours of the planes that they run across.
_AXIS_COLOURS = (QColor(240, 196, 72), QColor(96, 190, 112), QColor(240, 98, 88))
_AXIS_LETTERS = (("L", "R"), ("P", "A"), ("S", "I"))
_COMPASS_PX = 26
_COMPASS_MARGIN_PX = 44
# A press that moves less than this is a click.
_CLICK_PX = 4
_WHEEL_ZOOM = 1.15
_KEY_STEP_PX = 24


class SceneView(QWidget):
    """Shows pictures of the scene and decides from where it is seen.

    Attributes
    ----------
    camera : Camera, optional
        None before there is anything to see.

    Signals
    -------
    camera_changed
    clicked : QPointF
    reset_requested, maximise_requested
    """

    camera_changed = Signal()
    clicked = Signal(QPointF)
    reset_requested = Signal()
    maximise_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.camera: Camera | None = None
        self._picture = QImage()
        self._pressed: QPointF | None = None
        self._last = QPointF()
        self._is_drag = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(80, 80)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)

    @property
    def size_px(self) -> QSize:
        """The size of a sharp picture, in pixels of the screen."""
        ratio = self.devicePixelRatioF()
        return QSize(max(1, round(self.width() * ratio)), max(1, round(self.height() * ratio)))

    def look_from(self, side: str, corners_lps: np.ndarray) -> None:
        """See all of the scan from one side."""
        self.camera = camera_from(side, corners_lps)
        self.camera_changed.emit()

    def show_picture(self, rgb: np.ndarray) -> None:
        """Show a (row, column, 3) uint8 picture."""
        self._picture = image_of(rgb)
        self.update()

    def clear(self) -> None:
        """Show nothing."""
        self.camera = None
        self._picture = QImage()
        self.update()

    # -- drawing -------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        if self._picture.isNull():
            painter.fillRect(self.rect(), _BACKGROUND)
        else:
            painter.drawImage(self.rect(), self._picture)
        if self.camera is not None:
            draw_compass(painter, self.camera, self.height(), 1.0)
        painter.end()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.camera is not None:
            self.camera_changed.emit()

    # -- mouse and keys ------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._pressed = self._last = event.position()
        self._is_drag = False

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._pressed is None or self.camera is None:
            return
        where = event.position()
        if not self._is_drag:
            if (where - self._pressed).manhattanLength() < _CLICK_PX:
                return
            self._is_drag = True
        step, self._last = where - self._last, where
        buttons, height = event.buttons(), self.height()
        has_shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if buttons & Qt.MouseButton.MiddleButton or has_shift:
            self._use(self.camera.moved(step.x(), step.y(), height))
        elif buttons & Qt.MouseButton.RightButton:
            self._use(self.camera.zoomed(float(np.exp(-3 * step.y() / height))))
        else:
            self._use(self.camera.turned(step.x(), step.y(), height))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        was_click = self._pressed is not None and not self._is_drag
        self._pressed = None
        if was_click and event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit(event.position())

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self._pressed = None
        if event.button() == Qt.MouseButton.LeftButton:
            self.maximise_requested.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.camera is not None:
            self._use(self.camera.zoomed(_WHEEL_ZOOM ** (event.angleDelta().y() / 120)))
        event.accept()

    def event(self, event: QEvent) -> bool:
        """Take R from the window's shortcuts while the pointer's keys are for this view."""
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            if event.key() == Qt.Key.Key_R and not event.modifiers():
                event.accept()
                return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {
            Qt.Key.Key_Left: (-1, 0),
            Qt.Key.Key_Right: (1, 0),
            Qt.Key.Key_Up: (0, -1),
            Qt.Key.Key_Down: (0, 1),
        }
        key = Qt.Key(event.key())
        if self.camera is None or event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            super().keyPressEvent(event)
        elif key in steps:
            x, y = (_KEY_STEP_PX * n for n in steps[key])
            self._use(self.camera.turned(x, y, self.height()))
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Minus):
            is_closer = key == Qt.Key.Key_Plus
            self._use(self.camera.zoomed(_WHEEL_ZOOM if is_closer else 1 / _WHEEL_ZOOM))
        elif key == Qt.Key.Key_R:
            self.reset_requested.emit()
        else:
            super().keyPressEvent(event)

    def _use(self, camera: Camera) -> None:
        self.camera = camera
        self.update()
        self.camera_changed.emit()


def image_of(rgb: np.ndarray) -> QImage:
    """Return a (row, column, 3) uint8 picture as an image with memory of its own."""
    rows, columns, _ = rgb.shape
    kept = np.ascontiguousarray(rgb)
    image = QImage(kept.data, columns, rows, 3 * columns, QImage.Format.Format_RGB888)
    return image.copy()


def draw_compass(painter: QPainter, camera: Camera, height: float, scale: float) -> None:
    """Draw the patient's axes with their letters at the lower left, those towards the eye last."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    font = painter.font()
    font.setPixelSize(round(11 * scale))
    font.setBold(True)
    painter.setFont(font)
    centre = QPointF(_COMPASS_MARGIN_PX * scale, height - _COMPASS_MARGIN_PX * scale)
    arms = []
    for axis in range(3):
        for sign, letter in zip((1, -1), _AXIS_LETTERS[axis], strict=True):
            towards = np.zeros(3)
            towards[axis] = sign
            arms.append((float(towards @ camera.forward), axis, letter, towards))
    for depth, axis, letter, towards in sorted(arms, key=lambda arm: -arm[0]):
        x, y = float(towards @ camera.right), -float(towards @ camera.up)
        tip = centre + QPointF(x, y) * _COMPASS_PX * scale
        colour = QColor(_AXIS_COLOURS[axis])
        # What points away from the eye is drawn fainter.
        colour.setAlphaF(0.95 - 0.6 * max(0.0, depth))
        painter.setPen(QPen(colour, 2 * scale))
        painter.drawLine(centre, tip)
        place = centre + QPointF(x, y) * (_COMPASS_PX + 9) * scale
        letters = QColor(_LETTER)
        letters.setAlphaF(colour.alphaF())
        painter.setPen(letters)
        half = 8 * scale
        painter.drawText(
            QRectF(place.x() - half, place.y() - half, 2 * half, 2 * half),
            Qt.AlignmentFlag.AlignCenter,
            letter,
        )
