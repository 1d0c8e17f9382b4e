"""On screens with twice the pixels every picture of the window has twice the pixels, too."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QIcon

from app.ui.label_panel import swatch
from resources import resource_path

SIZE = QSize(16, 16)
ICONS = sorted(resource_path("icons").glob("*.svg"))


@pytest.mark.parametrize("path", ICONS, ids=lambda p: p.stem)
def test_icons_are_drawn_anew_for_every_scale(qapp, path):
    icon = QIcon(str(path))
    small, large = (icon.pixmap(SIZE, ratio).toImage() for ratio in (1.0, 2.0))
    assert (small.width(), large.width()) == (16, 32)
    # Enlarged pixels would come in blocks of two by two, all alike.
    blocks = [
        {large.pixel(x + dx, y + dy) for dx in (0, 1) for dy in (0, 1)}
        for x in range(0, 32, 2)
        for y in range(0, 32, 2)
    ]
    assert any(len(block) > 1 for block in blocks)


def test_the_colour_of_a_label_fills_its_square_at_every_scale(qapp):
    for ratio in (1.0, 2.0):
        image = swatch((10, 200, 30)).pixmap(QSize(14, 14), ratio).toImage()
        assert image.pixelColor(image.width() // 2, image.height() // 2) == QColor(10, 200, 30)
