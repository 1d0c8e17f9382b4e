"""Labels as a whole, one undo step each; merging and splitting is planned on a worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from app.core.commands import ApplyDelta, SetLabels, SetPrompts, add_label, change_label
from app.core.document import Document
from app.core.errors import UsageError
from app.core.geometry import Region
from app.core.labels import LabelInfo, LabelTable, VoxelDelta
from app.core.tasks import JobHandle, Runner
from app.core.view_state import ViewState
from app.notices import Notices

# More pieces than this are noise, to be removed and not named.
MOST_PIECES = 64


class LabelEditing:
    """Changes of whole labels in the open document.

    Parameters
    ----------
    runner : Runner
    view_state : ViewState
        Knows the label of new work.
    notices : Notices
    finish_object : callable
        Called when work goes on with another label.
    """

    def __init__(
        self,
        runner: Runner,
        view_state: ViewState,
        notices: Notices,
        finish_object: Callable[[], None],
    ) -> None:
        self._document: Document | None = None
        self._runner = runner
        self._view_state = view_state
        self._notices = notices
        self._finish_object = finish_object
        self._handle: JobHandle | None = None

    def open(self, document: Document | None) -> None:
        """Work on another document; what runs for the last one is dropped."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
            self._notices.end("labels")
        self._document = document

    def add(self, name: str = "") -> LabelInfo:
        """Add a label with a free value and colour, and make it the active one."""
        document = self._open_document()
        info = document.label_table.new_label(name)
        document.do(add_label(document.label_table, info))
        self.choose(info.id)
        return info

    def change(self, info: LabelInfo, what: str) -> None:
        """Replace a label's name, colour, visibility or padlock; ``what`` names the undo step."""
        document = self._open_document()
        document.do(change_label(document.label_table, info, what))

    def set_table(self, table: LabelTable, what: str) -> None:
        """Replace the whole table, e.g. by a preset."""
        self._open_document().do(SetLabels(what, table))

    def choose(self, label_id: int) -> None:
        """Choose the label of new work; the current object is finished."""
        if label_id != self._view_state.active_label:
            self._finish_object()
        self._view_state.active_label = label_id

    def merge(self, target_id: int, others: Sequence[int]) -> None:
        """Give the voxels and prompts of labels to another one and remove them.

        Raises
        ------
        UsageError
            No scan is open, there is nothing to merge, or one of the labels is locked.
        """
        document = self._open_document()
        others = tuple(dict.fromkeys(i for i in others if i != target_id))
        if not others:
            raise UsageError("Select the labels to merge, two or more.")
        for label_id in (target_id, *others):
            document.label_table.require_open(label_id)

        def work(labels: np.ndarray, table: LabelTable) -> tuple[LabelTable, VoxelDelta | None]:
            return merged(labels, table, target_id, others)

        self._run("Merge labels", work, target_id, others, lambda: self.merge(target_id, others))

    def split(self, label_id: int) -> None:
        """Make each piece of a label a label of its own; the largest keeps the present one.

        Raises
        ------
        UsageError
            No scan is open, or the label is locked.
        """
        document = self._open_document()
        document.label_table.require_open(label_id)

        def work(labels: np.ndarray, table: LabelTable) -> tuple[LabelTable, VoxelDelta | None]:
            return split(labels, table, label_id)

        self._run("Split label", work, label_id, (), lambda: self.split(label_id))

    # -- inside --------------------------------------------------------------------------------

    def _open_document(self) -> Document:
        if self._document is None:
            raise UsageError("Open a scan first.")
        return self._document

    def _run(
        self,
        step: str,
        work: Callable[[np.ndarray, LabelTable], tuple[LabelTable, VoxelDelta | None]],
        target_id: int,
        gone: tuple[int, ...],
        again: Callable[[], None],
    ) -> None:
        document = self._open_document()
        state, table = document.state, document.label_table
        labels = document.labelmap.voxels.copy()

        def accept(new_table: LabelTable, delta: VoxelDelta | None) -> None:
            if document is not self._document or self._handle is None:
                return
            if document.state is not state:
                # Something was drawn meanwhile: once more, from how it is now.
                self._guarded(again)
                return
            self._handle = None
            self._notices.end("labels")
            with document.group(step):
                document.do(SetLabels(step, new_table))
                if gone:
                    prompts = tuple(
                        replace(p, label_id=target_id) if p.label_id in gone else p
                        for p in document.prompts
                    )
                    document.do(SetPrompts(step, prompts))
                if delta is not None:
                    document.do(ApplyDelta(step, delta))

        def done(result: tuple[LabelTable, VoxelDelta | None]) -> None:
            document.when_idle(lambda: accept(*result))

        self._notices.begin("labels", step)
        self._handle = self._runner.submit(
            lambda ctx: work(labels, table),
            key="labels",
            done=done,
            failed=self._notices.failed("labels"),
        )

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except UsageError as error:
            self._notices.failed("labels")(error, "")


def merged(
    labels: np.ndarray, table: LabelTable, target_id: int, others: Sequence[int]
) -> tuple[LabelTable, VoxelDelta | None]:
    """Return the table and the change of voxels that let one label take the place of others."""
    hit = np.isin(labels, others)
    for label_id in others:
        table = table.without(label_id)
    region = Region.of_mask(hit)
    if region is None:
        return table, None
    before = labels[region.slices]
    return table, VoxelDelta.from_blocks(
        region, before, np.where(hit[region.slices], np.uint16(target_id), before)
    )


def split(
    labels: np.ndarray, table: LabelTable, label_id: int
) -> tuple[LabelTable, VoxelDelta | None]:
    """Return the table and the change of voxels that give each piece of a label its own value.

    Voxels are connected through their faces. The largest piece keeps the value; the others follow
    by size, as "name 2", "name 3", ...

    Raises
    ------
    UsageError
        The label has one piece or none, or too many.
    """
    from scipy import ndimage

    info = table.get(label_id)
    assert info is not None
    hit = labels == label_id
    region = Region.of_mask(hit)
    pieces, n = (np.zeros(1, int), 0) if region is None else ndimage.label(hit[region.slices])
    if region is None or n < 2:
        raise UsageError(f"“{info.name}” is one piece; there is nothing to split.")
    if n > MOST_PIECES:
        raise UsageError(
            f"“{info.name}” has {n:,} pieces, too many to name. Remove its islands first."
        )
    by_size = np.argsort(-np.bincount(pieces.ravel())[1:], kind="stable") + 1
    value_of = np.zeros(n + 1, np.uint16)
    value_of[by_size[0]] = label_id
    position = [i.id for i in table].index(label_id)
    added = []
    for number, piece in enumerate(by_size[1:], start=2):
        new = replace(
            table.new_label(f"{info.name} {number}"), code=info.code, opacity=info.opacity
        )
        table = table.with_added(new)
        added.append(new)
        value_of[piece] = new.id
    rest = [i for i in table if i not in added]
    table = LabelTable((*rest[: position + 1], *added, *rest[position + 1 :]))
    before = labels[region.slices]
    after = np.where(pieces > 0, value_of[pieces], before)
    return table, VoxelDelta.from_blocks(region, before, after)
