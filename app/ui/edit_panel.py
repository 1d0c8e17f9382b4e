"""Editing the active label as a whole: by intensity, by shape, by slices, with another label."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QGridLayout,
    QGroupBox,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app.core.document import Document
from app.core.errors import AppError
from app.core.events import Aspect, Change
from app.editing.operation import (
    Combine,
    CopySlice,
    FillBetween,
    FillHoles,
    Grow,
    How,
    KeepLargest,
    Operation,
    RemoveIslands,
    Smooth,
    Smoothing,
    Threshold,
    Where,
)
from app.session import Message, Session
from app.tools import TOOLS
from app.tools.brush import BrushTool
from app.tools.flood_fill import FloodFillTool
from app.ui.actions import ActionSpec
from app.ui.mouse import MAX_RADIUS_MM, MIN_RADIUS_MM
from app.ui.names import plane_name
from app.ui.view_grid import ViewGrid

_WIDEST = 1e9


class EditPanel(QScrollArea):
    """Buttons with their numbers; each press is one undo step on the active label."""

    def __init__(self, session: Session, grid: ViewGrid, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self._grid = grid
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        inside = self._inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(10, 4, 10, 8)
        threshold = self._threshold_group()
        # What the tool in hand does comes first; the brush keeps to the threshold.
        column.addWidget(self._tools_group())
        for group in (self._shape_group(), self._slices_group(), threshold, self._combine_group()):
            column.addWidget(group)
        column.addStretch()
        self.setWidget(inside)
        self._leave_document: Callable[[], None] = lambda: None
        session.document_changed.connect(self._on_document_changed)
        session.view_state.changed.connect(self._on_view_changed)
        grid.active_axis_changed.connect(lambda _: self._name_plane())
        self._name_plane()
        self._on_document_changed(session.document)

    # -- what can be done ----------------------------------------------------------------------

    def grow(self) -> None:
        """Grow the active label by the chosen millimetres."""
        self._do(Grow(self.size_mm.value()))

    def shrink(self) -> None:
        """Shrink the active label by the chosen millimetres."""
        self._do(Grow(-self.size_mm.value()))

    def smooth(self) -> None:
        """Smooth the active label over the chosen millimetres."""
        self._do(Smooth(self.size_mm.value(), self.smoothing.currentData()))

    def fill_holes(self) -> None:
        """Fill cavities, or the holes of each slice of the active plane."""
        self._do(FillHoles(self._grid.active_axis if self.each_slice.isChecked() else None))

    def keep_largest(self) -> None:
        """Keep the largest piece of the active label."""
        self._do(KeepLargest())

    def remove_islands(self) -> None:
        """Remove the pieces of the active label that are smaller than the chosen volume."""
        self._do(RemoveIslands(self.min_ml.value()))

    def threshold(self) -> None:
        """Add or keep the voxels of the chosen range."""
        self._do(Threshold(self.low.value(), self.high.value(), self.where.currentData()))

    def take_window(self) -> None:
        """Take the displayed range of intensities as that of the threshold."""
        low, high = self.session.view_state.window
        for spin, value in ((self.low, low), (self.high, high)):
            spin.setSingleStep(max(0.01, (high - low) / 50))
            spin.setValue(value)

    def fill_between(self) -> None:
        """Fill the empty slices of the active plane that lie between drawn ones."""
        self._do(FillBetween(self._grid.active_axis))

    def copy_to(self, step: int) -> None:
        """Copy the mask of the shown slice of the active plane to the next one, and go there."""
        axis, cursor = self._grid.active_axis, list(self.session.view_state.cursor_zyx)
        source = cursor[axis]
        if self._do(CopySlice(axis, source, source + step)):
            cursor[axis] = source + step
            self.session.view_state.cursor_zyx = (cursor[0], cursor[1], cursor[2])

    def combine(self) -> None:
        """Do what was chosen with the other label."""
        other = self.other.currentData()
        if other is not None:
            self._do(Combine(other, self.how.currentData(), self.margin_mm.value()))

    def action_specs(self) -> list[ActionSpec]:
        """Return the menu entries of everything that the panel can do."""

        def is_open() -> bool:
            return self.session.document is not None

        entries: tuple[tuple[str, str, str, Callable[[], object]], ...] = (
            ("copy_next", self.tr("Copy to next slice"), "Ctrl+D", lambda: self.copy_to(1)),
            (
                "copy_previous",
                self.tr("Copy to previous slice"),
                "Ctrl+Shift+D",
                lambda: self.copy_to(-1),
            ),
            ("fill_between", self.tr("Fill between slices"), "Ctrl+I", self.fill_between),
            ("fill_holes", self.tr("Fill holes"), "", self.fill_holes),
            ("keep_largest", self.tr("Keep largest piece"), "", self.keep_largest),
            ("remove_islands", self.tr("Remove islands"), "", self.remove_islands),
            ("grow", self.tr("Grow"), "", self.grow),
            ("shrink", self.tr("Shrink"), "", self.shrink),
            ("smooth", self.tr("Smooth"), "", self.smooth),
            ("threshold", self.tr("Threshold"), "", self.threshold),
            ("combine", self.tr("Combine labels"), "", self.combine),
        )
        return [
            ActionSpec(f"edit_{name}", "Edit", text, shortcut, act, is_open)
            for name, text, shortcut, act in entries
        ]

    # -- building ------------------------------------------------------------------------------

    def _shape_group(self) -> QGroupBox:
        self.size_mm = _spin(self.tr("Size in mm"), 0.1, 100, 2.0, " mm")
        self.smoothing = QComboBox()
        self.smoothing.setAccessibleName(self.tr("Kind of smoothing"))
        self.smoothing.addItem(self.tr("median"), Smoothing.MEDIAN)
        self.smoothing.addItem(self.tr("Gaussian"), Smoothing.GAUSSIAN)
        self.grow_button = self._button(self.tr("Grow"), self.grow)
        self.shrink_button = self._button(self.tr("Shrink"), self.shrink)
        self.smooth_button = self._button(self.tr("Smooth"), self.smooth)
        self.holes_button = self._button(self.tr("Fill holes"), self.fill_holes)
        self.each_slice = QCheckBox(self.tr("of each slice"))
        self.each_slice.setToolTip(self.tr("Fill the holes of each slice of the active plane"))
        self.largest_button = self._button(self.tr("Keep largest piece"), self.keep_largest)
        self.islands_button = self._button(self.tr("Remove islands"), self.remove_islands)
        self.min_ml = _spin(self.tr("Remove pieces below this volume"), 0.001, 10_000, 0.5, " ml")
        self.min_ml.setDecimals(3)
        group, grid = _group(self.tr("Shape"))
        grid.addWidget(QLabel(self.tr("Size")), 0, 0)
        grid.addWidget(self.size_mm, 0, 1)
        grid.addWidget(self.grow_button, 1, 0)
        grid.addWidget(self.shrink_button, 1, 1)
        grid.addWidget(self.smooth_button, 2, 0)
        grid.addWidget(self.smoothing, 2, 1)
        grid.addWidget(self.holes_button, 3, 0)
        grid.addWidget(self.each_slice, 3, 1)
        grid.addWidget(self.islands_button, 4, 0)
        grid.addWidget(self.min_ml, 4, 1)
        grid.addWidget(self.largest_button, 5, 0, 1, 2)
        return group

    def _slices_group(self) -> QGroupBox:
        self.between_button = self._button(self.tr("Fill between slices"), self.fill_between)
        self.previous_button = self._button(self.tr("Copy to previous"), lambda: self.copy_to(-1))
        self.next_button = self._button(self.tr("Copy to next"), lambda: self.copy_to(1))
        self.plane = QLabel()
        self.plane.setObjectName("quiet")
        group, grid = _group(self.tr("Slices"))
        grid.addWidget(self.plane, 0, 0, 1, 2)
        grid.addWidget(self.between_button, 1, 0, 1, 2)
        grid.addWidget(self.previous_button, 2, 0)
        grid.addWidget(self.next_button, 2, 1)
        return group

    def _threshold_group(self) -> QGroupBox:
        self.low = _spin(self.tr("Lowest intensity"), -_WIDEST, _WIDEST, 0.0)
        self.high = _spin(self.tr("Highest intensity"), -_WIDEST, _WIDEST, 0.0)
        self.where = QComboBox()
        self.where.setAccessibleName(self.tr("Where the threshold applies"))
        self.where.addItem(self.tr("add in the scan"), Where.SCAN)
        self.where.addItem(self.tr("add within 1 cm"), Where.NEAR)
        self.where.addItem(self.tr("keep inside mask"), Where.MASK)
        self.window_button = self._button(self.tr("From display"), self.take_window)
        self.window_button.setToolTip(self.tr("Take the displayed range of intensities"))
        self.threshold_button = self._button(self.tr("Threshold"), self.threshold)
        group, grid = _group(self.tr("Threshold"))
        grid.addWidget(self.low, 0, 0)
        grid.addWidget(self.high, 0, 1)
        grid.addWidget(self.window_button, 1, 0)
        grid.addWidget(self.where, 1, 1)
        grid.addWidget(self.threshold_button, 2, 0, 1, 2)
        return group

    def _combine_group(self) -> QGroupBox:
        self.other, self.how = QComboBox(), QComboBox()
        self.other.setAccessibleName(self.tr("Other label"))
        self.how.setAccessibleName(self.tr("What to do with the other label"))
        for how, text in (
            (How.UNITE, self.tr("unite with")),
            (How.SUBTRACT, self.tr("take away near")),
            (How.INTERSECT, self.tr("keep near")),
        ):
            self.how.addItem(text, how)
        self.margin_mm = _spin(self.tr("Margin round the other label"), 0.0, 100, 0.0, " mm")
        self.margin_mm.setToolTip(self.tr("The other label counts as grown by this much"))
        # Uniting without a margin and the others with one are what is meant most of the time.
        self.how.currentIndexChanged.connect(
            lambda _: self.margin_mm.setValue(0 if self.how.currentData() is How.UNITE else 5)
        )
        self.combine_button = self._button(self.tr("Combine"), self.combine)
        group, grid = _group(self.tr("Other label"))
        grid.addWidget(self.how, 0, 0)
        grid.addWidget(self.other, 0, 1)
        grid.addWidget(self.margin_mm, 1, 0)
        grid.addWidget(self.combine_button, 1, 1)
        return group

    def _tools_group(self) -> QGroupBox:
        flood, brush = TOOLS.load()["flood_fill"], TOOLS.load()["brush"]
        assert isinstance(flood, FloodFillTool)
        assert isinstance(brush, BrushTool)
        self._brush = brush
        name = self.tr("Brush diameter")
        widest = 2 * MAX_RADIUS_MM
        self.brush_mm = _spin(name, 2 * MIN_RADIUS_MM, widest, 2 * brush.radius_mm, " mm")
        self.brush_mm.setToolTip(self.tr("In a view [ and ] change it, and Shift with the wheel"))
        self.brush_mm.valueChanged.connect(lambda mm: setattr(brush, "radius_mm", mm / 2))
        self._grid.tool_resized.connect(self._show_brush_size)
        self.tolerance = _spin(self.tr("Tolerance"), 0.0, 100, flood.tolerance_percent, " %")
        self.tolerance.setToolTip(self.tr("A share of the displayed range of intensities"))
        self.tolerance.valueChanged.connect(lambda n: setattr(flood, "tolerance_percent", n))
        self.flood_3d = QCheckBox(self.tr("Flood through slices"))
        self.flood_3d.setChecked(flood.is_3d)
        self.flood_3d.toggled.connect(lambda is_on: setattr(flood, "is_3d", is_on))
        self.ball = QCheckBox(self.tr("Brush as a ball"))
        self.ball.setToolTip(self.tr("Paint in neighbouring slices, too"))
        self.ball.setChecked(brush.is_ball)
        self.ball.toggled.connect(lambda is_on: setattr(brush, "is_ball", is_on))
        self.limited = QCheckBox(self.tr("Brush within the threshold"))
        self.limited.setToolTip(self.tr("Paint and erase only where the intensity is in its range"))
        for signal in (self.limited.toggled, self.low.valueChanged, self.high.valueChanged):
            signal.connect(lambda _: self._limit_brush())
        self._limit_brush()
        group, grid = _group(self.tr("Tools"))
        grid.addWidget(QLabel(name), 0, 0)
        grid.addWidget(self.brush_mm, 0, 1)
        grid.addWidget(QLabel(self.tr("Flood tolerance")), 1, 0)
        grid.addWidget(self.tolerance, 1, 1)
        for row, box in enumerate((self.flood_3d, self.ball, self.limited), start=2):
            grid.addWidget(box, row, 0, 1, 2)
        return group

    def _show_brush_size(self) -> None:
        # Not to be taken for a typed size, which has one decimal.
        self.brush_mm.blockSignals(True)
        self.brush_mm.setValue(2 * self._brush.radius_mm)
        self.brush_mm.blockSignals(False)

    def _limit_brush(self) -> None:
        is_limited = self.limited.isChecked()
        self._brush.limits = (self.low.value(), self.high.value()) if is_limited else None

    def _button(self, text: str, act: Callable[[], object]) -> QPushButton:
        button = QPushButton(text)
        button.clicked.connect(lambda: act())
        return button

    # -- keeping up ----------------------------------------------------------------------------

    def _do(self, operation: Operation) -> bool:
        """Ask for an operation; what is refused becomes a message."""
        try:
            self.session.edit_mask(operation)
        except AppError as error:
            self.session.message.emit(Message(str(error), is_error=True))
            return False
        return True

    def _on_document_changed(self, document: Document | None) -> None:
        self._leave_document()
        self._leave_document = lambda: None
        self._inside.setEnabled(document is not None)
        if document is not None:
            self._leave_document = document.changed.connect(self._on_changed)
            self.take_window()
        self._list_labels()

    def _on_changed(self, change: Change) -> None:
        if change.aspects & Aspect.LABELS:
            self._list_labels()

    def _on_view_changed(self, name: str) -> None:
        if name == "active_label":
            self._list_labels()

    def _list_labels(self) -> None:
        """Offer every label but the active one, keeping the choice."""
        document, chosen = self.session.document, self.other.currentData()
        self.other.clear()
        active = self.session.view_state.active_label
        for info in document.label_table if document is not None else ():
            if info.id != active:
                self.other.addItem(info.name, info.id)
        self.other.setCurrentIndex(max(0, self.other.findData(chosen)))
        self.combine_button.setEnabled(self.other.count() > 0)

    def _name_plane(self) -> None:
        name = plane_name(self._grid.active_axis)
        self.plane.setText(self.tr("In the {plane} plane, the one last used.").format(plane=name))


def _group(title: str) -> tuple[QGroupBox, QGridLayout]:
    group = QGroupBox(title)
    grid = QGridLayout(group)
    grid.setContentsMargins(0, 6, 0, 0)
    grid.setHorizontalSpacing(6)
    grid.setVerticalSpacing(6)
    for column in (0, 1):
        grid.setColumnStretch(column, 1)
    return group, grid


def _spin(name: str, low: float, high: float, value: float, suffix: str = "") -> QDoubleSpinBox:
    spin = QDoubleSpinBox()
    spin.setAccessibleName(name)
    spin.setDecimals(1)
    spin.setRange(low, high)
    spin.setSuffix(suffix)
    spin.setValue(value)
    # Numbers up to the widest would make the panel as wide as they are.
    spin.setMinimumWidth(70)
    return spin
