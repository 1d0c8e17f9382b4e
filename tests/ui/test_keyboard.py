"""Every tool without a mouse: keys alone, what came of it read from the document."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt

from app.core.prompts import BoxPrompt, PointPrompt, ScribblePrompt
from app.tools import TOOLS
from tests.ui.bench import Bench

pytestmark = pytest.mark.usefixtures("no_dialogs")

CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
NONE = Qt.KeyboardModifier.NoModifier
UP, DOWN, LEFT, RIGHT = Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Left, Qt.Key.Key_Right


class Keys:
    """A window whose keys go to the view with the focus, as those of a person do."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.document = bench.open()
        self.session = bench.session
        bench.window.activateWindow()
        bench.qtbot.waitUntil(bench.window.isActiveWindow)
        bench.view(0).setFocus()

    def press(self, key, modifiers=NONE, times: int = 1) -> None:
        for _ in range(times):
            self.bench.qtbot.keyClick(self.bench.window.focusWidget(), key, modifiers)

    @property
    def cursor(self) -> tuple[int, int, int]:
        return self.session.view_state.cursor_zyx

    def take(self, tool: str) -> None:
        self.bench.window.actions_table.run(f"tool_{tool}")


@pytest.fixture
def keys(bench) -> Keys:
    return Keys(bench)


@pytest.mark.parametrize(
    ("axis", "key", "cursor"),
    [
        # What goes right on the screen goes to the patient's left: to larger x, or y when sagittal.
        (0, RIGHT, (10, 20, 23)),
        (0, DOWN, (10, 21, 22)),
        (1, RIGHT, (10, 20, 23)),
        (1, DOWN, (9, 20, 22)),
        (2, RIGHT, (10, 21, 22)),
        (2, UP, (11, 20, 22)),
    ],
)
def test_ctrl_and_arrows_move_the_crosshair_as_it_is_seen(keys, axis, key, cursor):
    view = keys.bench.view(axis)
    view.setFocus()
    before = view.point_at(tuple(map(float, keys.cursor)))
    keys.press(key, CONTROL)
    assert keys.cursor == cursor
    moved = view.point_at(tuple(map(float, keys.cursor))) - before
    expected = {RIGHT: (1, 0), DOWN: (0, 1), UP: (0, -1)}[key]
    assert (np.sign(round(moved.x())), np.sign(round(moved.y()))) == expected
    keys.press(key, CONTROL | SHIFT, 20)
    assert keys.document.volume.geometry.contains(keys.cursor)


def test_a_box_is_drawn_sized_and_confirmed_by_keys(keys):
    keys.take("box")
    keys.press(UP, CONTROL, 10)
    keys.press(LEFT, CONTROL, 8)
    assert keys.cursor == (10, 10, 14)
    keys.press(Qt.Key.Key_K)
    keys.press(DOWN, SHIFT, 3)
    keys.press(RIGHT, NONE, 17)
    assert not keys.document.prompts
    keys.press(Qt.Key.Key_Return)
    keys.bench.runner.run_all()
    (box,) = keys.document.prompts
    assert isinstance(box, BoxPrompt)
    assert box.region.shape_zyx == (1, 15, 17)
    expected = (keys.document.volume.voxels > 0.5) & False
    expected[10, 12:26, 15:31] = True
    np.testing.assert_array_equal(keys.document.labelmap.voxels == 1, expected)
    # Enter accepts again once nothing is being drawn.
    assert keys.session.prompting.current_object is not None
    keys.press(Qt.Key.Key_Return)
    assert keys.session.prompting.current_object is None


def test_escape_gives_up_a_box_and_slices_stay_while_it_is_drawn(keys):
    keys.take("box")
    keys.press(Qt.Key.Key_K)
    keys.press(Qt.Key.Key_PageUp)
    keys.press(RIGHT, NONE, 9)
    assert keys.cursor[0] == 10
    keys.press(Qt.Key.Key_Escape)
    assert TOOLS.load()["box"].shapes() == ()
    keys.press(Qt.Key.Key_PageUp)
    assert keys.cursor[0] == 11
    assert keys.session.prompting.pending == ()


def test_the_pointer_passing_by_does_not_move_a_box_of_keys(keys):
    keys.take("box")
    view = keys.bench.view(0)
    keys.press(Qt.Key.Key_K)
    keys.press(RIGHT, NONE, 8)
    keys.press(DOWN, NONE, 4)
    keys.bench.qtbot.mouseMove(view.viewport(), QPoint(5, 5))
    keys.bench.qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(9, 9))
    keys.press(Qt.Key.Key_K)
    (box,) = keys.session.prompting.pending
    assert box.region.shape_zyx == (1, 4, 8)


@pytest.mark.parametrize(("modifiers", "positive"), [(NONE, True), (SHIFT, False)])
def test_a_point_is_one_key(keys, modifiers, positive):
    keys.take("point")
    keys.press(Qt.Key.Key_K, modifiers)
    (point,) = keys.session.prompting.pending
    assert isinstance(point, PointPrompt)
    assert (point.index_zyx, point.positive) == ((10.0, 20.0, 22.0), positive)


def test_the_brush_paints_along_the_arrows_as_one_step(keys):
    keys.take("brush")
    TOOLS.load()["brush"].radius_mm = 1.0
    keys.press(Qt.Key.Key_K)
    keys.press(RIGHT, NONE, 4)
    keys.press(Qt.Key.Key_Space)
    painted = keys.document.labelmap.voxels == 1
    assert painted[10, 20, 22:27].all()
    assert keys.document.undo_labels == ("Paint",)
    keys.press(Qt.Key.Key_K, SHIFT)
    keys.press(LEFT, SHIFT)
    keys.press(Qt.Key.Key_K)
    assert not (keys.document.labelmap.voxels == 1)[10, 20, 21:27].any()
    assert keys.document.undo_labels == ("Erase", "Paint")


@pytest.mark.parametrize("tool", ["scribble", "lasso", "lasso_fill"])
def test_strokes_and_outlines_are_drawn_with_arrows(keys, tool):
    keys.take(tool)
    keys.press(Qt.Key.Key_K)
    for key in (RIGHT, DOWN, LEFT):
        keys.press(key, SHIFT, 2)
    keys.press(Qt.Key.Key_Return)
    if tool == "lasso_fill":
        assert (keys.document.labelmap.voxels[10] == 1).sum() >= 81
    else:
        kinds = {type(prompt) for prompt in keys.session.prompting.pending}
        assert ScribblePrompt in kinds


def test_flood_fill_is_one_key(keys):
    keys.take("flood_fill")
    keys.press(Qt.Key.Key_K)
    keys.bench.files.run_all()
    filled = keys.document.labelmap.voxels[10] == 1
    np.testing.assert_array_equal(filled, keys.document.volume.voxels[10] > 0.5)


def test_a_locked_label_is_refused_in_words(keys):
    keys.bench.window.label_panel.table.item(0, 3).setCheckState(Qt.CheckState.Checked)
    keys.take("brush")
    keys.press(Qt.Key.Key_K)
    assert "locked" in keys.bench.window.message_bar.label.text()
    keys.press(RIGHT)
    assert keys.cursor == (11, 20, 22)  # nothing is pressed: arrows change the slice
    assert not keys.document.labelmap.voxels.any()


def test_tab_goes_from_view_to_view_and_on_to_the_panels(keys):
    views = [keys.bench.view(axis) for axis in range(3)]
    for view in views[1:]:
        keys.press(Qt.Key.Key_Tab)
        assert keys.bench.window.focusWidget() is view
    assert keys.bench.window.grid.active_axis == 2
    keys.press(Qt.Key.Key_Tab)
    assert keys.bench.window.focusWidget() not in views
    keys.press(Qt.Key.Key_Tab, CONTROL)
    assert keys.bench.window.focusWidget() is views[2]
    keys.press(Qt.Key.Key_Tab, CONTROL)
    assert keys.bench.window.focusWidget() is views[0]


def test_zoom_by_keys_keeps_the_crosshair_and_moving_it_pans(keys):
    view = keys.bench.view(0)
    before = view.px_per_mm
    keys.press(Qt.Key.Key_Plus, NONE, 14)
    assert view.px_per_mm > before
    keys.press(RIGHT, CONTROL | SHIFT, 4)
    here = view.point_at(tuple(map(float, keys.cursor)))
    assert view.viewport().rect().contains(here.toPoint())
    keys.press(Qt.Key.Key_Minus, NONE, 14)
    assert view.px_per_mm == pytest.approx(before)


def test_another_key_for_the_masks_peeks_too(keys):
    keys.bench.window.actions_table.set_keys("show_mask", "J")
    state, view = keys.session.view_state, keys.bench.view(0)
    keys.bench.qtbot.keyPress(view, Qt.Key.Key_J)
    assert not state.overlay_visible
    keys.bench.qtbot.keyRelease(view, Qt.Key.Key_J)
    keys.press(Qt.Key.Key_V)
    assert not state.overlay_visible
