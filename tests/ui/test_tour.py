"""The tour: it follows what is done, gets out of the way, and comes once."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt

from app.settings import Settings
from tests.ui.bench import Bench

pytestmark = pytest.mark.usefixtures("no_dialogs")

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def tour(bench: Bench):
    bench.window.tour.start_once()
    return bench.window.tour


def shows(tour, number: int) -> bool:
    return tour.step == number - 1 and tour.bubble.count.text() == f"{number} of 5"


def test_doing_the_five_steps_is_the_tour(bench, tour, monkeypatch, tmp_path):
    assert shows(tour, 1)
    bench.open()
    assert shows(tour, 2)
    bench.session.view_state.cursor_zyx = (10, 20, 22)
    bench.drag(0, (10.0, 10.0, 13.0), (10.0, 28.0, 33.0))
    assert shows(tour, 3)
    bench.runner.run_all()
    assert shows(tour, 3)  # the answer to the box is no correction
    bench.session.prompting.place_point((10.0, 20.0, 22.0), 0, True)
    bench.runner.run_all()
    assert shows(tour, 4)
    bench.session.prompting.carry_through(8, 13)
    bench.runner.run_all()
    assert shows(tour, 5)
    assert not Settings.load().tour_done
    bench.session.save_mask(tmp_path / "mask.nii.gz")
    bench.files.run_all()
    assert tour.step == -1
    assert not tour.bubble.isVisible()
    assert Settings.load().tour_done


def test_it_can_be_clicked_through(bench, tour):
    for number in range(1, 6):
        assert shows(tour, number)
        bench.qtbot.mouseClick(tour.bubble.next_button, LEFT)
    assert tour.step == -1
    assert Settings.load().tour_done


def test_escape_skips_it_for_good_and_the_menu_brings_it_back(bench, tour):
    bench.qtbot.keyClick(bench.window, Qt.Key.Key_Escape)
    assert not tour.bubble.isVisible()
    assert Settings.load().tour_done
    tour.start_once()
    assert tour.step == -1
    bench.window.actions_table.run("tour")
    assert tour.step == 0


def test_escape_in_a_view_skips_it_but_first_cancels_what_waits(bench, tour):
    bench.open()
    bench.window.activateWindow()
    bench.qtbot.waitUntil(bench.window.isActiveWindow)
    view = bench.view(0)
    view.setFocus()
    bench.session.view_state.cursor_zyx = (10, 20, 22)
    bench.drag(0, (10.0, 10.0, 13.0), (10.0, 28.0, 33.0))
    assert bench.session.prompting.pending
    bench.qtbot.keyClick(view, Qt.Key.Key_Escape)
    assert not bench.session.prompting.pending
    assert tour.step >= 0
    bench.qtbot.keyClick(view, Qt.Key.Key_Escape)
    assert tour.step == -1


def test_the_first_box_is_drawn_as_if_it_were_not_there(bench, tour):
    document = bench.open()
    bench.session.view_state.cursor_zyx = (10, 20, 22)
    bubble, view = tour.bubble, bench.view(0)
    assert bubble.isVisible()
    # Drawn through the place of the bubble: it hides as soon as the box begins.
    start = view.point_at((10.0, 10.0, 13.0)).toPoint()
    bench.qtbot.mousePress(view.viewport(), LEFT, pos=start)
    assert not bubble.isVisible()
    stop = view.point_at((10.0, 28.0, 33.0)).toPoint()
    bench.qtbot.mouseMove(view.viewport(), (start + stop) / 2)
    bench.qtbot.mouseMove(view.viewport(), stop)
    assert not bubble.isVisible()
    bench.qtbot.mouseRelease(view.viewport(), LEFT, pos=stop)
    bench.runner.run_all()
    assert np.count_nonzero(document.labelmap.voxels) == 14 * 16


def test_a_click_on_a_bubble_puts_it_away_until_the_next_step(bench, tour):
    bench.qtbot.mouseClick(tour.bubble, LEFT, pos=QPoint(20, 20))
    assert not tour.bubble.isVisible()
    bench.open()
    assert tour.bubble.isVisible()
    assert shows(tour, 2)


def test_it_takes_no_focus_and_stays_inside_the_window(bench, tour):
    bench.open()
    bench.view(0).setFocus()
    for _ in range(4):
        focus = bench.window.focusWidget()
        assert bench.window.rect().contains(tour.bubble.geometry())
        bench.qtbot.mouseClick(tour.bubble.next_button, LEFT)
        assert bench.window.focusWidget() is focus


def test_it_does_not_come_to_who_has_worked_here_before(bench):
    bench.session.settings.recent_files = ["/scans/a.nii"]
    bench.window.tour.start_once()
    assert bench.window.tour.step == -1
