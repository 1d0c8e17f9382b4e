"""What tools are called and what they say of themselves, in the user's language.

Tools know nothing of Qt; their texts are looked up where they are shown.
"""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

from app.tools import Tool

CONTEXT = "tools"


def tool_title(tool: Tool) -> str:
    """Return the name of a tool."""
    return QCoreApplication.translate(CONTEXT, tool.title)


def tool_hint(tool: Tool) -> str:
    """Return how a tool is used, in a sentence or two."""
    return QCoreApplication.translate(CONTEXT, tool.hint)
