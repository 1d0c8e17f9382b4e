"""The range through which a mask is carried: on the slice bar, in another plane, by keys."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt

from tests.ui.bench import Bench

LEFT = Qt.MouseButton.LeftButton
SHIFT = Qt.KeyboardModifier.ShiftModifier
KEY = 10


@pytest.fixture
def bench(qtbot, qapp, bright_model) -> Bench:
    bench = Bench(qtbot, qapp)
    bench.open()
    bench.session.view_state.cursor_zyx = (KEY, 20, 22)
    bench.drag(0, (10.0, 10.0, 13.0), (10.0, 28.0, 33.0))
    bench.runner.run_all()
    slider = bench.window.grid.panels[0].slider
    qtbot.waitUntil(lambda: slider.carry_range is not None)
    return bench


def masks(bench) -> list[int]:
    return np.flatnonzero(bench.session.document.labelmap.voxels.any(axis=(1, 2))).tolist()


def drag_end(bench, end: int, to_slice: int) -> None:
    slider = bench.window.grid.panels[0].slider
    start = QPoint(4, round(slider.y_of(slider.carry_range[end])))
    stop = QPoint(4, round(slider.y_of(to_slice + 0.5)))
    bench.qtbot.mousePress(slider, LEFT, pos=start)
    bench.qtbot.mouseMove(slider, stop)
    bench.qtbot.mouseRelease(slider, LEFT, pos=stop)


def test_dragging_the_ends_on_the_slice_bar_carries_through_what_they_enclose(bench):
    assert bench.session.view_state.carry_range == (0, 0, 20)
    drag_end(bench, 0, 8)
    bench.runner.run_all()
    drag_end(bench, 1, 12)
    bench.runner.run_all()
    panel = bench.window.segment_panel
    assert (panel.first.value(), panel.last.value()) == (9, 13)
    # The range became smaller: slices outside it are given back.
    assert masks(bench) == [8, 9, 10, 11, 12]
    bench.session.undo()
    assert masks(bench) == list(range(8, 15))


def test_the_slice_of_the_box_stays_in_the_range_and_a_click_runs_nothing(bench):
    drag_end(bench, 0, 14)
    assert bench.session.view_state.carry_range == (0, KEY, 20)
    bench.runner.run_all()
    slider = bench.window.grid.panels[0].slider
    bench.qtbot.waitUntil(lambda: slider.carry_range == (KEY, 20))
    bench.qtbot.mouseClick(slider, LEFT, pos=QPoint(4, round(slider.y_of(20))))
    assert not bench.session.prompting.pending


def test_keys_set_both_ends(bench):
    state = bench.session.view_state
    state.cursor_zyx = (7, 20, 22)
    bench.key(Qt.Key.Key_Home, SHIFT)
    state.cursor_zyx = (11, 20, 22)
    bench.key(Qt.Key.Key_End, SHIFT)
    assert state.carry_range == (0, 7, 12)
    bench.key(Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    bench.runner.run_all()
    assert masks(bench) == [7, 8, 9, 10, 11]


@pytest.mark.parametrize("axis", [1, 2])
def test_a_box_gets_its_depth_in_another_plane(bench, axis):
    drag_end(bench, 0, 6)
    bench.runner.run_all()
    bench.drag(axis, (5.5, 20.0, 22.0), (8.5, 20.0, 22.0))
    assert bench.session.view_state.carry_range == (0, 9, 20)
    bench.runner.run_all()
    assert masks(bench) == list(range(9, 15))
    assert len({p.object_id for p in bench.session.document.prompts}) == 1


def test_a_box_beside_the_ends_is_another_box(bench):
    drag_end(bench, 0, 6)
    bench.runner.run_all()
    bench.drag(1, (2.0, 20.0, 2.0), (16.0, 20.0, 40.0))
    bench.runner.run_all()
    assert len({p.object_id for p in bench.session.document.prompts}) == 2


def test_another_box_on_the_key_slice_is_carried_as_far(bench):
    drag_end(bench, 0, 6)
    bench.runner.run_all()
    before = masks(bench)
    bench.session.view_state.cursor_zyx = (KEY, 20, 22)
    bench.drag(0, (10.0, 10.0, 13.0), (10.0, 22.0, 33.0))
    bench.runner.run_all()
    assert masks(bench) == before
    # The narrower box counts on every slice.
    assert not bench.session.document.labelmap.voxels[KEY, 23:].any()


def test_a_running_carry_through_is_kept_or_dropped_as_the_user_says(bench):
    status, session = bench.window.status, bench.session
    assert not status.drop_button.isVisible()
    for is_kept in (True, False):
        session.prompting.carry_through(0, 20)
        assert status.drop_button.isVisible()
        if is_kept:
            bench.key(Qt.Key.Key_Escape)
        else:
            bench.qtbot.mouseClick(status.drop_button, LEFT)
        bench.runner.run_all()
        assert not status.drop_button.isVisible()
        assert len(session.document.undo_labels) == (2 if is_kept else 1)
        if is_kept:
            session.undo()


def test_all_planes_show_the_mask_while_it_is_carried(bench):
    session, inside = bench.session, (8.0, 20.0, 22.0)
    session.view_state.outline = session.view_state.crosshair_visible = False

    def colours() -> list:
        found = []
        for axis in (1, 2):
            view = bench.view(axis)
            picture = view.grab().toImage()
            ratio = picture.devicePixelRatio()
            at = view.point_at(inside) * ratio
            found.append(picture.pixelColor(at.toPoint()).getRgb())
        return found

    before, seen = colours(), {}
    session.prompting.preview_changed.connect(
        lambda preview: seen.update({preview.index: colours()}) if preview else None
    )
    session.prompting.carry_through(6, 14)
    bench.runner.run_all()
    # Slices come outwards from 10; the last two come with the mask itself.
    assert seen[9] == before
    assert all(now != was for now, was in zip(seen[8], before, strict=True))


def test_nothing_leaves_the_depth_of_the_box_whatever_is_corrected(bench):
    bench.session.view_state.cursor_zyx = (KEY, 20, 22)
    drag_end(bench, 0, 8)
    bench.runner.run_all()
    bench.drag(1, (14.5, 20.0, 22.0), (11.5, 20.0, 22.0))
    drag_end(bench, 1, 11)
    bench.runner.run_all()
    assert masks(bench) == [8, 9, 10, 11]
    bench.session.view_state.cursor_zyx = (9, 20, 22)
    bench.session.prompting.place_point((9.0, 20.0, 22.0), 0, positive=False)
    bench.runner.run_all()
    assert masks(bench) == [8, 9, 10, 11]
    bench.session.view_state.cursor_zyx = (KEY, 20, 22)
    bench.drag(0, (10.0, 10.0, 13.0), (10.0, 27.0, 32.0))
    bench.runner.run_all()
    assert masks(bench) == [8, 9, 10, 11]
