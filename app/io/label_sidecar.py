"""Names and colours of labels in a file beside the label map."""

from __future__ import annotations

import json
from pathlib import Path

from app.core.errors import ReadError, UsageError
from app.core.labels import Colour, LabelInfo, LabelTable

VERSION = 1


def sidecar_path(path: Path) -> Path:
    """Return ``<name>.labels.json`` beside ``<name>.nii.gz``."""
    name = path.name
    for suffix in (".nii.gz", path.suffix):
        if suffix and name.lower().endswith(suffix.lower()):
            name = name[: -len(suffix)]
            break
    return path.with_name(f"{name}.labels.json")


def sidecar_text(table: LabelTable, notes: tuple[str, ...] = ()) -> str:
    """Return the text of the file: each value with name, colour and code, and notes."""
    labels = [
        {"value": info.id, "name": info.name, "colour": list(info.colour)}
        | ({"code": list(info.code)} if info.code else {})
        for info in table
    ]
    content: dict[str, object] = {"version": VERSION, "labels": labels}
    if notes:
        content["notes"] = list(notes)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def read_sidecar(path: Path) -> LabelTable:
    """Return the labels that a ``.labels.json`` file names.

    Raises
    ------
    ReadError
        It is damaged or of a later version.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["version"] != VERSION:
            raise ReadError(
                f"“{path.name}” has version {content['version']}; this program reads {VERSION}."
            )
        return LabelTable(tuple(_label(entry) for entry in content["labels"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, ReadError):
            raise
        detail = f" {error}" if isinstance(error, UsageError) else ""
        raise ReadError(f"“{path.name}” is no readable list of labels.{detail}") from error


def itksnap_text(table: LabelTable) -> str:
    """Return a label description as ITK-SNAP reads it: value, colour, opacity, two flags, name."""
    rows = ['    0     0    0    0        0  0  0    "Clear Label"']
    for info in table:
        red, green, blue = info.colour
        name = info.name.replace('"', "'")
        flags = f"{int(info.visible)}  {int(info.visible)}"
        rows.append(
            f'{info.id:5d} {red:5d} {green:4d} {blue:4d} {info.opacity:8.2f}  {flags}    "{name}"'
        )
    return "\n".join(["# value, red, green, blue, opacity, visible, in 3-D, name", *rows]) + "\n"


def _label(entry: dict) -> LabelInfo:
    red, green, blue = (int(c) for c in entry["colour"])
    colour: Colour = (red, green, blue)
    code = tuple(str(c) for c in entry.get("code", ()))
    return LabelInfo(int(entry["value"]), str(entry["name"]), colour, code=code)
