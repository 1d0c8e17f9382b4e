"""The names of the menus in the user's language."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication


def menu_title(menu: str) -> str:
    """Return the name of a menu, by what `ActionSpec.menu` calls it."""
    return {
        "File": _tr("File"),
        "File recent": _tr("File"),
        "Edit": _tr("Edit"),
        "View": _tr("View"),
        "3-D view": _tr("3-D view"),
        "Segment": _tr("Segment"),
        "Segment labels": _tr("Labels"),
        "Label": _tr("Label"),
        "Measure": _tr("Measure"),
        "Window": _tr("Window"),
        "Help": _tr("Help"),
    }.get(menu, menu)


def _tr(text: str) -> str:
    return QCoreApplication.translate("menus", text)
