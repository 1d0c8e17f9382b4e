"""The list of labels: colour, name, visibility, padlock; the active one gets new work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QIcon, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.core.commands import DeleteLabel
from app.core.document import Document
from app.core.errors import AppError
from app.core.events import Aspect, Change
from app.core.labels import LabelInfo
from app.session import Message, Session
from app.ui import dialogs
from resources import resource_path

_COLOUR, _NAME, _SHOWN, _LOCKED = range(4)


class LabelPanel(QWidget):
    """Edits the label table of the open document, each change one undo step."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.table = QTableWidget(0, 4)
        self.table.setAccessibleName(self.tr("Labels"))
        self.table.setHorizontalHeaderLabels(["", self.tr("Name"), "", ""])
        for column, icon, tip in (
            (_SHOWN, "eye", self.tr("Visible")),
            (_LOCKED, "lock", self.tr("Padlock: a locked label's voxels are never changed")),
        ):
            title = QTableWidgetItem(QIcon(str(resource_path(f"icons/{icon}.svg"))), "")
            title.setToolTip(tip)
            self.table.setHorizontalHeaderItem(column, title)
        self.table.verticalHeader().hide()
        self.table.setShowGrid(False)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in ((_COLOUR, 30), (_SHOWN, 30), (_LOCKED, 30)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.table.setColumnWidth(column, width)
        self.add_button = QPushButton(self.tr("Add label"))
        self.delete_button = QPushButton(self.tr("Delete"))
        buttons = QHBoxLayout()
        buttons.addWidget(self.add_button)
        buttons.addWidget(self.delete_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self.table)
        layout.addLayout(buttons)
        self.add_button.clicked.connect(lambda: self._guarded(self._add))
        self.delete_button.clicked.connect(lambda: self._guarded(self._delete))
        self.table.itemChanged.connect(self._on_item_changed)
        self.table.cellClicked.connect(self._on_cell_clicked)
        self.table.currentCellChanged.connect(self._on_row_changed)
        self._is_filling = False
        self._leave_document = lambda: None
        session.document_changed.connect(self._on_document_changed)
        session.view_state.changed.connect(self._on_view_changed)
        self._on_document_changed(session.document)

    def _on_document_changed(self, document: Document | None) -> None:
        self._leave_document()
        self._leave_document = lambda: None
        if document is not None:
            self._leave_document = document.changed.connect(self._on_changed)
        self.setEnabled(document is not None)
        self._fill()

    def _on_changed(self, change: Change) -> None:
        if change.aspects & Aspect.LABELS:
            self._fill()

    def _on_view_changed(self, name: str) -> None:
        if name == "active_label":
            self._select_active()

    def _fill(self) -> None:
        document = self.session.document
        labels = () if document is None else tuple(document.label_table)
        self._is_filling = True
        self.table.setRowCount(len(labels))
        for row, info in enumerate(labels):
            colour = QTableWidgetItem(swatch(info.colour), "")
            colour.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
            colour.setData(Qt.ItemDataRole.UserRole, info.id)
            colour.setToolTip(
                self.tr("Value {value}; click to change the colour").format(value=info.id)
            )
            self.table.setItem(row, _COLOUR, colour)
            self.table.setItem(row, _NAME, QTableWidgetItem(info.name))
            for column, is_on in ((_SHOWN, info.visible), (_LOCKED, info.locked)):
                item = QTableWidgetItem()
                item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
                state = Qt.CheckState.Checked if is_on else Qt.CheckState.Unchecked
                item.setCheckState(state)
                self.table.setItem(row, column, item)
        self._is_filling = False
        ids = [info.id for info in labels]
        if ids and self.session.view_state.active_label not in ids:
            self.session.set_active_label(ids[0])
        self._select_active()

    def _select_active(self) -> None:
        self._is_filling = True
        for row in range(self.table.rowCount()):
            if self._info_at(row).id == self.session.view_state.active_label:
                self.table.setCurrentCell(row, _NAME)
        self._is_filling = False

    def _info_at(self, row: int) -> LabelInfo:
        document = self.session.document
        assert document is not None
        item = self.table.item(row, _COLOUR)
        assert item is not None
        info = document.label_table.get(item.data(Qt.ItemDataRole.UserRole))
        assert info is not None
        return info

    def _on_row_changed(self, row: int, *_: int) -> None:
        if not self._is_filling and row >= 0:
            self.session.set_active_label(self._info_at(row).id)

    def _on_item_changed(self, item: QTableWidgetItem) -> None:
        if self._is_filling:
            return
        info = self._info_at(item.row())
        is_on = item.checkState() == Qt.CheckState.Checked
        if item.column() == _NAME:
            name = item.text().strip()
            if name and name != info.name:
                self._change(replace(info, name=name), self.tr("Rename"))
            else:
                self._fill()
        elif item.column() == _SHOWN and is_on != info.visible:
            self._change(
                replace(info, visible=is_on), self.tr("Show") if is_on else self.tr("Hide")
            )
        elif item.column() == _LOCKED and is_on != info.locked:
            what = self.tr("Lock") if is_on else self.tr("Unlock")
            self._change(replace(info, locked=is_on), what)

    def _on_cell_clicked(self, row: int, column: int) -> None:
        if column == _COLOUR:
            info = self._info_at(row)
            colour = dialogs.ask_colour(self, info.colour)
            if colour is not None and colour != info.colour:
                self._change(replace(info, colour=colour), self.tr("Recolour"))

    def _change(self, info: LabelInfo, what: str) -> None:
        self._guarded(lambda: self.session.change_label(info, what))

    def _add(self) -> None:
        self.session.add_label()
        item = self.table.item(self.table.currentRow(), _NAME)
        if item is not None:
            self.table.editItem(item)

    def _delete(self) -> None:
        document, row = self.session.document, self.table.currentRow()
        if document is not None and row >= 0 and len(document.label_table) > 1:
            document.do(DeleteLabel(self._info_at(row).id))

    def _guarded(self, act: Callable[[], object]) -> None:
        try:
            act()
        except AppError as error:
            self.session.message.emit(Message(str(error), is_error=True))
            self._fill()


def swatch(colour: tuple[int, int, int], size: int = 14) -> QIcon:
    """Return a square icon of one colour."""
    pixmap = QPixmap(size, size)
    pixmap.fill(QColor(*colour))
    return QIcon(pixmap)
