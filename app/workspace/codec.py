"""What a workspace holds, as bytes: a JSON head and the voxel changes that it refers to.

Nothing here executes what it reads, and nothing is trusted: whatever does not fit is a
`WorkspaceError`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from app.core.annotations import N_POINTS, Annotation, AnnotationKind
from app.core.errors import AppError
from app.core.geometry import Region
from app.core.labels import LabelInfo, LabelTable, VoxelDelta
from app.core.prompts import BoxPrompt, PointPrompt, Prompt, ScribblePrompt

T = TypeVar("T")

_LENGTH = struct.Struct("<Q")


class WorkspaceError(AppError, OSError):
    """A workspace cannot be read or written; the sentence says why."""


class DamagedError(WorkspaceError):
    """The content of a workspace is not what was written."""


@dataclass(frozen=True)
class State:
    """What a document holds beside its voxels.

    Attributes
    ----------
    labels : LabelTable
    prompts : tuple of Prompt
    written : mapping of object id to VoxelDelta
        See `Document.written`.
    annotations : tuple of Annotation
    """

    labels: LabelTable = field(default_factory=LabelTable)
    prompts: tuple[Prompt, ...] = ()
    written: Mapping[int, VoxelDelta] = field(default_factory=dict)
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True)
class StepChange:
    """One step: changes of voxels in order, and the parts of the state that it left changed.

    None stands for a part that stayed as it was. ``written`` holds what differs; None for an
    object that is gone.
    """

    deltas: tuple[VoxelDelta, ...] = ()
    labels: LabelTable | None = None
    prompts: tuple[Prompt, ...] | None = None
    written: Mapping[int, VoxelDelta | None] = field(default_factory=dict)
    annotations: tuple[Annotation, ...] | None = None

    @classmethod
    def between(
        cls, before: State, after: State, deltas: tuple[VoxelDelta, ...] = ()
    ) -> StepChange:
        """Return the change from one state to another."""
        written: dict[int, VoxelDelta | None] = {
            k: v for k, v in after.written.items() if before.written.get(k) is not v
        }
        written.update({k: None for k in before.written if k not in after.written})
        return cls(
            deltas,
            None if before.labels == after.labels else after.labels,
            None if before.prompts == after.prompts else after.prompts,
            written,
            None if before.annotations == after.annotations else after.annotations,
        )

    def applied_to(self, state: State) -> State:
        """Return the state after the step."""
        merged = {**state.written, **self.written}
        return State(
            state.labels if self.labels is None else self.labels,
            state.prompts if self.prompts is None else self.prompts,
            {k: v for k, v in merged.items() if v is not None},
            state.annotations if self.annotations is None else self.annotations,
        )


def encode_step(step: StepChange) -> bytes:
    """Return a step as bytes."""
    blobs: list[bytes] = []

    def keep(delta: VoxelDelta) -> int:
        blobs.append(delta.to_bytes())
        return len(blobs) - 1

    head: dict[str, Any] = {"deltas": [keep(delta) for delta in step.deltas]}
    if step.labels is not None:
        head["labels"] = [_label_json(info) for info in step.labels]
    if step.prompts is not None:
        head["prompts"] = [_prompt_json(prompt) for prompt in step.prompts]
    if step.annotations is not None:
        head["annotations"] = [
            [a.id, a.kind.value, a.axis, [list(p) for p in a.points_zyx]] for a in step.annotations
        ]
    if step.written:
        head["written"] = [
            [object_id, None if delta is None else keep(delta)]
            for object_id, delta in step.written.items()
        ]
    text = json.dumps(head, separators=(",", ":")).encode()
    lengths = [len(text), len(blobs), *map(len, blobs)]
    return b"".join([*map(_LENGTH.pack, lengths), text, *blobs])


def decode_step(content: bytes, shape_zyx: Sequence[int]) -> StepChange:
    """Return the step that `encode_step` wrote, for a label map of a shape.

    Raises
    ------
    DamagedError
    """

    def decode() -> StepChange:
        head, blobs = _parts(content)
        deltas = [VoxelDelta.from_bytes(blob, shape_zyx) for blob in blobs]
        labels, prompts = head.get("labels"), head.get("prompts")
        annotations = head.get("annotations")
        written = {
            int(object_id): None if at is None else deltas[at]
            for object_id, at in head.get("written", [])
        }
        return StepChange(
            tuple(deltas[at] for at in head["deltas"]),
            None if labels is None else LabelTable(tuple(_label(entry) for entry in labels)),
            None if prompts is None else tuple(_prompt(entry) for entry in prompts),
            written,
            None if annotations is None else tuple(_annotation(*entry) for entry in annotations),
        )

    return checked(decode)


def encode_state(state: State) -> bytes:
    """Return a state as bytes: the step that makes it out of nothing."""
    written = dict(state.written)
    return encode_step(StepChange((), state.labels, state.prompts, written, state.annotations))


def decode_state(content: bytes, shape_zyx: Sequence[int]) -> State:
    """Return the state that `encode_state` wrote; see `decode_step`."""
    return decode_step(content, shape_zyx).applied_to(State())


def checked(decode: Callable[[], T]) -> T:
    """Return what a decoder returns; `DamagedError` for whatever bad content makes it raise."""
    try:
        return decode()
    except DamagedError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        raise DamagedError(f"a part of it does not make sense ({error})") from error


# -- inside -------------------------------------------------------------------------------------


def _parts(content: bytes) -> tuple[dict[str, Any], list[bytes]]:
    n_text, n_blobs = (_LENGTH.unpack_from(content, at)[0] for at in (0, 8))
    at = 16 + 8 * n_blobs
    if at > len(content):
        raise ValueError("too short")
    lengths = [n_text, *(_LENGTH.unpack_from(content, 16 + 8 * i)[0] for i in range(n_blobs))]
    parts = []
    for length in lengths:
        parts.append(content[at : at + length])
        at += length
    if at != len(content):
        raise ValueError("wrong length")
    return json.loads(parts[0]), parts[1:]


def _label_json(info: LabelInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "name": info.name,
        "colour": list(info.colour),
        "visible": info.visible,
        "locked": info.locked,
        "opacity": info.opacity,
        "code": list(info.code),
    }


def _label(entry: dict[str, Any]) -> LabelInfo:
    red, green, blue = (min(255, max(0, int(c))) for c in entry["colour"])
    return LabelInfo(
        int(entry["id"]),
        str(entry["name"]),
        (red, green, blue),
        bool(entry["visible"]),
        bool(entry["locked"]),
        float(entry["opacity"]),
        tuple(str(part) for part in entry["code"]),
    )


def _prompt_json(prompt: Prompt) -> dict[str, Any]:
    common = {
        "kind": prompt.kind.value,
        "axis": prompt.axis,
        "label": prompt.label_id,
        "object": prompt.object_id,
    }
    if isinstance(prompt, BoxPrompt):
        region = prompt.region
        return {
            **common,
            "start": list(region.start_zyx),
            "stop": list(region.stop_zyx),
            "through": prompt.through and list(prompt.through),
        }
    if isinstance(prompt, PointPrompt):
        return {**common, "index": list(prompt.index_zyx), "positive": prompt.positive}
    return {
        **common,
        "points": [list(p) for p in prompt.points_zyx],
        "radius_mm": prompt.radius_mm,
        "positive": prompt.positive,
    }


def _prompt(entry: dict[str, Any]) -> Prompt:
    axis, label_id, object_id = int(entry["axis"]), int(entry["label"]), int(entry["object"])
    if axis not in (0, 1, 2):
        raise ValueError(f"axis {axis}")
    if entry["kind"] == "box":
        through = entry["through"]
        a, b = entry["start"], entry["stop"]
        return BoxPrompt(
            Region((a[0], a[1], a[2]), (b[0], b[1], b[2])),
            axis,
            None if through is None else (int(through[0]), int(through[1])),
            label_id,
            object_id,
        )
    positive = bool(entry["positive"])
    if entry["kind"] == "point":
        return PointPrompt(_index(entry["index"]), positive, axis, label_id, object_id)
    if entry["kind"] == "scribble":
        points = tuple(_index(p) for p in entry["points"])
        if not points:
            raise ValueError("a stroke without points")
        radius_mm = float(entry["radius_mm"])
        return ScribblePrompt(points, radius_mm, positive, axis, label_id, object_id)
    raise ValueError(f"kind {entry['kind']!r}")


def _annotation(
    annotation_id: int, kind: str, axis: int, points: Sequence[Sequence[float]]
) -> Annotation:
    what = AnnotationKind(kind)
    if axis not in (0, 1, 2) or len(points) != N_POINTS[what]:
        raise ValueError(f"an annotation with {len(points)} points along axis {axis}")
    return Annotation(int(annotation_id), what, int(axis), tuple(_index(p) for p in points))


def _index(values: Sequence[float]) -> tuple[float, float, float]:
    z, y, x = values
    # As they were: whole numbers stay whole, so that the prompt equals itself.
    for value in (z, y, x):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"index {value!r}")
    return z, y, x
