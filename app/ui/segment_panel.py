"""The present object: what it is, carrying it through, draw-over policy, overlay."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.core.document import Document
from app.core.errors import AppError
from app.core.labels import DrawOver
from app.core.prompts import BoxPrompt, in_object, latest_box, through_of
from app.session import Message, Session
from app.ui.names import plane_name

# How far a mask is carried unless the user says otherwise, in slices to each side.
DEFAULT_REACH = 12


class SegmentPanel(QScrollArea):
    """Carry through a slice range, and how masks are drawn."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self._range_of: tuple[object, ...] | None = None
        carry = QGroupBox(self.tr("Carry through"))
        self.hint = QLabel()
        self.hint.setObjectName("quiet")
        self.hint.setWordWrap(True)
        self.first, self.last = QSpinBox(), QSpinBox()
        self.first.setAccessibleName(self.tr("First slice"))
        self.last.setAccessibleName(self.tr("Last slice"))
        for spin in (self.first, self.last):
            spin.setMinimumWidth(60)
            spin.valueChanged.connect(lambda _: self._on_range_typed())
        row = QHBoxLayout()
        row.addWidget(QLabel(self.tr("Slices")))
        row.addWidget(self.first)
        row.addWidget(QLabel("–"))
        row.addWidget(self.last)
        row.addStretch()
        self.all_button = QPushButton(self.tr("All"))
        row.addWidget(self.all_button)
        self.carry_button = QPushButton(self.tr("Carry through"))
        self.carry_button.setProperty("accent", True)
        self.carry_button.setToolTip(self.tr("Carry the mask through these slices (Ctrl+Return)"))
        inside = QVBoxLayout(carry)
        inside.setContentsMargins(0, 6, 0, 0)
        inside.addWidget(self.hint)
        inside.addLayout(row)
        inside.addWidget(self.carry_button)

        look = QGroupBox(self.tr("Masks"))
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setAccessibleName(self.tr("Mask opacity"))
        self.outline = QCheckBox(self.tr("Outline"))
        self.replace_others = QCheckBox(self.tr("Draw over other labels"))
        form = QFormLayout(look)
        form.setContentsMargins(0, 6, 0, 0)
        form.addRow(self.tr("Opacity"), self.opacity)
        form.addRow(self.outline)
        form.addRow(self.replace_others)

        panel = QWidget()
        layout = QVBoxLayout(panel)
        layout.setContentsMargins(10, 4, 10, 8)
        layout.addWidget(carry)
        layout.addWidget(look)
        layout.addStretch()
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(panel)

        self.carry_button.clicked.connect(self.carry)
        self.all_button.clicked.connect(self._take_all)
        state = session.view_state
        self.opacity.valueChanged.connect(self._on_opacity)
        self.outline.toggled.connect(lambda on: setattr(state, "outline", on))
        self.replace_others.toggled.connect(self._on_draw_over)
        self._leave_document = lambda: None
        session.document_changed.connect(self._on_document_changed)
        session.prompting.pending_changed.connect(lambda _: self.refresh())
        state.changed.connect(self._on_view_changed)
        self._on_view_changed("overlay_opacity")
        self._on_document_changed(session.document)

    def carry(self) -> None:
        """Carry the object's mask through the chosen slices."""
        try:
            self.session.prompting.carry_through(self.first.value() - 1, self.last.value())
        except AppError as error:
            self.session.message.emit(Message(str(error), is_error=True))

    def refresh(self) -> None:
        """Offer a range round the latest box."""
        document = self.session.document
        box = self._latest_box()
        self.setEnabled(document is not None)
        self.carry_button.setEnabled(box is not None)
        self.all_button.setEnabled(box is not None)
        if document is None or box is None:
            self._range_of = None
            self.session.view_state.carry_range = None
            for spin in (self.first, self.last):
                spin.setSpecialValueText(" ")
                spin.setRange(0, 0)
            self.hint.setText(self.tr("Draw a box on one slice; its mask can then be carried."))
            return
        n_slices = document.volume.voxels.shape[box.axis]
        self.hint.setText(
            self.tr("From {plane} slice {number} of {count}, both ways.").format(
                plane=plane_name(box.axis), number=box.slice_index + 1, count=n_slices
            )
        )
        known = (*document.prompts, *self.session.prompting.pending)
        through = through_of(in_object(known, box.object_id))
        offered_for = (box.object_id, box.axis, box.slice_index, through)
        for spin in (self.first, self.last):
            spin.setSpecialValueText("")
            spin.setRange(1, n_slices)
        if offered_for != self._range_of:
            self._range_of = offered_for
            low, high = through or (
                box.slice_index - DEFAULT_REACH,
                box.slice_index + DEFAULT_REACH + 1,
            )
            self.session.view_state.carry_range = (box.axis, max(0, low), min(high, n_slices))
            self._show_range()

    def _latest_box(self) -> BoxPrompt | None:
        document = self.session.document
        if document is None:
            return None
        label_id = self.session.view_state.active_label
        return latest_box((*document.prompts, *self.session.prompting.pending), label_id)

    def start_here(self) -> None:
        """Let the range start at the shown slice of the box's plane."""
        self._move_end(0)

    def end_here(self) -> None:
        """Let the range end at the shown slice of the box's plane."""
        self._move_end(1)

    def _move_end(self, end: int) -> None:
        state, box = self.session.view_state, self._latest_box()
        if box is None or state.carry_range is None:
            sentence = self.tr("Draw a box on one slice; its mask can then be carried.")
            self.session.message.emit(Message(sentence))
            return
        axis, start, stop = state.carry_range
        here = state.cursor_zyx[axis]
        # The slice of the box itself always belongs to the range.
        if end == 0:
            start = min(here, box.slice_index)
        else:
            stop = max(here, box.slice_index) + 1
        state.carry_range = (axis, start, stop)

    def _on_range_typed(self) -> None:
        state = self.session.view_state
        if state.carry_range is not None and self.first.value() <= self.last.value():
            state.carry_range = (state.carry_range[0], self.first.value() - 1, self.last.value())

    def _show_range(self) -> None:
        carried = self.session.view_state.carry_range
        if carried is None:
            return
        for spin, value in ((self.first, carried[1] + 1), (self.last, carried[2])):
            spin.blockSignals(True)
            spin.setValue(value)
            spin.blockSignals(False)

    def _take_all(self) -> None:
        self.first.setValue(self.first.minimum())
        self.last.setValue(self.last.maximum())

    def _on_document_changed(self, document: Document | None) -> None:
        self._leave_document()
        self._leave_document = lambda: None
        if document is not None:
            self._leave_document = document.changed.connect(lambda change: self.refresh())
        self.refresh()

    def _on_view_changed(self, name: str) -> None:
        state = self.session.view_state
        if name in ("overlay_opacity", "outline"):
            self.opacity.setValue(round(100 * state.overlay_opacity))
            self.outline.setChecked(state.outline)
        elif name == "active_label":
            self.refresh()
        elif name == "carry_range":
            self._show_range()

    def _on_opacity(self, percent: int) -> None:
        self.session.view_state.overlay_opacity = percent / 100

    def _on_draw_over(self, is_on: bool) -> None:
        self.session.prompting.draw_over = DrawOver.ALL if is_on else DrawOver.EMPTY
