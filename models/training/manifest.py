"""The list of the models that ship, kept by the exports."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def read_entries(manifest: Path) -> list[dict[str, Any]]:
    """Return the entries of a manifest; none where there is no file."""
    if not manifest.exists():
        return []
    entries: list[dict[str, Any]] = json.loads(manifest.read_text(encoding="utf-8"))["models"]
    return entries


def put_entry(manifest: Path, entry: Mapping[str, Any]) -> None:
    """Write a model's entry into a manifest, in place of one with the same id."""
    models = read_entries(manifest)
    at = next((i for i, m in enumerate(models) if m["id"] == entry["id"]), len(models))
    models[at : at + 1] = [dict(entry)]
    write_entries(manifest, models)


def write_entries(manifest: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write a manifest of these entries."""
    text = json.dumps({"version": 1, "models": entries}, indent=1)
    manifest.write_text(text + "\n", encoding="utf-8")
