"""Writes the prompts of a document; `app.io.prompts_file` reads them and describes the form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from app.core.document import Snapshot
from app.core.labels import DrawOver
from app.core.prompts import BoxPrompt, PointPrompt, Prompt
from app.io.atomic import write_bytes
from app.io.itk_bridge import flip_range, source_axis, to_source_index, to_source_region
from app.io.prompts_file import INDEX_DIGITS, VERSION


def write_prompts(path: Path | str, snapshot: Snapshot) -> None:
    """Write a document's prompts, and what else is needed to make its mask again.

    ``snapshot.provenance`` may hold ``model_id``, ``model_sha256``, ``window``, ``app_version``,
    ``draw_over`` (`DrawOver`) and ``draw_over_of_object`` (mapping of object id to `DrawOver`).

    Raises
    ------
    ExportError
        The file cannot be written; nothing is left behind.
    """
    text = json.dumps(prompts_content(snapshot), indent=1, ensure_ascii=False) + "\n"
    write_bytes(Path(path), text.encode())


def prompts_content(snapshot: Snapshot) -> dict[str, Any]:
    """Return what `write_prompts` writes, as plain lists and dictionaries."""
    made_with = snapshot.provenance
    content: dict[str, Any] = {"version": VERSION}
    if made_with.get("app_version"):
        content["app_version"] = str(made_with["app_version"])
    if made_with.get("model_id"):
        content["model"] = {
            "id": str(made_with["model_id"]),
            "sha256": str(made_with.get("model_sha256", "")),
        }
    window = made_with.get("window")
    if window is not None:
        content["window"] = [float(v) for v in cast(tuple[float, float], window)]
    policy = made_with.get("draw_over")
    if isinstance(policy, DrawOver):
        content["draw_over"] = policy.value
    content["labels"] = [
        {"value": info.id, "name": info.name, "colour": list(info.colour)}
        | ({"code": list(info.code)} if info.code else {})
        for info in snapshot.label_table
    ]
    policies = cast(Mapping[int, DrawOver], made_with.get("draw_over_of_object", {}))
    content["prompts"] = [
        _entry(p, snapshot)
        | ({"draw_over": policies[p.object_id].value} if p.object_id in policies else {})
        for p in snapshot.prompts
    ]
    return content


def _entry(prompt: Prompt, snapshot: Snapshot) -> dict[str, Any]:
    volume = snapshot.volume
    info = snapshot.label_table.get(prompt.label_id)
    entry: dict[str, Any] = {
        "label": info.name if info else f"Label {prompt.label_id}",
        "value": prompt.label_id,
        "kind": prompt.kind.value,
        "object": prompt.object_id,
        "axis": source_axis(volume, prompt.axis),
    }
    if isinstance(prompt, BoxPrompt):
        start, stop = to_source_region(volume, prompt.region)
        entry |= {"start_ijk": list(start), "stop_ijk": list(stop)}
        if prompt.through is not None:
            entry["through"] = list(flip_range(volume, prompt.axis, *prompt.through))
    elif isinstance(prompt, PointPrompt):
        entry |= {
            "index_ijk": _plain_index(to_source_index(volume, prompt.index_zyx)),
            "positive": prompt.positive,
        }
    else:
        entry |= {
            "points_ijk": [_plain_index(to_source_index(volume, p)) for p in prompt.points_zyx],
            "radius_mm": prompt.radius_mm,
            "positive": prompt.positive,
        }
    return entry


def _plain_index(index_ijk: np.ndarray) -> list[float]:
    rounded = [round(float(v), INDEX_DIGITS) for v in index_ijk]
    return [int(v) if v.is_integer() else v for v in rounded]
