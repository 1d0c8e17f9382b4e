"""Sets of labels that belong together, with the colours and codes that they usually have."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache

from app.core.labels import LabelTable
from app.io.label_sidecar import read_sidecar
from resources import resource_path


@dataclass(frozen=True)
class LabelPreset:
    """Labels of a region of the body.

    Attributes
    ----------
    id, title : str
    table : LabelTable
    """

    id: str
    title: str
    table: LabelTable


@cache
def label_presets() -> tuple[LabelPreset, ...]:
    """Return the presets that ship with the program, by title."""
    presets = [
        LabelPreset(
            path.stem, json.loads(path.read_text(encoding="utf-8"))["title"], read_sidecar(path)
        )
        for path in resource_path("labels").glob("*.json")
    ]
    return tuple(sorted(presets, key=lambda preset: preset.title))


def with_preset(table: LabelTable, preset: LabelPreset, used: Collection[int]) -> LabelTable:
    """Return a table with the labels of a preset behind its own.

    A label of the same name stays as it is. Labels that nobody has named or drawn with make room;
    a value that is taken is replaced by the next free one.

    Parameters
    ----------
    table : LabelTable
    preset : LabelPreset
    used : collection of int
        Values that voxels or prompts have.
    """
    for info in tuple(table):
        if info.name == f"Label {info.id}" and info.id not in used and not info.locked:
            table = table.without(info.id)
    for info in preset.table:
        if table.named(info.name) is None:
            value = info.id
            if value in table or value in used:
                value = next(i for i in range(1, 65536) if i not in table and i not in used)
            table = table.with_added(replace(info, id=value))
    return table
