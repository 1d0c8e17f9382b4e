"""Writes the steps on the open scan to the disk as they are done, and says while that fails.

It has a runner of its own, so that a step is safe at once even while a long export runs.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from app.core.events import Event
from app.core.tasks import JobContext, Runner
from app.notices import Notices
from app.workspace.codec import WorkspaceError
from app.workspace.journal import Journal

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Trouble:
    """Why the work is not where the user wants it, said for as long as that is so.

    Attributes
    ----------
    sentence : str
    is_read_only : bool
        The file that was opened takes no changes, which go into a copy; else steps are in memory
        alone.
    """

    sentence: str
    is_read_only: bool = False


class Writing:
    """Writes what the journal of the open scan collects.

    Parameters
    ----------
    runner : Runner
        Writes; nothing else runs there.
    notices : Notices

    Attributes
    ----------
    journal : Journal, optional
        Of the open scan.

    Events
    ------
    trouble_changed : Trouble or None
        None when it is over.
    """

    def __init__(self, runner: Runner, notices: Notices) -> None:
        self.journal: Journal | None = None
        self.trouble_changed: Event[Trouble | None] = Event()
        self._runner = runner
        self._notices = notices
        self._leaving: deque[tuple[Journal, Mapping[str, object]]] = deque()
        self._numbers = itertools.count()
        self._is_writing = False
        self._failure: Trouble | None = None
        self._read_only: Trouble | None = None
        self._told: Trouble | None = None

    def write(self) -> None:
        """Write what waits, unless that is being done already."""
        if not self._is_writing:
            self._write()

    def leave(self, view: Mapping[str, object]) -> None:
        """Finish with the open scan: write what waits, and how it was looked at last."""
        journal, self.journal = self.journal, None
        if journal is None:
            return
        journal.leave()
        self.end_trouble()
        self._leaving.append((journal, view))
        self.submit(
            lambda ctx: self._close_left(), lambda _: None, self._notices.failed("workspace")
        )

    def finish(self) -> None:
        """Write what the runner did not come to; only once it runs no more."""
        while self._leaving:
            try:
                self._close_left()
            except WorkspaceError as error:
                logger.warning("The last steps could not be kept: %s", error)

    def submit(
        self,
        work: Callable[[JobContext], T],
        done: Callable[[T], None],
        failed: Callable[[BaseException, str], None],
    ) -> None:
        """Do something with a workspace, in the order of writing."""
        # Every job under a key of its own: none may cancel another.
        key = f"workspace {next(self._numbers)}"
        self._runner.submit(work, key=key, done=done, failed=failed)

    # -- is it safe? ---------------------------------------------------------------------------

    @property
    def trouble(self) -> Trouble | None:
        """Why the work is not where the user wants it; what is in memory alone goes first."""
        return self._failure or self._read_only

    @property
    def has_scan(self) -> bool:
        """Whether there is a scan whose work can be kept."""
        return self.journal is not None

    @property
    def is_kept(self) -> bool:
        """Whether every step on the open scan is on the disk."""
        return self.journal is not None and not self.journal.entries and not self._failure

    def settle(self, done: Callable[[bool], None]) -> None:
        """Write what waits, then call ``done`` with whether every step is on the disk.

        What failed before is tried once more: the disk may have room again.
        """
        journal = self.journal
        if journal is None:
            done(False)
            return

        def written(_: None) -> None:
            if self.journal is journal:
                self._tell_written()
            done(True)

        def failed(error: BaseException, trace: str) -> None:
            if self.journal is journal:
                self._tell_failure(error, trace)
            done(False)

        self.submit(lambda ctx: journal.write(), written, failed)

    def tell_read_only(self, name: str) -> None:
        """Say that the open scan's work goes into a copy of a file."""
        self._read_only = Trouble(
            f"“{name}” is open in another window or may not be written, so it is "
            "read-only here. What you do goes into a copy; give that a name of its own.",
            is_read_only=True,
        )
        self._set_failure(None)

    def end_trouble(self) -> None:
        """Take the work to be where the user wants it."""
        self._read_only = None
        self._set_failure(None)

    # -- inside --------------------------------------------------------------------------------

    def _write(self) -> None:
        journal = self.journal
        if journal is None:
            return

        def done(_: None) -> None:
            self._is_writing = False
            if self.journal is journal:
                self._tell_written()
            if self.journal is not None and self.journal.entries:
                self._write()

        def failed(error: BaseException, trace: str) -> None:
            self._is_writing = False
            if self.journal is journal:
                self._tell_failure(error, trace)
            if self.journal is not journal and self.journal and self.journal.entries:
                self._write()

        self._is_writing = True
        self.submit(lambda ctx: journal.write(), done, failed)

    def _tell_failure(self, error: BaseException, trace: str) -> None:
        # Once, not at each step; it is tried again at each.
        is_known = isinstance(error, WorkspaceError)
        if not is_known and self._failure is None:
            self._notices.failed("workspace")(error, trace)
        what = str(error) if is_known else "The work cannot be kept on the disk."
        self._set_failure(
            Trouble(f"{what} It is in memory only; save the mask before you close the window.")
        )

    def _tell_written(self) -> None:
        if self._failure is not None:
            self._set_failure(None)
            self._notices.tell("Your work is kept on disk again.")

    def _set_failure(self, failure: Trouble | None) -> None:
        """Take a failure, or None, and tell if anything is another than before."""
        self._failure = failure
        if self.trouble != self._told:
            self._told = self.trouble
            self.trouble_changed.emit(self._told)

    def _close_left(self) -> None:
        """Write and close the files of scans that are not open any more; on the worker."""
        while self._leaving:
            journal, view = self._leaving.popleft()
            try:
                journal.write()
            finally:
                if journal.store is not None:
                    journal.store.leave(view)
