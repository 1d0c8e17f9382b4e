"""The panel that edits masks, the lasso and the flood fill, driven by mouse and keyboard."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt

from app.core.commands import EditVoxels
from app.core.geometry import Region
from app.tools import TOOLS
from tests.ui.bench import Bench

LEFT = Qt.MouseButton.LeftButton
CONTROL = Qt.KeyboardModifier.ControlModifier
# Voxels of the window's phantom are 1 mm; its tube is 10 x 14 x 16 voxels of 1 in 0.
TUBE = Region((5, 12, 15), (15, 26, 31))
MIDDLE = (10, 20, 22)


@pytest.fixture
def bench(qtbot, qapp, bright_model) -> Bench:
    return Bench(qtbot, qapp)


@pytest.fixture
def panel(bench, monkeypatch):
    """Return the panel, in front, with a scan open in its middle; tools are as new afterwards."""
    for tool in TOOLS.load().values():
        for name, value in vars(tool).items():
            monkeypatch.setattr(tool, name, value)
    bench.open()
    bench.files.run_all()
    bench.session.view_state.cursor_zyx = MIDDLE
    bench.window.edit_panel.parentWidget().raise_()
    return bench.window.edit_panel


def paint(bench: Bench, region: Region, value: int = 1) -> None:
    block = np.full(region.shape_zyx, value, np.uint8)
    bench.session.document.do(EditVoxels("Paint", region, block))


def press(bench: Bench, button) -> None:
    bench.qtbot.mouseClick(button, LEFT)
    bench.files.run_all()


def extent(bench: Bench, label_id: int = 1) -> Region | None:
    return Region.of_mask(bench.session.document.labelmap.voxels == label_id)


def test_every_shortcut_means_one_thing(bench):
    keys = [
        shortcut.toString()
        for action in bench.window.actions_table.actions.values()
        for shortcut in action.shortcuts()
    ]
    assert sorted(set(keys)) == sorted(keys)


def test_the_panel_waits_for_a_scan(bench):
    assert not bench.window.edit_panel.grow_button.isEnabled()
    assert not bench.window.actions_table["edit_grow"].isEnabled()


def test_growing_and_shrinking_by_the_chosen_size_and_undoing_it(bench, panel):
    paint(bench, Region((8, 10, 10), (10, 12, 12)))
    panel.size_mm.setValue(3.0)
    press(bench, panel.grow_button)
    assert extent(bench) == Region((5, 7, 7), (13, 15, 15))
    assert bench.window.actions_table["undo"].text() == "Undo Grow by 3 mm"
    bench.key(Qt.Key.Key_Z, CONTROL)
    assert extent(bench) == Region((8, 10, 10), (10, 12, 12))
    panel.size_mm.setValue(1.0)
    press(bench, panel.shrink_button)
    assert extent(bench) is None


def test_holes_pieces_and_islands(bench, panel):
    paint(bench, TUBE)
    paint(bench, Region((9, 18, 20), (11, 20, 22)), 0)
    paint(bench, Region((0, 0, 0), (1, 2, 3)))
    press(bench, panel.holes_button)
    assert bench.session.document.labelmap.voxels[TUBE.slices].all()
    panel.min_ml.setValue(0.007)  # the island of six voxels is 0.006 ml
    press(bench, panel.islands_button)
    assert extent(bench) == TUBE
    paint(bench, Region((0, 0, 0), (1, 2, 3)))
    press(bench, panel.largest_button)
    assert extent(bench) == TUBE
    press(bench, panel.largest_button)
    assert "nothing to change" in bench.window.message_bar.label.text()


def test_a_threshold_takes_the_displayed_range(bench, panel):
    bench.session.view_state.window = (0.5, 1.5)
    press(bench, panel.window_button)
    press(bench, panel.threshold_button)
    assert extent(bench) == TUBE
    panel.low.setValue(2.0)
    press(bench, panel.threshold_button)
    assert "range" in bench.window.message_bar.label.text()
    assert extent(bench) == TUBE


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_copied_and_filled_in_the_plane_last_used(bench, panel, axis):
    shape = bench.session.document.volume.voxels.shape
    region = Region((6, 14, 18), (9, 20, 25)).with_axis(axis, MIDDLE[axis], MIDDLE[axis] + 1)
    paint(bench, region)
    view = bench.view(axis)
    bench.qtbot.mouseMove(view.viewport(), view.point_at(MIDDLE).toPoint())
    view.activated.emit(axis)
    bench.key(Qt.Key.Key_D, CONTROL)
    bench.files.run_all()
    assert extent(bench) == region.with_axis(axis, MIDDLE[axis], MIDDLE[axis] + 2)
    assert bench.session.view_state.cursor_zyx[axis] == MIDDLE[axis] + 1
    paint(bench, region.with_axis(axis, MIDDLE[axis] + 5, MIDDLE[axis] + 6))
    bench.key(Qt.Key.Key_I, CONTROL)
    bench.files.run_all()
    filled = region.with_axis(axis, MIDDLE[axis], MIDDLE[axis] + 6)
    assert extent(bench) == filled
    assert bench.session.document.labelmap.voxels[filled.slices].all()
    cursor = list(MIDDLE)
    cursor[axis] = shape[axis] - 1
    bench.session.view_state.cursor_zyx = tuple(cursor)
    press(bench, panel.next_button)
    assert "no slice beyond" in bench.window.message_bar.label.text()


def test_labels_are_combined_and_a_padlock_is_honoured(bench, panel):
    paint(bench, Region((8, 10, 10), (10, 12, 12)))
    paint(bench, Region((8, 10, 12), (10, 12, 16)), 2)
    assert [panel.other.itemText(i) for i in range(panel.other.count())] == ["lesion"]
    bench.window.label_panel.table.item(1, 3).setCheckState(Qt.CheckState.Checked)
    press(bench, panel.combine_button)
    assert "“lesion” is locked" in bench.window.message_bar.label.text()
    bench.window.label_panel.table.item(1, 3).setCheckState(Qt.CheckState.Unchecked)
    press(bench, panel.combine_button)
    assert extent(bench) == Region((8, 10, 10), (10, 12, 16))
    assert extent(bench, 2) is None
    paint(bench, Region((8, 10, 20), (10, 12, 22)), 2)
    panel.how.setCurrentIndex(2)
    assert panel.margin_mm.value() == 5.0
    press(bench, panel.combine_button)
    assert extent(bench) == Region((8, 10, 15), (10, 12, 16))
    bench.key(Qt.Key.Key_2)
    assert [panel.other.itemText(i) for i in range(panel.other.count())] == ["organ"]


def draw(bench: Bench, axis: int, *corners) -> None:
    view = bench.view(axis)
    points = [view.point_at(c).toPoint() for c in corners]
    bench.qtbot.mousePress(view.viewport(), LEFT, pos=points[0])
    for point in points[1:]:
        bench.qtbot.mouseMove(view.viewport(), point)
    bench.qtbot.mouseRelease(view.viewport(), LEFT, pos=points[-1])


def round_the_tube(axis: int) -> list[tuple[float, float, float]]:
    low, high = np.array(TUBE.start_zyx) - 2.5, np.array(TUBE.stop_zyx) + 1.5
    rows, columns = (a for a in range(3) if a != axis)
    corners = []
    for row, column in ((low, low), (low, high), (high, high), (high, low)):
        corner = [float(i) for i in MIDDLE]
        corner[rows], corner[columns] = float(row[rows]), float(column[columns])
        corners.append(tuple(corner))
    return corners


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_lasso_drawn_on_any_plane_becomes_a_mask_there(bench, panel, axis):
    bench.key(Qt.Key.Key_L)
    assert bench.session.view_state.active_tool == "lasso"
    draw(bench, axis, *round_the_tube(axis))
    bench.runner.run_all()
    slice_of_tube = TUBE.with_axis(axis, MIDDLE[axis], MIDDLE[axis] + 1)
    expected = np.zeros(bench.session.document.volume.voxels.shape, bool)
    expected[slice_of_tube.slices] = True
    np.testing.assert_array_equal(bench.session.document.labelmap.voxels == 1, expected)
    bench.key(Qt.Key.Key_Z, CONTROL)
    assert extent(bench) is None
    assert bench.session.document.prompts == ()


def test_a_hand_lasso_and_a_flood_fill(bench, panel):
    bench.key(Qt.Key.Key_L, Qt.KeyboardModifier.ShiftModifier)
    draw(bench, 0, *round_the_tube(0))
    drawn = extent(bench)
    assert drawn is not None
    assert drawn.union(TUBE) != TUBE
    assert drawn.shape_zyx[0] == 1
    bench.session.undo()
    bench.key(Qt.Key.Key_G)
    at = bench.view(1).point_at(MIDDLE).toPoint()
    bench.qtbot.mouseClick(bench.view(1).viewport(), LEFT, pos=at)
    bench.files.run_all()
    assert extent(bench) == TUBE.with_axis(1, MIDDLE[1], MIDDLE[1] + 1)
    panel.flood_3d.setChecked(True)
    bench.qtbot.mouseClick(bench.view(1).viewport(), LEFT, pos=at)
    bench.files.run_all()
    assert extent(bench) == TUBE


def test_the_brush_becomes_a_ball_that_keeps_to_the_threshold(bench, panel):
    tools = TOOLS.load()
    tools["brush"].radius_mm = 6.0
    bench.key(Qt.Key.Key_D)
    bench.qtbot.mouseClick(panel.ball, LEFT, pos=QPoint(8, panel.ball.height() // 2))
    panel.low.setValue(0.5)
    panel.high.setValue(1.0)
    bench.qtbot.mouseClick(panel.limited, LEFT, pos=QPoint(8, panel.limited.height() // 2))
    edge = (10.0, 20.0, 15.0)  # half of the ball lies beside the tube
    view = bench.view(0)
    bench.qtbot.mouseClick(view.viewport(), LEFT, pos=view.point_at(edge).toPoint())
    painted = bench.session.document.labelmap.voxels == 1
    np.testing.assert_array_equal(painted & (bench.session.document.volume.voxels < 0.5), False)
    depth = extent(bench)
    assert depth is not None
    assert depth.shape_zyx[0] == 10  # from 5 to 15, where the tube ends; the ball is 13 thick
    assert depth.start_zyx[2] == TUBE.start_zyx[2]


def test_the_size_of_the_brush_is_typed_and_follows_the_keys(bench, panel):
    brush = TOOLS.load()["brush"]
    bench.key(Qt.Key.Key_D)
    panel.brush_mm.selectAll()
    bench.qtbot.keyClicks(panel.brush_mm, "6")
    bench.qtbot.keyClick(panel.brush_mm, Qt.Key.Key_Return)
    assert brush.radius_mm == 3.0
    view = bench.view(0)
    bench.qtbot.mouseClick(view.viewport(), LEFT, pos=view.point_at((10.0, 20.0, 20.0)).toPoint())
    painted = extent(bench)
    assert painted is not None
    # Voxels of 1 mm; a click hits a voxel's centre only to the nearest pixel.
    assert set(painted.shape_zyx[1:]) <= {6, 7}
    view.setFocus()
    bench.qtbot.keyClick(view, Qt.Key.Key_BracketRight)
    assert brush.radius_mm > 3.0
    assert panel.brush_mm.value() == pytest.approx(2 * brush.radius_mm, abs=0.05)
