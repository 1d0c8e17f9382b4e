"""Everything that is drawn over the picture of a slice, in order."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication, QRectF, Qt
from PySide6.QtGui import QColor, QPainter

from app.core.document import Document
from app.core.labels import Colour
from app.core.prompts import Prompt, latest_box
from app.session import Session
from app.tools import Shape
from app.ui.measure_marks import paint_disagreement, paint_marks
from app.ui.slice_painter import (
    LETTER_PX,
    PLANE_COLOURS,
    PixelMap,
    is_on_slice,
    line_pen,
    paint_box,
    paint_corners,
    paint_crosshair,
    paint_letters,
    paint_notice,
    paint_prompt,
    paint_scale,
    paint_score,
    paint_shape,
    with_alpha,
)

_UNKNOWN_LABEL: Colour = (255, 255, 255)


@dataclass(frozen=True, eq=False)
class Scene:
    """What is to be drawn over, and where.

    Attributes
    ----------
    session : Session
    axis, index : int
    area : QRectF
        The whole view in pixels.
    pixels : PixelMap, optional
        None without a scan.
    is_active : bool
        Whether keys go to this view.
    """

    session: Session
    axis: int
    index: int
    area: QRectF
    pixels: PixelMap | None
    is_active: bool


def paint_annotations(painter: QPainter, scene: Scene, shapes: tuple[Shape, ...]) -> None:
    """Draw prompts, crosshair, what the tool is doing, letters, corners and the border."""
    document = scene.session.document
    if document is not None and scene.pixels is not None:
        place = scene.session, scene.axis, scene.index, scene.pixels
        paint_disagreement(painter, *place)
        _paint_prompts(painter, scene, document, scene.pixels)
        _paint_depth(painter, scene, document, scene.pixels)
        _paint_crosshair(painter, scene, scene.pixels)
        paint_marks(painter, *place)
        colour = _colour(document, scene.session.view_state.active_label)
        for shape in shapes:
            if (shape.axis, shape.index) == (scene.axis, scene.index):
                paint_shape(painter, shape, scene.pixels, colour)
        frame = scene.pixels.frame
        low, high = scene.session.view_state.window
        window = f"W {_plain(high - low)}   L {_plain((low + high) / 2)}"
        texts = frame.place_text(scene.index), window
        paint_letters(painter, scene.area, frame.edges, texts)
        paint_corners(painter, scene.area, *texts)
        paint_scale(painter, scene.area, scene.pixels.px_per_mm)
        _paint_slab(painter, scene)
        _paint_score(painter, scene)
    _paint_border(painter, scene)


def _paint_prompts(painter: QPainter, scene: Scene, document: Document, pixels: PixelMap) -> None:
    pending = scene.session.prompting.pending
    waiting = {prompt.object_id for prompt in pending}
    # The prompts of an object that is being refined are all pending: they are drawn once.
    done: tuple[Prompt, ...] = ()
    if scene.session.view_state.overlay_visible:
        done = tuple(p for p in document.prompts if p.object_id not in waiting)
    for prompts, is_pending in ((done, False), (pending, True)):
        for prompt in prompts:
            info = document.label_table.get(prompt.label_id)
            if is_on_slice(prompt, scene.axis, scene.index) and (info is None or info.visible):
                colour = _colour(document, prompt.label_id)
                paint_prompt(painter, prompt, pixels, colour, is_pending=is_pending)


def _paint_depth(painter: QPainter, scene: Scene, document: Document, pixels: PixelMap) -> None:
    """Draw how far the box in hand reaches through the slices, while boxes are drawn."""
    state = scene.session.view_state
    box = latest_box((*document.prompts, *scene.session.prompting.pending), state.active_label)
    carried = state.carry_range
    if box is None or carried is None or box.axis == scene.axis or state.active_tool != "box":
        return
    start, stop = list(box.region.start_zyx), list(box.region.stop_zyx)
    start[box.axis], stop[box.axis] = carried[1:]
    if start[scene.axis] <= scene.index < stop[scene.axis]:
        low, high = ((c[0] - 0.5, c[1] - 0.5, c[2] - 0.5) for c in (start, stop))
        colour = _colour(document, box.label_id)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        area = QRectF(pixels.voxel(low), pixels.voxel(high)).normalized()
        paint_box(painter, area, QColor(*colour), is_dashed=True)


def _paint_crosshair(painter: QPainter, scene: Scene, pixels: PixelMap) -> None:
    state = scene.session.view_state
    if not state.crosshair_visible:
        return
    # Each line is where another plane cuts this one, in that plane's colour.
    row_axis, column_axis = pixels.frame.axes_rc
    z, y, x = state.cursor_zyx
    at = pixels.voxel((float(z), float(y), float(x)))
    upright, level = PLANE_COLOURS[column_axis], PLANE_COLOURS[row_axis]
    # The lines end before the letters at the edges.
    inner = scene.area.adjusted(LETTER_PX, LETTER_PX, -LETTER_PX, -LETTER_PX)
    paint_crosshair(painter, at, inner, upright, level)


def _paint_score(painter: QPainter, scene: Scene) -> None:
    """Write what the review strip shows of this slice as a colour."""
    session = scene.session
    cell = session.review.cell_at(scene.axis, scene.index, session.view_state.active_label)
    if cell is not None and cell.confidence is not None:
        hint = _tr("unsure, please check") if cell.needs_look else _tr("confidence")
        text = f"{hint} {100 * cell.confidence:.0f} %"
        paint_score(painter, scene.area, text, is_doubtful=cell.needs_look)


def _paint_slab(painter: QPainter, scene: Scene) -> None:
    """Say that a slab is shown: what is seen is not what tools and models work on."""
    state = scene.session.view_state
    if state.slab_mm > 0:
        kind = {
            "maximum": _tr("max."),
            "mean": _tr("mean"),
            "minimum": _tr("min."),
        }[state.slab_kind]
        text = _tr("{kind} of {mm} mm · models use one slice")
        paint_notice(painter, scene.area, text.format(kind=kind, mm=f"{state.slab_mm:g}"))


def _paint_border(painter: QPainter, scene: Scene) -> None:
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    colour = PLANE_COLOURS[scene.axis]
    painter.setPen(line_pen(with_alpha(colour, 0.65 if scene.is_active else 0.12)))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRect(scene.area.adjusted(0.5, 0.5, -0.5, -0.5))


def _tr(text: str) -> str:
    return QCoreApplication.translate("annotations", text)


def _colour(document: Document, label_id: int) -> Colour:
    info = document.label_table.get(label_id)
    return _UNKNOWN_LABEL if info is None else info.colour


def _plain(value: float) -> str:
    """Return a number with as many digits as matter to an eye."""
    return f"{value:.0f}" if abs(value) >= 20 or value == round(value) else f"{value:.3g}"
