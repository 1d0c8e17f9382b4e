"""The one module with threads: runs jobs one after another and calls back on the GUI thread."""

from __future__ import annotations

import bisect
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from PySide6.QtCore import QObject, Qt, QThread, QTimer, Signal, Slot

from app.core.errors import Cancelled
from app.core.tasks import JobContext, JobHandle

T = TypeVar("T")

# Progress is passed on at most this often.
_REPORT_INTERVAL_S = 1 / 20
# A job that shows no sign of life for so long is told; it may still end.
_SILENT_S = 10.0
_WATCH_MS = 1000
# What a main thread usually has. Other threads get 0.5 MB on macOS, too little for some libraries.
_STACK_BYTES = 8 << 20


class _Job:
    """One submitted job: its work, its callbacks, and whether anybody still wants it."""

    def __init__(
        self,
        work: Callable[[JobContext], Any],
        key: str,
        priority: int,
        done: Callable[[Any], None],
        failed: Callable[[BaseException, str], None],
        progress: Callable[[float, str], None] | None,
        report: Callable[[_Job, float, str], None],
    ) -> None:
        self.work: Callable[[JobContext], Any] | None = work
        self.key = key
        self.priority = priority
        self.is_cancelled = False
        self.sign_s = 0.0  # when it last asked or told anything, once it runs
        self._done: Callable[[Any], None] | None = done
        self._failed: Callable[[BaseException, str], None] | None = failed
        self._progress = progress
        self._wants_reports = progress is not None
        self._report = report
        self._last_report_s = -_REPORT_INTERVAL_S
        self._highest = 0.0

    # -- on the GUI thread

    def cancel(self) -> None:
        self.is_cancelled = True
        self._let_go()

    def call_done(self, result: object) -> None:
        """Give the result to whoever still wants it; no callback runs after this."""
        done = self._done
        self._let_go()
        if done is not None:
            done(result)

    def call_failed(self, error: BaseException, trace: str) -> None:
        """Give the error to whoever still wants to know; no callback runs after this."""
        failed = self._failed
        self._let_go()
        if failed is not None:
            failed(error, trace)

    def call_progress(self, fraction: float, text: str) -> None:
        """Tell how far the job is, unless it is cancelled or over."""
        if self._progress is not None:
            self._progress(fraction, text)

    def _let_go(self) -> None:
        # Whoever keeps the handle keeps no callback alive, nor the scan that it refers to.
        self._done = self._failed = self._progress = None

    # -- on the worker thread

    def report(self, fraction: float, text: str = "") -> None:
        self.check()
        now_s = self.sign_s
        self._highest = max(self._highest, min(1.0, fraction))
        if self._wants_reports and now_s - self._last_report_s >= _REPORT_INTERVAL_S:
            self._last_report_s = now_s
            self._report(self, self._highest, text)

    def check(self) -> None:
        self.sign_s = time.monotonic()
        if self.is_cancelled:
            raise Cancelled

    def run(self) -> object:
        """Return what the work returns; the work is let go of, whatever happens."""
        work, self.work = self.work, None
        self.check()
        assert work is not None
        return work(self)


class _Worker(QObject):
    """Lives on the worker thread; its signals cross to the GUI thread."""

    job_done = Signal(object, object)
    job_failed = Signal(object, object, str)
    job_cancelled = Signal(object)
    job_progressed = Signal(object, float, str)

    def __init__(self) -> None:
        super().__init__()
        self.current: _Job | None = None
        self._queue: list[_Job] = []
        self._lock = threading.Lock()

    def put(self, job: _Job) -> None:
        """Queue a job behind those of its priority; called on the GUI thread."""
        with self._lock:
            bisect.insort(self._queue, job, key=lambda queued: -queued.priority)

    def take_waiting(self) -> list[_Job]:
        """Return the jobs that have not begun, and forget them."""
        with self._lock:
            waiting, self._queue = self._queue, []
        return waiting

    @Slot()
    def run_next(self) -> None:
        """Run the next job to its end."""
        with self._lock:
            if not self._queue:
                return  # they were given to another worker
            job = self._queue.pop(0)
        job.sign_s = time.monotonic()
        self.current = job
        try:
            result = job.run()
        except Cancelled:
            self.job_cancelled.emit(job)
        except Exception as error:  # noqa: BLE001 - a failing job must not end the thread
            self.job_failed.emit(job, error, traceback.format_exc())
        else:
            self.job_done.emit(job, result)
        finally:
            self.current = None


class JobRunner(QObject):
    """Runs jobs on one thread that lives as long as the program. Implements `Runner`.

    Events
    ------
    busy_changed : bool
        Whether any job is queued or running.
    silent_changed : bool
        Whether the running job has shown no sign of life for long; `renew` gives up on it.
    """

    busy_changed = Signal(bool)
    silent_changed = Signal(bool)
    _wanted = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._jobs: list[_Job] = []
        self._is_closed = False
        self._is_silent = False
        self._given_up: list[tuple[QThread, _Worker]] = []
        self._watch = QTimer(self)
        self._watch.setInterval(_WATCH_MS)
        self._watch.timeout.connect(self._look)
        self._start()

    def _start(self) -> None:
        self._thread = QThread()
        self._thread.setStackSize(_STACK_BYTES)
        self._worker = _Worker()
        self._worker.moveToThread(self._thread)
        queued = Qt.ConnectionType.QueuedConnection
        self._wanted.connect(self._worker.run_next, queued)
        self._worker.job_done.connect(self._on_done, queued)
        self._worker.job_failed.connect(self._on_failed, queued)
        self._worker.job_cancelled.connect(self._on_cancelled, queued)
        self._worker.job_progressed.connect(self._on_progressed, queued)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether any job is queued or running."""
        return bool(self._jobs)

    def submit(
        self,
        work: Callable[[JobContext], T],
        *,
        key: str,
        done: Callable[[T], None],
        failed: Callable[[BaseException, str], None],
        progress: Callable[[float, str], None] | None = None,
        priority: int = 0,
    ) -> JobHandle:
        """Queue work on the worker thread; see `Runner.submit`. Nothing runs after `shutdown`."""
        for older in self._jobs:
            if older.key == key:
                older.cancel()
        job = _Job(work, key, priority, done, failed, progress, self._worker.job_progressed.emit)
        if self._is_closed:
            job.cancel()
            return job
        was_busy = self.is_busy
        self._jobs.append(job)
        self._worker.put(job)
        self._wanted.emit()
        if not was_busy:
            self._watch.start()
            self.busy_changed.emit(True)
        return job

    def renew(self) -> None:
        """Give up on the job that runs, and go on with those that wait on a fresh thread.

        A thread cannot be ended from outside: the old one runs on until its job ends, if ever, and
        what comes of that is dropped. What the job works with must not be used any more.
        """
        given_up = self._worker
        waiting = given_up.take_waiting()
        self._wanted.disconnect(given_up.run_next)
        lost = [job for job in self._jobs if job not in waiting]
        for job in lost:
            job.cancel()
            self._jobs.remove(job)
        self._thread.quit()
        self._given_up.append((self._thread, given_up))
        self._start()
        for job in waiting:
            self._worker.put(job)
            self._wanted.emit()
        self._show_silence(False)
        if lost and not self._jobs:
            self._watch.stop()
            self.busy_changed.emit(False)

    def cancel_all(self) -> None:
        """Forget every job; none of their callbacks runs any more."""
        for job in self._jobs:
            job.cancel()

    def shutdown(self, timeout_ms: int = 5000) -> bool:
        """Cancel everything and end the thread; False if a job did not stop in time.

        After False the thread still runs: call again to wait longer, or leave the process without
        destroying this object.
        """
        self._is_closed = True
        self.cancel_all()
        self._watch.stop()
        self._thread.quit()
        is_over = self._thread.wait(timeout_ms)
        # Those that were given up on had their time.
        return all(thread.wait(1) for thread, _ in self._given_up) and is_over

    # -- on the GUI thread

    @Slot(object, object)
    def _on_done(self, job: _Job, result: object) -> None:
        self._forget(job)
        job.call_done(result)

    @Slot(object, object, str)
    def _on_failed(self, job: _Job, error: BaseException, trace: str) -> None:
        self._forget(job)
        job.call_failed(error, trace)

    @Slot(object)
    def _on_cancelled(self, job: _Job) -> None:
        self._forget(job)

    @Slot(object, float, str)
    def _on_progressed(self, job: _Job, fraction: float, text: str) -> None:
        job.call_progress(fraction, text)

    def _forget(self, job: _Job) -> None:
        if job not in self._jobs:
            return  # given up
        self._jobs.remove(job)
        self._show_silence(False)
        if not self._jobs:
            self._watch.stop()
            self.busy_changed.emit(False)

    def _look(self) -> None:
        job = self._worker.current
        self._show_silence(job is not None and time.monotonic() - job.sign_s > _SILENT_S)

    def _show_silence(self, is_silent: bool) -> None:
        if is_silent != self._is_silent:
            self._is_silent = is_silent
            self.silent_changed.emit(is_silent)
