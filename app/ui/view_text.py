"""Words on a slice view: directions at its edges, plane and slice in a corner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPen

from app.core.prompts import PLANE_NAMES

if TYPE_CHECKING:
    from app.ui.slice_view import SliceView

PLANE_COLOURS = ("#e0605a", "#5ab06c", "#d9b44a")
_LETTER = QColor("#d8dde3")
_QUIET = QColor("#98a2ad")
_SHADOW = QColor(0, 0, 0, 190)


def draw_corner_text(painter: QPainter, view: SliceView) -> None:
    """Draw a view's border, plane name, slice number, window and direction letters."""
    area = view.viewport().rect()
    _draw_border(painter, view, area)
    if view.document is None:
        return
    inner = area.adjusted(9, 7, -9, -7)
    name = PLANE_NAMES[view.axis].capitalize()
    painter.setFont(_font(13, bold=True))
    top, bottom, left, right = view.edge_letters
    horizontal, vertical = Qt.AlignmentFlag.AlignHCenter, Qt.AlignmentFlag.AlignVCenter
    for letter, where in (
        (top, horizontal | Qt.AlignmentFlag.AlignTop),
        (bottom, horizontal | Qt.AlignmentFlag.AlignBottom),
        (left, vertical | Qt.AlignmentFlag.AlignLeft),
        (right, vertical | Qt.AlignmentFlag.AlignRight),
    ):
        _shadowed(painter, inner, where, letter, _LETTER)
    corner = Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft
    _shadowed(painter, inner, corner, name, QColor(PLANE_COLOURS[view.axis]))
    painter.setFont(_font(11))
    below = inner.adjusted(0, 17, 0, 0)
    _shadowed(painter, below, corner, f"{view.index + 1} / {view.n_slices}", _QUIET)
    low, high = view.session.view_state.window
    text = f"W {high - low:.4g}  L {(low + high) / 2:.4g}"
    _shadowed(painter, inner, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignRight, text, _QUIET)
    badge = _confidence(view)
    if badge:
        _shadowed(
            painter,
            inner,
            Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignLeft,
            badge,
            _QUIET,
        )


def _draw_border(painter: QPainter, view: SliceView, area: QRect) -> None:
    colour = QColor(PLANE_COLOURS[view.axis]) if view.hasFocus() else QColor("#20252b")
    painter.setPen(QPen(colour, 1))
    painter.drawRect(area.adjusted(0, 0, -1, -1))


def _confidence(view: SliceView) -> str:
    """Return the model's own estimate for the object on this slice, in words."""
    assert view.document is not None
    for prompt in reversed(view.document.prompts):
        score = view.session.scores.get(prompt.object_id, {}).get(view.index)
        if prompt.axis == view.axis and score is not None:
            return f"confidence {round(100 * score)} %"
    return ""


def _shadowed(
    painter: QPainter, area: QRect, where: Qt.AlignmentFlag, text: str, colour: QColor
) -> None:
    painter.setPen(_SHADOW)
    painter.drawText(area.translated(1, 1), where, text)
    painter.setPen(colour)
    painter.drawText(area, where, text)


def _font(pixels: int, *, bold: bool = False) -> QFont:
    font = QFont()
    font.setPixelSize(pixels)
    font.setBold(bold)
    return font
