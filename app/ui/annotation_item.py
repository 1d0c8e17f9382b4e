"""Lines over a slice: crosshair, prompts, and what the tool in hand wants drawn."""

from __future__ import annotations

import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from app.core.prompts import BoxPrompt, PointPrompt, Prompt
from app.session import Session
from app.tools import TOOLS, Shape
from app.ui.view_text import PLANE_COLOURS

_POSITIVE, _NEGATIVE = QColor("#6fe08a"), QColor("#ff6b6b")
_DEFAULT = QColor("#4fc3f7")
# Kept free around the crosshair's centre, in pixels of the screen.
_GAP_PX = 10
_POINT_PX = 5


class AnnotationItem(pg.GraphicsObject):
    """Draws in view coordinates (mm) with pens of constant width."""

    def __init__(self, session: Session, axis: int) -> None:
        super().__init__()
        self._session = session
        self._axis = axis
        self._index = 0
        self.setZValue(10)

    def show(self, index: int) -> None:  # type: ignore[override]
        """Draw what belongs to a slice."""
        self._index = index
        self.prepareGeometryChange()
        self.update()

    def close_item(self) -> None:
        """Draw nothing any more."""
        self.setVisible(False)

    def boundingRect(self) -> QRectF:
        document = self._session.document
        if document is None:
            return QRectF()
        extent = 2 * max(
            n * s
            for n, s in zip(
                document.volume.voxels.shape, document.volume.geometry.spacing_zyx, strict=True
            )
        )
        return QRectF(-extent, -extent, 2 * extent, 2 * extent)

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionGraphicsItem,
        widget: QWidget | None = None,
    ) -> None:
        document = self._session.document
        if document is None:
            return
        spacing = document.volume.geometry.spacing_zyx
        rows, columns = (a for a in range(3) if a != self._axis)
        self._row_mm, self._column_mm = spacing[rows], spacing[columns]
        per_pixel = 1.0 / max(abs(painter.transform().m11()), 1e-9)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._session.view_state.crosshair_visible:
            self._draw_crosshair(painter, per_pixel)
        for prompt in document.prompts:
            self._draw_prompt(painter, prompt, per_pixel, is_pending=False)
        for prompt in self._session.pending:
            self._draw_prompt(painter, prompt, per_pixel, is_pending=True)
        for shape in self._tool_shapes():
            if shape.axis == self._axis and shape.index == self._index:
                self._draw_shape(painter, shape)

    def _tool_shapes(self) -> tuple[Shape, ...]:
        tool = TOOLS.load().get(self._session.view_state.active_tool)
        return () if tool is None else tool.shapes()

    def _place(self, index_zyx: tuple[float, float, float]) -> QPointF:
        row, column = (v for a, v in enumerate(index_zyx) if a != self._axis)
        return QPointF(column * self._column_mm, row * self._row_mm)

    def _draw_crosshair(self, painter: QPainter, per_pixel: float) -> None:
        z, y, x = (float(v) for v in self._session.view_state.cursor_zyx)
        at, gap = self._place((z, y, x)), _GAP_PX * per_pixel
        area = self.boundingRect()
        rows, columns = (a for a in range(3) if a != self._axis)
        # Each line is where another plane cuts this one, in that plane's colour.
        painter.setPen(_pen(PLANE_COLOURS[rows], alpha=150))
        painter.drawLine(QPointF(area.left(), at.y()), QPointF(at.x() - gap, at.y()))
        painter.drawLine(QPointF(at.x() + gap, at.y()), QPointF(area.right(), at.y()))
        painter.setPen(_pen(PLANE_COLOURS[columns], alpha=150))
        painter.drawLine(QPointF(at.x(), area.top()), QPointF(at.x(), at.y() - gap))
        painter.drawLine(QPointF(at.x(), at.y() + gap), QPointF(at.x(), area.bottom()))

    def _draw_prompt(
        self, painter: QPainter, prompt: Prompt, per_pixel: float, *, is_pending: bool
    ) -> None:
        is_3d = isinstance(prompt, BoxPrompt) and prompt.is_3d
        if prompt.axis != self._axis or (prompt.slice_index != self._index and not is_3d):
            return
        colour = self._colour(prompt.label_id)
        style = Qt.PenStyle.DashLine if is_pending else Qt.PenStyle.SolidLine
        if isinstance(prompt, BoxPrompt):
            painter.setPen(_pen(colour, style=style))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            r0, c0, r1, c1 = prompt.box_rc
            painter.drawRect(self._rect(r0 - 0.5, c0 - 0.5, r1 - 0.5, c1 - 0.5))
            return
        mark = _POSITIVE if prompt.positive else _NEGATIVE
        points = (prompt.index_zyx,) if isinstance(prompt, PointPrompt) else prompt.points_zyx
        if isinstance(prompt, PointPrompt):
            painter.setPen(_pen("#101316", width=1.5))
            painter.setBrush(Qt.BrushStyle.NoBrush if is_pending else mark)
            if is_pending:
                painter.setPen(_pen(mark, width=2))
            radius = _POINT_PX * per_pixel
            painter.drawEllipse(self._place(points[0]), radius, radius)
            return
        painter.setPen(_pen(mark, width=2, style=style))
        painter.drawPolyline([self._place(p) for p in points])

    def _draw_shape(self, painter: QPainter, shape: Shape) -> None:
        colour = self._colour(self._session.view_state.active_label)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if shape.kind == "box":
            painter.setPen(_pen(colour, width=1.6, style=Qt.PenStyle.DashLine))
            a, b = (self._place(p) for p in shape.points_zyx)
            painter.drawRect(QRectF(a, b).normalized())
        elif shape.kind == "line":
            painter.setPen(_pen(_POSITIVE if shape.positive else _NEGATIVE, width=2))
            painter.drawPolyline([self._place(p) for p in shape.points_zyx])
        else:
            painter.setPen(_pen(colour))
            painter.drawEllipse(self._place(shape.points_zyx[0]), shape.radius_mm, shape.radius_mm)

    def _rect(self, r0: float, c0: float, r1: float, c1: float) -> QRectF:
        top, left = r0 * self._row_mm, c0 * self._column_mm
        return QRectF(left, top, (c1 - c0) * self._column_mm, (r1 - r0) * self._row_mm)

    def _colour(self, label_id: int) -> QColor:
        document = self._session.document
        info = None if document is None else document.label_table.get(label_id)
        return _DEFAULT if info is None else QColor(*info.colour)


def _pen(
    colour: QColor | str,
    *,
    width: float = 1.2,
    alpha: int = 255,
    style: Qt.PenStyle = Qt.PenStyle.SolidLine,
) -> QPen:
    shade = QColor(colour)
    shade.setAlpha(alpha)
    pen = QPen(shade, width, style)
    pen.setCosmetic(True)
    return pen
