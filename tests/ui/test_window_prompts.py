"""Boxes and labels in the window: what the mouse and keys ask for is read from the document."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QTableWidget

pytestmark = pytest.mark.usefixtures("no_dialogs")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_dragged_on_any_plane_becomes_a_mask_there(bench, axis):
    document = bench.open()
    inside = [10, 20, 22]
    bench.session.view_state.cursor_zyx = tuple(inside)
    start, stop = [3.0, 10.0, 13.0], [16.0, 28.0, 33.0]
    start[axis] = stop[axis] = float(inside[axis])
    bench.drag(axis, tuple(start), tuple(stop))
    assert len(bench.session.prompting.pending) == 1
    bench.runner.run_all()
    expected = np.zeros(document.volume.voxels.shape, bool)
    where = [slice(None)] * 3
    where[axis] = inside[axis]
    expected[tuple(where)] = (document.volume.voxels > 0.5)[tuple(where)]
    np.testing.assert_array_equal(document.labelmap.voxels == 1, expected)


def test_keys_undo_redo_and_name_the_step(bench):
    document = bench.open()
    bench.session.view_state.cursor_zyx = (10, 20, 22)
    bench.drag(0, (10.0, 10.0, 13.0), (10.0, 28.0, 33.0))
    bench.runner.run_all()
    assert bench.window.actions_table["undo"].text() == "Undo Box (organ)"
    bench.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not document.labelmap.voxels.any()
    bench.key(Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    assert document.labelmap.voxels.any()
    assert "•" in bench.window.windowTitle()


def test_tool_keys_choose_the_tool_and_a_digit_the_label(bench):
    bench.open()
    for key, tool in ((Qt.Key.Key_P, "point"), (Qt.Key.Key_S, "scribble"), (Qt.Key.Key_B, "box")):
        bench.key(key)
        assert bench.session.view_state.active_tool == tool
    bench.key(Qt.Key.Key_2)
    assert bench.session.view_state.active_label == 2
    bench.key(Qt.Key.Key_T)
    assert not bench.session.view_state.positive


def test_carry_button_carries_the_box_through_the_chosen_slices(bench):
    document = bench.open()
    bench.session.view_state.cursor_zyx = (10, 20, 22)
    panel = bench.window.segment_panel
    assert not panel.carry_button.isEnabled()
    bench.drag(0, (10.0, 10.0, 13.0), (10.0, 28.0, 33.0))
    bench.runner.run_all()
    panel.first.setValue(8)
    panel.last.setValue(13)
    bench.qtbot.mouseClick(panel.carry_button, Qt.MouseButton.LeftButton)
    bench.runner.run_all()
    slices = np.flatnonzero(document.labelmap.voxels.any(axis=(1, 2)))
    assert slices.tolist() == [7, 8, 9, 10, 11, 12]


def test_n_goes_from_one_doubtful_slice_to_the_next(bench):
    document = bench.open()
    bench.session.prompting.place_box(0, 8, (8, 8, 30, 34))
    bench.runner.run_all()
    bench.session.prompting.carry_through(5, 12)
    bench.runner.run_all()
    scores = bench.session.prompting.scores[document.prompts[0].object_id]
    scores[6] = scores[10] = 0.3
    for expected in (6, 10, 6):
        bench.key(Qt.Key.Key_N)
        assert bench.session.view_state.cursor_zyx[0] == expected


def test_labels_are_added_renamed_locked_and_that_can_be_undone(bench):
    document = bench.open()
    panel = bench.window.label_panel
    bench.qtbot.mouseClick(panel.add_button, Qt.MouseButton.LeftButton)
    assert [info.name for info in document.label_table] == ["organ", "lesion", "Label 3"]
    assert bench.session.view_state.active_label == 3
    panel.table.closePersistentEditor(panel.table.currentItem())
    panel.table.item(1, 1).setText("metastasis")
    panel.table.item(0, 3).setCheckState(Qt.CheckState.Checked)
    assert document.label_table.get(2).name == "metastasis"
    assert document.label_table.get(1).locked
    assert document.undo_labels[:2] == ("Lock organ", "Rename metastasis")
    bench.session.undo()
    assert isinstance(panel.table, QTableWidget)
    assert panel.table.item(0, 3).checkState() == Qt.CheckState.Unchecked


def test_deleting_a_locked_label_is_refused_in_words(bench):
    document = bench.open()
    panel = bench.window.label_panel
    panel.table.item(0, 3).setCheckState(Qt.CheckState.Checked)
    panel.table.setCurrentCell(0, 1)
    bench.qtbot.mouseClick(panel.delete_button, Qt.MouseButton.LeftButton)
    assert len(document.label_table) == 2
    assert "locked" in bench.window.message_bar.label.text()


def test_a_prompt_on_a_locked_label_is_refused_in_words(bench):
    document = bench.open()
    bench.window.label_panel.table.item(0, 3).setCheckState(Qt.CheckState.Checked)
    bench.session.label_editing.choose(1)
    bench.drag(0, (10.0, 10.0, 13.0), (10.0, 28.0, 33.0))
    assert bench.session.prompting.pending == ()
    assert "locked" in bench.window.message_bar.label.text()
    assert document.prompts == ()
