"""From what a person points at to a mask in the document.

Prompts of one object are collected, sent to the engine and wait there as *pending*. When the
mask arrives, prompts and mask enter the document as one undo step.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from app.alternatives import Alternatives
from app.core.commands import ApplyPrediction, SetPrompts
from app.core.document import Document
from app.core.errors import PromptError
from app.core.events import Event
from app.core.geometry import Region
from app.core.labels import DrawOver
from app.core.prompts import (
    BoxPrompt,
    PointPrompt,
    Prompt,
    ScribblePrompt,
    in_object,
    next_object_id,
    slice_region,
    through_of,
)
from app.core.tasks import JobContext, JobHandle, Runner
from app.core.view_state import ViewState
from app.notices import Notices
from app.previewing import Preview, Previewing
from models.base import SegmentationResult, SliceMask
from models.engine import InferenceEngine, SegmentationRequest

# A new box on the slice of an earlier box of the same object replaces it if they overlap this
# much (intersection over union); otherwise it is another object.
SAME_OBJECT_OVERLAP = 0.3


@dataclass
class _Pending:
    """Prompts of one object whose mask has not arrived."""

    object_id: int
    prompts: tuple[Prompt, ...]
    step: str
    handle: JobHandle | None = None


@dataclass
class StopRequest:
    """Set by the GUI, read by a job that ends early and keeps what it has."""

    is_wanted: bool = False


@dataclass
class _Partial:
    """Slices that a running carry-through has finished; a deque is safe between two threads."""

    finished: deque[tuple[int, SliceMask]] = field(default_factory=deque)


class Prompting:
    """Prompts of the open document: which object they belong to, and what waits for its mask.

    Attributes
    ----------
    document : Document, optional
        Set by the session when another scan is opened.
    model_id : str
    model_window : tuple of 2 float
        Intensities that become 0 and 1 for the network.
    draw_over : DrawOver
    scores : dict of object id to dict of slice index to float
        The model's own estimates, for badges and the review.

    Events
    ------
    pending_changed, scores_changed : None
    preview_changed : Preview or None
    answered : tuple of int and SegmentationResult
        An object's mask entered the document.
    """

    def __init__(
        self,
        runner: Runner,
        engine: InferenceEngine,
        view_state: ViewState,
        notices: Notices,
        model_id: str,
    ) -> None:
        self.document: Document | None = None
        self.model_id = model_id
        self.model_window: tuple[float, float] = (0.0, 1.0)
        self.draw_over = DrawOver.EMPTY
        self.scores: dict[int, dict[int, float]] = {}
        self.pending_changed: Event[None] = Event()
        self.scores_changed: Event[None] = Event()
        self.answered: Event[tuple[int, SegmentationResult]] = Event()
        self._runner = runner
        self._engine = engine
        self._view_state = view_state
        self._notices = notices
        self._pending: list[_Pending] = []
        self._current_object: int | None = None
        self._alternatives: Alternatives | None = None
        self._stop: StopRequest | None = None
        self._previewing = Previewing(runner, engine)
        self.preview_changed = self._previewing.changed

    def open(self, document: Document | None, window: tuple[float, float]) -> None:
        """Work on another document."""
        self.drop_all()
        self.document = document
        self.model_window = window
        self.scores = {}
        self._current_object = None
        self._alternatives = None

    @property
    def pending(self) -> tuple[Prompt, ...]:
        """Prompts that wait for their masks."""
        return tuple(p for waiting in self._pending for p in waiting.prompts)

    @property
    def current_object(self) -> int | None:
        """The object that further prompts refine; None after `accept`."""
        return self._current_object

    def place_box(self, axis: int, index: int, box_rc: tuple[int, int, int, int]) -> None:
        """Ask for the mask of what lies in a half-open (r0, c0, r1, c1) box on a slice."""
        document = self._editable()
        self.preview_box(axis, index, None)
        region = slice_region(axis, index, box_rc).clipped_to(document.volume.voxels.shape)
        if region is None:
            raise PromptError("The box lies outside the image.")
        prompts = self._object_for_box(axis, index, region)
        label_id, object_id = self._view_state.active_label, self._require_object()
        kept = tuple(
            p for p in prompts if not (isinstance(p, BoxPrompt) and p.slice_index == index)
        )
        # A better box on a slice from which a mask was carried: it is carried from there again.
        box = BoxPrompt(region, axis, through_of(prompts), label_id, object_id)
        self._request(object_id, (*kept, box), "Box")

    def place_point(self, index_zyx: tuple[float, float, float], axis: int, positive: bool) -> None:
        """Ask for the current object's mask with one more click."""
        prompts = self._object_for_click(axis)
        point = PointPrompt(
            index_zyx, positive, axis, self._view_state.active_label, self._require_object()
        )
        self._request(self._require_object(), (*prompts, point), "Point")

    def place_scribble(
        self,
        points_zyx: tuple[tuple[float, float, float], ...],
        axis: int,
        radius_mm: float,
        positive: bool,
        *,
        step: str = "Scribble",
    ) -> None:
        """Ask for the current object's mask with one more stroke; ``step`` names the undo step."""
        prompts = self._object_for_click(axis)
        stroke = ScribblePrompt(
            points_zyx,
            radius_mm,
            positive,
            axis,
            self._view_state.active_label,
            self._require_object(),
        )
        self._request(self._require_object(), (*prompts, stroke), step)

    def new_object_id(self) -> int:
        """Return an id that no object has, waiting ones included."""
        document = self._editable()
        return next_object_id((*document.prompts, *self.pending))

    def continue_with(self, object_id: int) -> None:
        """Let further prompts refine an object of the document."""
        self._current_object = object_id
        self.pending_changed.emit(None)

    def accept(self) -> None:
        """Finish the current object; the next prompt starts another."""
        self._current_object = None
        self.pending_changed.emit(None)

    def next_alternative(self) -> None:
        """Put another outline of the latest answer in its place, the first again after the last.

        Raises
        ------
        PromptError
            The model offered none, or its object is gone.
        """
        document, others = self._editable(), self._alternatives
        is_there = others is not None and any(
            p.object_id == others.object_id for p in document.prompts
        )
        if others is None or not is_there:
            raise PromptError(
                "There is no other outline to show; the model offers some where it is unsure."
            )
        region, mask = others.next()
        command = ApplyPrediction(
            "Another outline",
            object_id=others.object_id,
            label_id=others.label_id,
            region=region,
            mask=mask,
            covered=others.covered,
            draw_over=self.draw_over,
        )
        document.when_idle(lambda: document.do(command))

    def reset_object(self) -> None:
        """Take back the current object's prompts and mask, as one undo step."""
        document = self._editable()
        object_id = self._current_object
        if object_id is None and document.prompts:
            object_id = document.prompts[-1].object_id
        if object_id is None:
            return
        self._drop_pending(object_id)
        self._current_object = None
        self.pending_changed.emit(None)
        # R may be pressed in the middle of a brush stroke.
        document.when_idle(lambda: self._take_back(document, object_id))

    def _take_back(self, document: Document, object_id: int) -> None:
        prompts = in_object(document.prompts, object_id)
        if not prompts:
            return
        step = "Reset prompts"
        with document.group(step):
            others = tuple(p for p in document.prompts if p.object_id != object_id)
            document.do(SetPrompts(step, others))
            document.do(
                ApplyPrediction(
                    step,
                    object_id=object_id,
                    label_id=prompts[0].label_id,
                    region=None,
                    mask=None,
                    covered=Region.whole(document.volume.voxels.shape),
                )
            )

    def carry_through(self, start: int, stop: int, object_id: int | None = None) -> None:
        """Carry an object's mask through a half-open range of slices, in both directions.

        Without ``object_id``: the current object, else the latest one of the active label.
        """
        document = self._editable()
        if object_id is None:
            object_id = self._object_to_carry(document)
        known = self._prompts_of(object_id)
        boxes = [p for p in known if isinstance(p, BoxPrompt)]
        axis = known[0].axis
        start, stop = max(0, start), min(stop, document.volume.voxels.shape[axis])
        low = min([start, *(p.slice_index for p in known)])
        high = max([stop, *(p.slice_index + 1 for p in known)])
        if boxes:
            carried = replace(boxes[0], through=(low, high))
            prompts = tuple(carried if p is boxes[0] else p for p in known)
        else:
            raise PromptError("Draw a box on one slice first; its mask is carried from there.")
        self._current_object = object_id
        self._request(object_id, prompts, "Carry through", is_carried=True)

    def preview_box(self, axis: int, index: int, box_rc: tuple[int, int, int, int] | None) -> None:
        """Show the mask of a box while it is dragged (the newest wins); None hides it."""
        document = self.document
        if box_rc is None or document is None:
            self._previewing.hide()
        elif not self._pending:
            self._previewing.show_box(
                document.volume,
                self.model_id,
                self.model_window,
                slice_of=(axis, index),
                box_rc=box_rc,
                label_id=self._view_state.active_label,
                is_current=lambda: self.document is document,
            )

    def request_of_object(self) -> SegmentationRequest:
        """Return what asks for the current object again, else for the active label's latest."""
        document = self._editable()
        try:
            prompts = self._prompts_of(self._object_to_carry(document))
        except PromptError as error:
            raise PromptError("Draw a box first; then there is a mask to ask for again.") from error
        return SegmentationRequest(document.volume, self.model_id, prompts, self.model_window)

    # -- cancelling ----------------------------------------------------------------------------

    def drop_latest(self) -> bool:
        """Cancel the latest waiting prompt; False if none waits."""
        if not self._pending:
            return False
        self._drop_pending(self._pending[-1].object_id)
        return True

    @property
    def is_carrying(self) -> bool:
        """Whether a mask is being carried through slices."""
        return self._stop is not None

    def stop_carrying(self) -> bool:
        """End a running carry-through, keeping the slices that are done; False if none runs."""
        if self._stop is None:
            return False
        self._stop.is_wanted = True
        return True

    def drop_all(self) -> None:
        """Cancel everything that waits."""
        while self.drop_latest():
            pass
        self._previewing.hide()

    # -- inside: which object a prompt belongs to ------------------------------------------------

    def _object_for_box(self, axis: int, index: int, region: Region) -> tuple[Prompt, ...]:
        """Return the prompts that a new box joins; start another object where it does not fit."""
        current = self._current_on(axis)
        same = [p for p in current if p.slice_index == index and isinstance(p, BoxPrompt)]
        if current and (not same or _overlap(same[0].region, region) >= SAME_OBJECT_OVERLAP):
            return current
        self._current_object = self.new_object_id()
        return ()

    def _object_for_click(self, axis: int) -> tuple[Prompt, ...]:
        current = self._current_on(axis)
        if current:
            return current
        self._current_object = self.new_object_id()
        return ()

    def _current_on(self, axis: int) -> tuple[Prompt, ...]:
        """Return the current object's prompts if a prompt on this axis may join them."""
        current = self._prompts_of(self._current_object)
        if (
            current
            and current[0].axis == axis
            and current[0].label_id == self._view_state.active_label
        ):
            return current
        return ()

    def _object_to_carry(self, document: Document) -> int:
        known = (*document.prompts, *self.pending)
        if self._current_object is not None and self._prompts_of(self._current_object):
            return self._current_object
        label_id = self._view_state.active_label
        for prompt in reversed(known):
            if prompt.label_id == label_id:
                return prompt.object_id
        raise PromptError("Draw a box on one slice first; its mask is carried from there.")

    def _prompts_of(self, object_id: int | None) -> tuple[Prompt, ...]:
        """Return an object's prompts, waiting ones before those in the document."""
        if object_id is None or self.document is None:
            return ()
        for waiting in self._pending:
            if waiting.object_id == object_id:
                return waiting.prompts
        return in_object(self.document.prompts, object_id)

    def _require_object(self) -> int:
        assert self._current_object is not None
        return self._current_object

    def _editable(self) -> Document:
        if self.document is None:
            raise PromptError("Open a scan first.")
        return self.document

    # -- inside: requests ----------------------------------------------------------------------

    def _request(
        self, object_id: int, prompts: tuple[Prompt, ...], step: str, *, is_carried: bool = False
    ) -> None:
        document = self._editable()
        label_id = prompts[0].label_id
        info = document.label_table.get(label_id)
        if info is None:
            raise PromptError("Choose a label first; the mask needs one.")
        if info.locked:
            raise PromptError(f"“{info.name}” is locked. Open its padlock to add to it.")
        self._drop_pending(object_id)
        waiting = _Pending(object_id, prompts, f"{step} ({info.name})")
        self._pending.append(waiting)
        is_carried = is_carried or any(isinstance(p, BoxPrompt) and p.through for p in prompts)
        stop, partial = StopRequest(), _Partial()
        request = SegmentationRequest(document.volume, self.model_id, prompts, self.model_window)
        text = f"Carrying {info.name} through" if is_carried else f"Segmenting {info.name}"

        def work(ctx: JobContext) -> SegmentationResult:
            return self._engine.run(
                request,
                ctx,
                on_slice=lambda index, mask: partial.finished.append((index, mask)),
                should_stop=lambda: stop.is_wanted,
            )

        def done(result: SegmentationResult) -> None:
            document.when_idle(lambda: self._accept(document, waiting, result))

        def failed(error: BaseException, trace: str) -> None:
            self._forget(waiting)
            self._notices.failed("segment")(error, trace)

        report = self._notices.progress("segment", text)

        def progress(fraction: float, detail: str) -> None:
            report(fraction, detail)
            self._show_partial(partial, prompts[0].axis, label_id)

        self._stop = stop if is_carried else None
        self._notices.begin("segment", text, can_cancel=True)
        waiting.handle = self._runner.submit(
            work,
            key=f"segment {object_id}",
            done=done,
            failed=failed,
            progress=progress if is_carried else None,
        )
        self.pending_changed.emit(None)

    def _accept(self, document: Document, waiting: _Pending, result: SegmentationResult) -> None:
        # The click may have been cancelled, or another scan opened, while its result waited.
        if document is not self.document or waiting not in self._pending:
            return
        self._forget(waiting)
        if waiting.prompts[0].label_id not in document.label_table:
            return  # it was deleted meanwhile
        others = tuple(p for p in document.prompts if p.object_id != waiting.object_id)
        covered = self._with_slices_left(document, waiting, result)
        with document.group(waiting.step):
            document.do(SetPrompts(waiting.step, (*others, *waiting.prompts)))
            document.do(
                ApplyPrediction(
                    waiting.step,
                    object_id=waiting.object_id,
                    label_id=waiting.prompts[0].label_id,
                    region=result.region,
                    mask=result.mask,
                    covered=covered,
                    draw_over=self.draw_over,
                )
            )
        self._alternatives = None
        if result.alternatives:
            self._alternatives = Alternatives(
                waiting.object_id, waiting.prompts[0].label_id, result
            )
            self._notices.tell("The model is unsure here. C shows another outline.")
        self.scores[waiting.object_id] = dict(result.scores)
        self.answered.emit((waiting.object_id, result))
        self.scores_changed.emit(None)
        for sentence in result.stopped:
            self._notices.tell(sentence)
        if result.region is None:
            self._notices.tell("The model found nothing there; try a tighter box.")

    def _with_slices_left(
        self, document: Document, waiting: _Pending, result: SegmentationResult
    ) -> Region:
        """Return what a result speaks about, with the slices that its range no longer holds."""
        axis, covered = result.axis, result.covered
        before = through_of(in_object(document.prompts, waiting.object_id))
        now = through_of(waiting.prompts)
        if before is None or now is None:
            return covered
        start, stop = covered.start_zyx[axis], covered.stop_zyx[axis]
        if before[0] < now[0]:
            start = min(start, before[0])
        if before[1] > now[1]:
            stop = max(stop, before[1])
        return covered.with_axis(axis, start, stop)

    def _show_partial(self, partial: _Partial, axis: int, label_id: int) -> None:
        while partial.finished:
            index, slice_mask = partial.finished.popleft()
            self._previewing.show(Preview(axis, index, slice_mask.mask, label_id))

    def _forget(self, waiting: _Pending) -> None:
        if waiting in self._pending:
            self._pending.remove(waiting)
        self._stop = None
        if not self._pending:
            self._notices.end("segment")
        self._previewing.show(None)
        self.pending_changed.emit(None)

    def _drop_pending(self, object_id: int) -> None:
        for waiting in [w for w in self._pending if w.object_id == object_id]:
            if waiting.handle is not None:
                waiting.handle.cancel()
            self._forget(waiting)


def _overlap(a: Region, b: Region) -> float:
    common = a.intersection(b)
    if common is None:
        return 0.0
    return common.n_voxels / (a.n_voxels + b.n_voxels - common.n_voxels)
