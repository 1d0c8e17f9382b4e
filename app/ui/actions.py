"""The one table of actions: id, text, shortcut, what it does, when it can be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
        As Qt writes it; empty for none.
    act : callable
    is_enabled : callable
        Asked whenever something changed.
    is_checked : callable, optional
        Makes the action a switch.
    """

    id: str
    menu: str
    text: str
    shortcut: str
    act: Callable[[], object]
    is_enabled: Callable[[], bool] = lambda: True
    is_checked: Callable[[], bool] | None = None


class ActionTable:
    """The actions of the window, made from their specs."""

    def __init__(self, session: Session, owner: QWidget, specs: list[ActionSpec]) -> None:
        self._session = session
        self._specs = {spec.id: spec for spec in specs}
        self.actions: dict[str, QAction] = {}
        for spec in specs:
            action = QAction(spec.text, owner)
            shortcut = session.settings.shortcuts.get(spec.id, spec.shortcut)
            if shortcut:
                action.setShortcuts([QKeySequence(s) for s in shortcut.split("|")])
                action.setToolTip(f"{spec.text.replace('&', '')} ({shortcut.split('|')[0]})")
            action.setCheckable(spec.is_checked is not None)
            action.triggered.connect(lambda _=False, spec=spec: self.run(spec.id))
            owner.addAction(action)
            self.actions[spec.id] = action
        self.refresh()

    def __getitem__(self, action_id: str) -> QAction:
        return self.actions[action_id]

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
        """Add the actions of one menu; an id that starts with "-" stands after a separator."""
        for spec in self._specs.values():
            if spec.menu == title:
                if spec.id.startswith("-"):
                    menu.addSeparator()
                menu.addAction(self.actions[spec.id])

    def shortcut_sheet(self) -> str:
        """Return every shortcut, one per line."""
        lines = []
        for name, spec in self._specs.items():
            keys = ", ".join(s.toString() for s in self.actions[name].shortcuts())
            if keys:
                lines.append(f"{keys:<18} {spec.text.replace('&', '')}")
        return "\n".join(lines)
