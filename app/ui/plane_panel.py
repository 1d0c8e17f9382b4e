"""One plane's place in the window: title, slice number, view and slider."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QIntValidator
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QToolButton, QVBoxLayout, QWidget

from app.core.document import Document
from app.core.errors import AppError
from app.core.events import Aspect, Change
from app.core.geometry import Region
from app.core.prompts import BoxPrompt, latest_box
from app.session import Message, Session
from app.ui.names import plane_name, plane_title
from app.ui.slice_marks import carried_ranges, prompt_ticks, runs, updated_marks
from app.ui.slice_painter import PLANE_COLOURS
from app.ui.slice_slider import SliceMarks, SliceSlider
from app.ui.slice_view import SliceView

# Beside the program's style sheet: what only these panels have.
_STYLE = """
#planeTitle {{ color: {colour}; font-weight: 600; }}
#sliceTotal {{ color: #808a96; }}
#sliceNumber {{ background: transparent; border: 1px solid transparent; padding: 1px 2px; }}
#sliceNumber:hover, #sliceNumber:focus {{ background: #101418; border-radius: 3px; }}
#maximise {{ border: none; padding: 0 4px; color: #808a96; }}
#maximise:hover {{ color: #d8dde3; }}
"""


class PlanePanel(QWidget):
    """A slice view with its title, slice number and slider.

    Attributes
    ----------
    view : SliceView
    slider : SliceSlider
    number : QLineEdit
        The slice number, from 1 as people count; Enter goes there.

    Signals
    -------
    maximise_requested : int
        Its axis.
    """

    maximise_requested = Signal(int)

    def __init__(self, session: Session, axis: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.axis = axis
        self.view = SliceView(session, axis)
        self.slider = SliceSlider(PLANE_COLOURS[axis])
        self.number = QLineEdit()
        self._title = QLabel(plane_title(axis))
        self._total = QLabel()
        self._maximise = QToolButton()
        self._build()

        self._has_mask = np.zeros(0, bool)
        # Where masks have to be looked for again.
        self._unseen: Region | None = None
        self._timer = QTimer(self, singleShot=True, interval=0)
        self._timer.timeout.connect(self._refresh)
        self._leave_document: Callable[[], None] = _nothing
        self._leave_session = (
            session.document_changed.connect(self._on_document_changed),
            session.view_state.changed.connect(self._on_view_changed),
            session.prompting.pending_changed.connect(lambda _: self._timer.start()),
            session.review.changed.connect(lambda _: self._timer.start()),
        )
        self.slider.valueChanged.connect(self.view.show_slice)
        self.slider.range_dragged.connect(self._on_range_dragged)
        self.slider.range_released.connect(self._carry)
        self.number.editingFinished.connect(self._on_number_entered)
        self._maximise.clicked.connect(lambda: self.maximise_requested.emit(axis))
        self.view.maximise_requested.connect(self.maximise_requested)
        self._on_document_changed(session.document)

    def close_panel(self) -> None:
        """Stop listening to the session."""
        self._timer.stop()
        for leave in (*self._leave_session, self._leave_document):
            leave()
        self.view.close_view()

    def set_maximised(self, is_maximised: bool) -> None:
        """Let the button in the title offer the way back."""
        self._maximise.setText("▣" if is_maximised else "□")
        tip = self.tr("Show all planes") if is_maximised else self.tr("Show this plane alone")
        self._maximise.setToolTip(tip)
        self._maximise.setAccessibleName(tip)

    # -- what happened: record it, refresh later ---------------------------------------------------

    def _on_document_changed(self, document: Document | None) -> None:
        self._leave_document()
        self._leave_document = _nothing
        n_slices = 0
        if document is not None:
            self._leave_document = document.changed.connect(self._on_changed)
            n_slices = document.volume.voxels.shape[self.axis]
        self._has_mask = np.zeros(n_slices, bool)
        self._unseen = None
        if document is not None and not document.labelmap.is_blank:
            self._unseen = Region.whole(document.volume.voxels.shape)
        self.slider.setEnabled(n_slices > 0)
        self.number.setEnabled(n_slices > 0)
        self.number.setText("")
        self._set_slider(0, max(0, n_slices - 1))
        self._total.setText(f"/ {n_slices}" if n_slices else "")
        self._timer.start()

    def _on_changed(self, change: Change) -> None:
        document = self.session.document
        if Aspect.VOXELS in change.aspects and document is not None:
            region = change.region or Region.whole(document.volume.voxels.shape)
            self._unseen = region if self._unseen is None else self._unseen.union(region)
        self._timer.start()

    def _on_view_changed(self, name: str) -> None:
        if name in ("cursor_zyx", "carry_range"):
            self._timer.start()

    def _on_range_dragged(self, start: int, stop: int) -> None:
        """Take the range, and show the slice at the end that moves."""
        state = self.session.view_state
        box = self._box()
        if state.carry_range is None or box is None:
            return
        start, stop = min(start, box.slice_index), max(stop, box.slice_index + 1)
        moved_start = start != state.carry_range[1]
        state.carry_range = (self.axis, start, stop)
        self.slider.set_carry_range((start, stop))
        self.view.show_slice(start if moved_start else stop - 1)

    def _carry(self) -> None:
        """Carry the mask through the range that was dragged."""
        carried = self.session.view_state.carry_range
        box = self._box()
        if carried is None or box is None:
            return
        try:
            self.session.prompting.carry_through(carried[1], carried[2], box.object_id)
        except AppError as error:
            self.session.message.emit(Message(str(error), is_error=True))

    def _box(self) -> BoxPrompt | None:
        document, state = self.session.document, self.session.view_state
        if document is None:
            return None
        return latest_box((*document.prompts, *self.session.prompting.pending), state.active_label)

    def _refresh(self) -> None:
        """Show the slice number and the marks as they are now."""
        document = self.session.document
        if document is None:
            self.slider.set_marks(SliceMarks())
            return
        index = self.session.view_state.cursor_zyx[self.axis]
        self._set_slider(index, self.slider.maximum())
        carried = self.session.view_state.carry_range
        is_here = carried is not None and carried[0] == self.axis
        self.slider.set_carry_range(carried[1:] if carried is not None and is_here else None)
        if not self.number.hasFocus():
            self.number.setText(str(index + 1))
        if self._unseen is not None:
            voxels = document.labelmap.voxels
            self._has_mask = updated_marks(self._has_mask, voxels, self.axis, self._unseen)
            self._unseen = None
        prompts = (*document.prompts, *self.session.prompting.pending)
        doubts = self.session.review.doubts(self.axis, self._has_mask.size)
        self.slider.set_marks(
            SliceMarks(
                runs(self._has_mask),
                runs(doubts & self._has_mask),
                prompt_ticks(prompts, document.label_table, self.axis),
                carried_ranges(prompts, document.label_table, self.axis),
            )
        )

    def _on_number_entered(self) -> None:
        """Go to the slice that was typed; a number too large or small means the nearest."""
        if self.number.isModified() and self.number.hasAcceptableInput():
            self.number.setModified(False)
            self.view.show_slice(int(self.number.text()) - 1)
        if self.number.hasFocus():
            self.view.setFocus()
        self._timer.start()

    # -- inside --------------------------------------------------------------------------------

    def _set_slider(self, value: int, maximum: int) -> None:
        """Move the slider without moving the cursor."""
        self.slider.blockSignals(True)
        self.slider.setRange(0, maximum)
        self.slider.setValue(value)
        self.slider.blockSignals(False)

    def _build(self) -> None:
        name = plane_name(self.axis)
        for widget, object_name in (
            (self._title, "planeTitle"),
            (self.number, "sliceNumber"),
            (self._total, "sliceTotal"),
            (self._maximise, "maximise"),
        ):
            widget.setObjectName(object_name)
        self.setStyleSheet(_STYLE.format(colour=PLANE_COLOURS[self.axis].name()))
        self.view.setAccessibleName(self.tr("{plane} view").format(plane=name))
        self.slider.setAccessibleName(self.tr("{plane} slice").format(plane=name))
        self.number.setAccessibleName(self.tr("{plane} slice number").format(plane=name))
        self.number.setValidator(QIntValidator(self.number))
        self.number.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.number.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.number.setFixedWidth(46)
        self._maximise.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.set_maximised(False)
        title = QHBoxLayout()
        title.setContentsMargins(8, 2, 4, 2)
        title.setSpacing(4)
        title.addWidget(self._title)
        title.addStretch(1)
        for widget in (self.number, self._total, self._maximise):
            title.addWidget(widget)
        body = QHBoxLayout()
        body.setSpacing(1)
        body.addWidget(self.view, 1)
        body.addWidget(self.slider)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(title)
        layout.addLayout(body, 1)


def _nothing() -> None:
    """Leave a document that was never joined."""
