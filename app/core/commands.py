"""The changes that a document knows. Each checks everything before it changes anything."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from app.core.annotations import Annotation
from app.core.document import Document
from app.core.errors import UsageError
from app.core.events import Aspect, Change
from app.core.geometry import Region
from app.core.labels import DrawOver, LabelInfo, LabelTable, VoxelDelta
from app.core.prediction import Prediction
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

    `Prediction` says which voxels change, and what the other parameters mean.

    Parameters
    ----------
    label : str
        Name of the undo step.
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
        # Kept only until it is worked out: the mask is large.
        self._prediction: Prediction | None = Prediction(
            object_id, label_id, region, mask, covered, draw_over
        )
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
        if self._prediction is not None:
            self._delta, self._written_after = self._prediction.outcome(document)
            self._written_before = document.written
            self._prediction = None
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
