"""Leaving a scan: no question while the work is kept, one when it is in memory only."""

from __future__ import annotations

import pytest

from app.settings import user_data_dir
from app.ui import dialogs
from app.ui.main_window import MainWindow
from tests.workspace.bench import Bench, automatic, state, write_image

pytestmark = pytest.mark.usefixtures("bright_model")


class Window:
    """A window on a scan with work that has no file yet."""

    def __init__(self, qtbot, tmp_path) -> None:
        self.image = tmp_path / "scans" / "tube.nii.gz"
        write_image(self.image, 1)
        self.bench = Bench()
        self.window = MainWindow(self.bench.session)
        qtbot.addWidget(self.window, before_close_func=lambda _: self.leave())
        self.window.show()
        self.bench.open(self.image)

    def leave(self) -> None:
        self.bench.document.mark_saved()

    def break_disk(self):
        """Put a file where the folder of kept work would be; return what mends it."""
        folder = user_data_dir() / "workspaces"
        if folder.exists():
            folder.rename(folder.with_name("before"))
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.write_text("in the way")
        return folder.unlink


@pytest.fixture
def shown(qtbot, tmp_path) -> Window:
    return Window(qtbot, tmp_path)


@pytest.fixture
def asked(monkeypatch) -> list[dialogs.Unsaved]:
    """Answer the question with CANCEL, and count."""
    answers = []

    def answer(parent) -> dialogs.Unsaved:
        answers.append(dialogs.Unsaved.CANCEL)
        return dialogs.Unsaved.CANCEL

    monkeypatch.setattr(dialogs, "ask_unsaved", answer)
    return answers


def test_kept_work_is_left_without_a_question_and_offered_again(shown, asked):
    shown.bench.paint(2)
    shown.bench.run()
    assert shown.bench.document.is_modified
    before = state(shown.bench.document)
    shown.window.close()
    assert not shown.window.isVisible()
    assert asked == []
    shown.bench.end()
    again = Bench()
    again.open(shown.image)
    assert again.offers[-1] is not None
    again.session.restoring.go_on()
    again.run()
    assert state(again.document) == before
    again.document.mark_saved()


def test_closing_waits_for_the_last_step_to_be_on_the_disk(shown, asked):
    shown.bench.paint(2)
    assert not automatic()
    shown.window.close()
    assert shown.window.isVisible()
    shown.bench.run()
    assert not shown.window.isVisible()
    assert automatic()
    assert asked == []


def test_opening_another_scan_waits_too_and_asks_nothing(shown, asked, tmp_path):
    other = tmp_path / "scans" / "other.nii.gz"
    write_image(other, 2)
    shown.bench.paint(2)
    shown.window.open_path(other)
    shown.bench.run()
    assert shown.bench.document.volume.name == "other"
    assert asked == []


def test_work_that_cannot_be_kept_is_asked_about(shown, asked):
    shown.break_disk()
    shown.bench.paint(2)
    shown.bench.run()
    shown.window.close()
    shown.bench.run()
    assert len(asked) == 1
    assert shown.window.isVisible()


def test_a_disk_that_was_mended_meanwhile_answers_the_question(shown, asked):
    mend = shown.break_disk()
    shown.bench.paint(2)
    shown.bench.run()
    mend()
    shown.window.close()
    shown.bench.run()
    assert asked == []
    assert not shown.window.isVisible()
    assert automatic()


def test_work_that_cannot_be_kept_may_be_given_up(shown, monkeypatch):
    shown.break_disk()
    shown.bench.paint(2)
    shown.bench.run()
    monkeypatch.setattr(dialogs, "ask_unsaved", lambda parent: dialogs.Unsaved.DISCARD)
    shown.window.close()
    shown.bench.run()
    assert not shown.window.isVisible()


def test_saving_the_mask_instead_closes_the_window_afterwards(shown, monkeypatch, tmp_path):
    shown.break_disk()
    shown.bench.paint(2)
    shown.bench.run()
    monkeypatch.setattr(dialogs, "ask_unsaved", lambda parent: dialogs.Unsaved.SAVE)
    monkeypatch.setattr(dialogs, "ask_save", lambda parent, path: tmp_path / "mask.nii.gz")
    shown.window.close()
    shown.bench.run()
    assert (tmp_path / "mask.nii.gz").exists()
    assert not shown.window.isVisible()
