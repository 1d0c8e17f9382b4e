"""What tests of jobs share: what callbacks heard, and a job that goes on when told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from app.core.tasks import JobContext, Runner
from app.jobs import JobRunner

# How long a test waits for another thread before it fails; nothing waits for a fixed time.
PATIENCE_S = 20


@dataclass
class Heard:
    """What callbacks were called with."""

    done: list = field(default_factory=list)
    failed: list = field(default_factory=list)
    progress: list = field(default_factory=list)

    def submit(self, runner: Runner, work: Callable[[JobContext], object], key="job", **more):
        return runner.submit(
            work,
            key=key,
            done=self.done.append,
            failed=lambda error, trace: self.failed.append((error, trace)),
            progress=lambda fraction, text: self.progress.append((fraction, text)),
            **more,
        )

    @property
    def nothing(self) -> bool:
        return not (self.done or self.failed or self.progress)


class Gate:
    """A job that tells when it runs and goes on when told."""

    def __init__(self, result: object = "late") -> None:
        self.is_running = threading.Event()
        self.may_end = threading.Event()
        self.was_cancelled = False
        self._result = result

    def stubborn(self, ctx: JobContext) -> object:
        """Ignore cancelling."""
        self.is_running.set()
        assert self.may_end.wait(PATIENCE_S)
        return self._result

    def willing(self, ctx: JobContext) -> object:
        """Check often."""
        self.is_running.set()
        try:
            while not self.may_end.wait(0.001):
                ctx.check()
        except BaseException:
            self.was_cancelled = True
            raise
        return self._result

    def wait_until_running(self) -> None:
        assert self.is_running.wait(PATIENCE_S)


@pytest.fixture
def runner(qtbot) -> Iterator[JobRunner]:
    runner = JobRunner()
    yield runner
    assert runner.shutdown()


def settle(qtbot, runner: JobRunner) -> None:
    qtbot.waitUntil(lambda: not runner.is_busy, timeout=PATIENCE_S * 1000)
