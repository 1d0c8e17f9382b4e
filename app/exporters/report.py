"""Volumes and intensities of each label, as a table."""

from __future__ import annotations

import csv
import io
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from app.core.document import Snapshot
from app.core.tasks import JobContext
from app.exporters import EXPORTERS
from app.io.atomic import write_bytes


@dataclass(frozen=True)
class LabelMeasure:
    """One row of the report; intensities are those of the scan, NaN where a label is empty."""

    label: str
    value: int
    voxels: int
    volume_ml: float
    mean: float
    sd: float
    minimum: float
    maximum: float


def measure_labels(snapshot: Snapshot, ctx: JobContext) -> tuple[LabelMeasure, ...]:
    """Return the measures of all labels that are listed or drawn, in the order of the list."""
    labels, voxels = snapshot.labelmap.voxels, snapshot.volume.voxels
    size = max(int(labels.max()), *(info.id for info in snapshot.label_table), 1) + 1
    count = np.zeros(size, np.int64)
    total, squares = np.zeros(size), np.zeros(size)
    low, high = np.full(size, np.inf), np.full(size, -np.inf)
    # Slice by slice: no copy of the volume in a wider type. Squares are taken around a value
    # near the mean, so that they do not cancel for large intensities.
    centre = float(voxels[labels > 0].mean(dtype=np.float64)) if labels.any() else 0.0
    for z in range(labels.shape[0]):
        ctx.report(z / labels.shape[0], "Measuring")
        inside = labels[z] > 0
        ids = labels[z][inside]
        values = voxels[z][inside].astype(np.float64)
        count += np.bincount(ids, minlength=size)
        total += np.bincount(ids, values - centre, minlength=size)
        squares += np.bincount(ids, (values - centre) ** 2, minlength=size)
        np.minimum.at(low, ids, values)
        np.maximum.at(high, ids, values)
    ids_listed = [info.id for info in snapshot.label_table]
    others = [int(i) for i in np.flatnonzero(count) if i not in snapshot.label_table]
    ml = snapshot.volume.geometry.voxel_volume_ml
    rows = []
    for label_id in (*ids_listed, *others):
        info = snapshot.label_table.get(label_id)
        n = int(count[label_id])
        shift = total[label_id] / n if n else np.nan
        variance = squares[label_id] / n - shift**2 if n else np.nan
        rows.append(
            LabelMeasure(
                info.name if info else f"Label {label_id}",
                label_id,
                n,
                n * ml,
                float(centre + shift),
                float(np.sqrt(max(variance, 0.0))) if n else np.nan,
                float(low[label_id]) if n else np.nan,
                float(high[label_id]) if n else np.nan,
            )
        )
    return tuple(rows)


@dataclass(frozen=True)
class ReportExporter:
    """Writes one row for each label: voxels, millilitres, and the scan's intensities inside."""

    id: str = "report"
    title: str = "Volume report"
    suffixes: tuple[str, ...] = (".csv",)

    def export(self, snapshot: Snapshot, path: Path, ctx: JobContext) -> None:
        """Write the table as CSV; see `Exporter.export`."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([field.name for field in fields(LabelMeasure)])
        for row in measure_labels(snapshot, ctx):
            writer.writerow([_plain(cell) for cell in astuple(row)])
        write_bytes(path, text.getvalue().encode())


def _plain(cell: object) -> object:
    if isinstance(cell, str):
        # A name that begins like a formula must not become one in a spreadsheet.
        return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t") else cell
    if isinstance(cell, float):
        return "" if np.isnan(cell) else f"{cell:.6g}"
    return cell


EXPORTERS.register(ReportExporter())
