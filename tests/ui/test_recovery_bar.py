"""The offer of earlier work: what it says, and what its buttons do."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt

from app.ui import dialogs
from app.ui.main_window import MainWindow
from app.ui.recovery_bar import RecoveryBar
from tests.workspace.bench import Bench, state, worked_on, write_image

pytestmark = pytest.mark.usefixtures("bright_model")


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "scans" / "tube.nii.gz"
    write_image(path, 1)
    return path


def shown(qtbot, bench: Bench) -> RecoveryBar:
    bar = RecoveryBar(bench.session)
    qtbot.addWidget(bar)
    assert bar.isHidden()
    return bar


def test_after_a_crash_the_start_offers_to_go_on(qtbot, image):
    first = worked_on(image)
    before = state(first.document)
    first.crash()
    bench = Bench()
    bar = shown(qtbot, bench)
    bench.session.restoring.look_for_unfinished()
    bench.run()
    assert not bar.isHidden()
    assert "did not end cleanly" in bar.label.text()
    assert image.name in bar.label.text()
    qtbot.mouseClick(bar.go_on_button, Qt.MouseButton.LeftButton)
    assert bar.isHidden()
    bench.run()
    assert state(bench.document) == before


def test_earlier_work_is_offered_with_its_scan_and_can_be_left(qtbot, image):
    worked_on(image).end()
    bench = Bench()
    bar = shown(qtbot, bench)
    bench.open(image)
    assert "earlier work on this scan" in bar.label.text()
    qtbot.mouseClick(bar.decline_button, Qt.MouseButton.LeftButton)
    bench.run()
    assert bar.isHidden()
    assert not bench.document.undo_labels


def test_the_first_edit_answers_the_question(qtbot, image):
    worked_on(image).end()
    bench = Bench()
    bar = shown(qtbot, bench)
    bench.open(image)
    assert not bar.isHidden()
    bench.paint(0)
    assert bar.isHidden()


def test_the_menu_saves_a_workspace_opens_it_and_asks_for_an_image_that_moved(
    qtbot, image, tmp_path, monkeypatch
):
    first = worked_on(image)
    window = MainWindow(first.session)
    qtbot.addWidget(window)
    own = tmp_path / "case.maskwright"
    monkeypatch.setattr(dialogs, "ask_save_workspace", lambda *_: own)
    window.actions_table.run("save_workspace")
    first.run()
    before = state(first.document)
    first.end()
    window.close()

    # Not beside the workspace, where it would be found.
    moved = image.rename(image.parent / "moved.nii.gz")
    second = Bench()
    window = MainWindow(second.session)
    qtbot.addWidget(window)
    monkeypatch.setattr(dialogs, "ask_workspace", lambda *_: own)
    asked = []
    monkeypatch.setattr(
        dialogs, "ask_moved_image", lambda parent, name, folder: asked.append(name) or moved
    )
    window.actions_table.run("open_workspace")
    second.run()
    assert asked == [image.name]
    assert state(second.document) == before
    second.document.mark_saved()
    window.close()
