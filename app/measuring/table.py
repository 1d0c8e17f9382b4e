"""Measures as rows of text: for the clipboard, for spreadsheets, for the report."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np

from app.core.annotations import Annotation, AnnotationKind
from app.core.labels import LabelTable
from app.core.prompts import PLANE_NAMES
from app.core.volume import Modality, Volume
from app.measuring.label_measure import PERCENTILES, LabelMeasure


def label_name(table: LabelTable, label_id: int) -> str:
    """Return what a label is called; values that are not listed have their number."""
    info = table.get(label_id)
    return info.name if info else f"Label {label_id}"


def plain_cell(cell: object) -> object:
    """Return a cell of a CSV table: six digits, nothing for NaN, no formulas."""
    if isinstance(cell, str):
        # A name that begins like a formula must not become one in a spreadsheet.
        return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t") else cell
    if isinstance(cell, float):
        return "" if np.isnan(cell) else f"{cell:.6g}"
    return cell


def column_titles(unit: str) -> tuple[str, ...]:
    """Return the titles of `label_cells`; intensities in a unit, e.g. HU, or without one."""
    of = f" ({unit})" if unit else ""
    shares = (f"P{p}{of}" for p in PERCENTILES)
    return (
        "Label",
        "Value",
        "Voxels",
        "Volume (ml)",
        "Longest (mm)",
        "Across (mm)",
        "Edited by hand",
        "Slice",
        "Surface (cm2)",
        f"Mean{of}",
        f"SD{of}",
        f"Min{of}",
        *shares,
        f"Max{of}",
    )


def label_cells(
    measure: LabelMeasure,
    table: LabelTable,
    spacing_zyx: Sequence[float],
    annotations: tuple[Annotation, ...],
) -> tuple[object, ...]:
    """Return one row; diameters that were moved by hand stand in for the measured ones.

    Slices are counted from 1.
    """
    lines, edited = measure.diameters, None
    for annotation in annotations:
        if annotation.id == -measure.label_id:
            edited = annotation
    long_mm = short_mm = np.nan
    index: object = ""
    if edited is not None:
        long_mm, short_mm = sorted(edited.lengths_mm(spacing_zyx), reverse=True)
        index = edited.index + 1
    elif lines is not None:
        long_mm, short_mm, index = lines.long_mm, lines.short_mm, lines.index + 1
    return (
        label_name(table, measure.label_id),
        measure.label_id,
        measure.n_voxels,
        measure.volume_ml,
        long_mm,
        short_mm,
        "" if edited is None else "yes",
        index,
        measure.surface_mm2 / 100 if measure.n_voxels else np.nan,
        measure.mean,
        measure.sd,
        measure.minimum,
        *measure.percentiles,
        measure.maximum,
    )


def annotation_cells(annotation: Annotation, spacing_zyx: Sequence[float]) -> tuple[object, ...]:
    """Return kind, value, unit, plane and slice (from 1) of a ruler or an angle."""
    is_angle = annotation.kind is AnnotationKind.ANGLE
    value = annotation.degrees(spacing_zyx) if is_angle else annotation.lengths_mm(spacing_zyx)[0]
    plane = PLANE_NAMES[annotation.axis]
    return (
        annotation.kind.value,
        value,
        "degrees" if is_angle else "mm",
        plane,
        annotation.index + 1,
    )


def table_text(
    rows: Sequence[LabelMeasure],
    table: LabelTable,
    volume: Volume,
    annotations: tuple[Annotation, ...],
    delimiter: str = ",",
) -> str:
    """Return all measures as text: a table of labels; below it rulers and angles, if any."""
    spacing = volume.geometry.spacing_zyx
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(column_titles(intensity_unit(volume)))
    for row in rows:
        writer.writerow(map(plain_cell, label_cells(row, table, spacing, annotations)))
    others = [a for a in annotations if a.kind is not AnnotationKind.DIAMETERS]
    if others:
        writer.writerow(())
        writer.writerow(("Measurement", "Result", "Unit", "Plane", "Slice"))
        for annotation in others:
            writer.writerow(map(plain_cell, annotation_cells(annotation, spacing)))
    return text.getvalue()


def intensity_unit(volume: Volume) -> str:
    """Return what intensities are counted in; empty where they have no unit."""
    return "HU" if volume.modality is Modality.CT else ""
