"""A slider through the slices of a plane that shows where masks and prompts are."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPolygonF, QWheelEvent
from PySide6.QtWidgets import QAbstractSlider, QSizePolicy, QStyle, QWidget

from app.core.labels import Colour
from app.ui.mouse import LEFT, WheelSteps
from app.ui.slice_painter import DOUBTFUL, with_alpha

WIDTH_PX = 20
HANDLE_PX = 10
_TRACK = QColor(38, 44, 51)
_MASK = QColor(108, 140, 168)
_RANGE = QColor(216, 221, 227)
# The ends of the range are taken in the left part of the bar, this close to them.
_RANGE_LANE_PX, _RANGE_REACH_PX = 9, 7


@dataclass(frozen=True)
class SliceMarks:
    """What is worth finding again along the slices of a plane.

    Attributes
    ----------
    masks, doubts : tuple of (start, stop)
        Half-open runs of slices that hold any label, and of those that deserve a look.
    prompts : tuple of (slice, colour)
    ranges : tuple of (start, stop, colour)
        Half-open ranges through which a mask is carried.
    """

    masks: tuple[tuple[int, int], ...] = ()
    doubts: tuple[tuple[int, int], ...] = ()
    prompts: tuple[tuple[int, Colour], ...] = ()
    ranges: tuple[tuple[int, int, Colour], ...] = ()


class SliceSlider(QAbstractSlider):
    """Vertical; the first slice is at the bottom, as the wheel and the arrow keys count.

    Signals
    -------
    range_dragged : int, int
        Half-open range of slices, while one of its ends is dragged.
    range_released
        An end that was moved was let go of.
    """

    range_dragged = Signal(int, int)
    range_released = Signal()

    def __init__(self, colour: QColor, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._colour = colour
        self._marks = SliceMarks()
        self._wheel = WheelSteps()
        self._range: tuple[int, int] | None = None
        # The end of the range that is being dragged: 0 or 1.
        self._dragged_end: int | None = None
        self._is_range_moved = False
        self.setOrientation(Qt.Orientation.Vertical)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)

    @property
    def marks(self) -> SliceMarks:
        return self._marks

    def set_marks(self, marks: SliceMarks) -> None:
        """Show other marks."""
        if marks != self._marks:
            self._marks = marks
            self.update()

    @property
    def carry_range(self) -> tuple[int, int] | None:
        """The half-open range whose ends can be dragged; None hides them."""
        return self._range

    def set_carry_range(self, carried: tuple[int, int] | None) -> None:
        """Show another range."""
        if carried != self._range:
            self._range = carried
            self.update()

    def sizeHint(self) -> QSize:
        """Return the usual size."""
        return QSize(WIDTH_PX, 160)

    def minimumSizeHint(self) -> QSize:
        """Return the smallest size that can be used."""
        return QSize(WIDTH_PX, 48)

    # -- where slices are ----------------------------------------------------------------------

    def y_of(self, edge: float) -> float:
        """Return where an edge between slices lies: slice i spans [i, i + 1)."""
        share = (edge - self.minimum()) / (self.maximum() + 1 - self.minimum())
        return self.height() - HANDLE_PX / 2 - share * (self.height() - HANDLE_PX)

    def value_at(self, y: float) -> int:
        """Return the slice at a height."""
        length = max(1, self.height() - HANDLE_PX)
        return QStyle.sliderValueFromPosition(
            self.minimum(), self.maximum(), round(y - HANDLE_PX / 2), length, True
        )

    # -- events --------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go to the slice under the pointer."""
        if event.button() != LEFT:
            return
        self._dragged_end = self._end_at(event.position())
        if self._dragged_end is None:
            self.setSliderDown(True)
            self.setValue(self.value_at(event.position().y()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the pointer."""
        if self._dragged_end is not None:
            self._drag_end(event.position().y())
        elif self.isSliderDown():
            self.setValue(self.value_at(event.position().y()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Stay there."""
        if event.button() != LEFT:
            return
        self.setSliderDown(False)
        if self._dragged_end is not None:
            self._dragged_end = None
            if self._is_range_moved:
                self._is_range_moved = False
                self.range_released.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Change the slice, one per notch."""
        event.accept()
        self.setValue(self.value() + self._wheel.add(event.angleDelta().y()))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint track, marks and handle."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        middle = self.width() / 2
        painter.setBrush(_TRACK)
        painter.drawRoundedRect(self._bar(middle, 4, self.minimum(), self.maximum() + 1), 2, 2)
        if not self.isEnabled():
            return
        for runs, colour in ((self._marks.masks, _MASK), (self._marks.doubts, DOUBTFUL)):
            painter.setBrush(colour)
            for start, stop in runs:
                painter.drawRoundedRect(self._bar(middle, 4, start, stop), 2, 2)
        for start, stop, rgb in self._marks.ranges:
            painter.setBrush(with_alpha(QColor(*rgb), 0.8))
            painter.drawRect(self._bar(middle - 6, 2, start, stop))
        if self._range is not None:
            self._paint_range(painter, middle - 6, *self._range)
        for index, rgb in self._marks.prompts:
            painter.setBrush(QColor(*rgb))
            painter.drawEllipse(QPointF(middle - 6, self.y_of(index + 0.5)), 2.6, 2.6)
        handle = QRectF(0, 0, self.width() - 6, HANDLE_PX - 4)
        handle.moveCenter(QPointF(middle, self.y_of(self.value() + 0.5)))
        painter.setPen(QColor(0, 0, 0, 140))
        painter.setBrush(self._colour.lighter(115) if self.isSliderDown() else self._colour)
        painter.drawRoundedRect(handle, 3, 3)

    def _end_at(self, point: QPointF) -> int | None:
        """Return which end of the range lies under a point."""
        if self._range is None or point.x() > _RANGE_LANE_PX:
            return None
        far = [abs(point.y() - self.y_of(edge)) for edge in self._range]
        end = 0 if far[0] < far[1] else 1
        return end if far[end] <= _RANGE_REACH_PX else None

    def _drag_end(self, y: float) -> None:
        assert self._range is not None
        start, stop = self._range
        if self._dragged_end == 0:
            start = min(self.value_at(y), stop - 1)
        else:
            stop = max(self.value_at(y), start) + 1
        if (start, stop) != self._range:
            self._is_range_moved = True
            self.range_dragged.emit(start, stop)

    def _paint_range(self, painter: QPainter, x: float, start: int, stop: int) -> None:
        painter.setBrush(with_alpha(_RANGE, 0.35))
        painter.drawRect(self._bar(x, 1, start, stop))
        painter.setBrush(_RANGE)
        # Arrow heads that point out of the range, the way they are mostly dragged.
        for edge, away in ((start, 1), (stop, -1)):
            y = self.y_of(edge)
            tip = QPointF(x, y + 4 * away)
            painter.drawPolygon(
                QPolygonF([QPointF(x - 4, y - away), QPointF(x + 4, y - away), tip])
            )

    def _bar(self, x: float, width: float, start: int, stop: int) -> QRectF:
        top, bottom = self.y_of(stop), self.y_of(start)
        # A single slice among hundreds is still seen.
        height = max(bottom - top, 2.0)
        return QRectF(x - width / 2, (top + bottom - height) / 2, width, height)
