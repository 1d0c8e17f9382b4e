"""The prompts of one object, gathered by slice: what is asked of which slice."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from app.core.errors import PromptError
from app.core.prompts import (
    PLANE_NAMES,
    BoxPrompt,
    PointPrompt,
    Prompt,
    PromptKind,
    ScribblePrompt,
)
from app.core.volume import Volume
from models.base import BoxRC, SlicePrompts, Stroke

Click = PointPrompt | ScribblePrompt

# A box between those of two key slices is drawn by nobody; the object gets this much room round
# it, as a share of its sides.
_BETWEEN_MARGIN = 0.15


@dataclass
class PromptedObject:
    """The prompts of one object, sorted by slice."""

    axis: int
    boxes: dict[int, BoxRC] = field(default_factory=dict)
    clicks: dict[int, list[Click]] = field(default_factory=dict)
    start: int = 0
    stop: int = 0
    limit_rc: BoxRC | None = None

    @property
    def prompted(self) -> list[int]:
        return sorted({*self.boxes, *self.clicks})

    def box_between(self, index: int) -> BoxRC | None:
        """Return the box of a slice between two boxes, in proportion; None outside of them."""
        below = max((i for i in self.boxes if i < index), default=None)
        above = min((i for i in self.boxes if i > index), default=None)
        if below is None or above is None:
            return None
        share = (index - below) / (above - below)
        first, last = np.array(self.boxes[below]), np.array(self.boxes[above])
        r0, c0, r1, c1 = (first + share * (last - first)).tolist()
        return r0, c0, r1, c1


def gathered(
    volume: Volume, prompts: tuple[Prompt, ...], kinds: frozenset[PromptKind]
) -> PromptedObject:
    """Return one object's prompts by slice.

    Raises
    ------
    PromptError
        No prompt, one of a kind not in ``kinds``, prompts on several axes, or outside the volume.
    """
    if not prompts:
        raise PromptError("Nothing was pointed at; draw a box on a slice first.")
    axes = {p.axis for p in prompts}
    if len(axes) > 1:
        names = " and ".join(sorted(PLANE_NAMES[a] for a in axes))
        raise PromptError(f"One object's prompts must lie on one plane, not on {names} slices.")
    target = PromptedObject(axis=prompts[0].axis)
    shape = volume.voxels.shape
    ranges: list[tuple[int, int]] = []
    for prompt in prompts:
        if prompt.kind not in kinds:
            raise PromptError(f"This model takes no {prompt.kind.value} prompts.")
        if isinstance(prompt, BoxPrompt):
            if not prompt.region.is_inside(shape):
                raise PromptError(
                    f"A box from {prompt.region.start_zyx} to {prompt.region.stop_zyx} leaves the "
                    f"image, which has {shape[0]} x {shape[1]} x {shape[2]} voxels."
                )
            target.boxes[prompt.slice_index] = prompt.box_rc
            if prompt.is_3d:
                ranges.append(
                    (prompt.region.start_zyx[target.axis], prompt.region.stop_zyx[target.axis])
                )
                target.limit_rc = prompt.box_rc
            if prompt.through is not None:
                low, high = prompt.through
                if not 0 <= low < high <= shape[target.axis]:
                    raise PromptError(
                        f"The slice range {low} to {high} leaves the image, which has "
                        f"{shape[target.axis]} slices there."
                    )
                ranges.append((low, high))
        else:
            points = (prompt.index_zyx,) if isinstance(prompt, PointPrompt) else prompt.points_zyx
            if not points or not all(volume.geometry.contains(p) for p in points):
                raise PromptError(f"A {prompt.kind.value} prompt lies outside the image.")
            target.clicks.setdefault(prompt.slice_index, []).append(prompt)
    if ranges:
        target.start = min(r[0] for r in ranges)
        target.stop = max(r[1] for r in ranges)
    return target


def with_click(
    prompts: SlicePrompts, click: Click, axis: int, previous: np.ndarray | None
) -> SlicePrompts:
    """Return the prompts and one more click, on the mask that it corrects."""
    prompts = replace(prompts, previous=previous)
    if isinstance(click, ScribblePrompt):
        points = tuple(_in_plane(p, axis) for p in click.points_zyx)
        stroke = Stroke(points, click.radius_mm, click.positive)
        return replace(prompts, strokes=(*prompts.strokes, stroke))
    point = _in_plane(click.index_zyx, axis)
    if click.positive:
        return replace(prompts, positive_rc=(*prompts.positive_rc, point))
    return replace(prompts, negative_rc=(*prompts.negative_rc, point))


def _in_plane(point_zyx: tuple[float, float, float], axis: int) -> tuple[float, float]:
    row, column = (v for a, v in enumerate(point_zyx) if a != axis)
    return row, column


def box_around(mask: np.ndarray, margin: float) -> BoxRC | None:
    """Return the half-open (r0, c0, r1, c1) box of a 2-D mask, widened on each side.

    ``margin`` is a share of the box's side, at least one pixel. None for an empty mask.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    bounds = []
    for hit, size in ((rows, mask.shape[0]), (columns, mask.shape[1])):
        low, high = float(hit[0]), float(hit[-1] + 1)
        grow = max(1.0, margin * (high - low)) if margin > 0 else 0.0
        bounds.append((max(0.0, low - grow), min(float(size), high + grow)))
    return bounds[0][0], bounds[1][0], bounds[0][1], bounds[1][1]


def with_room(box_rc: BoxRC) -> BoxRC:
    """Return a box that is wider by a margin on each side."""
    r0, c0, r1, c1 = box_rc
    rows, columns = (max(1.0, _BETWEEN_MARGIN * side) for side in (r1 - r0, c1 - c0))
    return r0 - rows, c0 - columns, r1 + rows, c1 + columns
