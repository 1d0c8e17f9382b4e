"""Settings and the start page: each setting does what it says, at once and after a restart."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication

from app.core.errors import ModelUnavailableError
from app.settings import Settings, user_cache_dir
from app.ui.main_window import MainWindow
from app.ui.settings_dialog import SettingsDialog
from app.ui.theme import apply_theme
from models.cache import EmbeddingCache
from tests.workspace.bench import Bench as FileBench
from tests.workspace.bench import write_image

pytestmark = pytest.mark.usefixtures("no_dialogs")

CONTROL = Qt.KeyboardModifier.ControlModifier
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def dialog(bench) -> SettingsDialog:
    bench.open()
    folder = user_cache_dir() / "embeddings"
    bench.engine.cache = EmbeddingCache(512 << 20, folder=folder)
    bench.window.activateWindow()
    bench.qtbot.waitUntil(bench.window.isActiveWindow)
    bench.key(Qt.Key.Key_Comma, CONTROL)
    (found,) = bench.window.findChildren(SettingsDialog)
    return found


def test_mouse_and_masks_change_at_once_and_are_remembered(bench, dialog):
    bench.qtbot.mouseClick(dialog.schemes["research"], LEFT, pos=QPoint(8, 8))
    assert bench.session.settings.mouse_scheme == "research"
    assert bench.window.actions_table["mouse_research"].isChecked()
    dialog.opacity.setFocus()
    bench.qtbot.keyClick(dialog.opacity, Qt.Key.Key_End)
    assert bench.session.view_state.overlay_opacity == 1.0
    outline = bench.session.view_state.outline
    bench.qtbot.keyClick(dialog.outline, Qt.Key.Key_Space)
    assert bench.session.view_state.outline is not outline
    dialog.close()
    bench.leave()
    bench.window.close()
    saved = Settings.load()
    assert (saved.mouse_scheme, saved.overlay_opacity) == ("research", 1.0)
    assert saved.outline is not outline


def test_larger_text_is_larger_at_once(bench, dialog):
    before = dialog.close_button.fontMetrics().height()
    dialog.font_px.setValue(20)
    assert dialog.close_button.fontMetrics().height() > before
    assert Settings.load().font_px == 20
    bench.qtbot.mouseClick(dialog.defaults_button, LEFT)
    assert dialog.close_button.fontMetrics().height() == before
    apply_theme(QApplication.instance())


def test_a_smaller_history_forgets_at_the_next_step(bench, dialog):
    document = bench.session.document
    for _ in range(10):
        bench.session.label_editing.add()
    assert len(document.undo_labels) == 10
    bench.session.tuning.limit_undo(0, document)
    bench.session.label_editing.add()
    assert len(document.undo_labels) < 10
    dialog.undo_mb.setValue(64)
    assert document._history.max_bytes == 64 << 20
    assert Settings.load().undo_megabytes == 64


def test_the_cache_is_limited_and_cleared(bench, dialog):
    cache = bench.engine.cache
    bench.session.prompting.place_box(0, 10, (8, 8, 30, 34))
    bench.runner.run_all()
    assert cache.nbytes > 0
    assert cache.disk_bytes() > 0
    dialog.cache_mb.setValue(256)
    dialog.disk_mb.setValue(1024)
    bench.runner.run_all()
    assert cache.max_disk_bytes == 1024 << 20
    assert (Settings.load().cache_megabytes, Settings.load().disk_cache_megabytes) == (256, 1024)
    bench.qtbot.mouseClick(dialog.clear_button, LEFT)
    bench.runner.run_all()
    assert (cache.nbytes, cache.disk_bytes()) == (0, 0)
    assert dialog.clear_button.isEnabled()
    assert dialog.cache_note.text().startswith("0 MB")
    # No disk at all is a choice, too.
    dialog.disk_mb.setValue(0)
    bench.session.prompting.place_box(0, 11, (8, 8, 30, 34))
    bench.runner.run_all()
    assert cache.disk_bytes() == 0


def test_another_device_is_used_at_once(bench, dialog):
    engine = bench.engine
    engine.load("embedded")
    dialog.device.setCurrentIndex(dialog.device.findData("cpu"))
    dialog.device.activated.emit(dialog.device.currentIndex())
    bench.runner.run_all()
    assert engine.device.reason == "chosen in the settings"
    assert Settings.load().device == "cpu"
    assert "chosen in the settings" in dialog.device_note.text()


def test_a_device_that_is_not_there_is_refused_in_words(bench, dialog, monkeypatch):
    def no_gpu(wanted):
        raise ModelUnavailableError("CUDA was asked for, but there is no GPU.")

    monkeypatch.setattr("models.engine.choose_device", no_gpu)
    dialog.device.setCurrentIndex(dialog.device.findData("cuda"))
    dialog.device.activated.emit(dialog.device.currentIndex())
    bench.runner.run_all()
    assert "no GPU" in bench.window.message_bar.label.text()
    assert dialog.device.currentData() == "auto"
    assert Settings.load().device == "auto"
    assert bench.session.settings.device == "auto"


def test_an_answer_that_comes_after_closing_does_no_harm(bench, dialog):
    bench.qtbot.mouseClick(dialog.clear_button, LEFT)
    dialog.close()
    bench.qtbot.waitUntil(lambda: not bench.window.findChildren(SettingsDialog))
    bench.runner.run_all()


# -- the start page ----------------------------------------------------------------------------


@pytest.fixture
def started(qtbot, bright_model, tmp_path):
    """Return a window at its start, after two scans were opened and one of them deleted."""
    for n, name in enumerate(("kept", "gone")):
        path = tmp_path / "scans" / f"{name}.nii.gz"
        write_image(path, n)
        first = FileBench(Settings.load())
        first.open(path)
    path.unlink()
    again = FileBench(Settings.load())
    window = MainWindow(again.session)
    qtbot.addWidget(window)
    window.show()
    again.run()
    return again, window


def test_recent_scans_have_pictures_and_missing_ones_are_grey(qtbot, started):
    again, window = started
    gone, kept = window.start_page.cards
    assert (kept.text(), gone.text()) == ("kept.nii.gz", "gone.nii.gz")
    assert (kept.isEnabled(), gone.isEnabled()) == (True, False)
    assert "not there any more" in gone.toolTip()
    image = kept.icon().pixmap(kept.iconSize()).toImage()
    shades = {image.pixelColor(x, image.height() // 2).red() for x in range(image.width())}
    assert max(shades) > 0
    qtbot.mouseClick(kept, LEFT)
    again.run()
    assert again.document.volume.name == "kept"
    window.close()


def test_clearing_the_list_forgets_scans_and_pictures(qtbot, started):
    again, window = started
    folder = user_cache_dir() / "pictures"
    assert len(list(folder.iterdir())) == 2
    qtbot.mouseClick(window.start_page.clear_button, LEFT)
    again.run()
    assert window.start_page.cards == []
    assert not window.start_page.clear_button.isVisible()
    assert list(folder.iterdir()) == []
    assert not window.actions_table["clear_recent"].isEnabled()
    window.close()
