"""Masks from files onto the open scan, as one undo step; read and merged on a worker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from app.core.commands import ApplyDelta, SetLabels
from app.core.document import Document
from app.core.errors import OtherGridError, UsageError
from app.core.geometry import Region
from app.core.labels import MAX_LABEL_ID, LabelInfo, LabelTable, VoxelDelta
from app.core.tasks import JobContext, JobHandle, Runner
from app.io.reader import read_named_labels, stem
from app.notices import Notices


class MaskImport:
    """Imports one mask after the other into the open document.

    Attributes
    ----------
    document : Document, optional
        Set by the session when another scan is opened.
    """

    def __init__(self, runner: Runner, notices: Notices) -> None:
        self.document: Document | None = None
        self._runner = runner
        self._notices = notices
        self._handle: JobHandle | None = None

    def open(self, document: Document | None) -> None:
        """Work on another document."""
        self.drop()
        self.document = document

    def drop(self) -> None:
        """Cancel what runs."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._notices.end("import")

    def run(self, path: Path, *, resample: bool = False) -> None:
        """Add the labels of a file to the document.

        Where its grid is not that of the scan, nothing changes, but the user is offered to have it
        resampled; ``resample`` says that this was agreed to. Labels are matched by name; values
        without names keep their numbers. Voxels that the file leaves empty, and those of locked
        labels, stay as they are.

        Raises
        ------
        UsageError
            No scan is open.
        """
        document = self.document
        if document is None:
            raise UsageError("Open a scan first.")
        state, table, geometry = document.state, document.label_table, document.volume.geometry
        present = document.labelmap.voxels.copy()

        def work(ctx: JobContext) -> tuple[LabelTable, VoxelDelta | None]:
            labels, names = read_named_labels(path, geometry, resample=resample, ctx=ctx)
            return merged(present, table, labels, names, stem(path))

        def done(result: tuple[LabelTable, VoxelDelta | None]) -> None:
            document.when_idle(lambda: self._accept(document, path, resample, state, *result))

        def failed(error: BaseException, trace: str) -> None:
            if not isinstance(error, OtherGridError):
                self._notices.failed("import")(error, trace)
                return
            self.drop()
            self._notices.offer(
                f"{error} They can be resampled: each voxel of the scan then gets the label that "
                "lies at its middle.",
                "Resample and import",
                lambda: self.run(path, resample=True) if document is self.document else None,
            )

        self._notices.begin("import", f"Importing {path.name}", can_cancel=True)
        self._handle = self._runner.submit(work, key="import", done=done, failed=failed)

    def _accept(
        self,
        document: Document,
        path: Path,
        resample: bool,
        state: object,
        table: LabelTable,
        delta: VoxelDelta | None,
    ) -> None:
        if document is not self.document or self._handle is None:
            return
        if document.state is not state:
            # Something was drawn meanwhile; the same file goes on top of that.
            self.run(path, resample=resample)
            return
        self.drop()
        step = f"Import {path.name}"
        with document.group(step):
            document.do(SetLabels(step, table))
            if delta is not None:
                document.do(ApplyDelta(step, delta))
        if delta is None:
            self._notices.tell(f"“{path.name}” changes no voxel: it is empty, there or locked.")
        else:
            how = " after resampling" if resample else ""
            self._notices.tell(f"Imported {path.name}{how}: {delta.n_changed:,} voxels changed.")


def merged(
    present: np.ndarray, table: LabelTable, labels: np.ndarray, names: LabelTable, name: str
) -> tuple[LabelTable, VoxelDelta | None]:
    """Return the table and the change of voxels that adding labels to a map makes.

    Parameters
    ----------
    present, labels : (z, y, x) unsigned int
        The map as it is, and what is added where it is not 0.
    table, names : LabelTable
        What the values of each mean; ``names`` need not hold every value.
    name : str
        Of a single value that has no name.

    Raises
    ------
    UsageError
        There are not enough values left for new labels.
    """
    # Slice by slice: counting takes eight bytes for each voxel.
    counts = np.zeros(int(labels.max()) + 1, np.int64)
    for plane in labels:
        counts += np.bincount(plane.ravel(), minlength=counts.size)
    values = [int(v) for v in np.flatnonzero(counts) if v]
    target_of = np.zeros(counts.size, np.uint16)
    for value in values:
        info = names.get(value)
        if info is None:
            text = name if len(values) == 1 else f"Label {value}"
            info = table.new_label(text, value)
        table, target_of[value] = _with_label(table, info, present, is_named=value in names)
    region = Region.of_mask(labels)
    if region is None:
        return table, None
    added = target_of[labels[region.slices]]
    old = present[region.slices]
    keep = added == 0
    locked = table.locked_ids
    if locked:
        keep |= np.isin(old, locked) | np.isin(added, locked)
    return table, VoxelDelta.from_blocks(region, old, np.where(keep, old, added))


def _with_label(
    table: LabelTable, info: LabelInfo, present: np.ndarray, *, is_named: bool
) -> tuple[LabelTable, int]:
    """Return a table that has a label, and its value there."""
    same = table.named(info.name)
    if same is not None:
        return table, same.id
    taken = table.get(info.id)
    if taken is None:
        return table.with_added(info), info.id
    is_unused = taken.name == f"Label {taken.id}" and not (present == taken.id).any()
    if is_unused:
        return table.with_changed(info), info.id
    if not is_named and info.name == f"Label {info.id}":
        # A bare number means the label that has it.
        return table, taken.id
    free = next((i for i in range(1, MAX_LABEL_ID + 1) if i not in table), None)
    if free is None:
        raise UsageError("There is no value left for another label; delete one first.")
    return table.with_added(replace(info, id=free)), free
