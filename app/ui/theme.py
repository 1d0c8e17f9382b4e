"""The dark theme."""

from __future__ import annotations

import re

import pyqtgraph as pg
from PySide6.QtCore import QDir
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

from resources import resource_path

_COLOURS = {
    QPalette.ColorRole.Window: "#171b20",
    QPalette.ColorRole.Base: "#13171b",
    QPalette.ColorRole.Text: "#d8dde3",
    QPalette.ColorRole.WindowText: "#d8dde3",
    QPalette.ColorRole.Button: "#262e36",
    QPalette.ColorRole.ButtonText: "#d8dde3",
    QPalette.ColorRole.Highlight: "#226a9b",
    QPalette.ColorRole.HighlightedText: "#ffffff",
    QPalette.ColorRole.PlaceholderText: "#6d7782",
}


# The size of text that the style sheet is written for.
FONT_PX = 13


def apply_theme(application: QApplication, font_px: int = FONT_PX) -> None:
    """Give the application its palette and style sheet, with text of a size."""
    sheet = _resized(resource_path("styles/app.qss").read_text(encoding="utf-8"), font_px)
    if application.styleSheet() == sheet:
        # Setting the same again would polish every widget that there is.
        return
    pg.setConfigOptions(imageAxisOrder="row-major", antialias=True)
    application.setStyle("Fusion")
    palette = QPalette()
    for role, colour in _COLOURS.items():
        palette.setColor(role, QColor(colour))
    application.setPalette(palette)
    # The style sheet names its pictures as icons:NAME.
    QDir.setSearchPaths("icons", [str(resource_path("icons"))])
    application.setStyleSheet(sheet)


def _resized(sheet: str, font_px: int) -> str:
    """Return a style sheet whose sizes of text are as much larger as the plain text is."""
    return re.sub(
        r"font-size: (\d+)px",
        lambda found: f"font-size: {round(int(found[1]) * font_px / FONT_PX)}px",
        sheet,
    )
