"""Prompts: what a person points at, in voxel indices of the canonical volume.

Prompts that make one mask share an ``object_id``. An object has one label and, for prompts on
slices, one axis; refining it replaces its own mask and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from app.core.geometry import Region

# Axes of the canonical array, by the plane that lies across them.
AXIAL, CORONAL, SAGITTAL = 0, 1, 2
PLANE_NAMES = ("axial", "coronal", "sagittal")


class PromptKind(Enum):
    """The kinds that tools make and models take."""

    POINT = "point"
    BOX = "box"
    SCRIBBLE = "scribble"


@dataclass(frozen=True)
class PointPrompt:
    """A click: this voxel belongs to the object, or (negative) does not."""

    index_zyx: tuple[float, float, float]
    positive: bool = True
    axis: int = AXIAL
    label_id: int = 1
    object_id: int = 0

    @property
    def kind(self) -> PromptKind:
        return PromptKind.POINT

    @property
    def slice_index(self) -> int:
        return round(self.index_zyx[self.axis])


@dataclass(frozen=True)
class BoxPrompt:
    """A box that the object lies in.

    Attributes
    ----------
    region : Region
        One voxel thick along `axis` for a prompt on a slice; thicker for a 3-D prompt.
    axis : int
        The axis across the slices that the network sees.
    through : tuple of 2 int, optional
        Half-open range of slices along `axis` to which the mask is carried.
    """

    region: Region
    axis: int = AXIAL
    through: tuple[int, int] | None = None
    label_id: int = 1
    object_id: int = 0

    @property
    def kind(self) -> PromptKind:
        return PromptKind.BOX

    @property
    def is_3d(self) -> bool:
        return self.region.shape_zyx[self.axis] > 1

    @property
    def slice_index(self) -> int:
        """The slice it lies on; the middle one of a 3-D box."""
        a, b = self.region.start_zyx[self.axis], self.region.stop_zyx[self.axis]
        return (a + b - 1) // 2

    @property
    def box_rc(self) -> tuple[int, int, int, int]:
        """(r0, c0, r1, c1) on its slice, half-open."""
        a = [v for i, v in enumerate(self.region.start_zyx) if i != self.axis]
        b = [v for i, v in enumerate(self.region.stop_zyx) if i != self.axis]
        return a[0], a[1], b[0], b[1]


@dataclass(frozen=True)
class ScribblePrompt:
    """A stroke on one slice: every voxel within its radius belongs to the object, or does not."""

    points_zyx: tuple[tuple[float, float, float], ...]
    radius_mm: float = 1.5
    positive: bool = True
    axis: int = AXIAL
    label_id: int = 1
    object_id: int = 0

    @property
    def kind(self) -> PromptKind:
        return PromptKind.SCRIBBLE

    @property
    def slice_index(self) -> int:
        return round(self.points_zyx[0][self.axis])


Prompt = PointPrompt | BoxPrompt | ScribblePrompt


def in_object(prompts: tuple[Prompt, ...], object_id: int) -> tuple[Prompt, ...]:
    """Return the prompts of one object, in the order in which they were placed."""
    return tuple(p for p in prompts if p.object_id == object_id)


def next_object_id(prompts: tuple[Prompt, ...]) -> int:
    """Return an object id that no prompt has."""
    return max((p.object_id for p in prompts), default=-1) + 1


def latest_box(prompts: tuple[Prompt, ...], label_id: int) -> BoxPrompt | None:
    """Return the box of a label that was placed last; None if there is none."""
    boxes = (p for p in reversed(prompts) if isinstance(p, BoxPrompt) and p.label_id == label_id)
    return next(boxes, None)


def through_of(prompts: tuple[Prompt, ...]) -> tuple[int, int] | None:
    """Return the half-open range through which an object's mask is carried, if it is."""
    ranges = [p.through for p in prompts if isinstance(p, BoxPrompt) and p.through is not None]
    if not ranges:
        return None
    return min(r[0] for r in ranges), max(r[1] for r in ranges)


def with_object(prompt: Prompt, object_id: int) -> Prompt:
    """Return the prompt as part of another object."""
    return replace(prompt, object_id=object_id)


def slice_region(axis: int, index: int, box_rc: tuple[int, int, int, int]) -> Region:
    """Return the region of a half-open (r0, c0, r1, c1) box on one slice."""
    r0, c0, r1, c1 = box_rc
    start, stop = [r0, c0], [r1, c1]
    start.insert(axis, index)
    stop.insert(axis, index + 1)
    return Region((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
