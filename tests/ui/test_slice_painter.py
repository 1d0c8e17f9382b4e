"""What is written over a slice does not run into each other."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QRectF
from PySide6.QtGui import QImage, QPainter

from app.ui.plane_frame import Edges
from app.ui.slice_painter import paint_corners, paint_letters

TEXTS = ("S 1057.5 mm", "W 2500   L 1000")


def drawn(width: int, paint) -> np.ndarray:
    """Return (height, width) bool: which pixels a function draws on."""
    image = QImage(width, 160, QImage.Format.Format_ARGB32)
    image.fill(0)
    painter = QPainter(image)
    paint(painter, QRectF(0, 0, width, 160))
    painter.end()
    return np.frombuffer(image.constBits(), np.uint32).reshape(160, -1)[:, :width] > 0


@pytest.mark.parametrize("width", [120, 170, 220, 300, 600])
def test_letters_and_corners_keep_apart_in_narrow_views(qtbot, width):
    edges = Edges("R", "L", "A", "P")
    letters = drawn(width, lambda p, area: paint_letters(p, area, edges, TEXTS))
    texts = drawn(width, lambda p, area: paint_corners(p, area, *TEXTS))
    assert letters.any()
    assert texts.any()
    assert not (letters & texts).any()
    middle = letters[:, width // 2 - 20 : width // 2 + 20]
    assert middle[:80].any(), "the letter above is gone"
    assert middle[80:].any(), "the letter below is gone"
