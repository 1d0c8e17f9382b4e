"""Prompts that wait for masks: asked of the engine, brought into the document as they arrive."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from app.alternatives import Alternatives
from app.core.commands import ApplyPrediction, SetPrompts
from app.core.document import Document
from app.core.errors import PromptError
from app.core.events import Event
from app.core.geometry import Region
from app.core.labels import DrawOver
from app.core.prompts import Prompt, in_object, through_of
from app.core.tasks import JobContext, JobHandle, Runner
from app.notices import Notices
from app.previewing import Preview, Previewing
from models.base import SegmentationResult, SliceMask
from models.engine import InferenceEngine, SegmentationRequest


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


class PromptJobs:
    """Requests of the open document that wait, and what their answers do to it.

    Attributes
    ----------
    document : Document, optional
    draw_over : DrawOver
    scores : dict of object id to dict of slice index to float
        The model's own estimates, for badges and the review.

    Events
    ------
    pending_changed, scores_changed : None
    answered : tuple of int and SegmentationResult
        An object's mask entered the document.
    """

    def __init__(
        self, runner: Runner, engine: InferenceEngine, notices: Notices, previewing: Previewing
    ) -> None:
        self.document: Document | None = None
        self.draw_over = DrawOver.EMPTY
        self.scores: dict[int, dict[int, float]] = {}
        self.pending_changed: Event[None] = Event()
        self.scores_changed: Event[None] = Event()
        self.answered: Event[tuple[int, SegmentationResult]] = Event()
        self._runner = runner
        self._engine = engine
        self._notices = notices
        self._previewing = previewing
        self._pending: list[_Pending] = []
        self._alternatives: Alternatives | None = None
        self._stop: StopRequest | None = None

    def open(self, document: Document | None) -> None:
        """Work on another document."""
        self.drop_all()
        self.document = document
        self.scores = {}
        self._alternatives = None

    @property
    def pending(self) -> tuple[Prompt, ...]:
        """Prompts that wait for their masks."""
        return tuple(p for waiting in self._pending for p in waiting.prompts)

    def waiting_for(self, object_id: int) -> tuple[Prompt, ...]:
        """Return an object's prompts that wait; empty where none do."""
        for waiting in self._pending:
            if waiting.object_id == object_id:
                return waiting.prompts
        return ()

    def ask(
        self, object_id: int, request: SegmentationRequest, step: str, *, is_carried: bool
    ) -> None:
        """Ask for an object's mask, in place of what waits for it; ``step`` names the undo step.

        Raises
        ------
        PromptError
            No scan is open, or the label is missing or locked.
        """
        document = self.document
        if document is None:
            raise PromptError("Open a scan first.")
        prompts = request.prompts
        label_id = prompts[0].label_id
        info = document.label_table.get(label_id)
        if info is None:
            raise PromptError("Choose a label first; the mask needs one.")
        if info.locked:
            raise PromptError(f"“{info.name}” is locked. Open its padlock to add to it.")
        self.drop(object_id)
        waiting = _Pending(object_id, prompts, f"{step} ({info.name})")
        self._pending.append(waiting)
        stop, partial = StopRequest(), _Partial()
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

    def next_alternative(self) -> None:
        """Put another outline of the latest answer in its place, the first again after the last.

        Raises
        ------
        PromptError
            The model offered none, or its object is gone.
        """
        document, others = self.document, self._alternatives
        if (
            document is None
            or others is None
            or not any(p.object_id == others.object_id for p in document.prompts)
        ):
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

    # -- cancelling ----------------------------------------------------------------------------

    def drop(self, object_id: int) -> None:
        """Cancel what waits for an object."""
        for waiting in [w for w in self._pending if w.object_id == object_id]:
            if waiting.handle is not None:
                waiting.handle.cancel()
            self._forget(waiting)

    def drop_latest(self) -> bool:
        """Cancel the latest waiting prompt; False if none waits."""
        if not self._pending:
            return False
        self.drop(self._pending[-1].object_id)
        return True

    def drop_all(self) -> None:
        """Cancel everything that waits."""
        while self.drop_latest():
            pass
        self._previewing.hide()

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

    # -- inside --------------------------------------------------------------------------------

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
