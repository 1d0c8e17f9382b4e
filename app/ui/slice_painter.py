"""What is drawn over a slice in screen pixels: prompts, crosshair, letters, scale."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPen, QPolygonF, QTransform

from app.core.labels import Colour
from app.core.prompts import BoxPrompt, PointPrompt, Prompt
from app.tools import Shape, in_plane
from app.ui.plane_frame import Edges, PlaneFrame

BACKGROUND = QColor(9, 10, 12)
TEXT = QColor(196, 203, 212)
MUTED = QColor(128, 138, 150)
DOUBTFUL = QColor(226, 172, 66)
NEGATIVE = QColor(255, 82, 82)
POSITIVE = QColor(255, 255, 255)
# A plane has one colour everywhere: its title, its border, its line in the other planes.
PLANE_COLOURS = (QColor(240, 98, 88), QColor(96, 190, 112), QColor(240, 196, 72))

CROSSHAIR_GAP_PX = 14
# Room that a letter takes at its edge.
LETTER_PX = 24
MARGIN_PX = 8
POINT_RADIUS_PX = 5.5
# The scale bar is the longest of these that fits.
_BARS_MM = (100, 50, 20, 10, 5, 2, 1)
_BAR_PX = 130


@dataclass(frozen=True)
class PixelMap:
    """From voxel indices of one displayed plane to screen pixels.

    Attributes
    ----------
    frame : PlaneFrame
    transform : QTransform
        From millimetres in the plane to pixels.
    """

    frame: PlaneFrame
    transform: QTransform

    @property
    def px_per_mm(self) -> float:
        return abs(self.transform.m11())

    def point(self, row: float, column: float) -> QPointF:
        """Return where a pixel index lies."""
        return self.transform.map(QPointF(*self.frame.to_mm(row, column)))

    def voxel(self, position_zyx: tuple[float, float, float]) -> QPointF:
        """Return where a voxel index lies."""
        return self.point(*in_plane(position_zyx, self.frame.axis))

    def box(self, r0: float, c0: float, r1: float, c1: float) -> QRectF:
        """Return the outline of a half-open box of pixels."""
        corners = self.point(r0 - 0.5, c0 - 0.5), self.point(r1 - 0.5, c1 - 0.5)
        return QRectF(*corners).normalized()

    @property
    def image(self) -> QRectF:
        """Where the whole slice lies."""
        return self.box(0, 0, *self.frame.shape_rc)


def line_pen(colour: QColor, width_px: float = 1.0, *, is_dashed: bool = False) -> QPen:
    """Return a pen whose width does not follow the zoom."""
    pen = QPen(colour, width_px)
    pen.setCosmetic(True)
    if is_dashed:
        pen.setDashPattern([4, 3])
    return pen


def with_alpha(colour: QColor, alpha: float) -> QColor:
    """Return a colour with an opacity of 0 to 1."""
    changed = QColor(colour)
    changed.setAlphaF(alpha)
    return changed


def paint_crosshair(
    painter: QPainter, at: QPointF, area: QRectF, upright: QColor, level: QColor
) -> None:
    """Draw two lines through a point, with a gap that leaves what lies there visible."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    x, y, gap = round(at.x()) + 0.5, round(at.y()) + 0.5, CROSSHAIR_GAP_PX
    painter.setPen(line_pen(with_alpha(upright, 0.75)))
    if area.left() <= x <= area.right():
        painter.drawLine(QPointF(x, area.top()), QPointF(x, min(area.bottom(), y - gap)))
        painter.drawLine(QPointF(x, max(area.top(), y + gap)), QPointF(x, area.bottom()))
    painter.setPen(line_pen(with_alpha(level, 0.75)))
    if area.top() <= y <= area.bottom():
        painter.drawLine(QPointF(area.left(), y), QPointF(min(area.right(), x - gap), y))
        painter.drawLine(QPointF(max(area.left(), x + gap), y), QPointF(area.right(), y))


def paint_letters(
    painter: QPainter, area: QRectF, edges: Edges, corner_texts: tuple[str, ...]
) -> None:
    """Draw the patient directions at the middle of each edge, beside the corners' texts.

    Where a view is too narrow for both, the letters above and below give way towards the middle.
    """
    painter.setFont(_font(painter, 12))
    widest = max(painter.fontMetrics().horizontalAdvance(text) for text in corner_texts)
    is_narrow = MARGIN_PX + widest > area.width() / 2 - LETTER_PX / 2
    height = painter.fontMetrics().height() if is_narrow else 0
    font = _font(painter, 14)
    font.setWeight(QFont.Weight.DemiBold)
    painter.setFont(font)
    inner = area.adjusted(MARGIN_PX, 4 + height, -MARGIN_PX, -4 - height)
    center = Qt.AlignmentFlag.AlignHCenter, Qt.AlignmentFlag.AlignVCenter
    for letter, flags in (
        (edges.left, Qt.AlignmentFlag.AlignLeft | center[1]),
        (edges.right, Qt.AlignmentFlag.AlignRight | center[1]),
        (edges.top, Qt.AlignmentFlag.AlignTop | center[0]),
        (edges.bottom, Qt.AlignmentFlag.AlignBottom | center[0]),
    ):
        paint_text(painter, inner, letter, flags, MUTED)


def paint_corners(painter: QPainter, area: QRectF, upper_left: str, lower_left: str) -> None:
    """Draw the small texts in the left corners; the right ones hold the number and the scale."""
    painter.setFont(_font(painter, 12))
    inner = area.adjusted(MARGIN_PX, 6, -MARGIN_PX, -6)
    left = Qt.AlignmentFlag.AlignLeft
    paint_text(painter, inner, upper_left, left | Qt.AlignmentFlag.AlignTop, TEXT)
    paint_text(painter, inner, lower_left, left | Qt.AlignmentFlag.AlignBottom, MUTED)


def paint_notice(painter: QPainter, area: QRectF, text: str) -> None:
    """Draw a sentence above the lower left corner, to be seen."""
    painter.setFont(_font(painter, 12))
    inner = area.adjusted(MARGIN_PX, 6, -MARGIN_PX, -24)
    flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom
    paint_text(painter, inner, text, flags, DOUBTFUL)


def paint_score(painter: QPainter, area: QRectF, text: str, *, is_doubtful: bool) -> None:
    """Draw how sure the model is in the upper right corner, louder where it is not."""
    painter.setFont(_font(painter, 12))
    inner = area.adjusted(MARGIN_PX, 6, -MARGIN_PX, -6)
    flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop
    paint_text(painter, inner, text, flags, DOUBTFUL if is_doubtful else MUTED)


def paint_scale(painter: QPainter, area: QRectF, px_per_mm: float) -> None:
    """Draw a bar of a round length in the lower right corner."""
    length_mm = next((mm for mm in _BARS_MM if mm * px_per_mm <= _BAR_PX), None)
    if length_mm is None or length_mm * px_per_mm < 8:
        return
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    length = length_mm * px_per_mm
    right, y = area.right() - MARGIN_PX - 1, area.bottom() - 9
    left = right - length
    for colour, offset in ((QColor(0, 0, 0, 190), 1), (MUTED, 0)):
        painter.setPen(line_pen(colour))
        painter.drawLine(QPointF(left, y + offset), QPointF(right, y + offset))
        for x in (left, right):
            painter.drawLine(QPointF(x + offset, y - 4), QPointF(x + offset, y))
    painter.setFont(_font(painter, 11))
    text = f"{length_mm} mm" if length_mm < 10 else f"{length_mm // 10} cm"
    above = QRectF(left - 60, y - 22, length + 60, 16)
    flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom
    paint_text(painter, above, text, flags, MUTED)


def paint_text(
    painter: QPainter, area: QRectF, text: str, flags: Qt.AlignmentFlag, colour: QColor
) -> None:
    """Draw a text that stays legible on bright tissue."""
    painter.setPen(QColor(0, 0, 0, 200))
    painter.drawText(area.translated(1, 1), int(flags), text)
    painter.setPen(colour)
    painter.drawText(area, int(flags), text)


def paint_prompt(
    painter: QPainter, prompt: Prompt, pixels: PixelMap, colour: Colour, *, is_pending: bool
) -> None:
    """Draw a prompt of the displayed slice; hollow and dashed while its mask is awaited."""
    line = QColor(*colour)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    if isinstance(prompt, BoxPrompt):
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        paint_box(painter, pixels.box(*prompt.box_rc), line, is_dashed=is_pending)
    elif isinstance(prompt, PointPrompt):
        at = pixels.voxel(prompt.index_zyx)
        _paint_point(painter, at, line, prompt.positive, is_hollow=is_pending)
    else:
        width = 2 * prompt.radius_mm * pixels.px_per_mm
        stroke_colour = line if prompt.positive else NEGATIVE
        points = QPolygonF([pixels.voxel(p) for p in prompt.points_zyx])
        _paint_stroke(painter, points, width, with_alpha(stroke_colour, 0.3 if is_pending else 0.5))
        painter.setPen(line_pen(stroke_colour, is_dashed=is_pending))
        painter.drawPolyline(points)


def paint_shape(painter: QPainter, shape: Shape, pixels: PixelMap, colour: Colour) -> None:
    """Draw what a tool is in the middle of."""
    line = QColor(*colour) if shape.positive else NEGATIVE
    points = [pixels.voxel(p) for p in shape.points_zyx]
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, shape.kind != "box")
    painter.setBrush(Qt.BrushStyle.NoBrush)
    if shape.kind == "box":
        paint_box(painter, QRectF(points[0], points[1]).normalized(), line, is_dashed=False)
    elif shape.kind == "circle":
        radius = shape.radius_mm * pixels.px_per_mm
        for pen in (line_pen(QColor(0, 0, 0, 160), 3), line_pen(line, 1.5)):
            painter.setPen(pen)
            painter.drawEllipse(points[0], radius, radius)
        _paint_size(painter, points[0] + QPointF(0.75 * radius, 0.75 * radius), shape.radius_mm)
    else:
        width = max(1.5, 2 * shape.radius_mm * pixels.px_per_mm)
        _paint_stroke(painter, QPolygonF(points), width, with_alpha(line, 0.6))


def is_on_slice(prompt: Prompt, axis: int, index: int) -> bool:
    """Return whether a prompt was given on this slice, or reaches through it as a 3-D box."""
    if prompt.axis != axis:
        return False
    if isinstance(prompt, BoxPrompt):
        return prompt.region.start_zyx[axis] <= index < prompt.region.stop_zyx[axis]
    return prompt.slice_index == index


def paint_box(painter: QPainter, box: QRectF, colour: QColor, *, is_dashed: bool) -> None:
    """Draw a rectangle."""
    # A dark line under the coloured one keeps it visible on any tissue and any mask.
    painter.setPen(line_pen(QColor(0, 0, 0, 170), 3))
    painter.drawRect(box)
    painter.setPen(line_pen(colour, 1, is_dashed=is_dashed))
    painter.drawRect(box)


def _paint_point(
    painter: QPainter, at: QPointF, colour: QColor, is_positive: bool, *, is_hollow: bool
) -> None:
    radius = POINT_RADIUS_PX
    ring = POSITIVE if is_positive else NEGATIVE
    painter.setPen(line_pen(QColor(0, 0, 0, 190), 4))
    painter.drawEllipse(at, radius, radius)
    painter.setPen(line_pen(ring, 1.5, is_dashed=is_hollow))
    if not is_hollow:
        painter.setBrush(colour if is_positive else QColor(30, 10, 10))
    painter.drawEllipse(at, radius, radius)
    painter.setPen(line_pen(ring, 1.5))
    arm = radius - 2.5
    painter.drawLine(at - QPointF(arm, 0), at + QPointF(arm, 0))
    if is_positive:
        painter.drawLine(at - QPointF(0, arm), at + QPointF(0, arm))


def _paint_stroke(painter: QPainter, points: QPolygonF, width: float, colour: QColor) -> None:
    pen = line_pen(colour, width)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.setPen(pen)
    if points.size() == 1:
        painter.drawPoint(points.at(0))
    else:
        painter.drawPolyline(points)


def _paint_size(painter: QPainter, at: QPointF, radius_mm: float) -> None:
    """Write how wide a brush is."""
    painter.setFont(_font(painter, 11))
    text = f"⌀ {2 * radius_mm:.1f} mm"
    for shift, colour in ((1, QColor(0, 0, 0, 190)), (0, QColor(220, 226, 232))):
        painter.setPen(colour)
        painter.drawText(at + QPointF(6 + shift, 10 + shift), text)


def _font(painter: QPainter, size_px: int) -> QFont:
    font = QFont(painter.font())
    font.setPixelSize(size_px)
    font.setWeight(QFont.Weight.Normal)
    return font
