"""The Help menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtGui import QGuiApplication

from app.session import Message
from app.ui import dialogs
from app.ui.actions import ActionSpec
from app.ui.diagnostics import diagnostics
from app.ui.palette import CommandPalette
from app.ui.shortcut_dialog import ShortcutDialog

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow


def specs(window: MainWindow) -> list[ActionSpec]:
    """Return the actions of the menu, in its order."""
    session, tr = window.session, window.tr

    def copy_diagnostics() -> None:
        QGuiApplication.clipboard().setText(diagnostics(session))
        session.message.emit(Message(tr("Copied. It holds no file name and no image data.")))

    def show_about() -> None:
        text = tr(
            "Maskwright segments CT and MRI from a box.\n\n"
            "Not a medical device: for research and for preparing work that a qualified person "
            "checks.\nApache-2.0."
        )
        dialogs.show_text(window, "Maskwright", text)

    def show_palette() -> None:
        dialogs.show_once(
            window,
            CommandPalette,
            lambda: CommandPalette(session, window.actions_table, window.grid, window),
        )

    def show_shortcuts() -> None:
        dialogs.show_once(
            window, ShortcutDialog, lambda: ShortcutDialog(window.actions_table, window)
        )

    return [
        ActionSpec("palette", "Help", tr("Find a command…"), "Ctrl+Shift+P", show_palette),
        ActionSpec("shortcuts", "Help", tr("Shortcuts…"), "?", show_shortcuts),
        ActionSpec("tour", "Help", tr("Tour"), "", lambda: window.tour.start()),
        ActionSpec("diagnostics", "Help", tr("Copy diagnostics"), "", copy_diagnostics),
        ActionSpec("about", "Help", tr("About"), "", show_about),
    ]
