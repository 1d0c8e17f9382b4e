"""Prompts alone, in the form that the command line takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.core.document import Snapshot
from app.core.tasks import JobContext
from app.exporters import EXPORTERS
from app.io.prompts_writer import write_prompts


@dataclass(frozen=True)
class PromptsExporter:
    """Writes the prompts, and what else is needed to make the mask again."""

    id: str = "prompts"
    title: str = "Prompts"
    suffixes: tuple[str, ...] = (".prompts.json",)

    def export(self, snapshot: Snapshot, path: Path, ctx: JobContext) -> None:
        """Write the prompts file; see `Exporter.export`."""
        ctx.check()
        write_prompts(path, snapshot)


EXPORTERS.register(PromptsExporter())
