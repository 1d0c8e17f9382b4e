"""The changes that a document knows. Each checks everything before it changes anything."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from app.core.annotations import Annotation
from app.core.document import Document
from app.core.errors import GeometryError, UsageError
from app.core.events import Aspect, Change
from app.core.geometry import Region
from app.core.labels import (
    DrawOver,
    LabelInfo,
    LabelTable,
    VoxelDelta,
    writable,
)
from app.core.prompts import Prompt


class EditVoxels:
    """Write a block of label values; padlocked labels keep their voxels and take no new ones."""

    def __init__(
        self, label: str, region: Region, block: np.ndarray, *, source: object = None
    ) -> None:
        self.label = label
        self._region = region
        self._block: np.ndarray | None = block
        self._source = source
        self._delta: VoxelDelta | None = None

    @property
    def nbytes(self) -> int:
        return self._delta.nbytes if self._delta else 0

    @property
    def is_empty(self) -> bool:
        return self._delta is None

    @property
    def deltas(self) -> tuple[VoxelDelta, ...]:
        return () if self._delta is None else (self._delta,)

    def do(self, document: Document) -> Change:
        if self._block is not None:
            block = _keep_locked(document, self._region, self._block)
            self._delta = VoxelDelta.between(document.labelmap, self._region, block)
            self._block = None
        if self._delta is None:
            return Change(Aspect.NONE)
        self._delta.apply(document.labelmap)
        return Change(Aspect.VOXELS, self._delta.region, self._source)

    def undo(self, document: Document) -> Change:
        if self._delta is None:
            return Change(Aspect.NONE)
        self._delta.revert(document.labelmap)
        return Change(Aspect.VOXELS, self._delta.region)


class ApplyDelta:
    """Apply a change that was worked out before, from the document in its present state."""

    def __init__(self, label: str, delta: VoxelDelta) -> None:
        self.label = label
        self._delta = delta

    @property
    def nbytes(self) -> int:
        return self._delta.nbytes

    @property
    def is_empty(self) -> bool:
        return False

    @property
    def deltas(self) -> tuple[VoxelDelta, ...]:
        return (self._delta,)

    def do(self, document: Document) -> Change:
        self._delta.apply(document.labelmap)
        return Change(Aspect.VOXELS, self._delta.region)

    def undo(self, document: Document) -> Change:
        self._delta.revert(document.labelmap)
        return Change(Aspect.VOXELS, self._delta.region)


class SetPrompts:
    """Replace the document's prompts."""

    def __init__(self, label: str, prompts: tuple[Prompt, ...]) -> None:
        self.label = label
        self._prompts = prompts
        self._before: tuple[Prompt, ...] | None = None

    @property
    def nbytes(self) -> int:
        return 200 * len(self._prompts)

    @property
    def is_empty(self) -> bool:
        return self._before == self._prompts

    @property
    def deltas(self) -> tuple[VoxelDelta, ...]:
        return ()

    def do(self, document: Document) -> Change:
        self._before = document.prompts
        document.prompts = self._prompts
        return Change(Aspect.PROMPTS)

    def undo(self, document: Document) -> Change:
        document.prompts = self._before or ()
        return Change(Aspect.PROMPTS)


class SetAnnotations:
    """Replace the document's rulers, angles and diameters."""

    def __init__(self, label: str, annotations: tuple[Annotation, ...]) -> None:
        self.label = label
        self._annotations = annotations
        self._before: tuple[Annotation, ...] | None = None

    @property
    def nbytes(self) -> int:
        return 400 * len(self._annotations)

    @property
    def is_empty(self) -> bool:
        return self._before == self._annotations

    @property
    def deltas(self) -> tuple[VoxelDelta, ...]:
        return ()

    def do(self, document: Document) -> Change:
        self._before = document.annotations
        document.annotations = self._annotations
        return Change(Aspect.ANNOTATIONS)

    def undo(self, document: Document) -> Change:
        document.annotations = self._before or ()
        return Change(Aspect.ANNOTATIONS)


class ApplyPrediction:
    """Write a predicted mask in place of the same object's earlier one.

    Voxels that the earlier prediction wrote inside ``covered`` and that still hold its label are
    given back first; edits that a person made in between survive. Then the new mask is written
    where the draw-over policy and the padlocks allow it.

    Parameters
    ----------
    label : str
        Name of the undo step.
    object_id, label_id : int
    region : Region, optional
        Where ``mask`` lies; None for an empty mask.
    mask : (z, y, x) bool, optional
        Shape of ``region``.
    covered : Region
        What the prediction speaks about: the slices that were run, whole.
    draw_over : DrawOver
    """

    def __init__(
        self,
        label: str,
        *,
        object_id: int,
        label_id: int,
        region: Region | None,
        mask: np.ndarray | None,
        covered: Region,
        draw_over: DrawOver = DrawOver.EMPTY,
    ) -> None:
        self.label = label
        self._object_id = object_id
        self._label_id = label_id
        self._region = region
        self._mask = mask
        self._covered = covered
        self._draw_over = draw_over
        self._is_planned = False
        self._delta: VoxelDelta | None = None
        self._written_before: Mapping[int, VoxelDelta] = {}
        self._written_after: Mapping[int, VoxelDelta] = {}

    @property
    def nbytes(self) -> int:
        written = self._written_after.get(self._object_id)
        return sum(d.nbytes for d in (self._delta, written) if d is not None)

    @property
    def is_empty(self) -> bool:
        return self._delta is None and self._written_after is self._written_before

    @property
    def deltas(self) -> tuple[VoxelDelta, ...]:
        return () if self._delta is None else (self._delta,)

    def do(self, document: Document) -> Change:
        if not self._is_planned:
            self._plan(document)
        if self._delta is not None:
            self._delta.apply(document.labelmap)
        document.written = self._written_after
        return self._change()

    def undo(self, document: Document) -> Change:
        if self._delta is not None:
            self._delta.revert(document.labelmap)
        document.written = self._written_before
        return self._change()

    def _change(self) -> Change:
        if self._delta is None:
            return Change(Aspect.NONE)
        return Change(Aspect.VOXELS, self._delta.region)

    def _plan(self, document: Document) -> None:
        self._written_before = self._written_after = document.written
        earlier = document.written.get(self._object_id)
        extent = self._extent(document, earlier)
        if extent is not None:
            present = document.labelmap.voxels[extent.slices]
            # What was there before this object wrote anything.
            base = present.copy()
            if earlier is not None:
                restored = base.copy()
                touched = earlier.paint_old(restored, extent)
                still_ours = touched & (present == self._label_id)
                base[still_ours] = restored[still_ours]
            after = self._after(document, extent, base, present)
            self._delta = VoxelDelta.from_blocks(extent, present, after)
            written = VoxelDelta.from_blocks(extent, base, after)
            kept = {k: v for k, v in document.written.items() if k != self._object_id}
            if written is not None:
                kept[self._object_id] = written
            self._written_after = kept
        self._mask = None
        self._is_planned = True

    def _extent(self, document: Document, earlier: VoxelDelta | None) -> Region | None:
        if self._region is not None:
            if self._mask is None or self._mask.shape != self._region.shape_zyx:
                raise GeometryError("The predicted mask does not have the shape of its region.")
            if not self._region.is_inside(document.volume.geometry.shape_zyx):
                raise GeometryError("The predicted mask leaves the image.")
        earlier_region = None if earlier is None else earlier.region
        parts = [r for r in (self._region, earlier_region) if r is not None]
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else parts[0].union(parts[1])

    def _after(
        self, document: Document, extent: Region, base: np.ndarray, present: np.ndarray
    ) -> np.ndarray:
        # Outside what was run, the earlier prediction stands.
        after = present.copy()
        covered = extent.intersection(self._covered)
        if covered is not None:
            inside = covered.relative_to(extent).slices
            after[inside] = base[inside]
        if self._region is not None and self._mask is not None:
            where = self._region.relative_to(extent).slices
            block = after[where]
            allowed = writable(block, self._label_id, document.label_table, self._draw_over)
            if self._label_id > np.iinfo(after.dtype).max:
                after = after.astype(np.uint16)
                block = after[where]
            block[self._mask & allowed] = self._label_id
        # A padlock that was closed after the prediction was made keeps its voxels.
        locked = document.label_table.locked_ids
        if locked:
            keep = np.isin(present, locked)
            after[keep] = present[keep]
        return after


class ClaimMask:
    """Let a label's voxels in a region count as what an object wrote; no voxel changes.

    The object's next prediction then replaces them as it would its own earlier mask.
    """

    def __init__(self, label: str, object_id: int, label_id: int, region: Region) -> None:
        self.label = label
        self._object_id = object_id
        self._label_id = label_id
        self._region = region
        self._before: Mapping[int, VoxelDelta] = {}
        self._claimed: VoxelDelta | None = None

    @property
    def nbytes(self) -> int:
        return self._claimed.nbytes if self._claimed else 0

    @property
    def is_empty(self) -> bool:
        return self._claimed is None

    @property
    def deltas(self) -> tuple[VoxelDelta, ...]:
        return ()

    def do(self, document: Document) -> Change:
        self._before = document.written
        present = document.labelmap.voxels[self._region.slices]
        without = np.where(present == self._label_id, 0, present).astype(present.dtype)
        self._claimed = VoxelDelta.from_blocks(self._region, without, present)
        if self._claimed is not None:
            document.written = {**self._before, self._object_id: self._claimed}
        return Change(Aspect.NONE)

    def undo(self, document: Document) -> Change:
        document.written = self._before
        return Change(Aspect.NONE)


class SetLabels:
    """Replace the label table: the base of adding, renaming, recolouring, locking."""

    def __init__(self, label: str, table: LabelTable) -> None:
        self.label = label
        self._table = table
        self._before: LabelTable | None = None

    @property
    def nbytes(self) -> int:
        return 200 * len(self._table)

    @property
    def is_empty(self) -> bool:
        return self._before == self._table

    @property
    def deltas(self) -> tuple[VoxelDelta, ...]:
        return ()

    def do(self, document: Document) -> Change:
        self._before = document.label_table
        document.label_table = self._table
        return Change(Aspect.LABELS)

    def undo(self, document: Document) -> Change:
        document.label_table = self._before or LabelTable()
        return Change(Aspect.LABELS)


def add_label(table: LabelTable, info: LabelInfo) -> SetLabels:
    """Return the command that adds a label."""
    return SetLabels(f"Add label {info.name}", table.with_added(info))


def change_label(table: LabelTable, info: LabelInfo, what: str) -> SetLabels:
    """Return the command that renames, recolours, shows, hides, locks or unlocks a label."""
    return SetLabels(f"{what} {info.name}", table.with_changed(info))


class DeleteLabel:
    """Remove a label, its voxels and its prompts."""

    def __init__(self, label_id: int) -> None:
        self.label = "Delete label"
        self._label_id = label_id
        self._delta: VoxelDelta | None = None
        self._before: tuple[LabelTable, tuple[Prompt, ...], Mapping[int, VoxelDelta]] | None = None
        self._is_planned = False

    @property
    def nbytes(self) -> int:
        return self._delta.nbytes if self._delta else 200

    @property
    def is_empty(self) -> bool:
        return False

    @property
    def deltas(self) -> tuple[VoxelDelta, ...]:
        return () if self._delta is None else (self._delta,)

    def do(self, document: Document) -> Change:
        info = document.label_table.get(self._label_id)
        if info is None:
            raise UsageError(f"There is no label with the value {self._label_id}.")
        if info.locked:
            raise UsageError(f"“{info.name}” is locked. Open its padlock before deleting it.")
        self.label = f"Delete label {info.name}"
        if not self._is_planned:
            hit = document.labelmap.voxels == self._label_id
            region = Region.of_mask(hit)
            if region is not None:
                block = document.labelmap.voxels[region.slices].copy()
                block[hit[region.slices]] = 0
                self._delta = VoxelDelta.between(document.labelmap, region, block)
            self._is_planned = True
        self._before = (document.label_table, document.prompts, document.written)
        gone = {p.object_id for p in document.prompts if p.label_id == self._label_id}
        document.label_table = document.label_table.without(self._label_id)
        document.prompts = tuple(p for p in document.prompts if p.label_id != self._label_id)
        document.written = {k: v for k, v in document.written.items() if k not in gone}
        if self._delta is not None:
            self._delta.apply(document.labelmap)
        return self._change()

    def undo(self, document: Document) -> Change:
        if self._before is not None:
            document.label_table, document.prompts, document.written = self._before
        if self._delta is not None:
            self._delta.revert(document.labelmap)
        return self._change()

    def _change(self) -> Change:
        aspects = Aspect.LABELS | Aspect.PROMPTS | Aspect.VOXELS
        return Change(aspects, self._delta.region if self._delta else None)


def clear_region(document: Document, label_id: int, region: Region) -> EditVoxels:
    """Return the command that erases one label inside a region."""
    block = document.labelmap.voxels[region.slices].copy()
    block[block == label_id] = 0
    return EditVoxels("Clear", region, block)


def _keep_locked(document: Document, region: Region, block: np.ndarray) -> np.ndarray:
    locked = document.label_table.locked_ids
    if not locked or not region.is_inside(document.labelmap.voxels.shape):
        return block
    present = document.labelmap.voxels[region.slices]
    if block.shape != present.shape:
        return block
    keep = np.isin(present, locked) | np.isin(block, locked)
    # In a type that holds both: present values above 255 must not wrap in a block of bytes.
    return np.where(keep, present, block)
