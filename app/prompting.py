"""From what a person points at to a mask in the document.

Prompts of one object are collected, sent to the engine and wait there as *pending*. When the
mask arrives, prompts and mask enter the document as one undo step.
"""

from __future__ import annotations

from dataclasses import replace

from app.core.commands import ApplyPrediction, SetPrompts
from app.core.document import Document
from app.core.errors import PromptError
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
from app.core.tasks import Runner
from app.core.view_state import ViewState
from app.encoding import IdleEncoding
from app.notices import Notices
from app.previewing import Previewing
from app.prompt_jobs import PromptJobs
from models.engine import InferenceEngine, SegmentationRequest

# A new box on the slice of an earlier box of the same object replaces it if they overlap this
# much (intersection over union); otherwise it is another object.
SAME_OBJECT_OVERLAP = 0.3


class Prompting:
    """Prompts of the open document: which object they belong to, and what waits for its mask.

    Attributes
    ----------
    document : Document, optional
        Set by the session when another scan is opened.
    model_id : str
        The model that answers.

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
        encoding: IdleEncoding,
        model_id: str,
    ) -> None:
        self.document: Document | None = None
        self.model_id = model_id
        self._model_window: tuple[float, float] = (0.0, 1.0)
        self._engine = engine
        self._view_state = view_state
        self._encoding = encoding
        self._previewing = Previewing(runner, engine)
        self._jobs = PromptJobs(runner, engine, notices, self._previewing)
        self._current_object: int | None = None
        self.pending_changed = self._jobs.pending_changed
        self.scores_changed = self._jobs.scores_changed
        self.answered = self._jobs.answered
        self.preview_changed = self._previewing.changed
        self.pending_changed.connect(
            lambda _: encoding.make_way({(p.axis, p.slice_index) for p in self.pending})
        )

    def open(self, document: Document | None, window: tuple[float, float]) -> None:
        """Work on another document."""
        self._jobs.open(document)
        self.document = document
        self._model_window = window
        self._current_object = None

    @property
    def model_window(self) -> tuple[float, float]:
        """Intensities that become 0 and 1 for the network; not the display's window."""
        return self._model_window

    @model_window.setter
    def model_window(self, window: tuple[float, float]) -> None:
        self._model_window = window
        self._encoding.open(self.document.volume if self.document else None, window)

    @property
    def pending(self) -> tuple[Prompt, ...]:
        """Prompts that wait for their masks; drawn hollow."""
        return self._jobs.pending

    @property
    def scores(self) -> dict[int, dict[int, float]]:
        """The model's own estimates, by object and slice, for badges and the review."""
        return self._jobs.scores

    @property
    def draw_over(self) -> DrawOver:
        """Which voxels a mask may take."""
        return self._jobs.draw_over

    @draw_over.setter
    def draw_over(self, policy: DrawOver) -> None:
        self._jobs.draw_over = policy

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
        """Put another outline of the latest answer in its place; see `PromptJobs`."""
        self._editable()
        self._jobs.next_alternative()

    def reset_object(self) -> None:
        """Take back the current object's prompts and mask, as one undo step."""
        document = self._editable()
        object_id = self._current_object
        if object_id is None and document.prompts:
            object_id = document.prompts[-1].object_id
        if object_id is None:
            return
        self._jobs.drop(object_id)
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
        if box_rc is not None:
            self._encoding.make_way({(axis, index)})
        if box_rc is None or document is None:
            self._previewing.hide()
        elif not self._jobs.pending:
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
        return self._jobs.drop_latest()

    @property
    def is_carrying(self) -> bool:
        """Whether a mask is being carried through slices."""
        return self._jobs.is_carrying

    def stop_carrying(self) -> bool:
        """End a running carry-through, keeping the slices that are done; False if none runs."""
        return self._jobs.stop_carrying()

    def drop_all(self) -> None:
        """Cancel everything that waits."""
        self._jobs.drop_all()

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
        waiting = self._jobs.waiting_for(object_id)
        return waiting or in_object(self.document.prompts, object_id)

    def _require_object(self) -> int:
        assert self._current_object is not None
        return self._current_object

    def _editable(self) -> Document:
        if self.document is None:
            raise PromptError("Open a scan first.")
        return self.document

    def _request(
        self, object_id: int, prompts: tuple[Prompt, ...], step: str, *, is_carried: bool = False
    ) -> None:
        volume = self._editable().volume
        request = SegmentationRequest(volume, self.model_id, prompts, self.model_window)
        is_carried = is_carried or any(isinstance(p, BoxPrompt) and p.through for p in prompts)
        self._jobs.ask(object_id, request, step, is_carried=is_carried)


def _overlap(a: Region, b: Region) -> float:
    common = a.intersection(b)
    if common is None:
        return 0.0
    return common.n_voxels / (a.n_voxels + b.n_voxels - common.n_voxels)
