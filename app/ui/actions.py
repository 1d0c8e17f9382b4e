"""The one table of actions: id, text, shortcut, what it does, when it can be done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication, QObject, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu, QWidget

from app.core.errors import AppError
from app.session import Message, Session


@dataclass(frozen=True)
class ActionSpec:
    """One entry of a menu.

    Attributes
    ----------
    id : str
        Names the action in settings and tests.
    menu : str
    text : str
    shortcut : str
        As Qt writes it, several parted by "|"; empty for none. The user may have chosen another.
    act : callable
    is_enabled : callable
        Asked whenever something changed.
    is_checked : callable, optional
        Makes the action a switch.
    needs : str
        What is missing when it cannot be done with a scan open, as a sentence.
    hint : str
        More than the text says, for the tooltip.
    begins_group : bool
        A line parts it from the entries above.
    submenu : str
        The title of a menu within the menu; empty for none.
    """

    id: str
    menu: str
    text: str
    shortcut: str
    act: Callable[[], object]
    is_enabled: Callable[[], bool] = lambda: True
    is_checked: Callable[[], bool] | None = None
    needs: str = ""
    hint: str = ""
    begins_group: bool = False
    submenu: str = ""


class ActionTable(QObject):
    """The actions of the window, made from their specs.

    Signals
    -------
    shortcuts_changed
        The user chose other keys.
    """

    shortcuts_changed = Signal()

    def __init__(self, session: Session, owner: QWidget, specs: list[ActionSpec]) -> None:
        super().__init__(owner)
        self._session = session
        self._specs = {spec.id: spec for spec in specs}
        self.actions: dict[str, QAction] = {}
        for spec in specs:
            action = QAction(spec.text, owner)
            action.setCheckable(spec.is_checked is not None)
            action.triggered.connect(lambda _=False, spec=spec: self.run(spec.id))
            owner.addAction(action)
            self.actions[spec.id] = action
            self._take_keys(spec.id)
        self.refresh()

    def __getitem__(self, action_id: str) -> QAction:
        return self.actions[action_id]

    def __iter__(self) -> Iterator[ActionSpec]:
        return iter(self._specs.values())

    def run(self, action_id: str) -> None:
        """Do it; what is refused becomes a message."""
        try:
            self._specs[action_id].act()
        except AppError as error:
            self._session.message.emit(Message(str(error), is_error=True))
        self.refresh()

    def refresh(self) -> None:
        """Enable, disable and check according to the present state."""
        for name, spec in self._specs.items():
            self.actions[name].setEnabled(spec.is_enabled())
            if spec.is_checked is not None:
                self.actions[name].setChecked(spec.is_checked())

    def fill(self, menu: QMenu, title: str) -> None:
        """Add the actions of one menu, in groups."""
        inner: dict[str, QMenu] = {}
        for spec in self._specs.values():
            if spec.menu == title:
                if spec.begins_group:
                    menu.addSeparator()
                if spec.submenu and spec.submenu not in inner:
                    inner[spec.submenu] = menu.addMenu(spec.submenu)
                inner.get(spec.submenu, menu).addAction(self.actions[spec.id])

    def title(self, action_id: str) -> str:
        """Return an action's present text as it is read."""
        return plain(self.actions[action_id].text())

    def why_disabled(self, action_id: str) -> str:
        """Return what is missing for an action, as a sentence; empty if it can be done."""
        spec = self._specs[action_id]
        if spec.is_enabled():
            return ""
        if self._session.document is None:
            return _tr("Open a scan first.")
        return spec.needs or _tr("Not possible now.")

    # -- keys ----------------------------------------------------------------------------------

    def keys(self, action_id: str) -> str:
        """Return the shortcut of an action in force, as Qt writes it, several parted by "|"."""
        spec = self._specs[action_id]
        return self._session.settings.shortcuts.get(action_id, spec.shortcut)

    def default_keys(self, action_id: str) -> str:
        """Return the shortcut that an action came with."""
        return self._specs[action_id].shortcut

    def shown_keys(self, action_id: str) -> str:
        """Return the shortcut as people on this system read it."""
        native = QKeySequence.SequenceFormat.NativeText
        return ", ".join(s.toString(native) for s in self.actions[action_id].shortcuts())

    def taken_by(self, keys: str) -> str:
        """Return the id of the action that has a shortcut; empty if none has."""
        wanted = QKeySequence(keys)
        return next((n for n, a in self.actions.items() if wanted in a.shortcuts()), "")

    def set_keys(self, action_id: str, keys: str) -> None:
        """Give an action another shortcut, or none; remembered, and in force at once."""
        chosen = self._session.settings.shortcuts
        if keys == self._specs[action_id].shortcut:
            chosen.pop(action_id, None)
        else:
            chosen[action_id] = keys
        self._take_keys(action_id)
        self._session.settings.save()
        self.shortcuts_changed.emit()

    def reset_keys(self) -> None:
        """Give every action the shortcut that it came with."""
        self._session.settings.shortcuts.clear()
        for name in self._specs:
            self._take_keys(name)
        self._session.settings.save()
        self.shortcuts_changed.emit()

    def _take_keys(self, action_id: str) -> None:
        spec, action = self._specs[action_id], self.actions[action_id]
        keys = [QKeySequence(s) for s in self.keys(action_id).split("|") if s]
        action.setShortcuts(keys)
        tip = plain(spec.text)
        if keys:
            tip += f" ({keys[0].toString(QKeySequence.SequenceFormat.NativeText)})"
        if spec.hint:
            tip += f" – {spec.hint}"
        action.setToolTip(tip)


def plain(text: str) -> str:
    """Return the text of a menu entry without the marks of its mnemonic."""
    return text.replace("&&", "\0").replace("&", "").replace("\0", "&").removesuffix("…")


def _tr(text: str) -> str:
    return QCoreApplication.translate("actions", text)
