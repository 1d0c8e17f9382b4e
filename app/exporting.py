"""Saving a result: the mask and, beside it, its labels and the prompts that made it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.core.document import Snapshot
from app.core.errors import ExportError
from app.core.tasks import JobContext
from app.exporters import EXPORTERS, Exporter
from app.io.prompts_writer import write_prompts


@dataclass(frozen=True)
class SaveReport:
    """What was written."""

    path: Path
    prompts_path: Path | None


def exporter_for(path: Path) -> Exporter:
    """Return the exporter of a path's suffix.

    Raises
    ------
    ExportError
        No exporter writes such files.
    """
    name = path.name.lower()
    exporters = EXPORTERS.load().values()
    fitting = [(s, e) for e in exporters for s in e.suffixes if name.endswith(s)]
    if not fitting:
        known = ", ".join(sorted({s for e in exporters for s in e.suffixes}))
        raise ExportError(f"“{path.name}” does not end in a known suffix. Use one of {known}.")
    return max(fitting, key=lambda pair: len(pair[0]))[1]


def prompts_path_beside(path: Path) -> Path:
    """Return where the prompts of an exported mask go: ``mask.nii.gz`` to ``mask.prompts.json``."""
    stem = path.name
    for suffix in (".nii.gz", path.suffix):
        if suffix and stem.lower().endswith(suffix):
            stem = stem[: -len(suffix)]
            break
    return path.with_name(f"{stem}.prompts.json")


def save_result(snapshot: Snapshot, path: Path, ctx: JobContext) -> SaveReport:
    """Write a snapshot's label map and its prompts; return what was written.

    Raises
    ------
    ExportError
        Nothing was left half-written.
    """
    exporter = exporter_for(path)
    exporter.export(snapshot, path, ctx)
    prompts_path = None
    if snapshot.prompts and exporter.id != "prompts":
        prompts_path = prompts_path_beside(path)
        write_prompts(prompts_path, snapshot)
    return SaveReport(path, prompts_path)
