"""The review strip, driven by mouse and keys."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt

from tests.ui.bench import Bench


@pytest.fixture
def bench(qtbot, qapp, bright_model) -> Bench:
    bench = Bench(qtbot, qapp)
    bench.open()
    bench.session.view_state.cursor_zyx = (10, 20, 22)
    bench.drag(0, (10.0, 10.0, 13.0), (10.0, 28.0, 33.0))
    bench.runner.run_all()
    return bench


def shown(bench) -> int:
    return bench.session.view_state.cursor_zyx[0]


def settle(bench) -> None:
    bench.qtbot.waitUntil(lambda: bool(bench.window.review_strip.cells))


def test_carrying_fills_the_strip_and_a_click_goes_to_a_slice(bench):
    bench.session.prompting.carry_through(6, 14)
    bench.runner.run_all()
    strip = bench.window.review_strip
    bench.qtbot.waitUntil(lambda: [c.index for c in strip.cells] == list(range(6, 14)))
    assert [c.index for c in strip.cells if c.is_key] == [10]
    bench.qtbot.mouseClick(
        strip, Qt.MouseButton.LeftButton, pos=strip.cell_rect(1).center().toPoint()
    )
    assert shown(bench) == 7
    bench.qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(strip.width() - 2, 12))
    assert shown(bench) == 7


def test_keys_go_to_the_worst_slice_accept_it_and_go_on(bench):
    bench.session.prompting.carry_through(6, 14)
    bench.runner.run_all()
    bench.session.prompting.scores[0].update({8: 0.3, 12: 0.5})
    bench.session.review.refresh()
    settle(bench)
    bench.key(Qt.Key.Key_N)
    assert shown(bench) == 8
    bench.key(Qt.Key.Key_N)
    assert shown(bench) == 12
    bench.key(Qt.Key.Key_N)
    assert shown(bench) == 8
    bench.key(Qt.Key.Key_A)
    assert shown(bench) == 12
    bench.key(Qt.Key.Key_A)
    # Nothing is doubtful any more: on to the next slice that nobody looked at.
    assert shown(bench) == 13
    accepted = [c.index for c in bench.session.review.cells(0) if c.is_accepted]
    assert accepted == [8, 12]
    doubts = bench.session.review.doubts(0, 20)
    assert not doubts.any()
    bench.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    bench.key(Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    accepted = [c.index for c in bench.session.review.cells(0) if c.is_accepted]
    assert accepted == [8, 12]
