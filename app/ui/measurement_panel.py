"""The table of measures: labels with their diameters, rulers and angles, another mask beside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.core.annotations import Annotation, AnnotationKind
from app.core.errors import AppError, UsageError
from app.core.prompts import PLANE_NAMES
from app.measurements import TOLERANCE_MM
from app.measuring.table import intensity_unit, label_cells, table_text
from app.session import Message, Session
from app.ui.label_panel import swatch

# Edits come in bursts; the table follows when they pause.
PAUSE_MS = 400
_ID = Qt.ItemDataRole.UserRole


class MeasurementPanel(QWidget):
    """Shows `Session.measurements`; measures only while somebody can see it."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self._shown: tuple[object, ...] = ()
        self._is_seen = False
        self.labels = _table(self.tr("Measures of labels"))
        self.marks = _table(self.tr("Rulers and angles"))
        self.agreement = _table(self.tr("Agreement with the other mask"))
        self.note = _quiet_label()
        self.compared = _quiet_label()
        self.reset_button = QPushButton(self.tr("Reset lines"))
        self.reset_button.setToolTip(self.tr("Show the diameters as they are measured"))
        self.copy_button = QPushButton(self.tr("Copy"))
        self.copy_button.setToolTip(self.tr("Copy the whole table, for a spreadsheet"))
        buttons = QGridLayout()
        buttons.addWidget(self.copy_button, 0, 0)
        buttons.addWidget(self.reset_button, 0, 1)
        self.range_button = QPushButton(self.tr("Volume with its range"))
        self.range_button.setToolTip(
            self.tr("Ask the model again for the current object, with boxes drawn differently")
        )
        self.range_button.clicked.connect(self._estimate)
        buttons.addWidget(self.range_button, 1, 0, 1, 2)
        # In a low window it scrolls, rather than leaving no room for any row.
        inside, area = QWidget(), QScrollArea()
        self._area = area
        self._comparison: object = None
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setWidget(inside)
        QVBoxLayout(self).addWidget(area)
        for table, height in ((self.labels, 150), (self.marks, 90), (self.agreement, 120)):
            table.setMinimumHeight(height)
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.labels, 3)
        layout.addWidget(self.note)
        layout.addLayout(buttons)
        layout.addWidget(self.marks, 2)
        layout.addWidget(self.compared)
        layout.addWidget(self.agreement, 2)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.timeout.connect(session.measurements.refresh)
        self.copy_button.clicked.connect(self.copy)
        self.reset_button.clicked.connect(self._reset)
        self.labels.cellClicked.connect(lambda row, _: self._go_to_label(row))
        self.marks.cellClicked.connect(lambda row, _: self._go_to_mark(row))
        session.measurements.changed.connect(lambda _: self._follow())
        self._follow()

    def text(self, delimiter: str = ",") -> str:
        """Return the measures as text.

        Raises
        ------
        UsageError
            They are not there yet.
        """
        document, measurements = self.session.document, self.session.measurements
        if document is None:
            raise UsageError("Open a scan first.")
        if not measurements.is_current or not measurements.rows:
            measurements.refresh()
            raise UsageError("The measures are not ready yet; try again in a moment.")
        return table_text(
            measurements.rows,
            document.label_table,
            document.volume,
            document.annotations,
            delimiter,
        )

    def copy(self) -> None:
        """Copy the table for a spreadsheet."""
        try:
            QGuiApplication.clipboard().setText(self.text("\t"))
        except UsageError as error:
            self.session.message.emit(Message(str(error), is_error=True))

    def set_seen(self, is_seen: bool) -> None:
        """Measure what was left while nobody looked; a panel behind a tab counts as hidden."""
        self._is_seen = is_seen
        self._follow()

    # -- inside --------------------------------------------------------------------------------

    def _follow(self) -> None:
        document, measurements = self.session.document, self.session.measurements
        self.setEnabled(document is not None)
        self.reset_button.setEnabled(measurements.is_edited(measurements.chosen_label))
        if document is None or not self._is_seen:
            self._pause.stop()
        elif not measurements.is_current:
            self._pause.start()
        table, marks = (
            (None, ()) if document is None else (document.label_table, document.annotations)
        )
        shown = (measurements.rows, table, marks, measurements.comparison)
        # Compared by identity: nothing is filled again for each move of a brush.
        if len(shown) != len(self._shown) or any(
            a is not b for a, b in zip(shown, self._shown, strict=True)
        ):
            self._shown = shown
            self._fill_labels()
            self._fill_marks()
            self._fill_agreement()

    def _fill_labels(self) -> None:
        document, measurements = self.session.document, self.session.measurements
        self.labels.setRowCount(0)
        self.note.setText("")
        if document is None:
            return
        unit = intensity_unit(document.volume)
        of = f" ({unit})" if unit else ""
        titles = [self.tr("Label"), "ml", self.tr("Longest mm"), self.tr("Across mm")]
        titles += [self.tr("Mean") + of, "SD", self.tr("Median"), "P5", "P25", "P75", "P95"]
        titles += [self.tr("Min"), self.tr("Max"), self.tr("Surface cm²"), self.tr("Voxels")]
        spacing = document.volume.geometry.spacing_zyx
        rows = []
        for m in measurements.rows:
            cells = label_cells(m, document.label_table, spacing, document.annotations)
            p5, p25, median, p75, p95 = m.percentiles
            edited = "*" if cells[6] else ""
            rows.append(
                [
                    str(cells[0]),
                    _number(m.volume_ml, 2),
                    _number(_float(cells[4]), 1) + edited,
                    _number(_float(cells[5]), 1) + edited,
                    *(_number(v, 1) for v in (m.mean, m.sd, median, p5, p25, p75, p95)),
                    *(_number(v, 0) for v in (m.minimum, m.maximum)),
                    _number(_float(cells[8]), 1),
                    f"{m.n_voxels:,}",
                ]
            )
        _fill(self.labels, titles, rows, [m.label_id for m in measurements.rows])
        for row, m in enumerate(measurements.rows):
            info, item = document.label_table.get(m.label_id), self.labels.item(row, 0)
            if info is not None and item is not None:
                item.setIcon(swatch(info.colour))
        self.labels.resizeColumnToContents(0)
        if any(measurements.is_edited(m.label_id) for m in measurements.rows):
            self.note.setText(self.tr("* moved by hand; “Reset lines” measures again."))
        elif measurements.rows:
            self.note.setText(
                self.tr("Click a row to see its diameters; drag their ends to correct them.")
            )

    def _fill_marks(self) -> None:
        document = self.session.document
        marks = self._rulers_and_angles()
        rows = []
        for mark in marks:
            assert document is not None
            spacing = document.volume.geometry.spacing_zyx
            if mark.kind is AnnotationKind.ANGLE:
                what, result = self.tr("Angle"), f"{mark.degrees(spacing):.1f}°"
            else:
                what, result = self.tr("Ruler"), f"{mark.lengths_mm(spacing)[0]:.1f} mm"
            rows.append([what, result, f"{PLANE_NAMES[mark.axis]} {mark.index + 1}"])
        titles = [self.tr("Line"), self.tr("Result"), self.tr("Slice")]
        _fill(self.marks, titles, rows, [mark.id for mark in marks])
        self.marks.setVisible(bool(rows))

    def _fill_agreement(self) -> None:
        comparison = self.session.measurements.comparison
        for widget in (self.agreement, self.compared):
            widget.setVisible(comparison is not None)
        if comparison is None:
            return
        self.compared.setText(
            self.tr(
                "Compared with {name}. Orange: only here; blue: only there; violet: another label."
            ).format(name=comparison.name)
        )
        titles = [self.tr("Label"), "Dice", f"NSD {TOLERANCE_MM:g} mm", "HD95 mm"]
        titles += [self.tr("Here ml"), self.tr("There ml"), self.tr("Difference ml"), "%"]
        rows = [
            [
                row.name,
                _number(row.agreement.dice, 3),
                _number(row.agreement.nsd, 3),
                _number(row.agreement.hd95, 1),
                _number(row.volume_ml, 2),
                _number(row.other_ml, 2),
                _number(row.difference_ml, 2),
                _number(row.difference_percent, 1),
            ]
            for row in comparison.rows
        ]
        _fill(self.agreement, titles, rows, [row.label_id for row in comparison.rows])
        if comparison is not self._comparison:
            # On a small screen it lies below what is seen; there it is looked for in vain.
            self._comparison = comparison
            QTimer.singleShot(0, self, lambda: self._area.ensureWidgetVisible(self.agreement))

    def _rulers_and_angles(self) -> list[Annotation]:
        document = self.session.document
        marks = () if document is None else document.annotations
        return [mark for mark in marks if mark.kind is not AnnotationKind.DIAMETERS]

    def _go_to_label(self, row: int) -> None:
        label_id = _id_at(self.labels, row)
        self.session.measurements.choose(label_id)
        self._go_to(-label_id)

    def _go_to_mark(self, row: int) -> None:
        annotation_id = _id_at(self.marks, row)
        self.session.measurements.select(annotation_id)
        self._go_to(annotation_id)

    def _go_to(self, annotation_id: int) -> None:
        """Show the slice of an annotation, the crosshair in its middle."""
        mark = next((m for m in self.session.marks if m.id == annotation_id), None)
        document = self.session.document
        if mark is None or document is None:
            return
        middle = np.mean(mark.points_zyx, axis=0)
        middle[mark.axis] = mark.index
        last = np.array(document.volume.voxels.shape) - 1
        z, y, x = (int(v) for v in np.clip(np.rint(middle), 0, last))
        self.session.view_state.cursor_zyx = (z, y, x)

    def _estimate(self) -> None:
        try:
            self.session.figures.estimate_volume()
        except AppError as error:
            self.session.message.emit(Message(str(error), is_error=True))

    def _reset(self) -> None:
        measurements = self.session.measurements
        measurements.reset_diameters(measurements.chosen_label)


def _table(name: str) -> QTableWidget:
    table = QTableWidget(0, 0)
    table.setAccessibleName(name)
    table.verticalHeader().hide()
    table.setShowGrid(False)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    return table


def _quiet_label() -> QLabel:
    label = QLabel()
    label.setObjectName("quiet")
    label.setWordWrap(True)
    return label


def _fill(
    table: QTableWidget, titles: Sequence[str], rows: Sequence[Sequence[str]], ids: Sequence[int]
) -> None:
    current = _id_at(table, table.currentRow()) if table.currentRow() >= 0 else None
    table.setRowCount(len(rows))
    table.setColumnCount(len(titles))
    table.setHorizontalHeaderLabels(list(titles))
    for row, cells in enumerate(rows):
        for column, text in enumerate(cells):
            item = QTableWidgetItem(text)
            item.setData(_ID, ids[row])
            if column:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            table.setItem(row, column, item)
    table.resizeColumnsToContents()
    if current is not None and current in ids:
        table.setCurrentCell(list(ids).index(current), 0)


def _id_at(table: QTableWidget, row: int) -> int:
    item = table.item(row, 0)
    return 0 if item is None else int(item.data(_ID))


def _float(cell: object) -> float:
    return cell if isinstance(cell, float) else np.nan


def _number(value: float, digits: int) -> str:
    return "–" if np.isnan(value) else f"{value:,.{digits}f}"
