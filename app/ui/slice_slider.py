"""A slider through the slices of a plane that shows where masks and prompts are."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QWheelEvent
from PySide6.QtWidgets import QAbstractSlider, QSizePolicy, QStyle, QWidget

from app.core.labels import Colour
from app.ui.mouse import LEFT, WheelSteps
from app.ui.slice_painter import DOUBTFUL, with_alpha

WIDTH_PX = 20
HANDLE_PX = 10
_TRACK = QColor(38, 44, 51)
_MASK = QColor(108, 140, 168)


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
    """Vertical; the first slice is at the bottom, as the wheel and the arrow keys count."""

    def __init__(self, colour: QColor, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._colour = colour
        self._marks = SliceMarks()
        self._wheel = WheelSteps()
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
        if event.button() == LEFT:
            self.setSliderDown(True)
            self.setValue(self.value_at(event.position().y()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the pointer."""
        if self.isSliderDown():
            self.setValue(self.value_at(event.position().y()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Stay there."""
        if event.button() == LEFT:
            self.setSliderDown(False)

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
        for index, rgb in self._marks.prompts:
            painter.setBrush(QColor(*rgb))
            painter.drawEllipse(QPointF(middle - 6, self.y_of(index + 0.5)), 2.6, 2.6)
        handle = QRectF(0, 0, self.width() - 6, HANDLE_PX - 4)
        handle.moveCenter(QPointF(middle, self.y_of(self.value() + 0.5)))
        painter.setPen(QColor(0, 0, 0, 140))
        painter.setBrush(self._colour.lighter(115) if self.isSliderDown() else self._colour)
        painter.drawRoundedRect(handle, 3, 3)

    def _bar(self, x: float, width: float, start: int, stop: int) -> QRectF:
        top, bottom = self.y_of(stop), self.y_of(start)
        # A single slice among hundreds is still seen.
        height = max(bottom - top, 2.0)
        return QRectF(x - width / 2, (top + bottom - height) / 2, width, height)
