"""The structures that an automatic run found, as they lie in the document.

- ``structures`` lists them with volume, confidence and pieces, by label; ``changed`` tells. It is
  empty while the step that entered them is undone.
- ``go_to(found, piece)`` moves the cursor there and makes its label the active one.
- ``refine(found, piece)`` gives a piece a box that the promptable model answers: the piece becomes
  the current object, so that a new box or a click on its slice replaces its mask there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.core.commands import ClaimMask, SetPrompts
from app.core.document import Document
from app.core.errors import UsageError
from app.core.events import Aspect, Change, Event
from app.core.geometry import Region
from app.core.prompts import AXIAL, BoxPrompt, slice_region
from app.core.view_state import ViewState
from app.prompting import Prompting
from models.automatic.result import Structure

# A box of a piece is this much larger than the piece, as a person would draw it.
_BOX_MARGIN = 1


@dataclass(frozen=True)
class Found:
    """A structure in the document: the label that it became, and what the model says of it."""

    label_id: int
    structure: Structure

    @property
    def name(self) -> str:
        return self.structure.name

    @property
    def volume_ml(self) -> float:
        return self.structure.volume_ml

    @property
    def confidence(self) -> float:
        """Mean probability inside it, 0 to 1."""
        return self.structure.confidence


class FoundStructures:
    """What the latest automatic run found in the open document; see the module.

    Events
    ------
    changed : None
    """

    def __init__(self, view_state: ViewState, prompting: Prompting) -> None:
        self.changed: Event[None] = Event()
        self._view_state = view_state
        self._prompting = prompting
        self._document: Document | None = None
        self._found: tuple[Found, ...] = ()
        self._step: object = None
        self._is_undone = False
        self._disconnect: Callable[[], None] = lambda: None

    def open(self, document: Document | None) -> None:
        """Forget what was found in another document."""
        self._disconnect()
        self._document = document
        self.set((), None)
        if document is not None:
            self._disconnect = document.changed.connect(self._look_at_history)

    def set(self, found: tuple[Found, ...], step: object) -> None:
        """Take what a run found, and the undo step with which it entered the document."""
        self._found, self._step, self._is_undone = found, step, False
        self.changed.emit(None)

    @property
    def structures(self) -> tuple[Found, ...]:
        """The structures of the latest run, by label; empty while its step is undone."""
        return () if self._is_undone else self._found

    def go_to(self, found: Found, piece: int = 0) -> None:
        """Move the cursor to a piece and make its label the active one."""
        self.choose_label(found.label_id)
        self._view_state.cursor_zyx = found.structure.pieces[piece].middle_zyx

    def refine(self, found: Found, piece: int = 0) -> None:
        """Make a piece the current object of the promptable model, with a box on its slice.

        The slice is the one that is looked at if the piece is there, else its largest one. One
        undo step.

        Raises
        ------
        UsageError
            The label is locked or gone, or the piece has been erased.
        """
        document = self._editable()
        info = document.label_table.require_open(found.label_id)
        whole = found.structure.pieces[piece]
        region = whole.region
        mask = document.labelmap.voxels[region.slices] == found.label_id
        index = self._view_state.cursor_zyx[AXIAL]
        inside = region.start_zyx[AXIAL] <= index < region.stop_zyx[AXIAL]
        if not inside or not mask[index - region.start_zyx[AXIAL]].any():
            index = whole.middle_zyx[AXIAL]
        on_slice = Region.of_mask(mask[index - region.start_zyx[AXIAL]][None])
        if on_slice is None:
            raise UsageError(f"Nothing is left of this piece of “{info.name}”; run it again.")
        box = _box_round(on_slice.moved_by((0, *region.start_zyx[1:])), document)
        object_id = self._prompting.new_object_id()
        prompt = BoxPrompt(slice_region(AXIAL, index, box), AXIAL, None, found.label_id, object_id)
        step = f"Refine ({info.name})"

        def enter() -> None:
            with document.group(step):
                document.do(SetPrompts(step, (*document.prompts, prompt)))
                document.do(ClaimMask(step, object_id, found.label_id, region))
            self.choose_label(found.label_id)
            self._prompting.continue_with(object_id)
            row, column = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
            self._view_state.cursor_zyx = (index, row, column)

        document.when_idle(enter)

    def choose_label(self, label_id: int) -> None:
        """Make a label the active one; what was pending for another one is accepted."""
        if label_id != self._view_state.active_label:
            self._prompting.accept()
        self._view_state.active_label = label_id

    def _look_at_history(self, change: Change) -> None:
        document = self._document
        if document is None or self._step is None or not change.aspects & Aspect.HISTORY:
            return
        was = self._is_undone
        if any(step is self._step for step in document.undone_steps):
            self._is_undone = True
        elif any(step is self._step for step in document.done_steps):
            self._is_undone = False
        if self._is_undone != was:
            self.changed.emit(None)

    def _editable(self) -> Document:
        if self._document is None:
            raise UsageError("Open a scan first.")
        return self._document


def _box_round(region: Region, document: Document) -> tuple[int, int, int, int]:
    """Return (r0, c0, r1, c1) of an axial slice's region with a little room around it."""
    _, height, width = document.volume.voxels.shape
    (_, r0, c0), (_, r1, c1) = region.start_zyx, region.stop_zyx
    m = _BOX_MARGIN
    return max(0, r0 - m), max(0, c0 - m), min(height, r1 + m), min(width, c1 + m)
