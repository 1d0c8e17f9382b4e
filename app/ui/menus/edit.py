"""The Edit menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui.actions import ActionSpec

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow


def specs(window: MainWindow) -> list[ActionSpec]:
    """Return the actions of the menu, in its order."""
    session, tr = window.session, window.tr

    def has_undo() -> bool:
        document = session.document
        return bool(session.prompting.pending) or (
            document is not None and bool(document.undo_labels)
        )

    def has_redo() -> bool:
        return session.document is not None and bool(session.document.redo_labels)

    return [
        ActionSpec(
            "undo",
            "Edit",
            tr("Undo"),
            "Ctrl+Z",
            session.undo,
            has_undo,
            needs=tr("There is nothing to undo."),
        ),
        ActionSpec(
            "redo",
            "Edit",
            tr("Redo"),
            "Ctrl+Y|Ctrl+Shift+Z",
            session.redo,
            has_redo,
            needs=tr("There is nothing to redo."),
        ),
        *window.edit_panel.action_specs(),
    ]
