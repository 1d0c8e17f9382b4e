"""The document: one history for everything, in which every earlier state comes back bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.commands import (
    ApplyPrediction,
    DeleteLabel,
    EditVoxels,
    SetPrompts,
    add_label,
    change_label,
)
from app.core.document import Document, UndoStack
from app.core.errors import UsageError
from app.core.events import Aspect, Change
from app.core.geometry import Geometry, Region
from app.core.labels import DrawOver, LabelTable
from app.core.prompts import BoxPrompt
from app.core.volume import Volume

SHAPE = (4, 5, 6)
WHOLE = Region.whole(SHAPE)


def new_document(**options) -> Document:
    table = LabelTable()
    for name in ("organ", "lesion"):
        table = table.with_added(table.new_label(name))
    volume = Volume(np.zeros(SHAPE, np.int16), Geometry(SHAPE, np.eye(4)))
    return Document(volume, label_table=table, **options)


def paint(value: int, start=(0, 0, 0), stop=(1, 1, 1), label: str = "Paint") -> EditVoxels:
    region = Region(start, stop)
    return EditVoxels(label, region, np.full(region.shape_zyx, value, np.uint8))


def state_of(document: Document) -> tuple:
    """Return everything that would be saved, and what refining an object rests on."""
    written = {k: (d.region, d.old_values.tobytes()) for k, d in document.written.items()}
    return (
        document.labelmap.voxels.astype(np.uint16).tobytes(),
        document.label_table,
        document.prompts,
        written,
    )


class Failing:
    """A command that is refused."""

    label = "Fail"
    nbytes = 0
    is_empty = False
    deltas = ()

    def do(self, document: Document) -> Change:
        raise UsageError("refused")

    def undo(self, document: Document) -> Change:
        raise AssertionError("a command that failed is not undone")


# -- undo and redo ---------------------------------------------------------------------------------

regions = st.builds(
    lambda a, n: Region(a, tuple(min(s, i + k) for s, i, k in zip(SHAPE, a, n, strict=True))),
    st.tuples(*(st.integers(0, n - 1) for n in SHAPE)),
    st.tuples(*(st.integers(1, 4) for _ in SHAPE)),
)
actions = st.lists(
    st.tuples(
        st.sampled_from(
            ["paint", "predict", "prompts", "lock", "add", "delete", "group", "undo", "redo"]
        ),
        st.integers(1, 4),
        regions,
        st.sampled_from(list(DrawOver)),
    ),
    min_size=1,
    max_size=40,
)


def act(document: Document, what: str, number: int, region: Region, policy: DrawOver) -> None:
    """Do one random thing, as the program would; what is refused changes nothing."""
    info = document.label_table.get(number)
    if what == "paint":
        document.do(paint(number, region.start_zyx, region.stop_zyx))
    elif what == "predict":
        document.do(
            ApplyPrediction(
                "Predict",
                object_id=number % 2,
                label_id=number,
                region=region,
                mask=np.ones(region.shape_zyx, bool),
                covered=region.with_axis(0, 0, SHAPE[0]),
                draw_over=policy,
            )
        )
    elif what == "prompts":
        box = BoxPrompt(region, label_id=number, object_id=number % 2)
        document.do(SetPrompts("Prompts", (*document.prompts, box)))
    elif what == "lock" and info is not None:
        document.do(change_label(document.label_table, replace(info, locked=not info.locked), "L"))
    elif what == "add":
        document.do(add_label(document.label_table, document.label_table.new_label()))
    elif what == "delete" and info is not None and not info.locked:
        document.do(DeleteLabel(number))
    elif what == "group":
        with document.group("Stroke"):
            document.do(paint(number, region.start_zyx, region.stop_zyx))
            document.do(paint(0, region.start_zyx, tuple(i + 1 for i in region.start_zyx)))


@settings(max_examples=60)
@given(actions)
def test_every_earlier_state_comes_back_both_ways(todo):
    document = new_document()
    past, future = [state_of(document)], []
    for what, number, region, policy in todo:
        if what == "undo":
            assert document.undo() == (len(past) > 1)
            if len(past) > 1:
                future.append(past.pop())
        elif what == "redo":
            assert document.redo() == bool(future)
            if future:
                past.append(future.pop())
        else:
            n_before = len(document.undo_labels)
            act(document, what, number, region, policy)
            if len(document.undo_labels) > n_before:
                past.append(state_of(document))
                future.clear()
        assert state_of(document) == past[-1]
        assert len(document.undo_labels) == len(past) - 1
    while document.undo():
        past.pop()
        assert state_of(document) == past[-1]
    assert len(past) == 1


def test_steps_have_names_and_a_new_one_forgets_what_was_undone():
    document = new_document()
    document.do(paint(1, label="first"))
    document.do(paint(2, label="second"))
    assert document.undo_labels == ("second", "first")
    document.undo()
    assert document.redo_labels == ("second",)
    document.do(paint(2, (1, 1, 1), (2, 2, 2), label="third"))
    assert document.redo_labels == ()
    assert not document.redo()
    assert document.undo_labels == ("third", "first")


def test_what_changes_nothing_is_no_step():
    document = new_document()
    document.do(paint(0))
    document.do(SetPrompts("none", ()))
    with document.group("Empty stroke"):
        document.do(paint(0))
    assert document.undo_labels == ()
    assert not document.undo()


def test_a_refused_command_leaves_no_step_and_no_change():
    document = new_document()
    document.do(paint(1))
    before = state_of(document)
    with pytest.raises(UsageError):
        document.do(Failing())
    assert state_of(document) == before
    assert document.undo_labels == ("Paint",)


# -- groups ----------------------------------------------------------------------------------------


def test_a_group_is_one_step_even_where_its_parts_overlap():
    document = new_document()
    with document.group("Stroke"):
        document.do(paint(1, (0, 0, 0), (2, 2, 2)))
        document.do(paint(2, (1, 1, 1), (3, 3, 3)))
    after = state_of(document)
    assert document.undo_labels == ("Stroke",)
    document.undo()
    assert not document.labelmap.voxels.any()
    document.redo()
    assert state_of(document) == after


def test_a_group_that_fails_or_is_given_up_is_taken_back():
    document = new_document()
    document.do(paint(2, (3, 3, 3), (4, 4, 4)))
    before = state_of(document)

    def stroke() -> None:
        with document.group("Stroke"):
            document.do(paint(1, (0, 0, 0), (4, 4, 4)))
            document.do(Failing())

    with pytest.raises(UsageError):
        stroke()
    assert state_of(document) == before
    document.begin_group("Stroke")
    document.do(paint(1, (0, 0, 0), (4, 4, 4)))
    document.abort_group()
    assert state_of(document) == before
    assert document.undo_labels == ("Paint",)


def test_nothing_is_undone_or_redone_while_a_group_is_open():
    document = new_document()
    document.do(paint(1))
    document.do(paint(2))
    document.undo()
    document.begin_group("Stroke")
    document.do(paint(1, (1, 1, 1), (2, 2, 2)))
    before = state_of(document)
    assert not document.undo()
    assert not document.redo()
    assert state_of(document) == before
    with pytest.raises(RuntimeError, match="do not nest"):
        document.begin_group("Another")
    document.commit_group()
    with pytest.raises(RuntimeError, match="No group"):
        document.commit_group()


def test_what_waits_for_the_end_of_a_group_is_its_own_step():
    document = new_document()
    document.begin_group("Stroke")
    document.do(paint(1))

    def arrives() -> None:
        with document.group("Result"):
            document.do(paint(2, (1, 1, 1), (2, 2, 2)))

    document.when_idle(arrives)
    document.when_idle(arrives)  # the second changes nothing more
    assert document.labelmap.voxels[1, 1, 1] == 0
    document.commit_group()
    assert document.undo_labels == ("Result", "Stroke")
    document.when_idle(lambda: document.do(paint(1, (2, 2, 2), (3, 3, 3))))
    assert document.undo_labels[0] == "Paint"


# -- memory ----------------------------------------------------------------------------------------


def test_a_hundred_strokes_and_masks_on_a_clinical_scan_are_kept():
    shape = (60, 512, 512)
    volume = Volume(np.zeros((1, 1, 1), np.int16), Geometry((1, 1, 1), np.eye(4)))
    volume = replace(
        volume, voxels=np.broadcast_to(np.int16(0), shape), geometry=Geometry(shape, np.eye(4))
    )
    document = Document(volume, label_table=new_document().label_table)
    rows, columns = np.ogrid[:512, :512]
    n_steps = 110
    for n in range(n_steps):
        disk = (rows - 256) ** 2 + (columns - 250 + n) ** 2 < (40 + n) ** 2
        region = Region((n % 60, 0, 0), (n % 60 + 1, 512, 512))
        document.do(EditVoxels(f"Mask {n}", region, (disk * (1 + n % 2)).astype(np.uint8)[None]))
    assert len(document.undo_labels) == n_steps


def test_the_oldest_steps_go_when_the_budget_is_spent_but_a_few_always_stay():
    budget = 3 * paint_cost()
    document = new_document(undo_stack=UndoStack(max_bytes=budget, min_commands=2))
    for n in range(8):
        document.do(paint(1 + n % 2, label=f"step {n}"))
    assert document.undo_labels == ("step 7", "step 6", "step 5")
    tiny = new_document(undo_stack=UndoStack(max_bytes=1, min_commands=2))
    for n in range(8):
        tiny.do(paint(1 + n % 2, label=f"step {n}"))
    assert tiny.undo_labels == ("step 7", "step 6")


def paint_cost() -> int:
    command = paint(1)
    command.do(new_document())
    return command.nbytes


# -- saved or not ----------------------------------------------------------------------------------


def test_modified_follows_the_saved_state_through_undo_and_redo():
    document = new_document()
    assert not document.is_modified
    document.do(paint(1))
    assert document.is_modified
    document.mark_saved()
    document.do(paint(2))
    document.undo()
    assert not document.is_modified
    document.undo()
    assert document.is_modified
    document.redo()
    assert not document.is_modified


def test_forgotten_steps_still_count_as_modified():
    document = new_document(undo_stack=UndoStack(max_bytes=1, min_commands=1))
    document.do(paint(1))
    document.do(paint(1, (1, 1, 1), (2, 2, 2)))
    while document.undo():
        pass
    assert document.labelmap.voxels.any()
    assert document.is_modified


def test_a_stroke_in_progress_is_a_modification():
    document = new_document()
    document.begin_group("Stroke")
    document.do(paint(1))
    assert document.is_modified
    document.abort_group()
    assert not document.is_modified


# -- what listeners hear ---------------------------------------------------------------------------


def test_listeners_hear_what_changed_where_and_by_whom():
    document = new_document()
    heard: list[Change] = []
    document.changed.connect(heard.append)
    region = Region((1, 1, 1), (2, 3, 3))
    document.do(EditVoxels("Paint", region, np.ones((1, 2, 2), np.uint8), source="brush"))
    document.do(add_label(document.label_table, document.label_table.new_label()))
    document.undo()
    document.undo()
    assert [c.aspects & ~Aspect.HISTORY for c in heard] == [
        Aspect.VOXELS,
        Aspect.LABELS,
        Aspect.LABELS,
        Aspect.VOXELS,
    ]
    assert all(c.aspects & Aspect.HISTORY for c in heard)
    assert heard[0].region == heard[3].region == region
    assert (heard[0].source, heard[3].source) == ("brush", None)


def test_a_snapshot_does_not_follow_later_edits():
    document = new_document()
    document.do(paint(1))
    snapshot = document.snapshot(model_id="embedded")
    document.do(paint(2, (0, 0, 0), (4, 4, 4)))
    document.do(DeleteLabel(1))
    assert snapshot.labelmap.voxels.sum() == 1
    assert 1 in snapshot.label_table
    assert snapshot.provenance == {"model_id": "embedded"}
