"""Volumes and intensities of each label, as a table."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from app.core.document import Snapshot
from app.core.tasks import JobContext
from app.exporters import EXPORTERS
from app.io.atomic import write_bytes
from app.measuring.label_measure import measure_labels
from app.measuring.table import label_name, plain_cell

# The columns that scripts rely on; the window's own table has more.
_COLUMNS = ("label", "value", "voxels", "volume_ml", "mean", "sd", "minimum", "maximum")


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
        writer.writerow(_COLUMNS)
        labels, table = snapshot.labelmap.voxels, snapshot.label_table
        for m in measure_labels(snapshot.volume, labels, table, ctx, has_shape=False):
            cells = (m.label_id, m.n_voxels, m.volume_ml, m.mean, m.sd, m.minimum, m.maximum)
            writer.writerow([plain_cell(c) for c in (label_name(table, m.label_id), *cells)])
        write_bytes(path, text.getvalue().encode())


EXPORTERS.register(ReportExporter())
