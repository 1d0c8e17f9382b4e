"""From prompts on slices to one object's mask through a volume.

A `SliceModel` sees one slice at a time. This module gathers the prompts of one object by slice,
runs the slices that have prompts of their own (the key slices), and carries the mask from them
in both directions, each slice's mask guiding the next, until its range ends or a stop rule holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from app.core.geometry import Region
from app.core.prompts import Prompt
from app.core.tasks import JobContext
from app.core.volume import Volume
from models.agreement import dice, expected_dice
from models.base import (
    UNSURE,
    BoxRC,
    KeySlice,
    SegmentationResult,
    SliceMask,
    SliceModel,
    SlicePrompts,
    SliceView,
)
from models.cache import BoundedMemory, EmbeddingCache
from models.prompted_object import (
    PromptedObject,
    box_around,
    gathered,
    with_click,
    with_room,
)

# Answers of slices are kept, so that refining one slice of a carried object runs again only
# what depends on it.
_MEMORY_BYTES = 128 << 20

# Where a model is unsure it offers other outlines, at these probabilities.
OTHER_LEVELS = (0.2, 0.8)


@dataclass(frozen=True)
class StopRules:
    """When carrying a mask on ends before its range does.

    Attributes
    ----------
    max_empty : int
        This many empty slices in a row end it.
    max_area_ratio : float
        The area may not grow or shrink by more than this factor from slice to slice.
    min_overlap : float
        Intersection over union with the slice before.
    min_score : float
        The model's own estimate of its Dice.
    min_area_px : int
        Masks smaller than this count as empty; they are too small to jump or to overlap.
    """

    max_empty: int = 2
    max_area_ratio: float = 2.5
    min_overlap: float = 0.3
    min_score: float = 0.35
    min_area_px: int = 4

    def reason_to_stop(self, before: np.ndarray, now: SliceMask) -> str:
        """Return why a non-empty mask should not be trusted after ``before``; "" if it may be."""
        area_before, area = int(before.sum()), int(now.mask.sum())
        if min(area_before, area) > 8 * self.min_area_px:
            if max(area, area_before) > self.max_area_ratio * min(area, area_before):
                return f"its area jumped from {area_before} to {area} pixels"
            overlap = int((before & now.mask).sum())
            if overlap < self.min_overlap * (area + area_before - overlap):
                return "it hardly overlaps the slice before"
        if now.score < self.min_score:
            return f"the model is not confident ({now.score:.2f})"
        return ""


class PromptedSegmenter:
    """Runs a `SliceModel` on the prompts of one object. Implements `Segmenter`."""

    def __init__(self, model: SliceModel, rules: StopRules | None = None) -> None:
        self.model = model
        self.spec = model.spec
        self._rules = rules or StopRules()
        self._answers: BoundedMemory[str, SliceMask] = BoundedMemory(
            _MEMORY_BYTES, lambda answer: answer.probability.nbytes
        )

    def segment(
        self,
        volume: Volume,
        prompts: tuple[Prompt, ...],
        window: tuple[float, float],
        cache: EmbeddingCache,
        ctx: JobContext,
        *,
        on_slice: Callable[[int, SliceMask], None] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> SegmentationResult:
        """Return the mask of one object.

        Parameters
        ----------
        volume : Volume
        prompts : tuple of Prompt
            All of one object, on one axis.
        window : tuple of 2 float
            Intensities that become 0 and 1 for the network.
        cache : EmbeddingCache
        ctx : JobContext
            Asked before every slice. Cancelling drops everything.
        on_slice : callable, optional
            Gets each slice as the mask reaches it, and again where a later pass changes it.
        should_stop : callable, optional
            Asked before every slice that the mask is carried to; once true, what is done is
            returned.

        Raises
        ------
        PromptError
            No prompt, prompts on several axes, or outside the volume.
        Cancelled
        """
        target = gathered(volume, prompts, self.spec.prompt_kinds)
        run = _Run(self, volume, target, window, cache, ctx, on_slice, should_stop)
        run.key_slices()
        run.carry()
        return run.result()

    def run_slice(self, view: SliceView, prompts: SlicePrompts, cache: EmbeddingCache) -> SliceMask:
        """Return the model's mask on one slice; the same question is answered from memory."""
        key = _digest(view, prompts)
        answer = self._answers.get(key)
        if answer is None:
            answer = self.model.predict(view, prompts, cache)
            self._answers.keep(key, answer)
        return answer


class _Run:
    """One call of `PromptedSegmenter.segment`."""

    def __init__(
        self,
        segmenter: PromptedSegmenter,
        volume: Volume,
        target: PromptedObject,
        window: tuple[float, float],
        cache: EmbeddingCache,
        ctx: JobContext,
        on_slice: Callable[[int, SliceMask], None] | None,
        should_stop: Callable[[], bool],
    ) -> None:
        self._segmenter = segmenter
        self._rules = segmenter._rules
        self._volume = volume
        self._target = target
        self._window = window
        self._cache = cache
        self._ctx = ctx
        self._on_slice = on_slice
        self._should_stop = should_stop
        self._masks: dict[int, SliceMask] = {}
        # How far two ways to a slice agree, as Dice.
        self._agreement: dict[int, float] = {}
        self._stopped: list[str] = []
        self._told: dict[int, SliceMask] = {}
        self._n_total = max(1, len(set(range(target.start, target.stop)) | set(target.prompted)))

    def key_slices(self) -> None:
        """Run every slice whose prompts stand on their own: a box, or points outside any range."""
        for index in self._target.prompted:
            is_carried_to = self._target.start <= index < self._target.stop and self._target.boxes
            if index in self._target.boxes or not is_carried_to:
                self._predict(index, None)

    def carry(self) -> None:
        """Carry the mask from the key slices through the range.

        A model that can tell roughly where the object is on every slice guides the way; then no
        slice depends on the one before. Otherwise the mask goes from slice to slice in both
        directions. Between two key slices each direction goes to its end; where both reach a
        slice their probabilities are mixed by closeness, so that the result does not depend on
        which came first.
        """
        start, stop = self._target.start, self._target.stop
        keys = sorted(i for i in self._masks if start <= i < stop)
        if not any(self._masks[i].mask.any() for i in keys) or stop - start <= len(keys):
            return
        if self._follow_guide(keys):
            return
        self._walk(keys[0], range(keys[0] - 1, start - 1, -1))
        self._walk(keys[-1], range(keys[-1] + 1, stop))
        for low, high in pairwise(keys):
            between = range(low + 1, high)
            forward = self._chain(low, between)
            backward = self._chain(high, reversed(between))
            for index in between:
                weight = (high - index) / (high - low)
                if index in forward and index in backward:
                    self._agreement[index] = dice(forward[index].mask, backward[index].mask)
                self._keep(index, _mix(forward.get(index), backward.get(index), weight))

    def _follow_guide(self, keys: list[int]) -> bool:
        """Outline the slices of the range where the guide sees the object; False without one."""
        start, stop = self._target.start, self._target.stop
        model = self._segmenter.model
        view = SliceView(self._volume, self._target.axis, keys[0], self._window)
        known = {i: self._known(i) for i in keys}
        guides = model.guide(view, known, start, stop)
        if not guides:
            return False
        # Slices with clicks first: corrected, they tell the guide more.
        corrected = [i for i in self._target.clicks if start <= i < stop and i not in known]
        for index in corrected:
            self._outline(index, guides[index])
        if corrected:
            known |= {i: self._known(i) for i in corrected if i in self._masks}
            guides = model.guide(view, known, start, stop)
        # Outwards from the first key slice, as a person would look.
        rest = [i for i in range(start, stop) if i not in known]
        for index in sorted(rest, key=lambda i: abs(i - keys[0])):
            if self._should_stop():
                break
            self._outline(index, guides[index])
        return True

    def _known(self, index: int) -> KeySlice:
        """Return a finished slice as the guide is told of it."""
        is_corrected = index in self._target.clicks
        box = None if is_corrected else self._target.boxes.get(index)
        return KeySlice(self._masks[index].probability, box)

    def _outline(self, index: int, guide: np.ndarray) -> None:
        """Run a slice on what the guide found there; nothing where it found nothing."""
        found = guide > 0.5
        has_clicks = index in self._target.clicks
        if int(found.sum()) >= self._rules.min_area_px or has_clicks:
            answer = self._predict(index, found if found.any() else None, is_kept=False)
            if not has_clicks:
                # The guide saw the slices around, the slice network the fine detail; the mean of
                # both is better than either, and tells by itself where they disagree.
                mixed = ((answer.probability + guide) / 2).astype(np.float32)
                answer = SliceMask(mixed, expected_dice(mixed))
            self._keep(index, answer)

    def result(self) -> SegmentationResult:
        """Return all slices as one block."""
        shape, axis = self._volume.voxels.shape, self._target.axis
        indices = sorted(self._masks)
        covered = Region.whole(shape).with_axis(axis, indices[0], indices[-1] + 1)
        block = np.zeros(covered.shape_zyx, bool)
        for index, slice_mask in self._masks.items():
            where: list[slice | int] = [slice(None)] * 3
            where[axis] = index - indices[0]
            block[tuple(where)] = slice_mask.mask
        tight = Region.of_mask(block)
        region = mask = None
        if tight is not None:
            mask = block[tight.slices].copy()
            region = tight.with_axis(
                axis, tight.start_zyx[axis] + indices[0], tight.stop_zyx[axis] + indices[0]
            )
        scores = {i: m.score for i, m in sorted(self._masks.items())}
        others: tuple[np.ndarray, ...] = ()
        if len(indices) == 1:
            found = other_outlines(self._masks[indices[0]])
            others = tuple(np.expand_dims(outline, axis) for outline in found)
        stopped, agreement = tuple(self._stopped), dict(sorted(self._agreement.items()))
        return SegmentationResult(covered, region, mask, axis, scores, stopped, others, agreement)

    def _walk(self, key: int, indices: range) -> None:
        for index, slice_mask in self._chain(key, indices).items():
            self._keep(index, slice_mask)

    def _chain(self, key: int, indices: Iterable[int]) -> dict[int, SliceMask]:
        """Return the slices reached from a key slice, before a stop rule holds."""
        reached: dict[int, SliceMask] = {}
        before, n_empty = self._masks[key].mask, 0
        if not before.any():
            return reached
        for index in indices:
            if self._should_stop():
                break
            now = self._guided(index, before)
            is_corrected = index in self._target.clicks
            if int(now.mask.sum()) < self._rules.min_area_px:
                n_empty += 1
                if n_empty >= self._rules.max_empty:
                    break
                continue
            reason = "" if is_corrected else self._rules.reason_to_stop(before, now)
            if reason:
                self._stopped.append(f"Stopped at slice {index + 1}: {reason}.")
                break
            reached[index] = now
            self._tell(index, now)
            before, n_empty = now.mask, 0
        return reached

    def _guided(self, index: int, before: np.ndarray) -> SliceMask:
        return self._predict(index, before, is_kept=False)

    def _predict(
        self, index: int, neighbour: np.ndarray | None, *, is_kept: bool = True
    ) -> SliceMask:
        self._ctx.report(min(1.0, len(self._told) / self._n_total), f"slice {index + 1}")
        view = SliceView(self._volume, self._target.axis, index, self._window)
        box = self._target.boxes.get(index)
        between = None if box is not None else self._target.box_between(index)
        if between is not None:
            box = between
        elif box is None and neighbour is not None:
            box = box_around(neighbour, margin=0.10)
        guide = None if neighbour is None else neighbour.astype(np.float32)
        prompts = SlicePrompts(box_rc=box, neighbour=guide)
        result = None
        if box is not None:
            result = self._segmenter.run_slice(view, prompts, self._cache)
        # As in use: each click corrects the mask that it was made on.
        for click in self._target.clicks.get(index, ()):
            previous = None if result is None else result.probability
            prompts = with_click(prompts, click, self._target.axis, previous)
            result = self._segmenter.run_slice(view, prompts, self._cache)
        assert result is not None
        if self._target.limit_rc is not None:
            result = _limited(result, self._target.limit_rc)
        elif between is not None and index not in self._target.clicks:
            result = _limited(result, with_room(between))
        if is_kept:
            self._keep(index, result)
        return result

    def _keep(self, index: int, slice_mask: SliceMask | None) -> None:
        if slice_mask is None:
            return
        self._masks[index] = slice_mask
        self._tell(index, slice_mask)

    def _tell(self, index: int, slice_mask: SliceMask) -> None:
        is_news = self._told.get(index) is not slice_mask
        self._told[index] = slice_mask
        if is_news and self._on_slice is not None:
            self._on_slice(index, slice_mask)


def other_outlines(answer: SliceMask) -> list[np.ndarray]:
    """Return a wider and a narrower mask (H, W) of an answer that the model is unsure of.

    They are other levels of its probability, without those that hardly differ from the mask.
    """
    if answer.score >= UNSURE:
        return []
    outlines = [answer.probability > level for level in OTHER_LEVELS]
    size = max(1, int(answer.mask.sum()))
    return [o for o in outlines if o.any() and (o ^ answer.mask).sum() > 0.05 * size]


def _digest(view: SliceView, prompts: SlicePrompts) -> str:
    """Return a digest of everything that an answer depends on."""
    digest = hashlib.blake2b(digest_size=16)
    question = (
        (view.volume.uid, view.axis, view.index, view.window),
        (prompts.box_rc, prompts.positive_rc, prompts.negative_rc, prompts.strokes),
    )
    digest.update(repr(question).encode())
    for name, mask in (("previous", prompts.previous), ("neighbour", prompts.neighbour)):
        if mask is not None:
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(mask).data)
    return digest.hexdigest()


def _limited(result: SliceMask, box_rc: BoxRC) -> SliceMask:
    """Return the mask without what lies outside a box that bounds the object."""
    r0, c0, r1, c1 = (max(0, round(v)) for v in box_rc)
    inside = np.zeros_like(result.probability)
    inside[r0:r1, c0:c1] = result.probability[r0:r1, c0:c1]
    return replace(result, probability=inside)


def _mix(forward: SliceMask | None, backward: SliceMask | None, weight: float) -> SliceMask | None:
    if forward is None or backward is None:
        return forward or backward
    mixed = weight * forward.probability + (1 - weight) * backward.probability
    score = weight * forward.score + (1 - weight) * backward.score
    return SliceMask(mixed.astype(np.float32), score)
