"""The Help menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtGui import QGuiApplication

from app.session import Message
from app.ui import dialogs
from app.ui.actions import ActionSpec
from app.ui.diagnostics import diagnostics

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow


ABOUT = (
    "Maskwright segments CT and MRI from a box.\n\n"
    "Not a medical device: for research and for preparing work that a qualified person checks.\n"
    "Apache-2.0."
)


def specs(window: MainWindow) -> list[ActionSpec]:
    """Return the actions of the menu, in its order."""
    session, tr = window.session, window.tr

    def copy_diagnostics() -> None:
        QGuiApplication.clipboard().setText(diagnostics(session))
        session.message.emit(Message(tr("Copied. It holds no file name and no image data.")))

    return [
        ActionSpec(
            "shortcuts",
            "Help",
            tr("Shortcuts"),
            "?",
            lambda: dialogs.show_text(
                window, tr("Shortcuts"), window.actions_table.shortcut_sheet()
            ),
        ),
        ActionSpec("diagnostics", "Help", tr("Copy diagnostics"), "", copy_diagnostics),
        ActionSpec(
            "about", "Help", tr("About"), "", lambda: dialogs.show_text(window, "Maskwright", ABOUT)
        ),
    ]
