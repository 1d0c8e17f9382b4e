"""Prompts as JSON, counted as the opened file counts its voxels.

``_ijk`` values are indices in the file's own axis order, half-open for boxes; ``_lps_mm`` values
are positions in the patient. A file that the program wrote carries three more keys for each
prompt, ``axis`` (the file axis across its slice), ``object`` (prompts with one number make one
mask) and ``value``, so that reading it again gives the same prompts. Without them, axes follow
from the shape of boxes and objects from the rules in `app.io.prompt_objects`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from app.core.errors import PromptError, UsageError
from app.core.geometry import Region
from app.core.labels import MAX_LABEL_ID, DrawOver, LabelInfo, LabelTable
from app.core.prompts import BoxPrompt, Prompt, in_object
from app.core.volume import Volume
from app.io.itk_bridge import (
    canonical_axis,
    flip_range,
    from_source_index,
    from_source_region,
)
from app.io.label_sidecar import label_from_json
from app.io.prompt_objects import Draft, assigned, coarsest_axis

VERSION = 1
MAX_FILE_BYTES = 64 << 20
# Indices are rounded to this many digits: flips of an axis cost the last bits of a float.
INDEX_DIGITS = 6
_KEYS = {
    "label", "value", "kind", "draw_over", "object", "axis", "positive", "start_ijk", "stop_ijk",
    "start_lps_mm", "stop_lps_mm", "through", "index_ijk", "points_ijk", "radius_mm",
}  # fmt: skip


@dataclass(frozen=True)
class PromptsFile:
    """What a prompts file asks for.

    Attributes
    ----------
    prompts : tuple of Prompt
        In the order of the file, canonical indices.
    labels : LabelTable
    draw_over : DrawOver
        For objects that say nothing of their own.
    draw_over_of_object : mapping of object id to DrawOver
    model_id, model_sha256, app_version : str
        Empty where the file does not say.
    window : tuple of 2 float, optional
        Intensities that were 0 and 1 for the network.
    warnings : tuple of str
    """

    prompts: tuple[Prompt, ...]
    labels: LabelTable
    draw_over: DrawOver = DrawOver.EMPTY
    draw_over_of_object: Mapping[int, DrawOver] = field(default_factory=dict)
    model_id: str = ""
    model_sha256: str = ""
    app_version: str = ""
    window: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def objects(self) -> Iterator[tuple[int, tuple[Prompt, ...], DrawOver]]:
        """Each object's id, prompts and policy, in the order in which they are to be made."""
        for object_id in dict.fromkeys(p.object_id for p in self.prompts):
            policy = self.draw_over_of_object.get(object_id, self.draw_over)
            yield object_id, in_object(self.prompts, object_id), policy


def read_prompts(path: Path | str, volume: Volume) -> PromptsFile:
    """Return the prompts of a file, for a scan.

    Raises
    ------
    PromptError
        The file cannot be read, or an entry is wrong; the sentence names it.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise PromptError(f"“{path.name}” is too large to be a prompts file.")
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise PromptError(f"“{path.name}” cannot be read: {error.strerror}.") from error
    except json.JSONDecodeError as error:
        raise PromptError(
            f"“{path.name}” is not JSON: {error.msg} in line {error.lineno}."
        ) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise PromptError(f"“{path.name}” is not JSON.") from error
    return parse_prompts(content, volume)


def parse_prompts(content: Any, volume: Volume) -> PromptsFile:
    """Return the prompts of a parsed JSON document; see `read_prompts`."""
    if not isinstance(content, dict):
        raise PromptError("The prompts file must hold an object with “version” and “prompts”.")
    if content.get("version") != VERSION or isinstance(content.get("version"), bool):
        raise PromptError(
            f"The prompts file has version {content.get('version')!r}; version {VERSION} is read."
        )
    entries = content.get("prompts")
    if not isinstance(entries, list) or not entries:
        raise PromptError("The prompts file holds no list of “prompts”.")
    labels = _Labels(content.get("labels", []))
    parsed = [_Entry(n, e, volume) for n, e in enumerate(entries, 1)]
    ids = labels.resolve(parsed)
    drafts = [entry.draft(label_id) for entry, label_id in zip(parsed, ids, strict=True)]
    prompts = assigned(drafts, volume)
    policies: dict[int, DrawOver] = {}
    for entry, prompt in zip(parsed, prompts, strict=True):
        if entry.draw_over is not None:
            policies[prompt.object_id] = entry.draw_over
    model = content.get("model")
    model = model if isinstance(model, dict) else {}
    return PromptsFile(
        prompts,
        labels.table(),
        _policy(content.get("draw_over", "empty"), "The prompts file"),
        policies,
        str(model.get("id", "")),
        str(model.get("sha256", "")),
        str(content.get("app_version", "")),
        _window(content.get("window")),
        tuple(w for entry in parsed for w in entry.warnings),
    )


class _Entry:
    """One prompt as the file gives it, checked."""

    def __init__(self, number: int, entry: Any, volume: Volume) -> None:
        self.name = f"Prompt {number}"
        if not isinstance(entry, dict):
            raise self._wrong("is no object with “label” and “kind”")
        self.entry = entry
        self.volume = volume
        label = entry.get("label")
        if not isinstance(label, str) or not label.strip():
            raise self._wrong("has no “label”")
        self.label = label
        self.name = f"Prompt {number} ({label[:40]})"
        self.value = None if "value" not in entry else self._integer("value", 1, MAX_LABEL_ID)
        self.kind = entry.get("kind")
        if self.kind not in ("box", "point", "scribble"):
            raise self._wrong(
                f"has the kind {self.kind!r}; “box”, “point” and “scribble” are known"
            )
        self.draw_over = _policy(entry["draw_over"], self.name) if "draw_over" in entry else None
        self.warnings = [
            f"{self.name} has a key that is not known: “{str(key)[:40]}”."
            for key in entry
            if key not in _KEYS
        ]

    def draft(self, label_id: int) -> Draft:
        """Return the prompt without its object."""
        axis = self._axis()
        number = self._integer("object", 0, 1 << 31) if "object" in self.entry else None
        if self.kind == "box":
            region, axis = self._box(axis)
            through = self._through(axis) if "through" in self.entry else None
            box = BoxPrompt(region, axis, through, label_id)
            if box.is_3d and through is not None:
                raise self._wrong("is a 3-D box with “through”; a box on a slice can have it")
            return Draft(self.name, label_id, number, axis, box=box)
        positive = self.entry.get("positive", True)
        if not isinstance(positive, bool):
            raise self._wrong(f"has “positive”: {positive!r}; true or false is needed")
        if self.kind == "point":
            point = self._point(self.entry.get("index_ijk"), "index_ijk")
            return Draft(self.name, label_id, number, axis, (point,), positive)
        listed = self.entry.get("points_ijk")
        if not isinstance(listed, list) or not listed:
            raise self._wrong("has no list “points_ijk”")
        points = tuple(self._point(p, "points_ijk") for p in listed)
        radius = self.entry.get("radius_mm", 1.5)
        if not _is_number(radius) or not 0 < radius <= 1000:
            raise self._wrong(f"has “radius_mm”: {radius!r}; a length in mm is needed")
        return Draft(self.name, label_id, number, axis, points, positive, float(radius))

    def _wrong(self, what: str) -> PromptError:
        return PromptError(f"{self.name} {what}.")

    def _integer(self, key: str, low: int, high: int) -> int:
        value = self.entry[key]
        if not _is_number(value) or not float(value).is_integer() or not low <= value <= high:
            raise self._wrong(
                f"has “{key}”: {value!r}; a whole number from {low} to {high} is needed"
            )
        return int(value)

    def _axis(self) -> int | None:
        if "axis" not in self.entry:
            return None
        return canonical_axis(self.volume, self._integer("axis", 0, 2))

    def _vector(self, value: Any, key: str, count: int = 3) -> list[float]:
        if (
            not isinstance(value, list)
            or len(value) != count
            or not all(_is_number(v) and abs(v) < 1e9 for v in value)
        ):
            raise self._wrong(f"needs “{key}” with {count} numbers, not {str(value)[:60]}")
        return value

    def _indices(self, key: str, count: int = 3) -> list[int]:
        values = self._vector(self.entry.get(key), key, count)
        if not all(float(v).is_integer() for v in values):
            raise self._wrong(f"has “{key}”: {values}; whole numbers are needed")
        return [int(v) for v in values]

    @property
    def _size_ijk(self) -> list[int]:
        shape = self.volume.geometry.shape_zyx
        return [shape[canonical_axis(self.volume, a)] for a in range(3)]

    def _point(self, value: Any, key: str) -> tuple[float, float, float]:
        index = self._vector(value, key)
        size = self._size_ijk
        if not all(-0.5 <= v < n - 0.5 for v, n in zip(index, size, strict=True)):
            raise self._wrong(
                f"lies outside the image: {index} of {' x '.join(map(str, size))} voxels"
            )
        z, y, x = (round(float(v), INDEX_DIGITS) for v in from_source_index(self.volume, index))
        return z, y, x

    def _box(self, axis: int | None) -> tuple[Region, int]:
        has_ijk, has_mm = "start_ijk" in self.entry, "start_lps_mm" in self.entry
        if has_ijk == has_mm:
            raise self._wrong(
                "needs “start_ijk” and “stop_ijk”, or “start_lps_mm” and “stop_lps_mm”"
            )
        if has_mm:
            region = self._box_mm()
        else:
            start, stop = self._indices("start_ijk"), self._indices("stop_ijk")
            size = self._size_ijk
            if any(b <= a for a, b in zip(start, stop, strict=True)):
                raise self._wrong(
                    f"is empty: from {start} to {stop} (the stop is not part of the box)"
                )
            if min(start) < 0 or any(b > n for b, n in zip(stop, size, strict=True)):
                raise self._wrong(
                    f"leaves the image: from {start} to {stop} of "
                    f"{' x '.join(map(str, size))} voxels"
                )
            region = from_source_region(self.volume, start, stop)
        if axis is None:
            axis = self._axis_of(region)
        return region, axis

    def _axis_of(self, region: Region) -> int:
        """Return the axis across a box: the thin one; if several, the image's own thin one,
        then the one with the coarsest spacing. A box thick along all axes: the coarsest."""
        thin = [a for a in range(3) if region.shape_zyx[a] == 1]
        flat = [a for a in thin if self.volume.geometry.shape_zyx[a] == 1]
        return coarsest_axis(self.volume, flat or thin or [0, 1, 2])

    def _box_mm(self) -> Region:
        """Return the voxels whose centres lie in a box given in mm, at least one on each axis."""
        start = self._vector(self.entry.get("start_lps_mm"), "start_lps_mm")
        stop = self._vector(self.entry.get("stop_lps_mm"), "stop_lps_mm")
        if any(b < a for a, b in zip(start, stop, strict=True)):
            raise self._wrong(f"ends before it starts: from {start} to {stop} mm")
        geometry = self.volume.geometry
        ends = np.array([start, stop])
        corners = np.array([[ends[c >> a & 1, a] for a in range(3)] for c in range(8)])
        index = geometry.lps_to_index(corners)
        low, high = index.min(axis=0), index.max(axis=0)
        flat = [a for a in range(3) if stop[a] == start[a]]
        for lps_axis in flat:
            # Flat in the patient: on one slice of the nearest array axis, also if that is oblique.
            steps = np.abs(geometry.affine[lps_axis, :3]) / geometry.spacing_zyx
            across = int(steps.argmax())
            low[across] = high[across] = (low[across] + high[across]) / 2
        # A hair of tolerance, so that a corner given as a voxel centre includes that voxel.
        first, last = np.ceil(low - 1e-3), np.floor(high + 1e-3)
        middle = np.floor((low + high) / 2 + 0.5)
        is_between = last < first
        first, last = np.where(is_between, middle, first), np.where(is_between, middle, last)
        size = np.array(geometry.shape_zyx)
        if (first < 0).any() or (last >= size).any():
            raise self._wrong(f"leaves the image: from {start} to {stop} mm")
        a, b = first.astype(int), last.astype(int) + 1
        return Region((a[0], a[1], a[2]), (b[0], b[1], b[2]))

    def _through(self, axis: int) -> tuple[int, int]:
        start, stop = self._indices("through", 2)
        n = self.volume.geometry.shape_zyx[axis]
        if not 0 <= start < stop <= n:
            raise self._wrong(
                f"has “through”: [{start}, {stop}]; a range from 0 to {n} is needed, and its end "
                "is not part of it"
            )
        return flip_range(self.volume, axis, start, stop)


class _Labels:
    """Names and values: explicit values first, the others count up in order of appearance."""

    def __init__(self, listed: Any) -> None:
        self._infos: dict[int, LabelInfo] = {}
        if not isinstance(listed, list):
            raise PromptError("“labels” of the prompts file must be a list.")
        for number, entry in enumerate(listed, 1):
            try:
                info = label_from_json(entry)
            except ValueError as error:
                raise PromptError(
                    f"Label {number} of the prompts file needs “value”, “name” and “colour”."
                ) from error
            if info.id in self._infos:
                raise PromptError(f"The prompts file lists the label value {info.id} twice.")
            self._infos[info.id] = info

    def resolve(self, entries: list[_Entry]) -> list[int]:
        """Return the label value of each entry."""
        for entry in entries:
            if entry.value is not None:
                self._add(entry.value, entry.label, entry.name)
        for entry in entries:
            if entry.value is None and not self._named(entry.label):
                free = next(i for i in range(1, MAX_LABEL_ID + 1) if i not in self._infos)
                self._add(free, entry.label, entry.name)
        ids = []
        for entry in entries:
            named = self._named(entry.label)
            if entry.value is None and len(named) > 1:
                raise PromptError(
                    f"{entry.name} needs a “value”: labels {named} have the same name."
                )
            ids.append(named[0] if entry.value is None else entry.value)
        return ids

    def table(self) -> LabelTable:
        """Return all labels."""
        return LabelTable(tuple(self._infos.values()))

    def _named(self, name: str) -> list[int]:
        return [i for i, info in self._infos.items() if info.name == name]

    def _add(self, value: int, name: str, entry_name: str) -> None:
        known = self._infos.get(value)
        if known is None:
            try:
                self._infos[value] = self.table().new_label(name, value)
            except UsageError as error:
                raise PromptError(f"{entry_name}: {error}") from error
        elif known.name != name:
            raise PromptError(
                f"{entry_name} has the value {value}, which is “{known.name}” already; give it "
                "another."
            )


def _policy(value: Any, name: str) -> DrawOver:
    try:
        return DrawOver(value)
    except ValueError:
        raise PromptError(
            f"{name} has “draw_over”: {value!r}; “all” or “empty” is needed."
        ) from None


def _window(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)):
        raise PromptError("“window” of the prompts file must hold two intensities.")
    low, high = float(value[0]), float(value[1])
    if not low < high:
        raise PromptError(f"“window” of the prompts file is empty: {low:g} to {high:g}.")
    return low, high


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return bool(abs(value) < 1e300)  # false for NaN and infinity, too
