"""Names and colours of labels in a file beside the label map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from app.core.errors import ReadError, UsageError
from app.core.labels import LabelInfo, LabelTable

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
        return LabelTable(tuple(label_from_json(entry) for entry in content["labels"]))
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


def label_from_json(entry: Any) -> LabelInfo:
    """Return the label that an entry of a list describes: value, name, colour and code.

    Raises
    ------
    ValueError
        Something is missing, of another kind, or out of range.
    """
    try:
        value, *colour = numbers = [float(n) for n in (entry["value"], *entry["colour"])]
        if not all(n.is_integer() for n in numbers):
            raise UsageError("Values and colours are whole numbers.")
        red, green, blue = (int(c) for c in colour)
        code = tuple(str(c) for c in entry.get("code", ()))
        info = LabelInfo(int(value), str(entry["name"]), (red, green, blue), code=code)
        LabelTable((info,))
    except (AttributeError, KeyError, OverflowError, TypeError) as error:
        raise ValueError("A label lacks its value, its name or its colour.") from error
    return info
