"""Label map on the source grid: NIfTI, NRRD, MetaImage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.core.document import Snapshot
from app.core.tasks import JobContext
from app.exporters import EXPORTERS
from app.io.atomic import check_bytes, replacing, write_bytes
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
        sidecar = sidecar_path(path)
        names = sidecar_text(snapshot.label_table, snapshot.volume.notes).encode()
        with replacing(sidecar) as temporary:
            temporary.write_bytes(names)
            check_bytes(temporary, names, sidecar)
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
        write_bytes(path, itksnap_text(snapshot.label_table).encode())


EXPORTERS.register(LabelMapExporter())
EXPORTERS.register(LabelDescriptionExporter())
