"""The one module with threads: runs jobs one after another and calls back on the GUI thread."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from PySide6.QtCore import QObject, Qt, QThread, Signal, Slot

from app.core.errors import Cancelled
from app.core.tasks import JobContext

T = TypeVar("T")

# Progress is passed on at most this often.
_REPORT_INTERVAL_S = 1 / 20


class _Job:
    """One submitted job: its work, its callbacks, and whether anybody still wants it."""

    def __init__(
        self,
        work: Callable[[JobContext], Any],
        key: str,
        done: Callable[[Any], None],
        failed: Callable[[BaseException, str], None],
        progress: Callable[[float, str], None] | None,
        report: Callable[[_Job, float, str], None],
    ) -> None:
        self.work = work
        self.key = key
        self.done = done
        self.failed = failed
        self.progress = progress
        self.is_cancelled = False
        self.is_over = False
        self._report = report
        self._last_report = 0.0
        self._highest = 0.0

    # -- JobHandle, on the GUI thread

    def cancel(self) -> None:
        self.is_cancelled = True

    # -- JobContext, on the worker thread

    def report(self, fraction: float, text: str = "") -> None:
        self.check()
        now = time.monotonic()
        self._highest = max(self._highest, min(1.0, fraction))
        if self.progress is not None and now - self._last_report >= _REPORT_INTERVAL_S:
            self._last_report = now
            self._report(self, self._highest, text)

    def check(self) -> None:
        if self.is_cancelled:
            raise Cancelled


class _Worker(QObject):
    """Lives on the worker thread; its signals cross to the GUI thread."""

    job_done = Signal(object, object)
    job_failed = Signal(object, object, str)
    job_cancelled = Signal(object)
    job_progressed = Signal(object, float, str)

    def __init__(self) -> None:
        super().__init__()
        self._queue: deque[_Job] = deque()
        self._lock = threading.Lock()

    def put(self, job: _Job, *, is_first: bool) -> None:
        """Queue a job; called on the GUI thread."""
        with self._lock:
            if is_first:
                self._queue.appendleft(job)
            else:
                self._queue.append(job)

    @Slot()
    def run_next(self) -> None:
        """Run the next job to its end."""
        with self._lock:
            job = self._queue.popleft()
        if job.is_cancelled:
            self.job_cancelled.emit(job)
            return
        try:
            result = job.work(job)
        except Cancelled:
            self.job_cancelled.emit(job)
        except Exception as error:  # noqa: BLE001 - a failing job must not end the thread
            self.job_failed.emit(job, error, traceback.format_exc())
        else:
            self.job_done.emit(job, result)


class JobRunner(QObject):
    """Runs jobs on one thread that lives as long as the program. Implements `Runner`.

    Events
    ------
    busy_changed : bool
        Whether any job is queued or running.
    """

    busy_changed = Signal(bool)
    _wanted = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._jobs: list[_Job] = []
        self._thread = QThread()
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
        is_urgent: bool = False,
    ) -> _Job:
        """Queue work on the worker thread; see `Runner.submit`.

        ``is_urgent`` puts the job before those that wait; what runs is not interrupted.
        """
        for older in self._jobs:
            if older.key == key:
                older.cancel()
        job = _Job(work, key, done, failed, progress, self._worker.job_progressed.emit)
        was_busy = self.is_busy
        self._jobs.append(job)
        self._worker.put(job, is_first=is_urgent)
        self._wanted.emit()
        if not was_busy:
            self.busy_changed.emit(True)
        return job

    def cancel_all(self) -> None:
        """Forget every job; none of their callbacks runs any more."""
        for job in self._jobs:
            job.cancel()

    def shutdown(self, timeout_ms: int = 5000) -> bool:
        """Cancel everything and end the thread; False if a job did not stop in time."""
        self.cancel_all()
        self._thread.quit()
        return self._thread.wait(timeout_ms)

    # -- on the GUI thread

    @Slot(object, object)
    def _on_done(self, job: _Job, result: object) -> None:
        self._finish(job)
        if not job.is_cancelled:
            job.done(result)

    @Slot(object, object, str)
    def _on_failed(self, job: _Job, error: BaseException, trace: str) -> None:
        self._finish(job)
        if not job.is_cancelled:
            job.failed(error, trace)

    @Slot(object)
    def _on_cancelled(self, job: _Job) -> None:
        self._finish(job)

    @Slot(object, float, str)
    def _on_progressed(self, job: _Job, fraction: float, text: str) -> None:
        if not job.is_cancelled and not job.is_over and job.progress is not None:
            job.progress(fraction, text)

    def _finish(self, job: _Job) -> None:
        job.is_over = True
        self._jobs.remove(job)
        if not self._jobs:
            self.busy_changed.emit(False)
