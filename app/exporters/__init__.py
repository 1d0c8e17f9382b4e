"""Exporters: one module each, found by their registration."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from app.core.document import Snapshot
from app.core.registry import Registry
from app.core.tasks import JobContext


class Exporter(Protocol):
    """Writes a document's result to a file."""

    @property
    def id(self) -> str:
        """Unique among exporters."""

    @property
    def title(self) -> str:
        """Shown in the save dialog."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """How file names end, the usual one first; no two exporters share one."""

    def export(self, snapshot: Snapshot, path: Path, ctx: JobContext) -> None:
        """Write atomically, on the grid and in the axis order of the opened file.

        Raises
        ------
        ExportError
            It cannot be written; nothing is left behind and an older file is untouched.
        """


EXPORTERS: Registry[Exporter] = Registry("app.exporters")
