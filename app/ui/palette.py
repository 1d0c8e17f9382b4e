"""The command palette: everything that can be done, found by a few letters of its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QEvent, QObject, QPoint, QSize, Qt
from PySide6.QtGui import QKeyEvent, QShowEvent
from PySide6.QtWidgets import (
    QDialog,
    QHeaderView,
    QLineEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.session import Session
from app.ui.actions import ActionTable
from app.ui.matching import fold, match_score
from app.ui.menu_titles import menu_title
from app.ui.names import plane_name, plane_title
from app.ui.view_grid import ViewGrid

_SIZE = QSize(620, 420)
_TO_LIST = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)


@dataclass(frozen=True)
class Entry:
    """One line of the palette.

    Attributes
    ----------
    id : str
        For the order of use; empty for what is not remembered.
    title : str
    group : str
    keys : str
    run : callable
    missing : str
        Why it cannot be done now; empty if it can.
    """

    id: str
    title: str
    group: str
    keys: str
    run: Callable[[], object]
    missing: str = ""


class CommandPalette(QDialog):
    """A line to type in and what fits it; Enter does it, Esc closes."""

    def __init__(
        self, session: Session, table: ActionTable, grid: ViewGrid, parent: QWidget
    ) -> None:
        super().__init__(parent, Qt.WindowType.Dialog | Qt.WindowType.FramelessWindowHint)
        self._session, self._table, self._grid = session, table, grid
        self._window = parent
        self._shown: list[Entry] = []
        self._was_active = False
        self.setObjectName("palette")
        self.setAccessibleName(self.tr("Commands"))
        self.line = QLineEdit()
        self.line.setAccessibleName(self.tr("Search commands"))
        self.line.setPlaceholderText(
            self.tr("Type what you want to do, “label: liver” or “slice 120”")
        )
        self.list = QTreeWidget()
        self.list.setAccessibleName(self.tr("Commands that fit"))
        self.list.setColumnCount(2)
        self.list.setHeaderHidden(True)
        self.list.setRootIsDecorated(False)
        self.list.setUniformRowHeights(True)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.header().setStretchLastSection(False)
        self.list.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.list.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self.line)
        layout.addWidget(self.list)
        self.line.textChanged.connect(self._fill)
        self.line.installEventFilter(self)
        self.list.itemClicked.connect(lambda item: self._run(self._row(item)))

    def showEvent(self, event: QShowEvent) -> None:
        """Begin with an empty line, at the top of the window."""
        super().showEvent(event)
        window = self._window
        width = min(_SIZE.width(), window.width() - 40)
        self.resize(width, min(_SIZE.height(), window.height() - 100))
        self.move(window.mapToGlobal(QPoint((window.width() - width) // 2, 60)))
        self.line.clear()
        self._fill("")
        self.line.setFocus()

    def changeEvent(self, event: QEvent) -> None:
        """Close when the user turns to something else."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ActivationChange and self._was_active:
            if not self.isActiveWindow():
                self.close()
        self._was_active = self.isActiveWindow()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let the keys that move in the list do so while the line has the focus."""
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            if event.key() in _TO_LIST:
                # Not through the application: the list has no focus, and shall not get it.
                self.list.keyPressEvent(event)
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                item = self.list.currentItem()
                if item is not None:
                    self._run(self._row(item))
                return True
        return super().eventFilter(watched, event)

    # -- what there is -------------------------------------------------------------------------

    def _fill(self, query: str) -> None:
        self._shown = self._found(query)
        self.list.clear()
        for entry in self._shown:
            note = entry.missing or entry.keys
            item = QTreeWidgetItem([f"{entry.group}: {entry.title}", note])
            if entry.missing:
                # Still selectable, so that its reason can be read out.
                for column in (0, 1):
                    item.setForeground(
                        column, self.palette().brush(self.palette().ColorRole.PlaceholderText)
                    )
            self.list.addTopLevelItem(item)
        # The best is chosen already: Enter takes it.
        self.list.setCurrentIndex(self.list.model().index(0, 0))

    def _found(self, query: str) -> list[Entry]:
        """Return what fits, best first; used lately wins among equals, and comes first of all."""
        used = {name: n for n, name in enumerate(self._session.settings.recent_commands)}
        places = self._slices(query)
        scored = []
        for order, entry in enumerate((*self._actions(), *self._labels())):
            score = match_score(query, f"{entry.group}: {entry.title}") if query.strip() else 1.0
            if score > 0:
                age = used.get(entry.id, len(used))
                # Score in steps: half a point is a better fit, less is only a shorter text.
                scored.append((bool(entry.missing), -round(2 * score), age, -score, order, entry))
        return places + [entry for *_, entry in sorted(scored, key=lambda s: s[:-1])]

    def _actions(self) -> list[Entry]:
        entries = []
        for spec in self._table:
            if spec.menu == "Segment labels" or not self._table[spec.id].isVisible():
                continue  # the labels have entries under their names
            entries.append(
                Entry(
                    spec.id,
                    self._table.title(spec.id),
                    menu_title(spec.menu),
                    self._table.shown_keys(spec.id),
                    self._table[spec.id].trigger,
                    self._table.why_disabled(spec.id),
                )
            )
        return entries

    def _labels(self) -> list[Entry]:
        document = self._session.document
        if document is None:
            return []
        return [
            Entry(
                "",
                info.name,
                self.tr("Label"),
                str(number) if number <= 9 else "",
                partial(self._session.label_editing.choose, info.id),
            )
            for number, info in enumerate(document.label_table, start=1)
        ]

    def _slices(self, query: str) -> list[Entry]:
        """Return where a query that ends with a number leads: "120", "slice 120", "coronal 120"."""
        found = re.fullmatch(r"(?:(.*\D)\s*)?(\d+)\s*", query)
        document = self._session.document
        if found is None or document is None:
            return []
        words, number = fold(found[1] or ""), int(found[2])
        slice_word = fold(self.tr("Slice"))
        entries = []
        axes = sorted(range(3), key=lambda axis: axis != self._grid.active_axis)
        for axis in axes:
            n_slices = document.volume.voxels.shape[axis]
            known = (slice_word, *fold(plane_name(axis)).split())
            if not all(any(k.startswith(w) for k in known) for w in words.split()):
                continue
            missing = ""
            if not 1 <= number <= n_slices:
                missing = self.tr("There are {n} slices.").format(n=n_slices)
            title = self.tr("{plane} {number} of {n}")
            text = title.format(plane=plane_title(axis), number=number, n=n_slices)
            view = self._grid.panels[axis].view
            run = partial(view.show_slice, number - 1)
            entries.append(Entry("", text, self.tr("Slice"), "", run, missing))
        return entries

    # -- doing it ------------------------------------------------------------------------------

    def _row(self, item: QTreeWidgetItem) -> Entry:
        return self._shown[self.list.indexOfTopLevelItem(item)]

    def _run(self, entry: Entry) -> None:
        """Close, then do it; what cannot be done stays, with its reason beside it."""
        if entry.missing:
            return
        if entry.id:
            self._session.settings.add_command(entry.id)
        self.close()
        entry.run()
