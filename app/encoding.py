"""Encodes slices while nobody waits for the model, so that the first box on them is answered fast.

What is visible comes first, then the slices of the same plane from there outward.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from app.core.events import Event
from app.core.prompts import AXIAL
from app.core.tasks import JobContext, JobHandle, Runner
from app.core.view_state import ViewState
from app.core.volume import Volume
from app.notices import Notices
from models.base import ModelSpec, SliceView
from models.engine import InferenceEngine

SliceOf = tuple[int, int]  # axis, index


@dataclass(frozen=True)
class _Report:
    """What a job did: slices encoded, the time it took, where the model moved meanwhile."""

    n_computed: int
    seconds: float
    moved_to: str


class IdleEncoding:
    """Keeps one small job of low priority on the worker until every slice is encoded.

    The job that runs is cancelled as soon as somebody wants another slice, and waits in line for
    its turn again.

    Events
    ------
    device_changed : str
        The model had to move, e.g. because the GPU's memory is full; where it runs now.
    """

    def __init__(
        self, runner: Runner, engine: InferenceEngine, view_state: ViewState, notices: Notices
    ) -> None:
        self.device_changed: Event[str] = Event()
        self._runner = runner
        self._engine = engine
        self._view_state = view_state
        self._notices = notices
        self._volume: Volume | None = None
        self._window: tuple[float, float] = (0.0, 1.0)
        self._spec: ModelSpec | None = None
        self._cursor = view_state.cursor_zyx
        self._axis = AXIAL
        self._ready: set[SliceOf] = set()
        self._asked: list[SliceOf] = []
        self._handle: JobHandle | None = None
        self._n_timed = 0
        self._seconds = 0.0
        view_state.changed.connect(self._on_view_changed)

    def open(self, volume: Volume | None, window: tuple[float, float]) -> None:
        """Encode another volume, or the same in another window; None for nothing."""
        self._volume, self._window = volume, window
        self._restart()

    def use(self, spec: ModelSpec) -> None:
        """Encode with another model, which is loaded; nothing if it has no encoder."""
        self._spec = spec
        self._restart()

    def forget(self, volume_uid: str) -> None:
        """Drop what was encoded of a volume."""
        # The cache is the worker's: it may be adding to it right now.
        self._runner.submit(
            lambda ctx: self._engine.cache.drop_volume(volume_uid),
            key=f"forget {volume_uid}",
            done=lambda _: None,
            failed=self._notices.failed("forget"),
        )

    def make_way(self, wanted: Collection[SliceOf]) -> None:
        """Free the worker for a request at once, unless just its slices are being encoded."""
        if self._handle is not None and wanted and not set(wanted) & set(self._asked):
            self._axis = next(iter(wanted))[0]
            self._submit()

    def _restart(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._ready = set()
        self._n_timed, self._seconds = 0, 0.0
        self._notices.end("encode")
        self._submit()

    def _submit(self) -> None:
        """Put the next slices in line; what ran before is cancelled by the runner."""
        volume, spec, window = self._volume, self._spec, self._window
        self._handle = None
        if volume is None or spec is None or not spec.has_encoder:
            return
        self._asked = [s for s in self._order(volume) if s not in self._ready][: spec.n_ahead]
        if not self._asked:
            self._notices.end("encode")
            return
        views = [SliceView(volume, axis, index, window) for axis, index in self._asked]

        def work(ctx: JobContext) -> _Report:
            device_before = self._engine.device_text(spec.id)
            n_before, began = self._engine.cache.n_computed, time.perf_counter()
            self._engine.prepare(spec.id, views, ctx)
            seconds = time.perf_counter() - began
            device = self._engine.device_text(spec.id)
            moved_to = device if device != device_before else ""
            return _Report(self._engine.cache.n_computed - n_before, seconds, moved_to)

        self._handle = self._runner.submit(
            work, key="encode", done=self._on_done, failed=self._notices.failed("encode"),
            priority=-1,
        )  # fmt: skip

    def _on_done(self, report: _Report) -> None:
        self._ready.update(self._asked)
        if report.n_computed:
            self._n_timed += report.n_computed
            self._seconds += report.seconds
            self._tell()
        if report.moved_to:
            self.device_changed.emit(report.moved_to)
        self._submit()

    def _tell(self) -> None:
        assert self._volume is not None
        order = self._order(self._volume)
        n_left = sum(s not in self._ready for s in order)
        left = duration(n_left * self._seconds / self._n_timed)
        text = f"Preparing slices: {len(order) - n_left} of {len(order)}, {left} left"
        self._notices.tell_idle("encode", text, 1 - n_left / len(order))

    def _order(self, volume: Volume) -> list[SliceOf]:
        """Return the slices to encode: what is visible, then outward in the plane worked on."""
        axis, cursor = self._axis, self._view_state.cursor_zyx
        outward = sorted(range(volume.voxels.shape[axis]), key=lambda i: abs(i - cursor[axis]))
        others = [(a, cursor[a]) for a in range(3) if a != axis]
        mine = [(axis, index) for index in outward]
        return [*mine[:1], *others, *mine[1:]]

    def _on_view_changed(self, name: str) -> None:
        if name != "cursor_zyx":
            return
        now = self._view_state.cursor_zyx
        moved = [a for a in range(3) if now[a] != self._cursor[a]]
        self._cursor = now
        # Scrolling moves the cursor along one axis; a click in a view moves it along two.
        if len(moved) == 1:
            self._axis = moved[0]


def duration(seconds: float) -> str:
    """Return a time span in words, roughly.

    >>> duration(42), duration(100), duration(8000)
    ('42 s', '2 min', '2.2 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
