"""Automatic segmentation of the open scan: choose a model, run it, see it arrive.

For a panel (everything on the GUI thread, through ``session.automatic``):

- ``choices`` lists the automatic models that are installed, with what they expect and find.
- ``doubts(model_id)`` returns sentences about why the scan does not look like what a model was
  made for. Ask before a run if there are any; ``run`` itself asks nothing.
- ``expected_seconds(model_id)`` is what a run should take on this machine; None before the first.
- ``run(model_id, names=..., roi=...)`` starts a run; ``is_running`` and ``running_changed`` follow
  it, and the status bar shows how far it is (key "auto"). A newer run cancels an older one.
- While it runs, ``preview_changed`` emits an `AutomaticPreview` as slices arrive: label values of
  the whole scan, their names and colours, and what changed since the last one. None hides it.
- ``stop()`` cancels and keeps nothing; ``stop(keep=True)`` keeps the slices that are done.
- At the end labels enter the document as one undo step. Voxels of padlocked labels stay, and what
  else may be taken is up to the draw-over policy; earlier voxels of the labels that were looked
  for are replaced.
- ``found`` holds the structures of the latest run, to go to and to refine (`FoundStructures`).
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from app.automatic_found import Found, FoundStructures
from app.automatic_labels import LabelPlan, entered, plan_labels
from app.core.commands import ApplyDelta, SetLabels
from app.core.document import Document
from app.core.errors import UsageError
from app.core.events import Event
from app.core.geometry import Region
from app.core.labels import DrawOver, LabelTable, VoxelDelta
from app.core.tasks import JobContext, JobHandle, Runner
from app.core.view_state import ViewState
from app.notices import Notices
from app.prompt_jobs import StopRequest
from app.prompting import Prompting
from app.timings import Timings
from models.automatic.checks import doubts
from models.automatic.grid import run_mvoxels
from models.automatic.result import AutomaticRequest, AutomaticResult, LabelBlock
from models.automatic.spec import AutomaticSpec, automatic_spec
from models.base import InstalledModel, ModelKind
from models.engine import InferenceEngine

# A box of a piece is this much larger than the piece, as a person would draw it.
_BOX_MARGIN = 1


@dataclass(frozen=True)
class AutomaticChoice:
    """An installed automatic model, with the description that it came with."""

    model: InstalledModel
    spec: AutomaticSpec

    @property
    def id(self) -> str:
        return self.model.id

    @property
    def title(self) -> str:
        return self.model.title

    @property
    def names(self) -> tuple[str, ...]:
        """What it finds."""
        return tuple(label.name for label in self.spec.labels)


@dataclass(frozen=True, eq=False)
class AutomaticPreview:
    """Labels of a running segmentation, as far as they are known.

    Attributes
    ----------
    labels : (z, y, x) uint8 or uint16
        Values of ``table``; read-only here, it goes on growing. 0 where nothing is known yet.
    table : LabelTable
        Names and colours, as they will enter the document.
    changed : Region
        What is new since the last preview.
    """

    labels: np.ndarray
    table: LabelTable
    changed: Region


@dataclass
class _Run:
    """One run, from its start until its labels are in the document."""

    choice: AutomaticChoice
    names: frozenset[str]
    roi: Region | None
    plan: LabelPlan
    preview: np.ndarray
    stop: StopRequest = field(default_factory=StopRequest)
    blocks: deque[LabelBlock] = field(default_factory=deque)
    handle: JobHandle | None = None


class Automatic:
    """Automatic segmentation of the open document; see the module.

    Attributes
    ----------
    document : Document, optional
        Set by the session when another scan is opened.
    found : FoundStructures

    Events
    ------
    running_changed : None
    preview_changed : AutomaticPreview or None
    """

    def __init__(
        self,
        runner: Runner,
        file_runner: Runner,
        engine: InferenceEngine,
        models: Callable[[], Mapping[str, InstalledModel]],
        view_state: ViewState,
        notices: Notices,
        prompting: Prompting,
        *,
        timings: Timings,
        device: Callable[[], str],
    ) -> None:
        self.document: Document | None = None
        self.running_changed: Event[None] = Event()
        self.preview_changed: Event[AutomaticPreview | None] = Event()
        self._runner = runner
        self._file_runner = file_runner
        self._engine = engine
        self._models = models
        self._view_state = view_state
        self._notices = notices
        self._prompting = prompting
        self.found = FoundStructures(view_state, prompting)
        self._timings = timings
        self._device = device
        self._run: _Run | None = None
        self._choices: tuple[AutomaticChoice, ...] | None = None

    def open(self, document: Document | None) -> None:
        """Work on another document."""
        self.stop()
        self.document = document
        self.found.open(document)

    # -- before a run --------------------------------------------------------------------------

    @property
    def choices(self) -> tuple[AutomaticChoice, ...]:
        """The automatic models that can be run, in the order in which they are installed."""
        if self._choices is None:
            self._choices = tuple(
                AutomaticChoice(model, automatic_spec(model))
                for model in self._models().values()
                if model.kind is ModelKind.AUTOMATIC and "automatic" in model.details
            )
        return self._choices

    def list_models(self) -> None:
        """Look again which models are installed; they are files, and asked for at every step."""
        self._choices = None

    def choice(self, model_id: str) -> AutomaticChoice:
        """Return one of the choices.

        Raises
        ------
        UsageError
            There is none with this id.
        """
        for choice in self.choices:
            if choice.id == model_id:
                return choice
        raise UsageError(f"There is no automatic model “{model_id}”.")

    def doubts(self, model_id: str, roi: Region | None = None) -> tuple[str, ...]:
        """Return sentences about why the scan does not suit a model; none if it does."""
        return doubts(self._editable().volume, self.choice(model_id).spec, roi)

    def expected_seconds(self, model_id: str, roi: Region | None = None) -> float | None:
        """Return what a run should take on this machine; None if it never ran here."""
        spec, geometry = self.choice(model_id).spec, self._editable().volume.geometry
        return self._timings.expected(self._timing_name(model_id), run_mvoxels(geometry, spec, roi))

    # -- a run ---------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether a run is queued, going on, or about to enter the document."""
        return self._run is not None

    def run(
        self, model_id: str, *, names: frozenset[str] | None = None, roi: Region | None = None
    ) -> None:
        """Segment the open scan on the worker; see the module.

        Parameters
        ----------
        model_id : str
        names : frozenset of str, optional
            The structures that are wanted; all by default.
        roi : Region, optional
            Where they are wanted; nothing changes outside.

        Raises
        ------
        UsageError
            No scan is open, there is no such model, or nothing is wanted.
        """
        document, choice = self._editable(), self.choice(model_id)
        wanted = frozenset(choice.names) if names is None else names & frozenset(choice.names)
        if not wanted:
            raise UsageError("Choose at least one structure to look for.")
        if roi is not None:
            roi = roi.clipped_to(document.volume.voxels.shape)
            if roi is None:
                raise UsageError("The region of interest lies outside the scan.")
        self.stop()
        plan = plan_labels(document, choice.spec, wanted)
        shape = document.volume.voxels.shape
        run = _Run(choice, wanted, roi, plan, np.zeros(shape, plan.dtype))
        request = AutomaticRequest(document.volume, model_id, roi)
        text = f"Segmenting with {choice.title}"

        def work(ctx: JobContext) -> AutomaticResult:
            return self._engine.run_automatic(
                request, ctx, on_block=run.blocks.append, should_stop=lambda: run.stop.is_wanted
            )

        def failed(error: BaseException, trace: str) -> None:
            self._end(run)
            self._notices.failed("auto")(error, trace)

        report = self._notices.progress("auto", text)

        def progress(fraction: float, detail: str) -> None:
            report(fraction, detail)
            self._show_blocks(run)

        self._run = run
        self._notices.begin("auto", text, can_cancel=True)
        run.handle = self._runner.submit(
            work,
            key="auto",
            done=lambda result: document.when_idle(lambda: self._plan(document, run, result)),
            failed=failed,
            progress=progress,
        )
        self.running_changed.emit(None)

    def stop(self, *, keep: bool = False) -> bool:
        """Stop the run; with ``keep``, what is done enters the document. False if none runs."""
        run = self._run
        if run is None:
            return False
        if keep:
            run.stop.is_wanted = True
            return True
        if run.handle is not None:
            run.handle.cancel()
        self._end(run)
        return True

    # -- inside --------------------------------------------------------------------------------

    def _editable(self) -> Document:
        if self.document is None:
            raise UsageError("Open a scan first.")
        return self.document

    def _timing_name(self, model_id: str) -> str:
        return f"{model_id} on {self._device()}"

    def _show_blocks(self, run: _Run) -> None:
        """Show what has arrived since the last time."""
        if run is not self._run:
            return
        changed: Region | None = None
        shape = run.preview.shape
        while run.blocks:
            block = run.blocks.popleft()
            stop = block.start + len(block.labels)
            run.preview[block.start : stop] = run.plan.lookup[block.labels]
            slab = Region((block.start, 0, 0), (stop, *shape[1:]))
            changed = slab if changed is None else changed.union(slab)
        if changed is not None:
            view = run.preview.view()
            view.setflags(write=False)
            self.preview_changed.emit(AutomaticPreview(view, run.plan.table, changed))

    def _plan(self, document: Document, run: _Run, result: AutomaticResult) -> None:
        """Work out on a worker what the document's labels become, and enter that."""
        if run is not self._run or document is not self.document:
            return
        if result.is_complete:
            name = self._timing_name(run.choice.id)
            self._timings.learn(name, result.mvoxels, result.seconds)
        plan = plan_labels(document, run.choice.spec, run.names)
        state, draw_over = document.state, self._prompting.draw_over
        work: Callable[[JobContext], VoxelDelta | None] = functools.partial(
            _delta, document.labelmap.voxels.copy(), plan, result, draw_over
        )

        def accept(delta: VoxelDelta | None) -> None:
            if run is not self._run or document is not self.document:
                return
            if document.state is not state:
                self._plan(document, run, result)  # the labels changed meanwhile
                return
            self._enter(document, run, plan, result, delta)

        def failed(error: BaseException, trace: str) -> None:
            self._end(run)
            self._notices.failed("auto")(error, trace)

        run.handle = self._file_runner.submit(
            work,
            key="enter automatic labels",
            done=lambda delta: document.when_idle(lambda: accept(delta)),
            failed=failed,
        )

    def _enter(
        self,
        document: Document,
        run: _Run,
        plan: LabelPlan,
        result: AutomaticResult,
        delta: VoxelDelta | None,
    ) -> None:
        found = tuple(Found(plan.ids[s.value], s) for s in result.structures if s.value in plan.ids)
        step = f"Automatic: {run.choice.title}"
        if found or delta is not None:
            table = plan.table_with({f.label_id for f in found}, document.label_table)
            with document.group(step):
                document.do(SetLabels(step, table))
                if delta is not None:
                    document.do(ApplyDelta(step, delta))
            if document.label_table.get(self._view_state.active_label) is None and found:
                self.found.choose_label(found[0].label_id)
        self._end(run)
        self.found.set(found, document.done_steps[-1] if document.done_steps else None)
        if not found:
            about = f"It was made for scans of: {run.choice.spec.body_part}."
            self._notices.tell(f"{run.choice.title} found nothing in this scan. {about}")
        elif not result.is_complete:
            self._notices.tell("Stopped; what was done is kept.")

    def _end(self, run: _Run) -> None:
        if run is not self._run:
            return
        self._run = None
        self._notices.end("auto")
        self.preview_changed.emit(None)
        self.running_changed.emit(None)


def _delta(
    present: np.ndarray,
    plan: LabelPlan,
    result: AutomaticResult,
    draw_over: DrawOver,
    ctx: JobContext,
) -> VoxelDelta | None:
    """Return the change that a result makes to present label values."""
    region = result.covered
    if region is None:
        return None
    ctx.check()
    before = present[region.slices]
    after = entered(before, plan, result.labels[region.slices], draw_over)
    ctx.check()
    return VoxelDelta.from_blocks(region, before, after)
