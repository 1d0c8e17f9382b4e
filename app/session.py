"""The use cases: open, prompt, carry through, undo, export. No Qt; on the GUI thread only.

Slow work goes through a `Runner`; what crosses to the worker is immutable. A prompt that waits
for its mask is *pending*: shown, but not yet in the document. When the mask arrives, prompt and
mask enter the document as one undo step.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from models.preprocess import intensity_window

from app import __version__
from app.core.commands import (
    ApplyPrediction,
    SetLabels,
    SetPrompts,
    add_label,
    change_label,
)
from app.core.document import Document
from app.core.errors import AppError, PromptError
from app.core.events import Event
from app.core.geometry import Region
from app.core.labels import DrawOver, LabelInfo, LabelTable
from app.core.prompts import (
    BoxPrompt,
    PointPrompt,
    Prompt,
    ScribblePrompt,
    in_object,
    next_object_id,
    slice_region,
)
from app.core.tasks import JobContext, JobHandle, Runner
from app.core.view_state import ViewState
from app.core.volume import Volume
from app.exporting import SaveReport, save_result
from app.io.reader import SeriesInfo, read_volume, scan
from app.settings import Settings
from models.base import InstalledModel, SegmentationResult, SliceMask
from models.engine import DEFAULT_MODEL, InferenceEngine, SegmentationRequest

logger = logging.getLogger(__name__)

# A new box on the slice of an earlier box of the same object replaces it if they overlap this
# much (intersection over union); otherwise it is another object.
SAME_OBJECT_OVERLAP = 0.3


@dataclass(frozen=True)
class Status:
    """What is running, for the status bar. ``fraction`` is None when its length is unknown."""

    text: str = ""
    fraction: float | None = None
    can_cancel: bool = False

    @property
    def is_busy(self) -> bool:
        return bool(self.text)


@dataclass(frozen=True)
class Message:
    """A sentence for the user; ``is_error`` decides how it is shown."""

    text: str
    is_error: bool = False


@dataclass(frozen=True, eq=False)
class Preview:
    """A mask that is not in the document: shown while a box is dragged or a mask is carried."""

    axis: int
    index: int
    mask: np.ndarray
    label_id: int


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


class Session:
    """One open scan and what can be done with it.

    Attributes
    ----------
    document : Document, optional
    view_state : ViewState
    pending : tuple of Prompt
        Waiting for their masks; drawn hollow.
    scores : dict of object id to dict of slice index to float
        The model's own estimates, for badges and the review.

    Events
    ------
    document_changed : Document or None
        Another scan is open. (Changes inside it are `Document.changed`.)
    pending_changed, scores_changed : None
    preview_changed : Preview or None
    status_changed : Status
    message : Message
    series_offered : tuple of SeriesInfo
        The path holds several series; call `open` again with one of their uids.
    models_changed : None
        The model, its device or the list of models changed.
    saved : SaveReport
    """

    def __init__(
        self,
        runner: Runner,
        file_runner: Runner,
        engine: InferenceEngine,
        models: Callable[[], dict[str, InstalledModel]],
        settings: Settings,
    ) -> None:
        self.settings = settings
        self.view_state = ViewState()
        self.document: Document | None = None
        self.scores: dict[int, dict[int, float]] = {}
        self.draw_over = DrawOver.EMPTY
        self.model_id = settings.model_id or DEFAULT_MODEL
        self.model_window: tuple[float, float] = (0.0, 1.0)
        self.device_text = "Loading the model …"
        self.source_path: Path | None = None

        self.document_changed: Event[Document | None] = Event()
        self.pending_changed: Event[None] = Event()
        self.scores_changed: Event[None] = Event()
        self.preview_changed: Event[Preview | None] = Event()
        self.status_changed: Event[Status] = Event()
        self.message: Event[Message] = Event()
        self.series_offered: Event[tuple[SeriesInfo, ...]] = Event()
        self.models_changed: Event[None] = Event()
        self.saved: Event[SaveReport] = Event()

        self._runner = runner
        self._file_runner = file_runner
        self._engine = engine
        self._models = models
        self._pending: list[_Pending] = []
        self._current_object: int | None = None
        self._stop: StopRequest | None = None
        self._statuses: dict[str, Status] = {}
        self._preview: Preview | None = None
        self._preview_handle: JobHandle | None = None
        self._open_handle: JobHandle | None = None

    # -- models --------------------------------------------------------------------------------

    @property
    def models(self) -> dict[str, InstalledModel]:
        """Installed models by id."""
        return self._models()

    def load_model(self, model_id: str | None = None) -> None:
        """Make a model ready on the worker; a prompt given meanwhile waits for it."""
        self.model_id = model_id or self.model_id
        wanted = self.model_id

        def work(ctx: JobContext) -> str:
            segmenter = self._engine.load(wanted)
            return f"{segmenter.model.device} ({self._engine.device.reason})"

        def done(device_text: str) -> None:
            self.device_text = device_text
            self._set_status("model")
            self.models_changed.emit(None)

        self._set_status("model", Status("Loading the model"))
        self._runner.submit(work, key="model", done=done, failed=self._failed("model"))

    # -- opening -------------------------------------------------------------------------------

    def open(self, path: Path, *, series_uid: str | None = None) -> None:
        """Read a scan on the worker; the open document stays until it is there."""
        path = Path(path)

        def work(
            ctx: JobContext,
        ) -> tuple[SeriesInfo, ...] | tuple[Volume, tuple[float, float]]:
            if series_uid is None and path.is_dir():
                found = tuple(s for s in scan(path) if s.is_openable)
                if len(found) > 1:
                    return found
            volume = read_volume(path, series_uid=series_uid, ctx=ctx)
            return volume, intensity_window(volume.voxels, volume.modality)

        def done(result: tuple) -> None:
            self._set_status("open")
            if isinstance(result[0], Volume):
                self._opened(path, *result)
            else:
                self.series_offered.emit(result)

        self._set_status("open", Status(f"Opening {path.name}", None, can_cancel=True))
        self._open_handle = self._file_runner.submit(
            work,
            key="open",
            done=done,
            failed=self._failed("open"),
            progress=self._progress("open", f"Opening {path.name}"),
        )

    def _opened(self, path: Path, volume: Volume, window: tuple[float, float]) -> None:
        self.set_document(Document(volume, label_table=_first_table()), window)
        self.source_path = path
        self.settings.add_recent(path)
        for note in volume.notes:
            self.message.emit(Message(note))

    def set_document(self, document: Document | None, window: tuple[float, float]) -> None:
        """Show another document; whatever ran for the old one is cancelled."""
        self.cancel(keep=False)
        if self.document is not None:
            self._engine.cache.drop_volume(self.document.volume.uid)
        self.document = document
        self.model_window = window
        self.scores = {}
        self._current_object = None
        if document is not None:
            shape = document.volume.voxels.shape
            self.view_state.window = window
            self.view_state.cursor_zyx = (shape[0] // 2, shape[1] // 2, shape[2] // 2)
            self.view_state.active_label = next(iter(document.label_table)).id
        self.document_changed.emit(document)

    # -- prompting -----------------------------------------------------------------------------

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
        label_id, object_id = self.view_state.active_label, self._require_object()
        kept = tuple(
            p for p in prompts if not (isinstance(p, BoxPrompt) and p.slice_index == index)
        )
        box = BoxPrompt(region, axis, None, label_id, object_id)
        self._request(object_id, (*kept, box), "Box")

    def place_point(self, index_zyx: tuple[float, float, float], axis: int, positive: bool) -> None:
        """Ask for the current object's mask with one more click."""
        prompts = self._object_for_click(axis)
        point = PointPrompt(
            index_zyx, positive, axis, self.view_state.active_label, self._require_object()
        )
        self._request(self._require_object(), (*prompts, point), "Point")

    def place_scribble(
        self,
        points_zyx: tuple[tuple[float, float, float], ...],
        axis: int,
        radius_mm: float,
        positive: bool,
    ) -> None:
        """Ask for the current object's mask with one more stroke."""
        prompts = self._object_for_click(axis)
        stroke = ScribblePrompt(
            points_zyx,
            radius_mm,
            positive,
            axis,
            self.view_state.active_label,
            self._require_object(),
        )
        self._request(self._require_object(), (*prompts, stroke), "Scribble")

    def accept(self) -> None:
        """Finish the current object; the next prompt starts another."""
        self._current_object = None
        self.pending_changed.emit(None)

    def reset_object(self) -> None:
        """Take back the current object's prompts and mask, as one undo step."""
        document = self._editable()
        object_id = self._current_object
        if object_id is None and document.prompts:
            object_id = document.prompts[-1].object_id
        if object_id is None:
            return
        self._drop_pending(object_id)
        prompts = in_object(document.prompts, object_id)
        if prompts:
            with document.group("Reset prompts"):
                others = tuple(p for p in document.prompts if p.object_id != object_id)
                document.do(SetPrompts("Reset prompts", others))
                document.do(
                    ApplyPrediction(
                        "Reset prompts",
                        object_id=object_id,
                        label_id=prompts[0].label_id,
                        region=None,
                        mask=None,
                        covered=Region.whole(document.volume.voxels.shape),
                    )
                )
        self._current_object = None
        self.pending_changed.emit(None)

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
        if box_rc is None or self.document is None:
            if self._preview_handle is not None:
                self._preview_handle.cancel()
            self._set_preview(None)
            return
        if self._pending:
            return
        volume, label_id = self.document.volume, self.view_state.active_label
        region = slice_region(axis, index, box_rc).clipped_to(volume.voxels.shape)
        if region is None:
            return
        request = SegmentationRequest(
            volume, self.model_id, (BoxPrompt(region, axis),), self.model_window
        )

        def done(result: SegmentationResult) -> None:
            if self.document is None or self.document.volume is not volume:
                return
            mask = np.zeros(region_shape(volume, axis), bool)
            if result.region is not None and result.mask is not None:
                where = [s for a, s in enumerate(result.region.slices) if a != axis]
                mask[where[0], where[1]] = np.take(result.mask, 0, axis=axis)
            self._set_preview(Preview(axis, index, mask, label_id))

        self._preview_handle = self._runner.submit(
            lambda ctx: self._engine.run(request, ctx),
            key="preview",
            done=done,
            failed=lambda error, trace: logger.info("No preview: %s", error),
        )

    # -- history and cancelling ----------------------------------------------------------------

    def undo(self) -> bool:
        """Cancel the latest waiting prompt, else take back the last step."""
        if self._pending:
            self._drop_pending(self._pending[-1].object_id)
            return True
        return self.document is not None and self.document.undo()

    def redo(self) -> bool:
        """Do the last undone step again."""
        return self.document is not None and self.document.redo()

    def cancel(self, *, keep: bool = True) -> None:
        """Stop what runs. A carry-through keeps the slices that are done, unless ``keep`` is off."""
        if keep and self._stop is not None:
            self._stop.is_wanted = True
            return
        for waiting in tuple(self._pending):
            self._drop_pending(waiting.object_id)
        if self._open_handle is not None:
            self._open_handle.cancel()
        self._set_status("open")
        self.preview_box(0, 0, None)

    # -- labels --------------------------------------------------------------------------------

    def add_label(self, name: str = "") -> LabelInfo:
        """Add a label with a free value and colour, and make it the active one."""
        document = self._editable()
        info = document.label_table.new_label(name)
        document.do(add_label(document.label_table, info))
        self.set_active_label(info.id)
        return info

    def change_label(self, info: LabelInfo, what: str) -> None:
        """Replace a label's name, colour, visibility or padlock; ``what`` names the undo step."""
        document = self._editable()
        document.do(change_label(document.label_table, info, what))

    def set_labels(self, table: LabelTable, what: str) -> None:
        """Replace the whole table, e.g. by a preset."""
        self._editable().do(SetLabels(what, table))

    def set_active_label(self, label_id: int) -> None:
        """Choose the label of new work; the current object is finished."""
        if label_id != self.view_state.active_label:
            self.accept()
        self.view_state.active_label = label_id

    # -- saving --------------------------------------------------------------------------------

    def save_mask(self, path: Path) -> None:
        """Write the label map and, beside it, its labels and the prompts that made it."""
        document = self._editable()
        model = self.models.get(self.model_id)
        snapshot = document.snapshot(
            model_id=self.model_id,
            model_sha256=model.sha256 if model else "",
            window=self.model_window,
            app_version=__version__,
        )
        marker = document.undo_labels

        def done(report: SaveReport) -> None:
            self._set_status("save")
            if self.document is document and document.undo_labels == marker:
                document.mark_saved()
            self.saved.emit(report)
            self.message.emit(Message(f"Saved {report.path.name}; read back and compared."))

        self._set_status("save", Status(f"Saving {path.name}"))
        self._file_runner.submit(
            lambda ctx: save_result(snapshot, path, ctx),
            key="save",
            done=done,
            failed=self._failed("save"),
        )

    # -- inside: which object a prompt belongs to ------------------------------------------------

    def _object_for_box(self, axis: int, index: int, region: Region) -> tuple[Prompt, ...]:
        """Return the prompts that a new box joins; start another object where it does not fit."""
        current = self._prompts_of(self._current_object)
        if current and current[0].axis == axis:
            if current[0].label_id == self.view_state.active_label:
                same = [p for p in current if p.slice_index == index and isinstance(p, BoxPrompt)]
                if not same or _overlap(same[0].region, region) >= SAME_OBJECT_OVERLAP:
                    return current
        self._current_object = self._new_object_id()
        return ()

    def _object_for_click(self, axis: int) -> tuple[Prompt, ...]:
        self._editable()
        current = self._prompts_of(self._current_object)
        if (
            current
            and current[0].axis == axis
            and current[0].label_id == self.view_state.active_label
        ):
            return current
        self._current_object = self._new_object_id()
        return ()

    def _object_to_carry(self, document: Document) -> int:
        known = (*document.prompts, *self.pending)
        if self._current_object is not None and self._prompts_of(self._current_object):
            return self._current_object
        label_id = self.view_state.active_label
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

    def _new_object_id(self) -> int:
        document = self._editable()
        return next_object_id((*document.prompts, *self.pending))

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
            self._failed("segment")(error, trace)

        def progress(fraction: float, detail: str) -> None:
            self._set_status("segment", Status(f"{text}: {detail}", fraction, can_cancel=True))
            self._show_partial(partial, prompts[0].axis, label_id)

        self._stop = stop if is_carried else None
        self._set_status("segment", Status(text, None, can_cancel=True))
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
        others = tuple(p for p in document.prompts if p.object_id != waiting.object_id)
        with document.group(waiting.step):
            document.do(SetPrompts(waiting.step, (*others, *waiting.prompts)))
            document.do(
                ApplyPrediction(
                    waiting.step,
                    object_id=waiting.object_id,
                    label_id=waiting.prompts[0].label_id,
                    region=result.region,
                    mask=result.mask,
                    covered=result.covered,
                    draw_over=self.draw_over,
                )
            )
        self.scores[waiting.object_id] = dict(result.scores)
        self.scores_changed.emit(None)
        for sentence in result.stopped:
            self.message.emit(Message(sentence))
        if result.region is None:
            self.message.emit(Message("The model found nothing there; try a tighter box."))

    def _show_partial(self, partial: _Partial, axis: int, label_id: int) -> None:
        while partial.finished:
            index, slice_mask = partial.finished.popleft()
            self._set_preview(Preview(axis, index, slice_mask.mask, label_id))

    def _forget(self, waiting: _Pending) -> None:
        if waiting in self._pending:
            self._pending.remove(waiting)
        self._stop = None
        if not self._pending:
            self._set_status("segment")
        self._set_preview(None)
        self.pending_changed.emit(None)

    def _drop_pending(self, object_id: int) -> None:
        for waiting in [w for w in self._pending if w.object_id == object_id]:
            if waiting.handle is not None:
                waiting.handle.cancel()
            self._forget(waiting)

    # -- inside: telling -----------------------------------------------------------------------

    def _failed(self, what: str) -> Callable[[BaseException, str], None]:
        def failed(error: BaseException, trace: str) -> None:
            self._set_status(what)
            if isinstance(error, AppError):
                self.message.emit(Message(str(error), is_error=True))
                return
            logger.error("Unexpected failure in %s:\n%s", what, trace)
            self.message.emit(
                Message(
                    "Something unexpected went wrong; your work is untouched. "
                    f"({type(error).__name__}; details are in the log.)",
                    is_error=True,
                )
            )

        return failed

    def _progress(self, what: str, text: str) -> Callable[[float, str], None]:
        def progress(fraction: float, detail: str) -> None:
            self._set_status(what, Status(text, fraction, can_cancel=True))

        return progress

    def _set_status(self, what: str, status: Status | None = None) -> None:
        if status is None:
            self._statuses.pop(what, None)
        else:
            self._statuses[what] = status
        self.status_changed.emit(next(reversed(self._statuses.values()), Status()))

    def _set_preview(self, preview: Preview | None) -> None:
        if preview is not self._preview:
            self._preview = preview
            self.preview_changed.emit(preview)


def region_shape(volume: Volume, axis: int) -> tuple[int, int]:
    """Return the (rows, columns) of a volume's slices along an axis."""
    rows, columns = (n for a, n in enumerate(volume.voxels.shape) if a != axis)
    return rows, columns


def _first_table() -> LabelTable:
    table = LabelTable()
    return table.with_added(table.new_label("Label 1"))


def _overlap(a: Region, b: Region) -> float:
    common = a.intersection(b)
    if common is None:
        return 0.0
    return common.n_voxels / (a.n_voxels + b.n_voxels - common.n_voxels)
