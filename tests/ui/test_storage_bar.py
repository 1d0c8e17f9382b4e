"""Work that is not where it should be: said above the views until it is."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt

from app.ui import dialogs
from app.ui.main_window import MainWindow
from app.ui.theme import apply_theme
from tests.workspace.bench import Bench, worked_on, write_image


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "scans" / "tube.nii.gz"
    write_image(path, 1)
    return path


@pytest.fixture
def show(qtbot, qapp, bright_model):
    """Return a function that shows a run of the program in a window."""
    apply_theme(qapp)

    def show(bench: Bench) -> MainWindow:
        window = MainWindow(bench.session)
        qtbot.addWidget(window, before_close_func=lambda _: bench.document.mark_saved())
        window.show()
        qtbot.waitExposed(window)
        return window

    return show


def test_a_full_disk_stays_on_the_screen_until_it_has_room(qtbot, show, image, monkeypatch):
    bench = worked_on(image)
    drive = image.parent / "drive"
    drive.mkdir()
    bench.session.save_workspace(drive / "case.maskwright")
    bench.run()
    window = show(bench)
    bar = window.storage_bar
    assert not bar.isVisible()
    away = drive.rename(image.parent / "away")
    bench.paint(1)
    bench.run()
    assert bar.isVisible()
    assert "drive was removed" in bar.label.text()
    assert bar.workspace_button.isVisible()
    # Nothing else pushes it away, and trying in vain leaves it.
    bench.session.import_mask(image.parent / "missing.nii.gz")
    qtbot.mouseClick(bar.again_button, Qt.MouseButton.LeftButton)
    bench.run()
    assert bar.isVisible()
    mask = image.parent / "mask.nii.gz"
    monkeypatch.setattr(dialogs, "ask_save", lambda parent, path: mask)
    qtbot.mouseClick(bar.mask_button, Qt.MouseButton.LeftButton)
    bench.run()
    assert mask.exists()
    away.rename(drive)
    bar._timer.timeout.emit()
    bench.run()
    assert not bar.isVisible()
    assert not bar._timer.isActive()
    bench.end()


def test_the_second_window_on_a_workspace_says_that_it_is_read_only(
    qtbot, show, image, monkeypatch
):
    first = worked_on(image)
    own = image.parent / "case.maskwright"
    first.session.save_workspace(own)
    first.run()
    second = Bench()
    window = show(second)
    second.open(own)
    bar = window.storage_bar
    assert bar.isVisible()
    assert "read-only here" in bar.label.text()
    assert not bar.again_button.isVisible()
    mine = image.parent / "mine.maskwright"
    monkeypatch.setattr(dialogs, "ask_save_workspace", lambda parent, path: mine)
    qtbot.mouseClick(bar.workspace_button, Qt.MouseButton.LeftButton)
    second.run()
    assert mine.exists()
    assert not bar.isVisible()
    first.end()
    second.end()
