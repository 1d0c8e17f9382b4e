"""The table widget of the label panel: rows can be dragged to another place."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QDropEvent, QIcon
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from resources import resource_path

COLOUR, NAME, SHOWN, LOCKED = range(4)


class LabelTableWidget(QTableWidget):
    """Rows of labels.

    Signals
    -------
    row_dropped : int, int
        The row that was dragged, and the row before which it was dropped.
    """

    row_dropped = Signal(int, int)

    def __init__(self) -> None:
        super().__init__(0, 4)
        self.setAccessibleName(self.tr("Labels"))
        self.setHorizontalHeaderLabels(["", self.tr("Name"), "", ""])
        for column, icon, tip in (
            (SHOWN, "eye", self.tr("Visible")),
            (LOCKED, "lock", self.tr("Padlock: a locked label's voxels are never changed")),
        ):
            title = QTableWidgetItem(QIcon(str(resource_path(f"icons/{icon}.svg"))), "")
            title.setToolTip(tip)
            self.setHorizontalHeaderItem(column, title)
        self.verticalHeader().hide()
        self.setShowGrid(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.setDragDropOverwriteMode(False)
        header = self.horizontalHeader()
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in ((COLOUR, 30), (SHOWN, 30), (LOCKED, 30)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.setColumnWidth(column, width)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    def dropEvent(self, event: QDropEvent) -> None:
        """Tell where a row was dropped; Qt itself would move cells, not labels."""
        source, at = self.currentRow(), event.position().toPoint()
        row = self.rowAt(at.y())
        if event.source() is self and source >= 0:
            if row < 0:
                row = self.rowCount()
            elif at.y() > self.rowViewportPosition(row) + self.rowHeight(row) // 2:
                row += 1
            self.row_dropped.emit(source, row)
        # A move that Qt believes in would delete the row that was dragged.
        event.setDropAction(Qt.DropAction.IgnoreAction)
        event.accept()
