"""What is in the menus: one module per menu, each with a function `specs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui.actions import ActionSpec
from app.ui.menus import display, edit, file, label, measure, segment, view, window_level
from app.ui.menus import help as help_menu

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow

# The order of the menu bar; an action's ``menu`` is one of these.
MENUS = ("File", "Edit", "View", "Segment", "Label", "Measure", "Window", "Help")
_MODULES = (file, edit, view, segment, label, measure, window_level, display, help_menu)


def action_specs(window: MainWindow) -> list[ActionSpec]:
    """Return every action of the window, in the order of the menus."""
    return [spec for module in _MODULES for spec in module.specs(window)]
