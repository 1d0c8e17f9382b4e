"""Which slices of a carried mask need a look, and which were looked at.

What confidence is, `app.confidence` says.

A slice is *accepted* as it looked then: once its mask changes, it is so no longer, until the
mask is as before. It is *corrected* when its mask is not as the model left it. Both are told by
digests of the mask, not by a history of their own, so that undo and redo keep them right.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from app.confidence import Look, confidences, look_at
from app.core.document import Document
from app.core.events import Aspect, Change, Event
from app.core.geometry import Region
from app.core.labels import VoxelDelta
from app.core.prompts import BoxPrompt, Prompt, in_object
from models.base import UNSURE, SegmentationResult

# Hand edits this many voxels beyond what the model wrote still belong to the object.
_ROOM = 12

Scores = Mapping[int, Mapping[int, float]]


@dataclass(frozen=True)
class Cell:
    """One slice of an object, for the review.

    Attributes
    ----------
    index : int
    confidence : float, optional
        None where the model left no mask.
    weakest : "score", "agreement", "overlap" or ""
        Which sign the confidence is.
    is_key, is_accepted, is_corrected : bool
        Has prompts of its own; was accepted as it is; is not as the model left it.
    is_changed : bool
        The last answer of the model changed a mask that was there before.
    """

    index: int
    confidence: float | None = None
    weakest: str = ""
    is_key: bool = False
    is_accepted: bool = False
    is_corrected: bool = False
    is_changed: bool = False

    @property
    def needs_look(self) -> bool:
        """The one definition, for the strip, the sliders and the key."""
        is_seen = self.is_accepted or self.is_corrected
        return self.confidence is not None and self.confidence < UNSURE and not is_seen


@dataclass(frozen=True, eq=False)
class _Answer:
    """What is remembered of one answer of the model.

    ``written`` tells whether the document is at that answer: undo brings the earlier one back. It
    does not keep the change of voxels alive once the history has forgotten it.
    """

    written: weakref.ref[VoxelDelta] | None
    digests: Mapping[int, int]
    agreement: Mapping[int, float]
    changed: frozenset[int] = frozenset()

    @classmethod
    def of(cls, written: VoxelDelta | None, *what: Any) -> _Answer:
        return cls(None if written is None else weakref.ref(written), *what)

    @property
    def is_forgotten(self) -> bool:
        return self.written is not None and self.written() is None

    def is_of(self, written: VoxelDelta | None) -> bool:
        """Return whether this is the answer that wrote a change."""
        mine = None if self.written is None else self.written()
        return mine is written and not self.is_forgotten


@dataclass
class _Object:
    answers: list[_Answer] = field(default_factory=list)
    accepted: dict[int, int] = field(default_factory=dict)


class Review:
    """What is known of the slices of every object of the open document.

    Events
    ------
    changed : None
        Some cells may be others now.
    """

    def __init__(self, scores: Callable[[], Scores]) -> None:
        self.changed: Event[None] = Event()
        self._scores = scores
        self._document: Document | None = None
        self._objects: dict[int, _Object] = {}
        self._cells: dict[int, tuple[Cell, ...]] = {}
        self._stale: set[int] = set()
        # With what the object had written when it was looked at.
        self._looks: dict[int, tuple[VoxelDelta | None, Look]] = {}
        self._leave: Callable[[], None] = lambda: None

    def open(self, document: Document | None) -> None:
        """Look at another document."""
        self._leave()
        self._leave = lambda: None
        self._document, self._objects, self._looks = document, {}, {}
        if document is not None:
            self._leave = document.changed.connect(self._on_changed)
        self.refresh()

    def refresh(self) -> None:
        """Work everything out again, e.g. because scores came."""
        self._cells.clear()
        self._stale.clear()
        self.changed.emit(None)

    def record(self, object_id: int, result: SegmentationResult) -> None:
        """Remember an answer of the model that is in the document now."""
        document = self._document
        prompts = in_object(document.prompts, object_id) if document is not None else ()
        if document is None or not prompts:
            return
        known = self._objects.setdefault(object_id, _Object())
        written = document.written.get(object_id)
        digests = self._look(document, object_id, prompts).digests
        before = known.answers[-1].digests if known.answers else {}
        changed = frozenset(i for i in before if digests.get(i, 0) != before[i])
        kept = [a for a in known.answers if not (a.is_of(written) or a.is_forgotten)]
        known.answers = [*kept, _Answer.of(written, digests, dict(result.agreement), changed)]
        self._refresh_one(object_id)

    # -- what is known ---------------------------------------------------------------------------

    def cells(self, object_id: int | None) -> tuple[Cell, ...]:
        """Return the slices of an object from the first to the last, without gaps."""
        document = self._document
        if document is None or object_id is None:
            return ()
        found = self._cells.get(object_id)
        # During a stroke the cells stay as they were; the brush is not to wait for them.
        is_due = object_id in self._stale and not document.is_in_group
        if found is None or is_due:
            self._stale.discard(object_id)
            prompts = in_object(document.prompts, object_id)
            found = self._find_cells(document, object_id, prompts) if prompts else ()
            self._cells[object_id] = found
        return found

    def target(self, current: int | None, label_id: int) -> int | None:
        """Return the object to review: the current one, else the latest one of a label."""
        prompts = () if self._document is None else self._document.prompts
        if current is not None and in_object(prompts, current):
            return current
        return next((p.object_id for p in reversed(prompts) if p.label_id == label_id), None)

    def axis_of(self, object_id: int | None) -> int:
        """Return the axis along which an object's slices lie."""
        prompts = () if self._document is None else self._document.prompts
        return next((p.axis for p in prompts if p.object_id == object_id), 0)

    def cell_at(self, axis: int, index: int, label_id: int) -> Cell | None:
        """Return what is known of a slice of the latest object of a label that is there."""
        prompts = () if self._document is None else self._document.prompts
        objects = (
            p.object_id for p in reversed(prompts) if (p.axis, p.label_id) == (axis, label_id)
        )
        for object_id in dict.fromkeys(objects):
            cells = self.cells(object_id)
            # Without gaps: the place of a slice is known.
            n = index - cells[0].index if cells else -1
            if 0 <= n < len(cells) and cells[n].confidence is not None:
                return cells[n]
        return None

    def to_check(self, object_id: int) -> tuple[int, ...]:
        """Return the slices of an object that need a look, the one that most needs it first."""
        doubtful = [c for c in self.cells(object_id) if c.needs_look]
        return tuple(c.index for c in sorted(doubtful, key=lambda c: (c.confidence, c.index)))

    def doubts(self, axis: int, n_slices: int) -> np.ndarray:
        """Return on which slices along an axis any object needs a look, (n_slices,) bool."""
        flags = np.zeros(n_slices, bool)
        for object_id in self._objects_on(axis):
            for cell in self.cells(object_id):
                if cell.needs_look and 0 <= cell.index < n_slices:
                    flags[cell.index] = True
        return flags

    def next_to_check(
        self, object_id: int | None, cursor_zyx: Sequence[int]
    ) -> tuple[int, int] | None:
        """Return (axis, slice) of what most needs a look, of an object before all others.

        From a slice that needs one the way goes on to the next in that order, and from the last
        back to the first.
        """
        document = self._document
        if document is None:
            return None
        axes = {p.object_id: p.axis for p in document.prompts}
        others = [i for i in reversed(axes) if i != object_id]
        for candidate in [object_id, *others] if object_id in axes else others:
            assert candidate is not None
            order, axis = self.to_check(candidate), axes[candidate]
            if order:
                here = cursor_zyx[axis]
                at = order.index(here) + 1 if here in order else 0
                return axis, order[at % len(order)]
        return None

    # -- accepting -------------------------------------------------------------------------------

    def accept(self, object_id: int, index: int, *, is_accepted: bool = True) -> None:
        """Mark a slice as looked at and right, or take the mark back."""
        document = self._document
        prompts = in_object(document.prompts, object_id) if document is not None else ()
        if document is None or not prompts:
            return
        known = self._objects.setdefault(object_id, _Object())
        digest = self._look(document, object_id, prompts).digests.get(index, 0)
        if is_accepted:
            known.accepted[index] = digest
        else:
            known.accepted.pop(index, None)
        self._refresh_one(object_id)

    # -- keeping ---------------------------------------------------------------------------------

    def content(self) -> dict[str, object]:
        """Return what is kept with a workspace: a few numbers per slice, as JSON values."""
        document = self._document
        kept: dict[str, object] = {}
        for object_id, known in self._objects.items():
            answer = None if document is None else self._answer(document, object_id)
            if answer is not None or known.accepted:
                kept[str(object_id)] = {
                    "accepted": _as_text(known.accepted),
                    "digests": _as_text(answer.digests) if answer is not None else {},
                    "agreement": _as_text(answer.agreement) if answer is not None else {},
                }
        return kept

    def restore(self, content: Any) -> None:
        """Take what `content` gave; what is not readable is left out."""
        document = self._document
        if document is None or not isinstance(content, Mapping):
            return
        for key, kept in content.items():
            try:
                object_id = int(key)
                accepted, digests = (
                    {int(i): int(d) for i, d in kept[name].items()}
                    for name in ("accepted", "digests")
                )
                agreement = {int(i): float(a) for i, a in kept["agreement"].items()}
            except (AttributeError, KeyError, TypeError, ValueError):
                continue
            written = document.written.get(object_id)
            answers = [_Answer.of(written, digests, agreement)] if digests else []
            self._objects[object_id] = _Object(answers, accepted)
        self.refresh()

    # -- inside ----------------------------------------------------------------------------------

    def _on_changed(self, change: Change) -> None:
        document = self._document
        if document is None or not change.aspects & (Aspect.VOXELS | Aspect.PROMPTS):
            # The end of a stroke is told as history alone.
            if document is not None and Aspect.HISTORY in change.aspects:
                self.changed.emit(None)
            return
        for object_id in {*self._cells, *self._looks}:
            where = _room(document, object_id)
            is_touched = where is None or (
                Aspect.VOXELS in change.aspects
                and (change.region is None or where.intersection(change.region) is not None)
            )
            if is_touched:
                self._looks.pop(object_id, None)
            if is_touched or Aspect.PROMPTS in change.aspects:
                self._stale.add(object_id)
        # During a stroke nobody reads the review; it is told of at the end.
        if not document.is_in_group:
            self.changed.emit(None)

    def _refresh_one(self, object_id: int) -> None:
        self._cells.pop(object_id, None)
        self._stale.discard(object_id)
        self.changed.emit(None)

    def _objects_on(self, axis: int) -> set[int]:
        prompts = () if self._document is None else self._document.prompts
        return {p.object_id for p in prompts if p.axis == axis}

    def _answer(self, document: Document, object_id: int) -> _Answer | None:
        """Return the answer of the model that the document holds now."""
        written = document.written.get(object_id)
        known = self._objects.get(object_id)
        found = [a for a in known.answers if a.is_of(written)] if known is not None else []
        return found[-1] if found else None

    def _find_cells(
        self, document: Document, object_id: int, prompts: tuple[Prompt, ...]
    ) -> tuple[Cell, ...]:
        scores = self._scores().get(object_id, {})
        answer = self._answer(document, object_id)
        known = self._objects.get(object_id, _Object())
        look = self._look(document, object_id, prompts)
        keys = {p.slice_index for p in prompts}
        ranges = [p.through for p in prompts if isinstance(p, BoxPrompt) and p.through]
        indices = {*keys, *look.digests, *(i for r in ranges for i in (r[0], r[1] - 1))}
        confidence = confidences(
            {i: s for i, s in scores.items() if i in look.digests},
            {} if answer is None else answer.agreement,
            look.overlap,
        )
        cells = []
        for index in range(min(indices), max(indices) + 1):
            value, weakest = confidence.get(index, (None, ""))
            digest = look.digests.get(index, 0)
            cells.append(
                Cell(
                    index,
                    value,
                    weakest,
                    is_key=index in keys,
                    is_accepted=known.accepted.get(index) == digest,
                    is_corrected=answer is not None and answer.digests.get(index, 0) != digest,
                    is_changed=answer is not None and index in answer.changed,
                )
            )
        return tuple(cells)

    def _look(self, document: Document, object_id: int, prompts: tuple[Prompt, ...]) -> Look:
        where = _room(document, object_id)
        if where is None:
            return Look({}, {})
        written = document.written.get(object_id)
        seen, found = self._looks.get(object_id, (None, None))
        if found is None or seen is not written:
            axis, label_id = prompts[0].axis, prompts[0].label_id
            block = np.moveaxis(document.labelmap.voxels[where.slices] == label_id, axis, 0)
            found = look_at(np.ascontiguousarray(block), where, axis)
            self._looks[object_id] = written, found
        return found


def _room(document: Document, object_id: int) -> Region | None:
    """Return where an object's voxels may lie: what the model wrote, and some room for edits."""
    written = document.written.get(object_id)
    if written is None:
        return None
    start, stop = (
        tuple(v + step for v in corner)
        for corner, step in ((written.region.start_zyx, -_ROOM), (written.region.stop_zyx, _ROOM))
    )
    return Region((start[0], start[1], start[2]), (stop[0], stop[1], stop[2])).clipped_to(
        document.volume.voxels.shape
    )


def _as_text(values: Mapping[int, float]) -> dict[str, float]:
    return {str(index): value for index, value in values.items()}
