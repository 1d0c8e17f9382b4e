"""The contract of slow work. No threads here: `app/jobs.py` and the command line fulfil it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class JobContext(Protocol):
    """What a job may tell and ask while it runs."""

    def report(self, fraction: float, text: str = "") -> None:
        """Tell how far the job is, 0 to 1. Also a cancel checkpoint."""

    def check(self) -> None:
        """Raise `Cancelled` if nobody wants the result any more."""


class JobHandle(Protocol):
    """A submitted job, held by whoever may cancel it."""

    def cancel(self) -> None:
        """Forget the job: none of its callbacks runs after this."""


class Runner(Protocol):
    """Runs work elsewhere and calls back on the thread that submitted it."""

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
        """Queue work. A newer job with the same key cancels the older one.

        Parameters
        ----------
        work : callable
            Takes a `JobContext`; must not touch anything that another thread may change.
        key : str
            What the job is for.
        done : callable
            Gets the result. Not called after `JobHandle.cancel`.
        failed : callable
            Gets the error and its traceback as text. Not called after `JobHandle.cancel`.
        progress : callable, optional
            Gets a fraction in 0..1 that never falls, and a text; at most 20 times a second.
        priority : int
            A job runs before those of lower priority that wait. One that runs already is not
            interrupted, so work for idle times is submitted in small jobs of negative priority.
        """


class NullContext:
    """A context for work that runs at once: nothing is reported, nothing cancels."""

    def report(self, fraction: float, text: str = "") -> None:
        """Ignore the report."""

    def check(self) -> None:
        """Never cancel."""
