"""The list of labels: colour, name, visibility, padlock; the active one gets new work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QAction, QColor, QIcon, QKeySequence, QPixmap, QShortcut
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QSlider,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.core.commands import DeleteLabel
from app.core.document import Document
from app.core.errors import AppError
from app.core.events import Aspect, Change
from app.core.labels import LabelInfo
from app.label_presets import LabelPreset, label_presets, with_preset
from app.session import Message, Session
from app.ui import dialogs
from app.ui.actions import ActionSpec
from app.ui.label_table import COLOUR, LOCKED, NAME, SHOWN, LabelTableWidget


class LabelPanel(QWidget):
    """Edits the label table of the open document, each change one undo step."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.table = LabelTableWidget()
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Search labels"))
        self.search.setAccessibleName(self.tr("Search labels"))
        self.search.setClearButtonEnabled(True)
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setPageStep(10)
        self.opacity.setAccessibleName(self.tr("Opacity of the label"))
        # One undo step for a drag, not one for each value on the way.
        self.opacity.setTracking(False)
        self.preset_button = QPushButton(self.tr("Preset"))
        self.preset_button.setMenu(self._preset_menu())
        self.add_button = QPushButton(self.tr("Add label"))
        self.delete_button = QPushButton(self.tr("Delete"))
        buttons = QHBoxLayout()
        buttons.addWidget(self.add_button)
        buttons.addWidget(self.preset_button)
        buttons.addWidget(self.delete_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self.search)
        layout.addWidget(self.table)
        sliders = QHBoxLayout()
        sliders.addWidget(QLabel(self.tr("Opacity")))
        sliders.addWidget(self.opacity, 1)
        layout.addLayout(sliders)
        layout.addLayout(buttons)
        delete = QShortcut(QKeySequence("Del"), self.table)
        delete.setContext(Qt.ShortcutContext.WidgetShortcut)
        delete.activated.connect(lambda: self._guarded(self._delete))
        self.search.textChanged.connect(lambda _: self._filter())
        self.opacity.valueChanged.connect(self._on_opacity)
        self.table.row_dropped.connect(self._on_row_dropped)
        self.add_button.clicked.connect(lambda: self._guarded(self._add))
        self.delete_button.clicked.connect(lambda: self._guarded(self._delete))
        self.table.itemChanged.connect(self._on_item_changed)
        self.table.cellClicked.connect(self._on_cell_clicked)
        self.table.currentCellChanged.connect(self._on_row_changed)
        self._is_filling = False
        self._document: Document | None = None
        self._leave_document = lambda: None
        session.document_changed.connect(self._on_document_changed)
        session.view_state.changed.connect(self._on_view_changed)
        self._on_document_changed(session.document)

    def _on_document_changed(self, document: Document | None) -> None:
        self._document = document
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
        # While another scan is being opened the rows are still those of the one before.
        if name == "active_label" and self.session.document is self._document:
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
            self.table.setItem(row, COLOUR, colour)
            name = QTableWidgetItem(info.name)
            if info.code:
                name.setToolTip(" ".join(info.code))
            self.table.setItem(row, NAME, name)
            for column, is_on in ((SHOWN, info.visible), (LOCKED, info.locked)):
                item = QTableWidgetItem()
                item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
                state = Qt.CheckState.Checked if is_on else Qt.CheckState.Unchecked
                item.setCheckState(state)
                self.table.setItem(row, column, item)
        self._is_filling = False
        self._filter()
        ids = [info.id for info in labels]
        if ids and self.session.view_state.active_label not in ids:
            self.session.label_editing.choose(ids[0])
        self._select_active()

    def _select_active(self) -> None:
        self._is_filling = True
        for row in range(self.table.rowCount()):
            if self._info_at(row).id == self.session.view_state.active_label:
                if row != self.table.currentRow():
                    self.table.setCurrentCell(row, NAME)
                self.opacity.setValue(round(100 * self._info_at(row).opacity))
        self._is_filling = False

    def _info_at(self, row: int) -> LabelInfo:
        document = self.session.document
        assert document is not None
        item = self.table.item(row, COLOUR)
        assert item is not None
        info = document.label_table.get(item.data(Qt.ItemDataRole.UserRole))
        assert info is not None
        return info

    def _on_row_changed(self, row: int, *_: int) -> None:
        if not self._is_filling and row >= 0:
            self.session.label_editing.choose(self._info_at(row).id)

    def _on_item_changed(self, item: QTableWidgetItem) -> None:
        if self._is_filling:
            return
        info = self._info_at(item.row())
        is_on = item.checkState() == Qt.CheckState.Checked
        if item.column() == NAME:
            name = item.text().strip()
            if name and name != info.name:
                self._change(replace(info, name=name), self.tr("Rename"))
            else:
                self._fill()
        elif item.column() == SHOWN and is_on != info.visible:
            self._change(
                replace(info, visible=is_on), self.tr("Show") if is_on else self.tr("Hide")
            )
        elif item.column() == LOCKED and is_on != info.locked:
            what = self.tr("Lock") if is_on else self.tr("Unlock")
            self._change(replace(info, locked=is_on), what)

    def _on_cell_clicked(self, row: int, column: int) -> None:
        if column == COLOUR:
            self._ask_colour()

    def _ask_colour(self) -> None:
        info = self._active()
        colour = None if info is None else dialogs.ask_colour(self, info.colour)
        if info is not None and colour is not None and colour != info.colour:
            self._change(replace(info, colour=colour), self.tr("Recolour"))

    def _flip(self, name: str) -> None:
        """Show or hide, lock or unlock the active label, as a click on its box does."""
        column = {"visible": SHOWN, "locked": LOCKED}[name]
        item = self.table.item(self.table.currentRow(), column)
        if item is not None:
            is_on = item.checkState() == Qt.CheckState.Checked
            item.setCheckState(Qt.CheckState.Unchecked if is_on else Qt.CheckState.Checked)

    def _active(self) -> LabelInfo | None:
        document = self.session.document
        active = self.session.view_state.active_label
        return None if document is None else document.label_table.get(active)

    def _change(self, info: LabelInfo, what: str) -> None:
        self._guarded(lambda: self.session.label_editing.change(info, what))

    def _add(self) -> None:
        self.session.label_editing.add()
        self._edit_name()

    def _edit_name(self) -> None:
        item = self.table.item(self.table.currentRow(), NAME)
        if item is not None:
            self.table.editItem(item)

    def _delete(self) -> None:
        document, row = self.session.document, self.table.currentRow()
        if document is not None and row >= 0 and len(document.label_table) > 1:
            document.do(DeleteLabel(self._info_at(row).id))

    # -- order, opacity, presets, merging and splitting ----------------------------------------

    def move_row(self, row: int, position: int) -> None:
        """Put a label at another place of the list, counted without it."""
        document = self.session.document
        if document is None or not 0 <= row < self.table.rowCount():
            return
        position = min(max(position, 0), self.table.rowCount() - 1)
        if position != row:
            table = document.label_table.with_moved(self._info_at(row).id, position)
            self.session.label_editing.set_table(table, self.tr("Move label"))

    def merge_selected(self) -> None:
        """Give the voxels of the selected labels to the active one."""
        rows = {index.row() for index in self.table.selectionModel().selectedRows(NAME)}
        others = [self._info_at(row).id for row in sorted(rows) if not self.table.isRowHidden(row)]
        self.session.label_editing.merge(self.session.view_state.active_label, others)

    def split_active(self) -> None:
        """Make each piece of the active label a label."""
        self.session.label_editing.split(self.session.view_state.active_label)

    def add_preset(self, preset: LabelPreset) -> None:
        """Add the labels of a preset."""
        document = self.session.document
        if document is None:
            return
        used = {prompt.label_id for prompt in document.prompts}
        if not document.labelmap.is_blank:
            used |= set().union(*(np.unique(plane).tolist() for plane in document.labelmap.voxels))
        table = with_preset(document.label_table, preset, used)
        if table != document.label_table:
            self.session.label_editing.set_table(
                table, self.tr("Labels: {title}").format(title=preset.title)
            )

    def _preset_menu(self) -> QMenu:
        menu = QMenu(self)
        for preset in label_presets():
            action = menu.addAction(QCoreApplication.translate("presets", preset.title))
            action.triggered.connect(
                lambda _=False, preset=preset: self._guarded(lambda: self.add_preset(preset))
            )
        return menu

    def action_specs(self) -> list[ActionSpec]:
        """Return the menu entries: what can be done with the active label and the selected ones."""

        def is_open() -> bool:
            return self.session.document is not None

        def is_active(name: str) -> bool:
            info = self._active()
            return info is not None and bool(getattr(info, name))

        entries = [
            ActionSpec("label_add", "Label", self.tr("Add label"), "", self._add, is_open),
            ActionSpec("label_rename", "Label", self.tr("Rename"), "", self._edit_name, is_open),
            ActionSpec("label_colour", "Label", self.tr("Colour…"), "", self._ask_colour, is_open),
            ActionSpec(
                "label_visible", "Label", self.tr("Visible"), "",
                partial(self._flip, "visible"), is_open, partial(is_active, "visible"),
            ),
            ActionSpec(
                "label_locked", "Label", self.tr("Locked"), "",
                partial(self._flip, "locked"), is_open, partial(is_active, "locked"),
                hint=self.tr("a locked label's voxels are never changed"),
            ),
            ActionSpec(
                "label_up", "Label", self.tr("Move up"), "Alt+Up",
                partial(self._move_active, -1), is_open,
            ),
            ActionSpec(
                "label_down", "Label", self.tr("Move down"), "Alt+Down",
                partial(self._move_active, 1), is_open,
            ),
            ActionSpec(
                "label_merge", "Label", self.tr("Merge selected labels"), "Ctrl+J",
                self.merge_selected, is_open,
                hint=self.tr("gives their voxels to the active label"),
            ),
            ActionSpec(
                "label_split", "Label", self.tr("Split into pieces"), "", self.split_active,
                is_open, hint=self.tr("each piece becomes a label of its own"),
            ),
            ActionSpec("label_delete", "Label", self.tr("Delete label"), "", self._delete, is_open),
        ]  # fmt: skip
        for preset in label_presets():
            title = QCoreApplication.translate("presets", preset.title)
            text = self.tr("Add preset: {title}").format(title=title)
            add, presets = partial(self.add_preset, preset), self.tr("Presets")
            name = f"label_preset_{preset.id}"
            entries.append(
                ActionSpec(name, "Label", text, "", add, is_open, submenu=presets),
            )
        return entries

    def offer(self, actions: Sequence[QAction]) -> None:
        """Make actions the menu of the rows."""
        self.table.addActions(actions)

    def _move_active(self, step: int) -> None:
        row = self.table.currentRow()
        self.move_row(row, row + step)

    def _on_row_dropped(self, row: int, before: int) -> None:
        self._guarded(lambda: self.move_row(row, before - (before > row)))

    def _on_opacity(self, percent: int) -> None:
        row = self.table.currentRow()
        if self._is_filling or row < 0:
            return
        info = self._info_at(row)
        if round(100 * info.opacity) != percent:
            self._change(replace(info, opacity=percent / 100), self.tr("Opacity of"))

    def _filter(self) -> None:
        """Show the rows whose name or code has every word that was typed."""
        words = self.search.text().casefold().split()
        for row in range(self.table.rowCount()):
            info = self._info_at(row)
            text = " ".join((info.name, *info.code)).casefold()
            self.table.setRowHidden(row, not all(word in text for word in words))

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
    icon = QIcon(pixmap)
    # Of a selected row Qt would tint it; it has to be the colour of the mask.
    icon.addPixmap(pixmap, QIcon.Mode.Selected)
    return icon
