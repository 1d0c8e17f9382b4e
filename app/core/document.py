"""One scan and the work on it. Everything that would be saved changes here, by commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from app.core.annotations import Annotation
from app.core.events import Aspect, Change, Event
from app.core.labels import LabelMap, LabelTable, VoxelDelta
from app.core.prompts import Prompt
from app.core.volume import Volume


class Command(Protocol):
    """One change of a document that can be taken back.

    ``do`` raises before it changes anything, or not at all. ``is_empty`` tells after ``do``
    whether it changed nothing, so that no undo step is made of it.
    """

    label: str

    @property
    def nbytes(self) -> int:
        """Memory that keeping the command costs."""

    @property
    def is_empty(self) -> bool:
        """Whether ``do`` changed nothing."""

    @property
    def deltas(self) -> tuple[VoxelDelta, ...]:
        """The voxels that ``do`` changed, in order; what is kept of a step on disk."""

    def do(self, document: Document) -> Change:
        """Change the document; return what changed."""

    def undo(self, document: Document) -> Change:
        """Take the change back; return what changed."""


class Group:
    """Several commands that are one undo step."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.commands: list[Command] = []

    @property
    def nbytes(self) -> int:
        return sum(c.nbytes for c in self.commands)

    @property
    def is_empty(self) -> bool:
        return not self.commands

    @property
    def deltas(self) -> tuple[VoxelDelta, ...]:
        return tuple(d for c in self.commands for d in c.deltas)

    def do(self, document: Document) -> Change:
        change = Change(Aspect.NONE)
        for command in self.commands:
            change |= command.do(document)
        return change

    def undo(self, document: Document) -> Change:
        change = Change(Aspect.NONE)
        for command in reversed(self.commands):
            change |= command.undo(document)
        return change


class UndoStack:
    """Done and undone steps, bounded by bytes: the oldest go first, a minimum always stays."""

    def __init__(self, max_bytes: int = 256 << 20, min_commands: int = 5) -> None:
        self.max_bytes = max_bytes
        self.min_commands = min_commands
        self.done: list[Command] = []
        self.undone: list[Command] = []
        # What lies below the oldest step that is kept; another one once a step was forgotten.
        self._bottom = object()

    @property
    def state(self) -> object:
        """What tells one state of the document from another: equal only to itself."""
        return self.done[-1] if self.done else self._bottom

    def push(self, command: Command) -> None:
        """Add a step; whatever was undone is gone."""
        self.done.append(command)
        self.undone.clear()
        total = self.nbytes
        while len(self.done) > self.min_commands and total > self.max_bytes:
            total -= self.done.pop(0).nbytes
            self._bottom = object()

    @property
    def nbytes(self) -> int:
        return sum(c.nbytes for c in self.done) + sum(c.nbytes for c in self.undone)


@dataclass(frozen=True)
class Snapshot:
    """What an exporter needs, independent of later edits."""

    volume: Volume
    labelmap: LabelMap
    label_table: LabelTable
    prompts: tuple[Prompt, ...]
    provenance: Mapping[str, object] = field(default_factory=dict)
    annotations: tuple[Annotation, ...] = ()


class Document:
    """One patient volume and the work on it. Changed only through commands, on the GUI thread.

    Attributes
    ----------
    volume : Volume
    labelmap : LabelMap
    label_table : LabelTable
    prompts : tuple of Prompt
    annotations : tuple of Annotation
    written : mapping of object id to VoxelDelta
        What the latest prediction of each object wrote, over what was there before it. Lets the
        next prediction of that object replace its own voxels and leave all others.

    Events
    ------
    changed : Change
        After each do, undo, redo, and each command inside a group.
    """

    def __init__(
        self,
        volume: Volume,
        labelmap: LabelMap | None = None,
        label_table: LabelTable | None = None,
        *,
        undo_stack: UndoStack | None = None,
    ) -> None:
        self.volume = volume
        self.labelmap = labelmap or LabelMap(volume.geometry)
        self.label_table = label_table or LabelTable()
        self.prompts: tuple[Prompt, ...] = ()
        self.annotations: tuple[Annotation, ...] = ()
        self.written: Mapping[int, VoxelDelta] = {}
        self.changed: Event[Change] = Event()
        self._history = undo_stack or UndoStack()
        self._group: Group | None = None
        self._waiting: list[Callable[[], None]] = []
        self._saved = self._history.state

    # -- changing ------------------------------------------------------------------------------

    def do(self, command: Command) -> None:
        """Run a command and remember it. If it raises, nothing is changed or remembered."""
        change = command.do(self)
        if command.is_empty:
            return
        if self._group is not None:
            self._group.commands.append(command)
        else:
            self._history.push(command)
        self._emit(change)

    def begin_group(self, label: str) -> None:
        """Collect the following commands into one undo step."""
        if self._group is not None:
            raise RuntimeError("A group is open already; groups do not nest.")
        self._group = Group(label)

    def commit_group(self) -> None:
        """Close the group. A group that changed nothing makes no step."""
        group = self._close_group()
        if not group.is_empty:
            self._history.push(group)
            self._emit(Change(Aspect.HISTORY))
        self._run_waiting()

    def abort_group(self) -> None:
        """Close the group and take all of it back."""
        group = self._close_group()
        if not group.is_empty:
            self._emit(group.undo(self))
        self._run_waiting()

    @contextmanager
    def group(self, label: str) -> Iterator[None]:
        """Collect commands into one undo step; take them back if the body raises."""
        self.begin_group(label)
        try:
            yield
        except BaseException:
            self.abort_group()
            raise
        self.commit_group()

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call back now, or when the open group closes."""
        if self._group is None:
            callback()
        else:
            self._waiting.append(callback)

    # -- history -------------------------------------------------------------------------------

    def undo(self) -> bool:
        """Take the last step back; False if there is none or a group is open."""
        if self._group is not None or not self._history.done:
            return False
        command = self._history.done.pop()
        change = command.undo(self)
        self._history.undone.append(command)
        self._emit(change)
        return True

    def redo(self) -> bool:
        """Do the last undone step again; False if there is none or a group is open."""
        if self._group is not None or not self._history.undone:
            return False
        command = self._history.undone.pop()
        change = command.do(self)
        self._history.done.append(command)
        self._emit(change)
        return True

    def limit_undo(self, max_bytes: int) -> None:
        """Let the history take so much memory; steps beyond it go with the next one."""
        self._history.max_bytes = max_bytes

    @property
    def undo_labels(self) -> tuple[str, ...]:
        """Names of the steps that can be undone, the next one first."""
        return tuple(c.label for c in reversed(self._history.done))

    @property
    def redo_labels(self) -> tuple[str, ...]:
        """Names of the steps that can be redone, the next one first."""
        return tuple(c.label for c in reversed(self._history.undone))

    @property
    def done_steps(self) -> tuple[Command, ...]:
        """The steps that can be undone, the oldest first."""
        return tuple(self._history.done)

    @property
    def undone_steps(self) -> tuple[Command, ...]:
        """The steps that can be redone, the next one first."""
        return tuple(reversed(self._history.undone))

    @property
    def is_in_group(self) -> bool:
        return self._group is not None

    @property
    def state(self) -> object:
        """A token of the present state: the same object again only when that state is back."""
        return self._history.state

    @property
    def is_modified(self) -> bool:
        """Whether anything changed since `mark_saved`, or since the start."""
        is_in_stroke = self._group is not None and not self._group.is_empty
        return is_in_stroke or self._history.state is not self._saved

    def mark_saved(self) -> None:
        """Remember the present state as the saved one."""
        self._saved = self._history.state
        self.changed.emit(Change(Aspect.HISTORY))

    def mark_unsaved(self) -> None:
        """Let the present state count as never saved, e.g. one that was found after a crash."""
        self._saved = object()
        self.changed.emit(Change(Aspect.HISTORY))

    def snapshot(self, **provenance: object) -> Snapshot:
        """Return what an exporter needs; later edits do not change it."""
        return Snapshot(
            self.volume,
            self.labelmap.copy(),
            self.label_table,
            self.prompts,
            provenance,
            self.annotations,
        )

    # -- inside --------------------------------------------------------------------------------

    def _close_group(self) -> Group:
        if self._group is None:
            raise RuntimeError("No group is open.")
        group, self._group = self._group, None
        return group

    def _run_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            # A callback may open a group of its own; the rest then waits for that one.
            self.when_idle(callback)

    def _emit(self, change: Change) -> None:
        self.changed.emit(Change(change.aspects | Aspect.HISTORY, change.region, change.source))
