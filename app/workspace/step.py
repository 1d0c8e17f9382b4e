"""Steps that were read back, as commands of the undo history, and the document with them."""

from __future__ import annotations

from app.core.document import Document, UndoStack
from app.core.events import Aspect, Change
from app.core.labels import LabelMap, VoxelDelta
from app.core.volume import Volume
from app.workspace.codec import State
from app.workspace.reading import StoredStep, Work


class RestoredStep:
    """A step of an earlier run of the program; undone and redone like any other."""

    def __init__(self, step: StoredStep) -> None:
        self.label = step.label
        self._step = step

    @property
    def nbytes(self) -> int:
        written = [d for d in self._step.change.written.values() if d is not None]
        n_prompts = len(self._step.change.prompts or ())
        return sum(d.nbytes for d in (*self.deltas, *written)) + 200 * (1 + n_prompts)

    @property
    def is_empty(self) -> bool:
        return False

    @property
    def deltas(self) -> tuple[VoxelDelta, ...]:
        return self._step.change.deltas

    def do(self, document: Document) -> Change:
        for delta in self.deltas:
            delta.apply(document.labelmap)
        return self._enter(document, self._step.after)

    def undo(self, document: Document) -> Change:
        for delta in reversed(self.deltas):
            delta.revert(document.labelmap)
        return self._enter(document, self._step.before)

    def _enter(self, document: Document, state: State) -> Change:
        document.label_table, document.prompts = state.labels, state.prompts
        document.written, document.annotations = state.written, state.annotations
        change = Change(Aspect.LABELS | Aspect.PROMPTS | Aspect.ANNOTATIONS)
        for delta in self.deltas:
            change |= Change(Aspect.VOXELS, delta.region)
        return change


def restored_document(volume: Volume, work: Work, undo_stack: UndoStack) -> Document:
    """Return the document that a workspace holds, with what can be undone and redone."""
    undo_stack.done.extend(RestoredStep(step) for step in work.done)
    undo_stack.undone.extend(RestoredStep(step) for step in reversed(work.undone))
    labelmap = LabelMap(volume.geometry, work.labels)
    document = Document(volume, labelmap, work.state.labels, undo_stack=undo_stack)
    document.prompts, document.written = work.state.prompts, work.state.written
    document.annotations = work.state.annotations
    if not work.is_saved:
        document.mark_unsaved()
    return document
