"""The Label menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui.actions import ActionSpec

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow


def specs(window: MainWindow) -> list[ActionSpec]:
    """Return the actions of the menu, in its order."""
    return window.label_panel.action_specs()
