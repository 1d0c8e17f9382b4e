"""A runner that runs jobs when the test says so, on the test's own thread."""

from __future__ import annotations

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
    """Queues jobs by the contract of `Runner`; `run_all` runs them in order."""

    jobs: list[ManualJob] = field(default_factory=list)

    def submit(self, work, *, key, done, failed, progress=None) -> ManualJob:
        for older in self.jobs:
            if older.key == key:
                older.cancel()
        job = ManualJob(work, key, done, failed, progress)
        self.jobs.append(job)
        return job

    def run_all(self) -> None:
        """Run every queued job, and those that they queue."""
        while self.jobs:
            job = self.jobs.pop(0)
            if job.is_cancelled:
                continue
            try:
                result = job.work(job)
            except Cancelled:
                continue
            except Exception as error:  # noqa: BLE001 - this is the worker loop of the tests
                if not job.is_cancelled:
                    job.failed(error, traceback.format_exc())
                continue
            if not job.is_cancelled:
                job.done(result)
