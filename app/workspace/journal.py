"""What a document does, as entries for its workspace, in the order in which it happened.

On the GUI thread an entry costs a few references: changes of voxels are immutable and made
anyway. They are written on a worker; what could not be written stays here and is tried again
with the next one, so that a full disk loses nothing while the program runs.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from app.core.document import Command, Document
from app.core.events import Aspect, Change
from app.workspace.codec import State, StepChange, WorkspaceError
from app.workspace.reading import StoredStep
from app.workspace.store import Entry, NewStep, Store

logger = logging.getLogger(__name__)


def state_of(document: Document) -> State:
    """Return what a document holds beside its voxels."""
    written = dict(document.written)
    return State(document.label_table, document.prompts, written, document.annotations)


class Journal:
    """Follows one document until `leave`.

    Attributes
    ----------
    base : State
        Before the first entry of a new workspace.
    entries : deque of Entry
        What is not on the disk yet. Filled on the GUI thread, emptied by `write`.

    Parameters
    ----------
    document : Document
        New and untouched, or restored from ``steps``.
    make_store : callable
        Returns the workspace when the first entry is written; called on the worker.
    view : callable
        Returns how the user looks at it, now.
    on_entry : callable
        Called on the GUI thread after each new entry.
    steps : tuple of StoredStep
        What the document's history was restored from, done ones first.
    """

    def __init__(
        self,
        document: Document,
        make_store: Callable[[], Store],
        view: Callable[[], Mapping[str, object]],
        on_entry: Callable[[], None],
        *,
        steps: tuple[StoredStep, ...] = (),
    ) -> None:
        self.document = document
        self.base = state_of(document)
        self.entries: deque[Entry] = deque()
        self.store: Store | None = None
        self._make_store = make_store
        self._view = view
        self._on_entry = on_entry
        commands = (*document.done_steps, *document.undone_steps)
        self._steps: list[tuple[Command, int]] = [
            (command, step.seq) for command, step in zip(commands, steps, strict=True)
        ]
        self._next_seq = max((seq for _, seq in self._steps), default=0) + 1
        self._state = self.base
        self._cursor = self._cursor_now()
        self._was_saved = not document.is_modified
        self._disconnect = document.changed.connect(self._on_changed)

    @property
    def has_steps(self) -> bool:
        """Whether anything was done."""
        return bool(self._steps)

    def leave(self) -> None:
        """Follow the document no longer."""
        self._disconnect()

    def write(self) -> None:
        """Write what waits; called on a worker, or anywhere once no worker runs.

        Raises
        ------
        WorkspaceError
            What could not be written still waits.
        """
        while self.entries:
            store = self._opened_store()
            store.append(self.entries[0])
            self.entries.popleft()
            if not self.entries:
                store.compact_if_due()

    def open_store(self, *, is_strict: bool = True) -> Store:
        """Return the workspace with everything written, even if there is nothing to keep yet.

        Unless ``is_strict``, what cannot be written waits on.
        """
        store = self._opened_store()
        try:
            self.write()
        except WorkspaceError:
            if is_strict:
                raise
        return store

    def touch(self) -> None:
        """Write the view, and that a window works on it."""
        self._add(())

    def is_in(self, path: Path) -> bool:
        """Return whether this is the file that is written."""
        return self.store is not None and self.store.path == path

    # -- inside --------------------------------------------------------------------------------

    def _on_changed(self, change: Change) -> None:
        if self.document.is_in_group or Aspect.HISTORY not in change.aspects:
            return
        document = self.document
        done, undone = document.done_steps, document.undone_steps
        known = {id(command): seq for command, seq in self._steps}
        fresh = [command for command in done if id(command) not in known]
        is_saved = not document.is_modified
        new_steps = []
        before = self._state
        self._state = state_of(document)
        for command in fresh:
            # Only the last one can have left the state that is seen now.
            after = self._state if command is fresh[-1] else before
            deltas = command.deltas
            new_steps.append(
                NewStep(self._next_seq, command.label, StepChange.between(before, after, deltas))
            )
            known[id(command)] = self._next_seq
            self._next_seq += 1
        self._steps = [(command, known[id(command)]) for command in (*done, *undone)]
        cursor = self._cursor_now()
        if not new_steps and cursor == self._cursor and is_saved == self._was_saved:
            return
        self._cursor, self._was_saved = cursor, is_saved
        self._add(tuple(new_steps))

    def _add(self, steps: tuple[NewStep, ...]) -> None:
        oldest = self._steps[0][1] if self._steps else self._next_seq
        view = dict(self._view())
        self.entries.append(Entry(steps, self._cursor, oldest, self._was_saved, view))
        self._on_entry()

    def _opened_store(self) -> Store:
        if self.store is None:
            self.store = self._make_store()
        return self.store

    def _cursor_now(self) -> int:
        """Return the number of the last step in effect."""
        n_done = len(self.document.done_steps)
        if n_done:
            return self._steps[n_done - 1][1]
        # Below the oldest step that is known lies the base, or what was forgotten.
        return (self._steps[0][1] if self._steps else self._next_seq) - 1
