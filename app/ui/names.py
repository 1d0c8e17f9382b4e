"""Names of tools, planes and windows in the user's language.

What is named knows nothing of Qt; the names are looked up where they are shown.
"""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QCoreApplication

from app.core.privacy import Disclosure
from app.core.prompts import AXIAL, CORONAL, SAGITTAL
from app.tools import Tool


def tool_title(tool: Tool) -> str:
    """Return the name of a tool."""
    return QCoreApplication.translate("tools", tool.title)


def tool_hint(tool: Tool) -> str:
    """Return how a tool is used, in a sentence or two."""
    return QCoreApplication.translate("tools", tool.hint)


def plane_name(axis: int) -> str:
    """Return the name of the planes across an axis, as it stands in a sentence."""
    return {AXIAL: _tr("axial"), CORONAL: _tr("coronal"), SAGITTAL: _tr("sagittal")}[axis]


def plane_title(axis: int) -> str:
    """Return the name of the planes across an axis, as a title."""
    name = plane_name(axis)
    return name[:1].upper() + name[1:]


def window_name(name: str) -> str:
    """Return the name of an intensity window of `resources/windows.json`."""
    return QCoreApplication.translate("windows", name)


def disclosure_names(told: Iterable[Disclosure]) -> list[str]:
    """Return what a file would tell about the patient, each once."""
    what = dict.fromkeys(d.what for d in told)
    return [QCoreApplication.translate("privacy", name) for name in what]


def duration(seconds: float) -> str:
    """Return a time as people say it: seconds, or minutes from a minute and a half on."""
    if seconds < 90:
        return _tr("{count} s").format(count=max(1, round(seconds)))
    return _tr("{count} min").format(count=round(seconds / 60))


def _tr(text: str) -> str:
    return QCoreApplication.translate("planes", text)
