"""A magnifying glass over a slice: what lies under the pointer, larger, while a key is held."""

from __future__ import annotations

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath

from app.ui.slice_layers import SliceLayers
from app.ui.slice_painter import BACKGROUND, line_pen

ENLARGEMENT = 3.0
RADIUS_PX = 95


class Magnifier:
    """Paints the slice again around a point, enlarged from the voxels and not from the screen.

    Attributes
    ----------
    at : QPointF, optional
        The point of the view under the glass; None while there is no glass.
    """

    def __init__(self) -> None:
        self.at: QPointF | None = None

    def paint(self, painter: QPainter, layers: SliceLayers, colour: QColor) -> None:
        """Paint the glass, if there is one."""
        if self.at is None:
            return
        rim = QPainterPath()
        rim.addEllipse(self.at, RADIUS_PX, RADIUS_PX)
        painter.save()
        painter.setClipPath(rim)
        painter.fillPath(rim, BACKGROUND)
        painter.translate(self.at)
        painter.scale(ENLARGEMENT, ENLARGEMENT)
        painter.translate(-self.at)
        painter.setTransform(layers.sceneTransform(), True)
        layers.paint(painter)
        painter.restore()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(line_pen(colour, 2.0))
        painter.drawPath(rim)
