"""Rulers, angles and diameters over a slice, and where two compared masks differ."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter

from app.core.annotations import Annotation, AnnotationKind
from app.core.volume import take_slice
from app.session import Session
from app.tools import TOOLS
from app.ui.slice_painter import PixelMap, line_pen

MARK = QColor(120, 220, 232)
SELECTED = QColor(255, 214, 92)
SHADOW = QColor(0, 0, 0, 170)
_TEXT_PX = 13
_END_PX = 3.0
# Premultiplied ARGB: agreement, only the open mask, only the other one, another label in each.
_DISAGREEMENT = np.array([0, 0xA0A04010, 0xA01060A0, 0xA0905098], np.uint32)


@runtime_checkable
class HasDraft(Protocol):
    """A tool that draws or moves a line."""

    draft: Annotation | None


def shown_marks(session: Session) -> tuple[Annotation, ...]:
    """Return the annotations as they are to be seen: one that is being moved where it is now."""
    drafts = [t.draft for t in TOOLS.load().values() if isinstance(t, HasDraft)]
    moving = {d.id: d for d in drafts if d is not None}
    rest = tuple(m for m in session.marks if m.id not in moving)
    return (*rest, *moving.values())


def paint_marks(
    painter: QPainter, session: Session, axis: int, index: int, pixels: PixelMap
) -> None:
    """Draw the annotations of a slice with what they measure."""
    spacing = pixels.frame.geometry.spacing_zyx
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    for mark in shown_marks(session):
        if (mark.axis, mark.index) != (axis, index):
            continue
        colour = SELECTED if mark.id == session.measurements.selected_mark else MARK
        lines = [(pixels.voxel(a), pixels.voxel(b)) for a, b in mark.lines]
        for a, b in lines:
            for pen in (line_pen(SHADOW, 3.5), line_pen(colour, 1.5)):
                painter.setPen(pen)
                painter.drawLine(a, b)
        painter.setBrush(colour)
        painter.setPen(line_pen(SHADOW))
        for point in mark.points_zyx:
            painter.drawEllipse(pixels.voxel(point), _END_PX, _END_PX)
        if mark.kind is AnnotationKind.ANGLE:
            if len(mark.points_zyx) == 3:
                text = f"{mark.degrees(spacing):.1f}°"
                _paint_text(painter, pixels.voxel(mark.points_zyx[1]), text, colour)
        else:
            for (a, b), length in zip(lines, mark.lengths_mm(spacing), strict=True):
                _paint_text(painter, a if a.x() > b.x() else b, f"{length:.1f} mm", colour)
    painter.restore()


def paint_disagreement(
    painter: QPainter, session: Session, axis: int, index: int, pixels: PixelMap
) -> None:
    """Colour where the compared masks differ on a slice."""
    measurements = session.measurements
    if measurements.comparison is None or not measurements.shows_disagreement:
        return
    kinds = take_slice(measurements.comparison.kinds, axis, index)
    if not kinds.any():
        return
    if not pixels.frame.rows_go_down:
        kinds = kinds[::-1]
    colours = np.ascontiguousarray(_DISAGREEMENT[kinds])
    rows, columns = colours.shape
    kind = QImage.Format.Format_ARGB32_Premultiplied
    painter.drawImage(pixels.image, QImage(colours.data, columns, rows, 4 * columns, kind))


def _paint_text(painter: QPainter, at: QPointF, text: str, colour: QColor) -> None:
    font = painter.font()
    font.setPixelSize(_TEXT_PX)
    painter.setFont(font)
    size = painter.fontMetrics().size(0, text)
    place = QRectF(at.x() + 7, at.y() - size.height() - 2, size.width() + 6, size.height())
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(SHADOW)
    painter.drawRoundedRect(place, 3, 3)
    painter.setPen(colour)
    painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)
