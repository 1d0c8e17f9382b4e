"""What can be done to a label as a whole: each operation says which voxels it should have.

An operation is a frozen record of what was asked for; `plan` runs it on any thread and returns a
change of voxels that keeps padlocks and the draw-over policy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from app.core.errors import UsageError
from app.core.geometry import Region
from app.core.labels import DrawOver, LabelTable, VoxelDelta, with_mask, writable
from app.core.tasks import JobContext
from app.core.volume import Volume
from app.editing import morphology
from app.editing.between import fill_between


@dataclass(frozen=True, eq=False)
class EditInput:
    """What an operation works on; nobody else changes it.

    Attributes
    ----------
    volume : Volume
    labels : (z, y, x) unsigned int
        A copy of the document's label values.
    label_id : int
        The label that is edited.
    label_table : LabelTable
    draw_over : DrawOver
    """

    volume: Volume
    labels: np.ndarray
    label_id: int
    label_table: LabelTable
    draw_over: DrawOver = DrawOver.EMPTY

    @property
    def spacing_zyx(self) -> tuple[float, float, float]:
        return self.volume.geometry.spacing_zyx

    def extent(self, label_id: int | None = None, margin_mm: float = 0.0) -> Region | None:
        """Return the block that holds a label (the edited one) with room around it, or None.

        There is always one voxel more than the margin to each side, unless the scan ends there.
        """
        hit = self.labels == (self.label_id if label_id is None else label_id)
        tight = Region.of_mask(hit)
        if tight is None:
            return None
        room = [int(margin_mm / s) + 2 for s in self.spacing_zyx]
        return Region(
            _triple(a - r for a, r in zip(tight.start_zyx, room, strict=True)),
            _triple(b + r for b, r in zip(tight.stop_zyx, room, strict=True)),
        ).clipped_to(self.labels.shape)

    def mask(self, region: Region, label_id: int | None = None) -> np.ndarray:
        """Return where a block holds a label (the edited one)."""
        held: np.ndarray = self.labels[region.slices] == (
            self.label_id if label_id is None else label_id
        )
        return held


Wanted = tuple[Region, np.ndarray]


class Operation(ABC):
    """One thing that can be done to a label. Subclasses are frozen dataclasses."""

    @property
    @abstractmethod
    def title(self) -> str:
        """The name of the undo step."""

    @property
    def taken_id(self) -> int | None:
        """A label whose voxels are taken whatever the draw-over policy says."""
        return None

    @abstractmethod
    def wanted(self, scan: EditInput) -> Wanted | None:
        """Return a block and which of its voxels the label should have; None to change nothing.

        Outside the block the label stays as it is.
        """


def plan(operation: Operation, scan: EditInput, ctx: JobContext) -> VoxelDelta | None:
    """Return the change that an operation makes; None if it changes nothing.

    Raises
    ------
    UsageError
        The operation does not make sense for these labels, or the label is locked.
    """
    scan.label_table.require_open(scan.label_id)
    ctx.check()
    wanted = operation.wanted(scan)
    ctx.check()
    if wanted is None:
        return None
    region, mask = wanted
    before = scan.labels[region.slices]
    after = with_mask(before, scan.label_id, mask, scan.label_table, scan.draw_over)
    if operation.taken_id is not None:
        after[mask & (before == operation.taken_id)] = scan.label_id
    return VoxelDelta.from_blocks(region, before, after)


# -- by intensity ----------------------------------------------------------------------------------


class Where(Enum):
    """Which voxels a threshold looks at."""

    SCAN = "scan"
    MASK = "mask"
    NEAR = "near"


@dataclass(frozen=True)
class Threshold(Operation):
    """Voxels whose intensity lies within a range, ends included.

    In the whole scan they are added to the label; inside the mask only they are kept; near the
    mask, those within ``near_mm`` of it are added.
    """

    low: float
    high: float
    where: Where = Where.SCAN
    near_mm: float = 10.0
    title = "Threshold"

    def wanted(self, scan: EditInput) -> Wanted | None:
        if not self.low <= self.high:
            raise UsageError("The lower end of the range lies above its upper end.")
        region: Region | None = Region.whole(scan.labels.shape)
        if self.where is not Where.SCAN:
            region = scan.extent(margin_mm=self.near_mm if self.where is Where.NEAR else 0.0)
        if region is None:
            return None
        values, own = scan.volume.voxels[region.slices], scan.mask(region)
        in_range = (values >= self.low) & (values <= self.high)
        if self.where is Where.MASK:
            return region, own & in_range
        if self.where is Where.NEAR:
            in_range &= morphology.grow(own, scan.spacing_zyx, self.near_mm)
        return region, own | in_range


@dataclass(frozen=True)
class FloodFill(Operation):
    """Everything that is joined to a voxel and about as bright; ``is_erasing`` takes it away.

    Attributes
    ----------
    seed_zyx : tuple of 3 int
    tolerance : float
        How far the intensity may be from the seed's, to either side.
    axis : int, optional
        Stay on the seed's slice along this axis; None floods in 3-D.
    is_erasing : bool
        Take the connected piece of the label that holds the seed, whatever its intensity.
    """

    seed_zyx: tuple[int, int, int]
    tolerance: float
    axis: int | None = None
    is_erasing: bool = False

    @property
    def title(self) -> str:
        return "Erase piece" if self.is_erasing else "Flood fill"

    def wanted(self, scan: EditInput) -> Wanted | None:
        region = Region.whole(scan.labels.shape)
        if self.axis is not None:
            index = self.seed_zyx[self.axis]
            region = region.with_axis(self.axis, index, index + 1)
        z, y, x = (i - a for i, a in zip(self.seed_zyx, region.start_zyx, strict=True))
        own = scan.mask(region)
        if self.is_erasing:
            return region, own & ~morphology.piece_at(own, (z, y, x))
        values = scan.volume.voxels[region.slices]
        seed = float(values[z, y, x])
        # What may not be written holds the flood up like a wall.
        similar = (values >= seed - self.tolerance) & (values <= seed + self.tolerance)
        labels = scan.labels[region.slices]
        similar &= writable(labels, scan.label_id, scan.label_table, scan.draw_over)
        return region, own | morphology.piece_at(similar, (z, y, x))


# -- by shape --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FillHoles(Operation):
    """Fill cavities; with an axis, holes of each slice."""

    axis: int | None = None
    title = "Fill holes"

    def wanted(self, scan: EditInput) -> Wanted | None:
        region = scan.extent()
        if region is None:
            return None
        return region, morphology.fill_holes(scan.mask(region), self.axis)


@dataclass(frozen=True)
class KeepLargest(Operation):
    """Keep the largest piece."""

    title = "Keep largest piece"

    def wanted(self, scan: EditInput) -> Wanted | None:
        region = scan.extent()
        if region is None:
            return None
        return region, morphology.keep_largest(scan.mask(region))


@dataclass(frozen=True)
class RemoveIslands(Operation):
    """Remove pieces smaller than a volume."""

    min_ml: float
    title = "Remove islands"

    def wanted(self, scan: EditInput) -> Wanted | None:
        region = scan.extent()
        if region is None:
            return None
        mask = scan.mask(region)
        return region, morphology.remove_islands(mask, scan.spacing_zyx, self.min_ml)


@dataclass(frozen=True)
class Grow(Operation):
    """Grow by millimetres, or shrink by negative ones."""

    margin_mm: float

    @property
    def title(self) -> str:
        word = "Grow" if self.margin_mm >= 0 else "Shrink"
        return f"{word} by {abs(self.margin_mm):g} mm"

    def wanted(self, scan: EditInput) -> Wanted | None:
        region = scan.extent(margin_mm=max(0.0, self.margin_mm))
        if region is None:
            return None
        change = morphology.grow if self.margin_mm >= 0 else morphology.shrink
        return region, change(scan.mask(region), scan.spacing_zyx, abs(self.margin_mm))


class Smoothing(Enum):
    """How a mask is smoothed."""

    MEDIAN = "median"
    GAUSSIAN = "Gaussian"


@dataclass(frozen=True)
class Smooth(Operation):
    """Smooth the surface: by the majority around each voxel, or by a blur."""

    size_mm: float
    how: Smoothing = Smoothing.MEDIAN
    title = "Smooth"

    def wanted(self, scan: EditInput) -> Wanted | None:
        # Neither kind adds anything outside the block that holds the mask.
        region = scan.extent()
        if region is None:
            return None
        is_median = self.how is Smoothing.MEDIAN
        smooth = morphology.smooth_median if is_median else morphology.smooth_gaussian
        return region, smooth(scan.mask(region), scan.spacing_zyx, self.size_mm)


# -- by slices -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FillBetween(Operation):
    """Fill the empty slices between drawn ones."""

    axis: int
    title = "Fill between slices"

    def wanted(self, scan: EditInput) -> Wanted | None:
        region = scan.extent()
        if region is None:
            return None
        return region, fill_between(scan.mask(region), scan.spacing_zyx, self.axis)


@dataclass(frozen=True)
class CopySlice(Operation):
    """Give a slice the label's shape on another slice."""

    axis: int
    source: int
    target: int
    title = "Copy to next slice"

    def wanted(self, scan: EditInput) -> Wanted | None:
        if not 0 <= self.target < scan.labels.shape[self.axis]:
            raise UsageError("There is no slice beyond this one.")
        whole = Region.whole(scan.labels.shape)
        source = whole.with_axis(self.axis, self.source, self.source + 1)
        target = whole.with_axis(self.axis, self.target, self.target + 1)
        return target, scan.mask(target) | scan.mask(source)


# -- with another label ----------------------------------------------------------------------------


class How(Enum):
    """What is done with another label."""

    UNITE = "unite"
    SUBTRACT = "subtract"
    INTERSECT = "intersect"


@dataclass(frozen=True)
class Combine(Operation):
    """Unite with another label, or take away or keep only what lies within a margin of it.

    Labels never share voxels. Uniting therefore takes the other label's voxels, which is what was
    asked for, whatever the draw-over policy says; subtracting and intersecting need a margin.

    Attributes
    ----------
    other_id : int
    how : How
    margin_mm : float
        The other label counts as grown by this much.
    """

    other_id: int
    how: How
    margin_mm: float = 0.0

    @property
    def title(self) -> str:
        return f"{self.how.value.capitalize()} labels"

    @property
    def taken_id(self) -> int | None:
        return self.other_id if self.how is How.UNITE else None

    def wanted(self, scan: EditInput) -> Wanted | None:
        other = scan.label_table.get(self.other_id)
        if other is None or self.other_id == scan.label_id:
            raise UsageError("Choose another label to combine this one with.")
        if self.how is not How.UNITE and self.margin_mm <= 0:
            raise UsageError("Labels never overlap: give a margin in mm round the other label.")
        region = scan.extent(self.other_id, self.margin_mm)
        if region is None:
            raise UsageError(f"“{other.name}” has no voxels yet.")
        own_region = scan.extent()
        if own_region is not None:
            region = region.union(own_region)
        own = scan.mask(region)
        theirs = scan.mask(region, self.other_id)
        near = morphology.grow(theirs, scan.spacing_zyx, self.margin_mm)
        if self.how is How.SUBTRACT:
            return region, own & ~near
        if self.how is How.INTERSECT:
            return region, own & near
        if other.locked:
            raise UsageError(f"“{other.name}” is locked. Open its padlock to take its voxels.")
        return region, own | near


def _triple(values: Iterable[int]) -> tuple[int, int, int]:
    a, b, c = (int(v) for v in values)
    return a, b, c
