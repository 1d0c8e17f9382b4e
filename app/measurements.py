"""What is measured on the open scan: labels, rulers, another mask beside it, on a worker.

Measuring waits until somebody looks at the table, and makes way for everything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.core.annotations import Annotation, AnnotationKind, with_annotation, without_annotation
from app.core.commands import SetAnnotations
from app.core.document import Document
from app.core.errors import UsageError
from app.core.events import Aspect, Change, Event
from app.core.geometry import Region
from app.core.tasks import JobContext, JobHandle, Runner
from app.io.reader import read_named_labels
from app.measuring.comparison import LabelComparison, compare_labels, disagreement, matched
from app.measuring.label_measure import LabelMeasure, measure_labels
from app.notices import Notices

# Surfaces this close count as the same when maps are compared.
TOLERANCE_MM = 2.0


@dataclass(frozen=True, eq=False)
class Comparison:
    """The open map beside another one, as they were when they were compared.

    Attributes
    ----------
    name : str
        The other file's.
    rows : tuple of LabelComparison
    kinds : (z, y, x) uint8
        Where they differ; see `disagreement`.
    """

    name: str
    rows: tuple[LabelComparison, ...]
    kinds: np.ndarray


class Measurements:
    """Measures of the open document.

    Attributes
    ----------
    document : Document, optional
        Set by the session when another scan is opened.
    rows : tuple of LabelMeasure
        As of the latest `refresh` that is done.
    is_current : bool
        Whether ``rows`` are those of the document as it is.
    comparison : Comparison, optional
    shows_disagreement : bool
    chosen_label : int
        Whose diameters are shown; 0 for none.
    selected_mark : int
        Id of the annotation that Delete removes; 0 for none.

    Events
    ------
    changed : None
        Any of the above.
    """

    def __init__(self, runner: Runner, notices: Notices) -> None:
        self.document: Document | None = None
        self.rows: tuple[LabelMeasure, ...] = ()
        self.is_current = False
        self.comparison: Comparison | None = None
        self.shows_disagreement = True
        self.chosen_label = 0
        self.selected_mark = 0
        self.changed: Event[None] = Event()
        self._runner = runner
        self._notices = notices
        # Where voxels changed since ``rows``. While these are measured, a change cancels that.
        self._changed_region: Region | None = None
        self._handles: dict[str, JobHandle] = {}
        self._leave_document = _nothing

    def open(self, document: Document | None) -> None:
        """Measure another document."""
        self.drop()
        self._leave_document()
        self._leave_document = _nothing
        self.document, self.rows, self.comparison = document, (), None
        self.is_current, self._changed_region = False, None
        self.chosen_label = self.selected_mark = 0
        if document is not None:
            self._leave_document = document.changed.connect(self._on_changed)
        self.changed.emit(None)

    def drop(self) -> None:
        """Cancel what runs."""
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()
        self._notices.end("compare")

    # -- labels --------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Measure what changed since the last time, once the worker has nothing else to do."""
        document = self.document
        if document is None or self.is_current or "measure" in self._handles:
            return
        if document.is_in_group:
            # A stroke is not over yet; copying the labels now would hold it up.
            document.when_idle(self.refresh)
            return
        volume, table, changed = document.volume, document.label_table, self._changed_region
        earlier = {m.label_id: m for m in self.rows}
        labels = document.labelmap.voxels
        if not document.labelmap.is_blank:
            labels = labels.copy()
        self.is_current = True

        def work(ctx: JobContext) -> tuple[LabelMeasure, ...]:
            return measure_labels(volume, labels, table, ctx, earlier=earlier, changed=changed)

        def done(rows: tuple[LabelMeasure, ...]) -> None:
            del self._handles["measure"]
            self.rows, self._changed_region = rows, None
            self.changed.emit(None)

        self._handles["measure"] = self._runner.submit(
            work, key="measure", done=done, failed=self._notices.failed("measure"), priority=-1
        )

    def measure_of(self, label_id: int) -> LabelMeasure | None:
        """Return a label's measures; None if it was not measured yet."""
        return next((m for m in self.rows if m.label_id == label_id), None)

    def _on_changed(self, change: Change) -> None:
        if not change.aspects & (Aspect.VOXELS | Aspect.LABELS | Aspect.ANNOTATIONS):
            return
        if change.region is not None:
            before = self._changed_region
            self._changed_region = change.region.union(before or change.region)
        is_news = self.is_current or Aspect.ANNOTATIONS in change.aspects
        if change.aspects & (Aspect.VOXELS | Aspect.LABELS):
            handle = self._handles.pop("measure", None)
            if handle is not None:
                handle.cancel()
            self.is_current = False
        # Once for each burst of edits, not for each move of a brush.
        if is_news:
            self.changed.emit(None)

    # -- annotations ---------------------------------------------------------------------------

    @property
    def marks(self) -> tuple[Annotation, ...]:
        """The document's annotations, and the chosen label's diameters as they were measured."""
        document, measure = self.document, self.measure_of(self.chosen_label)
        if document is None:
            return ()
        marks = document.annotations
        if measure is not None and measure.diameters is not None:
            found = diameters_mark(measure)
            if all(a.id != found.id for a in marks):
                marks = (*marks, found)
        return marks

    def choose(self, label_id: int) -> None:
        """Show a label's diameters."""
        self.chosen_label, self.selected_mark = label_id, 0
        self.changed.emit(None)

    def select(self, annotation_id: int) -> None:
        """Let Delete mean an annotation; 0 for none."""
        self.selected_mark = annotation_id
        self.changed.emit(None)

    def keep(self, annotation: Annotation) -> None:
        """Add an annotation to the document, or replace the one with its id; one undo step."""
        document = self.document
        if document is None:
            return
        self.selected_mark = annotation.id
        annotations = with_annotation(document.annotations, annotation)
        if annotation in self.marks:
            self.changed.emit(None)
            return
        document.do(SetAnnotations(_STEPS[annotation.kind], annotations))

    def remove_selected(self) -> None:
        """Take the selected annotation away; edited diameters are then the measured ones again."""
        document, selected = self.document, self.selected_mark
        self.selected_mark = 0
        if document is not None and selected:
            annotations = without_annotation(document.annotations, selected)
            document.do(SetAnnotations("Delete measurement", annotations))

    def is_edited(self, label_id: int) -> bool:
        """Return whether a label's diameters were moved by hand."""
        document = self.document
        return document is not None and any(a.id == -label_id for a in document.annotations)

    def reset_diameters(self, label_id: int) -> None:
        """Show a label's diameters as they are measured."""
        document = self.document
        if document is not None and self.is_edited(label_id):
            annotations = without_annotation(document.annotations, -label_id)
            document.do(SetAnnotations("Reset diameters", annotations))

    # -- comparison ----------------------------------------------------------------------------

    def compare(self, path: Path) -> None:
        """Compare the open map with a file on its grid.

        Raises
        ------
        UsageError
            No scan is open.
        """
        document = self.document
        if document is None:
            raise UsageError("Open a scan first.")
        geometry, table = document.volume.geometry, document.label_table
        labels = document.labelmap.voxels.copy()

        def work(ctx: JobContext) -> Comparison:
            values, names = read_named_labels(path, geometry, ctx=ctx)
            other, merged = matched(values, names, labels, table, ctx)
            rows = compare_labels(labels, other, merged, geometry.spacing_zyx, TOLERANCE_MM, ctx)
            return Comparison(path.name, rows, disagreement(labels, other))

        def done(comparison: Comparison) -> None:
            del self._handles["compare"]
            self._notices.end("compare")
            self.comparison, self.shows_disagreement = comparison, True
            self.changed.emit(None)

        text = f"Comparing with {path.name}"
        self._notices.begin("compare", text, can_cancel=True)
        self._handles["compare"] = self._runner.submit(
            work,
            key="compare",
            done=done,
            failed=self._notices.failed("compare"),
            progress=self._notices.progress("compare", text),
        )

    def show_disagreement(self, is_shown: bool) -> None:
        """Show or hide where the compared maps differ."""
        self.shows_disagreement = is_shown
        self.changed.emit(None)

    def end_comparison(self) -> None:
        """Forget the other map."""
        self.comparison = None
        self.changed.emit(None)


def diameters_mark(measure: LabelMeasure) -> Annotation:
    """Return a label's measured diameters as an annotation."""
    lines = measure.diameters
    assert lines is not None
    points = (*lines.long_zyx, *lines.short_zyx)
    return Annotation(-measure.label_id, AnnotationKind.DIAMETERS, lines.axis, points)


_STEPS = {
    AnnotationKind.RULER: "Ruler",
    AnnotationKind.ANGLE: "Angle",
    AnnotationKind.DIAMETERS: "Move diameter",
}


def _nothing() -> None:
    """Leave a document that was never joined."""
