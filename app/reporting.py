"""A report of one page: facts of the scan, measures, pictures with outlines."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from app.core.annotations import AnnotationKind
from app.core.document import Snapshot
from app.core.geometry import Geometry
from app.core.labels import LabelTable
from app.core.prompts import PLANE_NAMES
from app.core.tasks import JobContext
from app.core.volume import take_slice
from app.io.atomic import write_bytes
from app.measuring.label_measure import LabelMeasure, measure_labels
from app.measuring.table import annotation_cells, intensity_unit, label_cells, table_text
from app.report_letters import Letters

_PICTURE_PX = 420
_MAX_ROWS, _MAX_LINES = 22, 8
_NAME, _NAME_MM = 1, 45
_OTHER_COLOUR = (200, 200, 200)


def write_report(
    snapshot: Snapshot, path: Path, window: tuple[float, float], ctx: JobContext
) -> None:
    """Write a report: CSV for a path that ends so, else PDF.

    It names no patient and no file. ``snapshot.provenance`` may hold ``app_version``, and
    ``scan_name`` where the user wants it in the report.

    Raises
    ------
    ExportError
        It cannot be written; nothing is left half-written.
    """
    volume, table = snapshot.volume, snapshot.label_table
    rows = measure_labels(volume, snapshot.labelmap.voxels, table, ctx)
    if path.suffix.lower() == ".csv":
        write_bytes(path, table_text(rows, table, volume, snapshot.annotations).encode())
    else:
        write_bytes(path, report_pdf(snapshot, rows, window))


def report_pdf(
    snapshot: Snapshot, rows: Sequence[LabelMeasure], window: tuple[float, float]
) -> bytes:
    """Return the page as PDF; see `write_report`."""
    # Here, because it would add to every start of the program.
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.lib.units import mm
    from reportlab.platypus import Image, KeepInFrame, Paragraph, SimpleDocTemplate, Spacer, Table

    styles = getSampleStyleSheet()
    normal, small = styles["BodyText"], styles["BodyText"].clone("small", fontSize=7, leading=9)
    cell = styles["BodyText"].clone("cell", fontSize=7.5, leading=9, spaceBefore=0)
    letters = Letters()
    width, height = A4[0] - 30 * mm, A4[1] - 30 * mm
    parts: list = [Paragraph("Segmentation report", styles["Title"])]
    parts += [Paragraph(letters.markup(line), normal) for line in _facts(snapshot)]
    parts.append(Spacer(1, 3 * mm))
    pictures, captions = [], []
    for axis, index, pixels in slice_pictures(snapshot, rows, window):
        scale = min(width / 3 - 6, 62 * mm) / max(pixels.shape[:2])
        size = pixels.shape[1] * scale, pixels.shape[0] * scale
        pictures.append(Image(_png(pixels), *size))
        captions.append(Paragraph(f"{PLANE_NAMES[axis].capitalize()}, slice {index + 1}", small))
    if pictures:
        grid = Table([pictures, captions], colWidths=[width / 3] * 3)
        grid.setStyle([("VALIGN", (0, 0), (-1, 0), "BOTTOM"), ("LEFTPADDING", (0, 0), (-1, -1), 0)])
        parts += [grid, Spacer(1, 3 * mm)]
    cells, shades = _label_table(snapshot, rows)
    for row in cells[1:]:
        row[_NAME] = Paragraph(letters.markup(row[_NAME]), cell)
    widths = [None] * len(cells[0])
    widths[_NAME] = _NAME_MM * mm
    labels = Table(cells, colWidths=widths, repeatRows=1, hAlign="LEFT")
    labels.setStyle(
        [
            ("FONTSIZE", (0, 0), (-1, -1), 7.5),
            ("FONTNAME", (0, 0), (-1, 0), "Helvetica-Bold"),
            ("ALIGN", (2, 0), (-1, -1), "RIGHT"),
            ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
            ("LINEBELOW", (0, 0), (-1, 0), 0.5, colors.black),
            ("TOPPADDING", (0, 0), (-1, -1), 1.5),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
            *(
                ("BACKGROUND", (0, n), (0, n), colors.Color(*(c / 255 for c in colour)))
                for n, colour in enumerate(shades, start=1)
            ),
        ]
    )
    parts.append(labels)
    notes = _notes(snapshot, rows)
    if letters.missing:
        notes.append("A letter shown as ? cannot be drawn here; the table as CSV has it.")
    if letters.lent:
        notes.append("Some letters need a reader with fonts for Chinese, Japanese or Korean.")
    parts += [Paragraph(letters.markup(line), small) for line in notes]
    out = io.BytesIO()
    page = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=15 * mm,
        rightMargin=15 * mm,
        topMargin=15 * mm,
        bottomMargin=15 * mm,
        title="Segmentation report",
        author="",
        creator="Maskwright",
    )
    # Whatever there is to say, it stays one page.
    page.build([KeepInFrame(width - 13, height - 13, parts, mode="shrink")])
    return out.getvalue()


def slice_pictures(
    snapshot: Snapshot, rows: Sequence[LabelMeasure], window: tuple[float, float]
) -> list[tuple[int, int, np.ndarray]]:
    """Return the slices through the middle of the largest label, with outlines of all labels.

    Returns
    -------
    list of (axis, index, (rows, columns, 3) uint8)
        As views show them; pixels are square. Through the middle of the scan if nothing is drawn.
    """
    geometry = snapshot.volume.geometry
    drawn = [m for m in rows if m.region is not None]
    middle = [n // 2 for n in geometry.shape_zyx]
    if drawn:
        region = max(drawn, key=lambda m: m.n_voxels).region
        assert region is not None
        ends = zip(region.start_zyx, region.stop_zyx, strict=True)
        middle = [(a + b - 1) // 2 for a, b in ends]
    colours = {info.id: info.colour for info in snapshot.label_table}
    return [(a, middle[a], _picture(snapshot, a, middle[a], window, colours)) for a in range(3)]


# -- inside -------------------------------------------------------------------------------------


def _picture(
    snapshot: Snapshot,
    axis: int,
    index: int,
    window: tuple[float, float],
    colours: Mapping[int, tuple[int, int, int]],
) -> np.ndarray:
    # Here, because it would add to every start of the program.
    from scipy import ndimage

    geometry = snapshot.volume.geometry
    values = take_slice(snapshot.volume.voxels, axis, index).astype(np.float32)
    labels = take_slice(snapshot.labelmap.voxels, axis, index)
    if axis != 0:
        # Rows grow to the head; pictures begin with it.
        values, labels = values[::-1], labels[::-1]
    places = _square_pixels(geometry, axis)
    low, high = window
    grey = ndimage.map_coordinates(values, places, order=1, mode="nearest")
    grey = np.clip((grey - low) / max(high - low, 1e-6), 0, 1) * 255
    pixels = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    found = labels[tuple(np.rint(places).astype(int))]
    edge = np.zeros(found.shape, bool)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differs = found[one] != found[other]
        edge[one] |= differs
        edge[other] |= differs
    for label_id in np.unique(found[edge & (found > 0)]).tolist():
        pixels[edge & (found == label_id)] = colours.get(label_id, _OTHER_COLOUR)
    return pixels


def _square_pixels(geometry: Geometry, axis: int) -> np.ndarray:
    """Return where the pixels of a picture lie on a slice: (2, rows, columns), in its pixels."""
    shape = np.array([n for a, n in enumerate(geometry.shape_zyx) if a != axis])
    spacing = np.array([s for a, s in enumerate(geometry.spacing_zyx) if a != axis])
    step_mm = float((shape * spacing).max()) / _PICTURE_PX
    n = np.maximum(1, np.rint(shape * spacing / step_mm)).astype(int)
    places = [(np.arange(k) + 0.5) * m / k - 0.5 for k, m in zip(n, shape, strict=True)]
    inside = [np.clip(p, 0, m - 1) for p, m in zip(places, shape, strict=True)]
    return np.stack(np.meshgrid(*inside, indexing="ij"))


def _png(pixels: np.ndarray) -> io.BytesIO:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    out.seek(0)
    return out


def _facts(snapshot: Snapshot) -> list[str]:
    geometry = snapshot.volume.geometry
    z, y, x = geometry.shape_zyx
    sz, sy, sx = geometry.spacing_zyx
    lines = [
        f"{snapshot.volume.modality.value}, {x} x {y} x {z} voxels of "
        f"{sx:.2f} x {sy:.2f} x {sz:.2f} mm",
        f"Written {datetime.now():%Y-%m-%d %H:%M} by Maskwright "
        f"{snapshot.provenance.get('app_version', '')}. Not a medical device; to be checked by a "
        "qualified person.",
    ]
    name = snapshot.provenance.get("scan_name")
    return [str(name), *lines] if name else lines


def _label_table(
    snapshot: Snapshot, rows: Sequence[LabelMeasure]
) -> tuple[list[list[str]], list[tuple[int, int, int]]]:
    table, spacing = snapshot.label_table, snapshot.volume.geometry.spacing_zyx
    unit = intensity_unit(snapshot.volume)
    titles = ["", "Label", "ml", "Longest mm", "Across mm", "Slice", "Surface cm2"]
    titles += [f"Mean {unit}".strip(), "SD", "Median"]
    cells, shades = [titles], []
    for m in _listed(rows):
        row = label_cells(m, table, spacing, snapshot.annotations)
        edited = "*" if row[6] else ""
        cells.append(
            [
                "",
                str(row[0])[:40],
                f"{m.volume_ml:.2f}",
                _number(row[4]) + edited,
                _number(row[5]) + edited,
                str(row[7]),
                _number(row[8]),
                *(_number(v) for v in (m.mean, m.sd, m.percentiles[2])),
            ]
        )
        shades.append(_colour(table, m.label_id))
    return cells, shades


def _listed(rows: Sequence[LabelMeasure]) -> list[LabelMeasure]:
    return [m for m in rows if m.n_voxels][:_MAX_ROWS]


def _notes(snapshot: Snapshot, rows: Sequence[LabelMeasure]) -> list[str]:
    lines = []
    n_more = sum(1 for m in rows if m.n_voxels) - len(_listed(rows))
    if n_more:
        lines.append(f"{n_more} more labels are in the table as CSV.")
    if any(a.kind is AnnotationKind.DIAMETERS for a in snapshot.annotations):
        lines.append("* Lines that were moved by hand.")
    others = [a for a in snapshot.annotations if a.kind is not AnnotationKind.DIAMETERS]
    spacing = snapshot.volume.geometry.spacing_zyx
    for annotation in others[:_MAX_LINES]:
        kind, value, unit, plane, index = annotation_cells(annotation, spacing)
        lines.append(f"{str(kind).capitalize()}: {_number(value)} {unit}, {plane} slice {index}")
    if len(others) > _MAX_LINES:
        lines.append(f"{len(others) - _MAX_LINES} more lines are in the table as CSV.")
    return lines


def _colour(table: LabelTable, label_id: int) -> tuple[int, int, int]:
    info = table.get(label_id)
    return _OTHER_COLOUR if info is None else info.colour


def _number(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) and not np.isnan(value) else ""
