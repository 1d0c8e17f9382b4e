"""Tools under the mouse that no other module here drives; what came of it is in the document."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt

from app.core.prompts import PointPrompt, ScribblePrompt
from app.tools import TOOLS, tools_in_order
from app.ui.mouse import SIZE_STEP
from tests.ui.bench import Bench

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
MIDDLE = (10, 19, 22)


@pytest.fixture
def bench(qtbot, qapp, bright_model) -> Bench:
    bench = Bench(qtbot, qapp)
    bench.open()
    bench.session.view_state.cursor_zyx = MIDDLE
    radius_mm = TOOLS.load()["brush"].radius_mm
    yield bench
    TOOLS.load()["brush"].radius_mm = radius_mm


def stroke(bench: Bench, axis: int, *positions, button=LEFT) -> None:
    view = bench.view(axis)
    points = [view.point_at(p).toPoint() for p in positions]
    bench.qtbot.mousePress(view.viewport(), button, pos=points[0])
    for point in points[1:]:
        bench.qtbot.mouseMove(view.viewport(), point)
    bench.qtbot.mouseRelease(view.viewport(), button, pos=points[-1])


def at(axis: int, row: float, column: float) -> tuple[float, float, float]:
    position = [row, column]
    position.insert(axis, float(MIDDLE[axis]))
    return position[0], position[1], position[2]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_drag_without_a_tool_moves_the_crosshair_of_all_planes(bench, axis):
    bench.key(Qt.Key.Key_Q)
    stroke(bench, axis, at(axis, 8, 20), at(axis, 12, 16))
    assert bench.session.view_state.cursor_zyx == at(axis, 12, 16)
    assert bench.session.document.undo_labels == ()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_points_add_and_the_right_button_takes_away(bench, axis):
    document = bench.session.document
    bench.key(Qt.Key.Key_P)
    stroke(bench, axis, at(axis, 13, 20))
    stroke(bench, axis, at(axis, 14, 17), button=RIGHT)
    bench.runner.run_all()
    kinds = [(type(p), p.positive, p.axis) for p in document.prompts]
    assert kinds == [(PointPrompt, True, axis), (PointPrompt, False, axis)]
    assert document.prompts[0].index_zyx == pytest.approx(at(axis, 13, 20), abs=0.3)
    bench.key(Qt.Key.Key_R)
    assert document.prompts == ()
    bench.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert len(document.prompts) == 2


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_scribble_follows_the_pointer_and_t_turns_it_round(bench, axis):
    document = bench.session.document
    bench.key(Qt.Key.Key_S)
    bench.key(Qt.Key.Key_T)
    way = [at(axis, 10, 16), at(axis, 12, 19), at(axis, 13, 24)]
    stroke(bench, axis, *way)
    bench.runner.run_all()
    (scribble,) = document.prompts
    assert isinstance(scribble, ScribblePrompt)
    assert (scribble.axis, scribble.positive) == (axis, False)
    np.testing.assert_allclose(scribble.points_zyx[0], way[0], atol=0.3)
    np.testing.assert_allclose(scribble.points_zyx[-1], way[-1], atol=0.3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_right_button_erases_what_the_brush_painted(bench, axis):
    document = bench.session.document
    bench.key(Qt.Key.Key_D)
    stroke(bench, axis, at(axis, 10, 12), at(axis, 10, 30))
    painted = document.labelmap.voxels.copy()
    where = tuple(int(v) for v in at(axis, 10, 21))
    assert painted[where] == 1
    assert np.count_nonzero(painted.any(axis=axis)) == np.count_nonzero(painted)
    stroke(bench, axis, at(axis, 10, 21), button=RIGHT)
    assert document.labelmap.voxels[where] == 0
    assert document.undo_labels == ("Erase", "Paint")
    document.undo()
    np.testing.assert_array_equal(document.labelmap.voxels, painted)


def test_a_ring_shows_the_size_of_the_brush_before_it_paints(bench):
    view, brush = bench.view(0), TOOLS.load()["brush"]
    bench.key(Qt.Key.Key_D)
    point = view.point_at(at(0, 15, 20)).toPoint()

    def ring_at_pointer():
        found = []

        def is_shown() -> bool:
            # Again and again: the window may learn in between that the real pointer is elsewhere.
            bench.qtbot.mouseMove(view.viewport(), point + QPoint(1, 1))
            bench.qtbot.mouseMove(view.viewport(), point)
            found[:] = view.shapes()
            return bool(found)

        bench.qtbot.waitUntil(is_shown)
        return found[0]

    ring = ring_at_pointer()
    assert (ring.kind, ring.radius_mm) == ("circle", brush.radius_mm)
    assert ring.points_zyx[0] == pytest.approx(at(0, 15, 20), abs=0.3)
    assert bench.view(1).shapes() == ()
    bench.qtbot.keyClick(view, Qt.Key.Key_BracketRight)
    larger = ring_at_pointer()
    assert larger.radius_mm == pytest.approx(SIZE_STEP * ring.radius_mm)
    bench.key(Qt.Key.Key_B)
    assert view.shapes() == ()


def test_the_panel_of_a_tool_comes_to_the_front_but_pushes_no_other_away(bench):
    window = bench.window
    window.segment_panel.parentWidget().raise_()
    bench.key(Qt.Key.Key_D)
    bench.qtbot.waitUntil(lambda: not window.edit_panel.visibleRegion().isEmpty())
    bench.key(Qt.Key.Key_B)
    bench.qtbot.waitUntil(lambda: not window.segment_panel.visibleRegion().isEmpty())
    window.display_panel.parentWidget().raise_()
    bench.qtbot.waitUntil(lambda: not window.display_panel.visibleRegion().isEmpty())
    bench.key(Qt.Key.Key_D)
    assert not window.display_panel.visibleRegion().isEmpty()


def test_bars_and_menus_have_hand_tools_after_prompts_and_rulers_last():
    names = [tool.id for tool in tools_in_order()]
    assert names.index("lasso") < names.index("brush") < names.index("lasso_fill")
    assert names[-2:] == ["ruler", "angle"]


def test_menus_are_in_groups_and_quit_is_the_last_of_its_own(bench):
    bar = bench.window.menuBar()
    for action in bar.actions():
        entries = action.menu().actions()
        longest = run = 0
        for entry in entries:
            run = 0 if entry.isSeparator() else run + 1
            longest = max(longest, run)
        assert longest <= 9, action.text()
        assert not entries[0].isSeparator()
    last = bar.actions()[0].menu().actions()[-1]
    assert last is bench.window.actions_table["quit"]
