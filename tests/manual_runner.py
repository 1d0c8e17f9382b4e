"""A runner that runs jobs when the test says so, on the test's own thread."""

from __future__ import annotations

import bisect
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.core.errors import Cancelled
from app.core.tasks import JobContext


@dataclass(eq=False)
class ManualJob:
    """One submitted job; also its handle and its context."""

    work: Callable[[JobContext], Any]
    key: str
    done: Callable[[Any], None]
    failed: Callable[[BaseException, str], None]
    progress: Callable[[float, str], None] | None
    priority: int = 0
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True

    def check(self) -> None:
        if self.is_cancelled:
            raise Cancelled

    def report(self, fraction: float, text: str = "") -> None:
        self.check()
        if self.progress is not None:
            self.progress(fraction, text)


@dataclass
class ManualRunner:
    """Queues jobs by the contract of `Runner`; `run_next` and `run_all` run them."""

    jobs: list[ManualJob] = field(default_factory=list)

    def submit(self, work, *, key, done, failed, progress=None, priority=0) -> ManualJob:
        for older in self.jobs:
            if older.key == key:
                older.cancel()
        job = ManualJob(work, key, done, failed, progress, priority)
        bisect.insort(self.jobs, job, key=lambda queued: -queued.priority)
        return job

    def run_next(self) -> None:
        """Run the next queued job, and call back unless it was cancelled."""
        job = self.jobs.pop(0)
        try:
            job.check()
            result = job.work(job)
        except Cancelled:
            return
        except Exception as error:  # noqa: BLE001 - this is the worker loop of the tests
            if not job.is_cancelled:
                job.failed(error, traceback.format_exc())
            return
        if not job.is_cancelled:
            job.done(result)

    def run_all(self) -> None:
        """Run every queued job, and those that they queue."""
        while self.jobs:
            self.run_next()
