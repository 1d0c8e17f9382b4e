"""Which prompts of a file make one mask, where the file does not number its objects.

The rules, per label:

- A box on a slice continues the label's latest object on its axis. It starts another object if
  that one has a box on the same slice already, or if one of the two carries through a range and
  the ranges lie apart or the boxes do not overlap in the plane (the other kidney, say).
- A 3-D box always starts an object.
- A point or scribble belongs to the object whose box on its slice holds it, else to the one whose
  box there is nearest, else to the label's latest object, else to an object of clicks alone on
  the axis with the coarsest spacing. The order of clicks and boxes in the file does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from app.core.errors import PromptError
from app.core.prompts import PLANE_NAMES, BoxPrompt, PointPrompt, Prompt, ScribblePrompt
from app.core.volume import Volume
from app.io.itk_bridge import source_axis

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Draft:
    """A prompt of which the object, and for clicks perhaps the axis, is not decided yet.

    Attributes
    ----------
    name : str
        For sentences, e.g. "Prompt 3 (liver)".
    number : int, optional
        The object's number in the file.
    axis : int, optional
        Canonical axis across its slice; always there for boxes.
    box : BoxPrompt, optional
        Else it is a click with ``points``; a scribble if it has a radius.
    """

    name: str
    label_id: int
    number: int | None
    axis: int | None
    points: tuple[Point, ...] = ()
    positive: bool = True
    radius_mm: float | None = None
    box: BoxPrompt | None = None


@dataclass
class _Object:
    id: int
    label_id: int
    axis: int
    boxes: list[BoxPrompt] = field(default_factory=list)


def coarsest_axis(volume: Volume, axes: Sequence[int]) -> int:
    """Return which canonical axis has the largest spacing; of equals, the file's last axis."""
    spacing = volume.geometry.spacing_zyx
    largest = max(spacing[a] for a in axes)
    equal = [a for a in axes if spacing[a] >= largest * (1 - 1e-3)]
    return max(equal, key=lambda a: source_axis(volume, a))


def assigned(drafts: Sequence[Draft], volume: Volume) -> tuple[Prompt, ...]:
    """Return the prompts with their objects and axes, in the same order.

    Raises
    ------
    PromptError
        The numbers of objects contradict labels or axes, or a scribble lies on no slice.
    """
    grouping = _Grouping(drafts, volume)
    order = sorted(range(len(drafts)), key=lambda n: drafts[n].box is None)
    members = {n: grouping.place(drafts[n]) for n in order}
    return tuple(_prompt(draft, members[n]) for n, draft in enumerate(drafts))


class _Grouping:
    def __init__(self, drafts: Sequence[Draft], volume: Volume) -> None:
        self._volume = volume
        self._objects: list[_Object] = []
        self._numbered: dict[int, _Object] = {}
        self._next_id = max((d.number for d in drafts if d.number is not None), default=-1) + 1

    def place(self, draft: Draft) -> _Object:
        """Return the object that a prompt belongs to; boxes are placed before clicks."""
        found: _Object | None
        if draft.number is not None:
            found = self._place_numbered(draft, draft.number)
        elif draft.box is not None:
            found = self._find_for_box(draft, draft.box)
        else:
            found = self._find_for_click(draft)
        if found is None:
            found = self._new(draft, draft.number)
        if draft.box is not None:
            found.boxes.append(draft.box)
        else:
            _check_on_slice(draft, found.axis)
        return found

    def _new(self, draft: Draft, number: int | None) -> _Object:
        axis = draft.axis
        if axis is None:
            axis = self._axis_of_clicks(draft)
        if number is None:
            number, self._next_id = self._next_id, self._next_id + 1
        made = _Object(number, draft.label_id, axis)
        self._objects.append(made)
        return made

    def _place_numbered(self, draft: Draft, number: int) -> _Object:
        known = self._numbered.get(number)
        if known is None:
            known = self._numbered[number] = self._new(draft, number)
        if known.label_id != draft.label_id:
            raise PromptError(
                f"{draft.name} has the object number {number} of another label; each object has "
                "one label."
            )
        if draft.axis is not None and draft.axis != known.axis:
            raise PromptError(
                f"{draft.name} lies on {PLANE_NAMES[draft.axis]} slices, its object {number} on "
                f"{PLANE_NAMES[known.axis]} slices; give it another object number."
            )
        return known

    def _find_for_box(self, draft: Draft, box: BoxPrompt) -> _Object | None:
        if box.is_3d:
            return None
        same = [o for o in self._objects if o.label_id == draft.label_id and o.axis == box.axis]
        if not same:
            return None
        latest = same[-1]
        return latest if _continues(latest, box) else None

    def _find_for_click(self, draft: Draft) -> _Object | None:
        same = [
            o
            for o in self._objects
            if o.label_id == draft.label_id
            and (draft.axis is None or o.axis == draft.axis)
            and _is_on_slice(draft.points, o.axis)
        ]
        if not same:
            return None
        centre = np.mean(draft.points, axis=0)
        distances = [(_distance(o, centre), -n, o) for n, o in enumerate(same)]
        distance, _, nearest = min(distances, key=lambda item: item[:2])
        return nearest if np.isfinite(distance) else same[-1]

    def _axis_of_clicks(self, draft: Draft) -> int:
        axes = [a for a in range(3) if _is_on_slice(draft.points, a)]
        if not axes:
            raise PromptError(f"{draft.name} must lie on one slice; its points lie on several.")
        return coarsest_axis(self._volume, axes)


def _continues(latest: _Object, box: BoxPrompt) -> bool:
    for other in latest.boxes:
        if not other.is_3d and other.slice_index == box.slice_index:
            return False
        ranges = [_range(other), _range(box)]
        if ranges[0] is None and ranges[1] is None:
            continue
        if not _overlap_in_plane(other, box):
            return False
        (a0, a1), (b0, b1) = (
            r or (b.slice_index, b.slice_index + 1)
            for r, b in zip(ranges, (other, box), strict=True)
        )
        if a1 < b0 or b1 < a0:
            return False
    return True


def _range(box: BoxPrompt) -> tuple[int, int] | None:
    if box.is_3d:
        return box.region.start_zyx[box.axis], box.region.stop_zyx[box.axis]
    return box.through


def _overlap_in_plane(a: BoxPrompt, b: BoxPrompt) -> bool:
    ar0, ac0, ar1, ac1 = a.box_rc
    br0, bc0, br1, bc1 = b.box_rc
    return ar0 < br1 and br0 < ar1 and ac0 < bc1 and bc0 < ac1


def _distance(found: _Object, centre_zyx: np.ndarray) -> float:
    """Return how far a click lies from the object's nearest box that reaches its slice, voxels."""
    index = round(float(centre_zyx[found.axis]))
    in_plane = np.delete(centre_zyx, found.axis)
    best = np.inf
    for box in found.boxes:
        low, high = _range(box) or (box.slice_index, box.slice_index + 1)
        if not (low <= index < high or index == box.slice_index):
            continue
        r0, c0, r1, c1 = box.box_rc
        low_rc, high_rc = np.array([r0, c0]) - 0.5, np.array([r1, c1]) - 0.5
        away = np.maximum(np.maximum(low_rc - in_plane, in_plane - high_rc), 0)
        best = min(best, float(np.linalg.norm(away)))
    return best


def _is_on_slice(points: Sequence[Point], axis: int) -> bool:
    return len({round(p[axis]) for p in points}) == 1


def _check_on_slice(draft: Draft, axis: int) -> None:
    if not _is_on_slice(draft.points, axis):
        raise PromptError(
            f"{draft.name} must lie on one {PLANE_NAMES[axis]} slice; its points lie on several."
        )


def _prompt(draft: Draft, found: _Object) -> Prompt:
    if draft.box is not None:
        return replace(draft.box, object_id=found.id)
    if draft.radius_mm is None:
        return PointPrompt(draft.points[0], draft.positive, found.axis, draft.label_id, found.id)
    return ScribblePrompt(
        draft.points, draft.radius_mm, draft.positive, found.axis, draft.label_id, found.id
    )
