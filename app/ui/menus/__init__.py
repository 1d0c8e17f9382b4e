"""What is in the menus: one module per menu, each with a function `specs`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from app.ui.actions import ActionSpec
from app.ui.menus import display, edit, file, label, measure, segment, view, window_level
from app.ui.menus import help as help_menu

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow

# Entries that begin a group in their menu; a list of twenty is read by nobody.
_GROUPS = {
    *("save", "open_workspace", "settings", "quit"),
    *("edit_copy_next", "edit_fill_holes", "edit_grow", "edit_threshold"),
    *("crosshair", "fill", "layout_main", "mouse_pacs", "cine", "second_open"),
    *("tool_brush", "tool_ruler", "positive", "press_tool", "accept", "carry", "next_doubt"),
    *("models", "cancel", "label_visible", "label_up", "label_merge", "label_delete"),
    *("mark_delete", "volume_range", "compare", "invert", "colours_grey"),
    *("tour", "diagnostics"),
}
# The order of the menu bar; an action's ``menu`` is one of these.
MENUS = ("File", "Edit", "View", "Segment", "Label", "Measure", "Window", "Help")
_MODULES = (file, edit, view, segment, label, measure, window_level, display, help_menu)


def action_specs(window: MainWindow) -> list[ActionSpec]:
    """Return every action of the window, in the order of the menus."""
    specs = [spec for module in _MODULES for spec in module.specs(window)]
    return [replace(spec, begins_group=spec.id in _GROUPS) for spec in specs]
