"""Merging, splitting, presets: what voxels, prompts and the table are afterwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.core.commands import EditVoxels, SetLabels, SetPrompts
from app.core.document import Document
from app.core.errors import UsageError
from app.core.geometry import Geometry, Region
from app.core.labels import LabelInfo, LabelTable
from app.core.prompts import PointPrompt
from app.core.view_state import ViewState
from app.core.volume import Volume
from app.label_editing import LabelEditing
from app.label_presets import label_presets, with_preset
from app.notices import Notices
from tests.manual_runner import ManualRunner

SHAPE = (6, 8, 10)


@pytest.fixture
def bench():
    table = LabelTable()
    for name in ("organ", "lesion", "vessel"):
        table = table.with_added(table.new_label(name))
    document = Document(Volume(np.zeros(SHAPE, np.int16), Geometry(SHAPE, np.eye(4))))
    document.do(SetLabels("Labels", table))
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[0:2, 0:2] = 1
    voxels[3:6, 4:8, 5:9] = 2
    voxels[0, 5:7, 0:3] = 2
    voxels[5, 0, 0] = 2
    voxels[2, 7] = 3
    document.do(EditVoxels("Paint", Region.whole(SHAPE), voxels))
    document.do(SetPrompts("Point", (PointPrompt((4.0, 5.0, 6.0), label_id=2, object_id=7),)))
    runner, notices = ManualRunner(), Notices()
    editing = LabelEditing(runner, ViewState(), notices, lambda: None)
    editing.open(document)
    editing.document, editing.runner, editing.told = document, runner, []
    notices.message.connect(editing.told.append)
    return editing


def state(document: Document) -> tuple:
    return document.labelmap.voxels.tobytes(), document.label_table, document.prompts


def lock(document: Document, label_id: int) -> None:
    info = document.label_table.get(label_id)
    document.do(SetLabels("Lock", document.label_table.with_changed(replace(info, locked=True))))


def test_merged_labels_are_one_and_come_back_in_one_step(bench):
    document = bench.document
    before, painted = state(document), document.labelmap.voxels.copy()
    bench.merge(1, (2, 3))
    bench.runner.run_all()
    np.testing.assert_array_equal(document.labelmap.voxels, (painted > 0).astype(np.uint8))
    assert [info.name for info in document.label_table] == ["organ"]
    assert [prompt.label_id for prompt in document.prompts] == [1]
    after = state(document)
    document.undo()
    assert state(document) == before
    document.redo()
    assert state(document) == after


@pytest.mark.parametrize("locked", [1, 2])
def test_a_padlock_forbids_merging_from_and_into(bench, locked):
    lock(bench.document, locked)
    before = state(bench.document)
    with pytest.raises(UsageError, match="locked"):
        bench.merge(1, (2,))
    bench.runner.run_all()
    assert state(bench.document) == before


def test_what_is_drawn_or_locked_while_merging_counts(bench):
    bench.merge(1, (2,))
    bench.document.do(EditVoxels("Paint", Region((0, 0, 8), (1, 1, 9)), np.full((1, 1, 1), 2)))
    bench.runner.run_all()
    assert bench.document.labelmap.voxels[0, 0, 8] == 1
    assert not (bench.document.labelmap.voxels == 2).any()
    bench.merge(1, (3,))
    lock(bench.document, 3)
    before = state(bench.document)
    bench.runner.run_all()
    assert state(bench.document) == before
    assert "locked" in bench.told[-1].text


def test_pieces_become_labels_by_size_beside_the_first(bench):
    document = bench.document
    before, painted = state(document), document.labelmap.voxels.copy()
    bench.split(2)
    bench.runner.run_all()
    assert [i.name for i in document.label_table] == [
        "organ", "lesion", "lesion 2", "lesion 3", "vessel",
    ]  # fmt: skip
    voxels = document.labelmap.voxels
    second, third = (document.label_table.named(f"lesion {n}").id for n in (2, 3))
    counts = {value: int((voxels == value).sum()) for value in (2, second, third)}
    assert counts == {2: 3 * 4 * 4, second: 2 * 3, third: 1}
    assert voxels[5, 0, 0] == third
    np.testing.assert_array_equal(voxels > 0, painted > 0)
    np.testing.assert_array_equal(voxels == 3, painted == 3)
    document.undo()
    assert state(document) == before
    bench.split(1)
    bench.runner.run_all()
    assert state(document) == before
    assert "one piece" in bench.told[-1].text


def test_a_preset_replaces_only_what_nobody_uses():
    abdomen = next(p for p in label_presets() if p.id == "abdomen")
    fresh = LabelTable().with_added(LabelTable().new_label("Label 1"))
    table = with_preset(fresh, abdomen, ())
    assert [i.name for i in table] == [i.name for i in abdomen.table]
    assert table.named("liver").code == ("SCT", "10200004", "Liver")
    used = with_preset(fresh, abdomen, {1})
    assert next(iter(used)).name == "Label 1"
    assert len({i.id for i in used}) == len(abdomen.table) + 1
    mine = LabelTable((LabelInfo(40, "liver", (1, 2, 3)),))
    assert with_preset(mine, abdomen, ()).named("liver").id == 40
    assert with_preset(table, abdomen, ()) == table


def test_there_is_a_preset_for_each_region():
    assert {p.id for p in label_presets()} == {"abdomen", "brain", "head_and_neck", "heart"}


def test_a_label_is_moved_in_the_list():
    table = LabelTable(tuple(LabelInfo(n, f"n{n}", (0, 0, n)) for n in (5, 3, 8)))
    assert [i.id for i in table.with_moved(8, 0)] == [8, 5, 3]
    assert [i.id for i in table.with_moved(5, 2)] == [3, 8, 5]
