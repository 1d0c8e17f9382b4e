"""Label map on the source grid: NIfTI, NRRD, MetaImage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.core.document import Snapshot
from app.core.tasks import JobContext
from app.exporters import EXPORTERS
from app.io.atomic import replacing
from app.io.label_sidecar import itksnap_text, sidecar_path, sidecar_text
from app.io.writer import WRITABLE, writable_suffix, write_voxels


@dataclass(frozen=True)
class LabelMapExporter:
    """Writes label values as 8-bit numbers (16-bit above 255) and their names beside them.

    The label map takes its name once it has been read back and compared, its sidecar
    ``<name>.labels.json`` right after.
    """

    id: str = "labelmap"
    title: str = "Label map"
    suffixes: tuple[str, ...] = WRITABLE

    def export(self, snapshot: Snapshot, path: Path, ctx: JobContext) -> None:
        """Write the label map and its sidecar; see `Exporter.export`."""
        writable_suffix(path)
        labels = snapshot.labelmap.voxels
        top = max([int(labels.max()), *(info.id for info in snapshot.label_table)])
        labels = labels.astype(np.uint8 if top <= 255 else np.uint16, copy=False)
        with replacing(sidecar_path(path)) as temporary:
            text = sidecar_text(snapshot.label_table, snapshot.volume.notes)
            temporary.write_text(text, "utf-8")
            write_voxels(path, labels, snapshot.volume, ctx)


@dataclass(frozen=True)
class LabelDescriptionExporter:
    """Writes names and colours as ITK-SNAP reads them."""

    id: str = "itksnap"
    title: str = "ITK-SNAP label description"
    suffixes: tuple[str, ...] = (".label.txt",)

    def export(self, snapshot: Snapshot, path: Path, ctx: JobContext) -> None:
        """Write the label description; see `Exporter.export`."""
        ctx.check()
        with replacing(path) as temporary:
            temporary.write_text(itksnap_text(snapshot.label_table), "utf-8")


EXPORTERS.register(LabelMapExporter())
EXPORTERS.register(LabelDescriptionExporter())
