"""The shortcut sheet: every key at a glance, found by a word, and changed where it stands."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QKeySequenceEdit,
    QLabel,
    QLineEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.ui.actions import ActionTable
from app.ui.matching import match_score
from app.ui.menu_titles import menu_title

_ID = Qt.ItemDataRole.UserRole
# What the views take for themselves, whatever else is chosen.
RESERVED = (
    "Up", "Down", "Left", "Right", "PgUp", "PgDown", "Home", "End", "Space", "Tab", "Backtab",
    "[", "]", "Esc",
)  # fmt: skip


class ShortcutDialog(QDialog):
    """Lists actions by menu with their keys; press other keys for the chosen one."""

    def __init__(self, table: ActionTable, parent: QWidget) -> None:
        super().__init__(parent)
        self._table = table
        self._wanted = ""
        self.rows: list[QTreeWidgetItem] = []
        self._groups: list[QTreeWidgetItem] = []
        self.setWindowTitle(self.tr("Shortcuts"))
        self.resize(640, 640)
        self.line = QLineEdit()
        self.line.setAccessibleName(self.tr("Search shortcuts"))
        self.line.setPlaceholderText(self.tr("Search by name or key"))
        self.line.setClearButtonEnabled(True)
        self.tree = QTreeWidget()
        self.tree.setAccessibleName(self.tr("Shortcuts"))
        self.tree.setColumnCount(2)
        self.tree.setHeaderLabels([self.tr("Action"), self.tr("Keys")])
        self.tree.setUniformRowHeights(True)
        self.tree.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.tree.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.tree.header().setStretchLastSection(False)
        self.keys = QKeySequenceEdit()
        self.keys.setMaximumSequenceLength(1)
        self.keys.setAccessibleName(self.tr("New keys for the chosen action"))
        self.remove_button = QPushButton(self.tr("No key"))
        self.default_button = QPushButton(self.tr("Default"))
        self.default_button.setToolTip(self.tr("The keys that the chosen action came with"))
        self.reset_button = QPushButton(self.tr("Reset all"))
        self.reset_button.setToolTip(self.tr("The keys that every action came with"))
        self.note = QLabel()
        self.note.setObjectName("quiet")
        self.note.setWordWrap(True)
        self.swap_button = QPushButton(self.tr("Swap"))
        self.swap_button.hide()
        close_button = QPushButton(self.tr("Close"))
        # Enter belongs to the list and the line: no button may take it.
        for button in (
            self.remove_button,
            self.default_button,
            self.reset_button,
            self.swap_button,
            close_button,
        ):
            button.setAutoDefault(False)
        edit = QHBoxLayout()
        label = QLabel(self.tr("New keys"))
        label.setBuddy(self.keys)
        edit.addWidget(label)
        edit.addWidget(self.keys, 1)
        edit.addWidget(self.remove_button)
        edit.addWidget(self.default_button)
        answer = QHBoxLayout()
        answer.addWidget(self.note, 1)
        answer.addWidget(self.swap_button)
        bottom = QHBoxLayout()
        bottom.addWidget(self.reset_button)
        bottom.addStretch()
        bottom.addWidget(close_button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.line)
        layout.addWidget(self.tree, 1)
        layout.addLayout(edit)
        layout.addLayout(answer)
        layout.addLayout(bottom)
        self.line.textChanged.connect(self._filter)
        self.tree.currentItemChanged.connect(lambda *_: self._on_chosen())
        self.tree.itemActivated.connect(lambda *_: self.keys.setFocus())
        self.keys.keySequenceChanged.connect(self._on_pressed)
        self.remove_button.clicked.connect(lambda: self._give(""))
        self.default_button.clicked.connect(self._give_default)
        self.swap_button.clicked.connect(self._swap)
        self.reset_button.clicked.connect(table.reset_keys)
        close_button.clicked.connect(self.close)
        table.shortcuts_changed.connect(self._show_keys)
        self._fill()
        self._on_chosen()

    @property
    def chosen(self) -> str:
        """The id of the action whose keys are to be changed; empty if none is chosen."""
        item = self.tree.currentItem()
        return "" if item is None else item.data(0, _ID) or ""

    def choose(self, action_id: str) -> None:
        """Choose an action."""
        for item in self.rows:
            if item.data(0, _ID) == action_id:
                self.tree.setCurrentItem(item)

    # -- the list ------------------------------------------------------------------------------

    def _fill(self) -> None:
        groups: dict[str, QTreeWidgetItem] = {}
        for spec in self._table:
            menu = menu_title(spec.menu)
            if menu not in groups:
                groups[menu] = self._group(menu)
            item = QTreeWidgetItem([self._table.title(spec.id), ""])
            item.setData(0, _ID, spec.id)
            groups[menu].addChild(item)
            self.rows.append(item)
        fixed = self._group(self.tr("In the views, always"))
        for what, keys in self._fixed():
            item = QTreeWidgetItem([what, keys])
            fixed.addChild(item)
            self.rows.append(item)
        self.tree.expandAll()
        self._show_keys()

    def _group(self, title: str) -> QTreeWidgetItem:
        group = QTreeWidgetItem([title])
        group.setFlags(Qt.ItemFlag.ItemIsEnabled)
        font = group.font(0)
        font.setBold(True)
        group.setFont(0, font)
        self.tree.addTopLevelItem(group)
        self._groups.append(group)
        return group

    def _fixed(self) -> tuple[tuple[str, str], ...]:
        """Return what keys and mouse do in the views, as pairs of text."""
        return (
            (self.tr("Next or previous slice"), self.tr("Arrows, PgUp, PgDown, wheel")),
            (self.tr("Five slices on"), self.tr("Shift with these keys")),
            (self.tr("First or last slice"), self.tr("Home, End")),
            (self.tr("Move the crosshair"), self.tr("Ctrl+arrows, Ctrl+Shift+arrows")),
            (
                self.tr("Drag a tool that is pressed"),
                self.tr("Arrows; Enter lets go, Esc gives up"),
            ),
            (self.tr("Next view, panels"), self.tr("Tab")),
            (self.tr("Brush size"), self.tr("[ ], Shift+wheel")),
            (self.tr("Zoom"), self.tr("Ctrl+wheel")),
            (self.tr("Pan"), self.tr("Middle button, Space+drag")),
            (self.tr("Accept and next"), self.tr("Space")),
            (self.tr("Erase, negative"), self.tr("Right button, Shift")),
            (self.tr("Peek under the masks"), self.tr("Hold the key for Masks")),
        )

    def _show_keys(self) -> None:
        for item in self.rows:
            action_id = item.data(0, _ID)
            if action_id:
                item.setText(1, self._table.shown_keys(action_id))

    def _filter(self, query: str) -> None:
        for item in self.rows:
            group = item.parent()
            menu = group.text(0) if group is not None else ""
            text = f"{menu} {item.text(0)} {item.text(1)}"
            item.setHidden(bool(query.strip()) and match_score(query, text) == 0)
        shown = [item for item in self.rows if not item.isHidden()]
        for title in self._groups:
            title.setHidden(not any(item.parent() is title for item in shown))
        if query.strip() and shown:
            self.tree.setCurrentItem(shown[0])

    # -- other keys ----------------------------------------------------------------------------

    def _on_chosen(self) -> None:
        self._ask("")
        self.keys.clear()
        can_change = bool(self.chosen)
        for widget in (self.keys, self.remove_button, self.default_button):
            widget.setEnabled(can_change)
        if can_change:
            self.note.setText(
                self.tr("Press the new keys for “{action}”.").format(
                    action=self._table.title(self.chosen)
                )
            )
        elif self.tree.currentItem() is not None:
            self.note.setText(self.tr("These keys cannot be changed."))
        else:
            self.note.setText(self.tr("Choose an action to give it other keys."))

    def _on_pressed(self, sequence: QKeySequence) -> None:
        keys = sequence.toString()
        if keys and self.chosen:
            self._take(keys)

    def _take(self, keys: str) -> None:
        """Give keys to the chosen action, unless they are taken."""
        self._ask("")
        shown = QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText)
        if keys.removeprefix("Shift+") in RESERVED and keys != self._table.keys(self.chosen):
            self.note.setText(
                self.tr("{keys} moves in the views and cannot be given away.").format(keys=shown)
            )
            return
        holder = self._table.taken_by(keys)
        if holder and holder != self.chosen:
            self._ask(keys)
            self.note.setText(
                self.tr("{keys} is “{action}”. Swap their keys?").format(
                    keys=shown, action=self._table.title(holder)
                )
            )
            return
        self._give(keys)

    def _ask(self, keys: str) -> None:
        """Offer to swap for these keys; empty takes the offer back."""
        self._wanted = keys
        self.swap_button.setVisible(bool(keys))

    def _swap(self) -> None:
        keys, mine, holder = self._wanted, self.chosen, self._table.taken_by(self._wanted)
        given_back = self._table.keys(mine)
        rest = [k for k in self._table.keys(holder).split("|") if QKeySequence(k) != keys]
        self._table.set_keys(mine, "")
        self._table.set_keys(holder, "|".join(filter(None, (*rest, given_back))))
        self._give(keys)

    def _give(self, keys: str) -> None:
        self._ask("")
        self._table.set_keys(self.chosen, keys)
        shown = self._table.shown_keys(self.chosen) or self.tr("no key")
        self.note.setText(
            self.tr("“{action}” has {keys} now.").format(
                action=self._table.title(self.chosen), keys=shown
            )
        )

    def _give_default(self) -> None:
        default = self._table.default_keys(self.chosen)
        for keys in filter(None, default.split("|")):
            if self._table.taken_by(keys) not in ("", self.chosen):
                self._take(keys)
                return
        self._give(default)
