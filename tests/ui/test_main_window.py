"""The window itself: what it offers, tells and remembers, driven by mouse and keyboard."""

from __future__ import annotations

import dataclasses

import pytest
from PySide6.QtCore import QPoint, Qt

from app.core.document import Document
from app.core.volume import Modality, Volume
from app.settings import Settings
from app.ui import slice_view
from app.ui.start_page import StartPage
from tests.fake_model import bright_models
from tests.ui.bench import Bench

pytestmark = pytest.mark.usefixtures("no_dialogs")


def test_an_empty_window_invites_and_offers_nothing_that_cannot_be_done(bench):
    assert bench.window.start_page.isVisible()
    table = bench.window.actions_table
    assert table["open"].isEnabled()
    for name in ("save", "undo", "redo", "tool_box", "carry", "reset"):
        assert not table[name].isEnabled(), name


def test_the_mouse_question_is_asked_once(qtbot, qapp, bright_model, user_home):
    bench = Bench(qtbot, qapp)
    buttons = bench.window.start_page.schemes
    qtbot.mouseClick(buttons["research"], Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    assert Settings.load().mouse_scheme == "research"
    later = StartPage(bench.session)
    qtbot.addWidget(later)
    assert not hasattr(later, "schemes")


def test_no_shortcut_is_given_twice(bench):
    taken = [
        key.toString()
        for action in bench.window.actions_table.actions.values()
        for key in action.shortcuts()
    ]
    assert sorted(taken) == sorted(set(taken))


def test_window_presets_of_ct_change_the_display_only(bench):
    document = bench.open()
    ct = Volume(document.volume.voxels, document.volume.geometry, Modality.CT, name="ct")
    bench.session.set_document(Document(ct, label_table=document.label_table), (-160.0, 240.0))
    bench.key(Qt.Key.Key_F2)
    assert bench.session.view_state.window == (-1350.0, 150.0)
    assert bench.session.prompting.model_window == (-160.0, 240.0)


def test_the_pointer_tells_value_label_and_place(bench):
    bench.open()
    view = bench.view(0)
    point = view.point_at((10.0, 20.0, 22.0)).toPoint()
    wanted = "(22, 20, 10)   L 22.0  P 20.0  S 10.0 mm"

    def is_told() -> bool:
        # Again and again: the window may learn in between that the real pointer is elsewhere.
        bench.qtbot.mouseMove(view.viewport(), point + QPoint(1, 1))
        bench.qtbot.mouseMove(view.viewport(), point)
        return bench.window.status.place.text().startswith(wanted)

    bench.qtbot.waitUntil(is_told)


def test_double_click_shows_one_view_alone_and_again_all(bench):
    bench.open()
    bench.session.view_state.active_tool = "navigate"
    view = bench.view(1)
    bench.qtbot.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(60, 60))
    shown = [panel.isVisible() for panel in bench.window.grid.panels]
    assert shown == [False, True, False]
    bench.qtbot.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(60, 60))
    assert all(panel.isVisible() for panel in bench.window.grid.panels)


def test_v_hides_the_masks_and_a_long_press_gives_them_back(bench, monkeypatch):
    bench.open()
    view, state = bench.view(0), bench.session.view_state
    view.setFocus()
    bench.qtbot.keyClick(view, Qt.Key.Key_V)
    assert not state.overlay_visible
    bench.qtbot.keyClick(view, Qt.Key.Key_V)
    assert state.overlay_visible
    monkeypatch.setattr(slice_view, "PEEK_MS", 0)
    bench.qtbot.keyPress(view, Qt.Key.Key_V)
    assert not state.overlay_visible
    bench.qtbot.keyRelease(view, Qt.Key.Key_V)
    assert state.overlay_visible


def test_messages_errors_stay_and_notes_do_not_push_them_away(bench):
    from app.session import Message

    bar = bench.window.message_bar
    bench.session.message.emit(Message("broken", is_error=True))
    bench.session.message.emit(Message("by the way"))
    assert bar.isVisible()
    assert bar.label.text() == "broken"
    bench.qtbot.mouseClick(bar.close_button, Qt.MouseButton.LeftButton)
    assert not bar.isVisible()


def test_a_message_does_not_move_the_pictures(bench):
    from app.session import Message

    bench.open()
    view, bar = bench.view(0), bench.window.message_bar
    before = view.mapTo(bench.window, view.rect().center())
    bench.session.message.emit(Message("The model is unsure here. " * 20))
    bench.qtbot.waitUntil(bar.isVisible)
    assert bar.isVisible()
    assert view.mapTo(bench.window, view.rect().center()) == before
    assert bench.window.stack.rect().contains(bar.geometry())
    assert bar.label.height() >= bar.label.heightForWidth(bar.label.width())


def test_diagnostics_hold_the_device_and_no_name(bench, qapp):
    bench.open()
    bench.window.actions_table.run("diagnostics")
    text = qapp.clipboard().text()
    assert "Maskwright" in text
    assert "(20, 40, 44)" in text
    assert "tube" not in text


@pytest.mark.qt_log_ignore("This plugin does not support")
def test_a_model_is_chosen_from_the_menu_and_remembered(qtbot, qapp, bright_model, user_home):
    other = dataclasses.replace(bright_models()["embedded"], id="other", title="Other")
    both = {**bright_models(), "other": other}
    bench = Bench(qtbot, qapp, lambda: both)
    menu = bench.window.model_menu
    menu.popup(bench.window.mapToGlobal(QPoint(100, 100)))
    actions = {action.text(): action for action in menu.actions()}
    assert [t for t, action in actions.items() if action.isChecked()] == ["Bright"]
    place = menu.actionGeometry(actions["Other"]).center()
    bench.qtbot.mouseClick(menu, Qt.MouseButton.LeftButton, pos=place)
    bench.runner.run_all()
    assert bench.session.prompting.model_id == "other"
    assert Settings.load().model_id == "other"
    assert "test bench" in bench.window.status.chip.toolTip()
