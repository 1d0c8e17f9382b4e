"""Operations through the session: planned elsewhere, one undo step, never from a stale state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.core.commands import EditVoxels
from app.core.document import Document
from app.core.errors import UsageError
from app.core.geometry import Geometry, Region
from app.core.labels import DrawOver, LabelTable
from app.core.volume import Volume
from app.editing.operation import Grow, KeepLargest, Threshold
from app.session import Session
from app.settings import Settings
from models.engine import InferenceEngine
from tests.manual_runner import ManualRunner

SHAPE = (6, 8, 10)
CORE = Region((2, 3, 4), (4, 5, 6))


class Setup:
    """A session with one label drawn as a small block, whose jobs run when told."""

    def __init__(self) -> None:
        self.runner = ManualRunner()
        engine = InferenceEngine(dict)
        self.session = Session(ManualRunner(), self.runner, engine, dict, Settings())
        self.messages: list[str] = []
        self.texts: list[str] = []
        self.session.message.connect(lambda message: self.messages.append(message.text))
        self.session.status_changed.connect(lambda status: self.texts.append(status.text))
        self.document = self.open()
        self.runner.run_all()
        self.paint(CORE)

    def open(self) -> Document:
        table = LabelTable()
        for name in ("organ", "lesion"):
            table = table.with_added(table.new_label(name))
        volume = Volume(np.zeros(SHAPE, np.int16), Geometry(SHAPE, np.eye(4)))
        document = Document(volume, label_table=table)
        self.session.set_document(document, (0.0, 1.0))
        return document

    def paint(self, region: Region, value: int = 1) -> None:
        block = np.full(region.shape_zyx, value, np.uint8)
        self.document.do(EditVoxels("Paint", region, block))

    @property
    def extent(self) -> Region | None:
        return Region.of_mask(self.document.labelmap.voxels == 1)


@pytest.fixture
def setup() -> Setup:
    return Setup()


GROWN = Region((1, 2, 3), (5, 6, 7))


def test_an_operation_is_one_undo_step_with_its_name(setup):
    setup.session.edit_mask(Grow(1.0))
    assert setup.extent == CORE
    setup.runner.run_all()
    assert setup.extent == GROWN
    assert setup.document.undo_labels == ("Grow by 1 mm", "Paint")
    assert setup.texts == ["Grow by 1 mm", ""]
    setup.session.undo()
    assert setup.extent == CORE
    setup.session.redo()
    assert setup.extent == GROWN


def test_operations_are_done_in_the_order_in_which_they_were_asked_for(setup):
    setup.session.edit_mask(Grow(1.0))
    setup.session.edit_mask(Grow(-1.0))
    setup.session.edit_mask(Grow(-1.0))
    setup.runner.run_all()
    shrink, grow = "Shrink by 1 mm", "Grow by 1 mm"
    assert setup.document.undo_labels == (shrink, shrink, grow, "Paint")
    # Growing by 1 mm and shrinking by as much gives the block back; then it is worn away.
    assert setup.extent is None


def test_what_was_painted_while_it_was_planned_is_not_lost(setup):
    setup.session.edit_mask(Grow(1.0))
    far = Region((0, 0, 9), (1, 1, 10))
    job = setup.runner.jobs[0]
    plan = job.work
    job.work = lambda ctx: (plan(ctx), setup.paint(far))[0]
    setup.runner.run_all()
    labels = setup.document.labelmap.voxels
    assert labels[0, 0, 9] == labels[0, 0, 8] == labels[1, 0, 9] == 1  # it grew, too
    setup.session.undo()
    assert labels[0, 0, 8] == 0
    assert labels[0, 0, 9] == 1


def test_an_operation_asked_for_during_a_stroke_sees_only_what_is_kept_of_it(setup):
    setup.document.begin_group("Stroke")
    setup.paint(Region((0, 0, 0), (1, 1, 1)))
    setup.session.edit_mask(KeepLargest())
    setup.runner.run_all()
    setup.document.abort_group()
    setup.runner.run_all()
    assert setup.extent == CORE
    assert setup.document.undo_labels == ("Paint",)
    assert setup.messages == ["Keep largest piece: nothing to change."]


def test_undo_cancel_and_another_scan_drop_what_waits(setup):
    setup.session.edit_mask(Grow(1.0))
    assert setup.session.undo()  # takes back the wish, not the stroke
    setup.runner.run_all()
    assert setup.extent == CORE
    setup.session.edit_mask(Grow(1.0))
    setup.session.cancel()
    setup.runner.run_all()
    assert setup.extent == CORE
    setup.session.edit_mask(Grow(1.0))
    second = setup.open()
    setup.runner.run_all()
    assert setup.extent == CORE
    assert not second.labelmap.voxels.any()
    assert setup.texts[-1] == ""


def test_a_refused_operation_says_why_and_the_next_one_still_runs(setup):
    setup.session.edit_mask(Threshold(5, 1))
    setup.session.edit_mask(Grow(1.0))
    setup.runner.run_all()
    assert "range" in setup.messages[0]
    assert setup.extent == GROWN


def test_locked_and_missing_labels_are_refused_at_once(setup):
    info = setup.document.label_table.get(1)
    setup.session.label_editing.change(replace(info, locked=True), "Lock")
    with pytest.raises(UsageError, match="“organ” is locked"):
        setup.session.edit_mask(Grow(1.0))
    setup.session.view_state.active_label = 9
    with pytest.raises(UsageError, match="Choose a label"):
        setup.session.edit_mask(Grow(1.0))
    setup.session.set_document(None, (0.0, 1.0))
    with pytest.raises(UsageError, match="Open a scan"):
        setup.session.edit_mask(Grow(1.0))
    assert setup.texts == []


def test_a_padlock_closed_meanwhile_is_honoured(setup):
    setup.paint(Region((2, 3, 6), (4, 5, 7)), 2)
    setup.session.prompting.draw_over = DrawOver.ALL
    setup.session.edit_mask(Grow(1.0))
    job = setup.runner.jobs[0]
    plan = job.work

    def work(ctx):
        delta = plan(ctx)
        lesion = setup.document.label_table.get(2)
        setup.session.label_editing.change(replace(lesion, locked=True), "Lock")
        return delta

    job.work = work
    setup.runner.run_all()
    assert (setup.document.labelmap.voxels == 2).sum() == 4
    assert setup.extent == GROWN.with_axis(2, 3, 6)  # the locked neighbour stands in the way
