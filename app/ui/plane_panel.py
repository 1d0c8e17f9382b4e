"""One plane's place in the window: the view, its slice slider with marks, its slice number."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QRectF, QSize, Qt, QTimer
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSlider, QSpinBox, QVBoxLayout, QWidget

from app.core.document import Document
from app.core.events import Aspect, Change
from app.core.prompts import PLANE_NAMES, BoxPrompt
from app.session import Session
from app.ui.slice_view import SliceView


class SliceMarks(QWidget):
    """A strip along the slider: which slices hold masks (by confidence), boxes and ranges."""

    def __init__(self, session: Session, axis: int) -> None:
        super().__init__()
        self._session = session
        self._axis = axis
        self._has_mask = np.zeros(0, bool)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(60)
        self._timer.timeout.connect(self._count)
        self.setFixedHeight(6)
        self.setAccessibleName(self.tr("Slices with masks"))

    def sizeHint(self) -> QSize:
        return QSize(100, 6)

    def mark(self) -> None:
        """Count again soon; several changes are counted once."""
        if not self._timer.isActive():
            self._timer.start()

    def stop(self) -> None:
        """Count no more."""
        self._timer.stop()

    def _count(self) -> None:
        document = self._session.document
        if document is None:
            self._has_mask = np.zeros(0, bool)
        else:
            others = tuple(a for a in range(3) if a != self._axis)
            self._has_mask = document.labelmap.voxels.any(axis=others)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor("#15191e"))
        document, n = self._session.document, self._has_mask.size
        if document is None or n == 0:
            return
        step = self.width() / n
        scores: dict[int, float] = {}
        for prompt in document.prompts:
            if prompt.axis == self._axis:
                scores.update(self._session.scores.get(prompt.object_id, {}))
        for index in np.flatnonzero(self._has_mask):
            score = scores.get(int(index))
            painter.fillRect(QRectF(index * step, 1, max(step, 1.0), 4), _score_colour(score))
        for prompt in document.prompts:
            if prompt.axis == self._axis and isinstance(prompt, BoxPrompt):
                middle = (prompt.slice_index + 0.5) * step
                painter.fillRect(QRectF(middle - 1, 0, 2, 6), QColor("#ffffff"))


def _score_colour(score: float | None) -> QColor:
    if score is None:
        return QColor("#5f7f9c")
    if score >= 0.85:
        return QColor("#4caf7d")
    return QColor("#d9b44a") if score >= 0.7 else QColor("#d9694a")


class PlanePanel(QWidget):
    """A slice view with its slider and number."""

    def __init__(self, session: Session, axis: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.axis = axis
        self.view = SliceView(session, axis)
        name = PLANE_NAMES[axis]
        self.view.setAccessibleName(self.tr("{plane} view").format(plane=name.capitalize()))
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName(self.tr("{plane} slice").format(plane=name.capitalize()))
        self.slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.number = QSpinBox()
        self.number.setAccessibleName(
            self.tr("{plane} slice number").format(plane=name.capitalize())
        )
        self.number.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
        self.number.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.number.setKeyboardTracking(False)
        self.number.setFixedWidth(58)
        self.marks = SliceMarks(session, axis)
        track = QVBoxLayout()
        track.setSpacing(1)
        track.addWidget(self.slider)
        track.addWidget(self.marks)
        row = QHBoxLayout()
        row.setContentsMargins(6, 0, 4, 3)
        row.addLayout(track)
        row.addWidget(self.number)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.view, 1)
        layout.addLayout(row)
        self.slider.valueChanged.connect(self.view.show_slice)
        self.number.valueChanged.connect(lambda value: self.view.show_slice(value - 1))
        self._leave_document = lambda: None
        self._unsubscribe = [
            session.document_changed.connect(self._on_document_changed),
            session.view_state.changed.connect(self._on_view_changed),
            session.scores_changed.connect(lambda _: self.marks.mark()),
        ]
        self._on_document_changed(session.document)

    def close_panel(self) -> None:
        """Stop listening."""
        self.marks.stop()
        for leave in (*self._unsubscribe, self._leave_document):
            leave()
        self.view.close_view()

    def _on_document_changed(self, document: Document | None) -> None:
        self._leave_document()
        self._leave_document = lambda: None
        is_open = document is not None
        if document is not None:
            self._leave_document = document.changed.connect(self._on_changed)
        for widget in (self.slider, self.number):
            widget.setEnabled(is_open)
            widget.blockSignals(True)
        self.slider.setRange(0, max(0, self.view.n_slices - 1))
        self.number.setRange(1, max(1, self.view.n_slices))
        self._follow()
        for widget in (self.slider, self.number):
            widget.blockSignals(False)
        self.marks.mark()

    def _on_changed(self, change: Change) -> None:
        if change.aspects & (Aspect.VOXELS | Aspect.PROMPTS):
            self.marks.mark()

    def _on_view_changed(self, name: str) -> None:
        if name == "cursor_zyx":
            self._follow()

    def _follow(self) -> None:
        self.slider.setValue(self.view.index)
        self.number.setValue(self.view.index + 1)
