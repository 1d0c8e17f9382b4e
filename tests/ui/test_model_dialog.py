"""The dialog of models: choosing, checking, removing, importing; what a missing one leads to."""

from __future__ import annotations

import dataclasses
import json

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QMessageBox, QWidget

from app.session import Session
from app.settings import Settings, user_models_dir
from app.ui import dialogs
from app.ui.model_dialog import ModelDialog
from models.engine import InferenceEngine
from models.model_store import ENTRY, imported_models
from models.weights import sha256_of
from tests.fake_model import bright_models
from tests.manual_runner import ManualRunner


class Shelf:
    """A session with the embedded model and an imported one, and the dialog."""

    def __init__(self, qtbot) -> None:
        self.runner, self.files = ManualRunner(), ManualRunner()
        own = user_models_dir() / "medsam"
        own.mkdir(parents=True)
        weights = own / "weights.pth"
        weights.write_bytes(b"weights")
        entry = {
            "id": "medsam", "title": "MedSAM", "kind": "promptable", "format": "bright",
            "labels": [], "file": weights.name, "sha256": sha256_of(weights), "bytes": 7,
            "licence": "Apache-2.0", "imported_from": "medsam_vit_b.pth",
        }  # fmt: skip
        (own / ENTRY).write_text(json.dumps(entry))
        self.settings = Settings(model_id="medsam")
        engine = InferenceEngine(self.models)
        self.session = Session(self.runner, self.files, engine, self.models, self.settings)
        self.told: list[str] = []
        self.session.message.connect(lambda message: self.told.append(message.text))
        self.session.model_choice.load()
        self.runner.run_all()
        self.window = QWidget()
        qtbot.addWidget(self.window)
        self.dialog = ModelDialog(self.session, self.window)
        qtbot.addWidget(self.dialog)
        self.dialog.show()
        qtbot.waitExposed(self.dialog)
        self.qtbot = qtbot

    def models(self):
        own = imported_models(user_models_dir())
        return {**bright_models(), **{m.id: m for m in own}}

    def titles(self) -> list[str]:
        return [self.dialog.list.item(n).text() for n in range(self.dialog.list.count())]

    def click(self, button) -> None:
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def shelf(qtbot, bright_model, user_home) -> Shelf:
    return Shelf(qtbot)


def test_models_are_listed_with_what_is_known_about_them(shelf):
    assert [t.splitlines()[0] for t in shelf.titles()] == ["Bright", "MedSAM"]
    assert "in use" in shelf.titles()[1]
    text = shelf.dialog.card.toPlainText()
    model = shelf.models()["medsam"]
    for fact in ("MedSAM", model.sha256, "Apache-2.0", "medsam_vit_b.pth", "Used for: prompts"):
        assert fact in text


def test_another_model_is_used_from_now_on(shelf):
    shelf.dialog.list.setCurrentRow(0)
    shelf.click(shelf.dialog.use)
    shelf.runner.run_all()
    assert shelf.session.prompting.model_id == "embedded"
    assert Settings.load().model_id == "embedded"
    assert "in use" in shelf.titles()[0]
    assert not shelf.dialog.use.isEnabled()


def test_a_changed_file_is_found_by_checking(shelf):
    shelf.dialog.list.setCurrentRow(1)
    shelf.click(shelf.dialog.check)
    shelf.files.run_all()
    assert "those that were installed" in shelf.told[-1]
    shelf.models()["medsam"].path.write_bytes(b"others")
    shelf.click(shelf.dialog.check)
    shelf.files.run_all()
    assert "SHA-256 differs" in shelf.told[-1]


def test_a_removed_model_gives_way_to_the_embedded_one(shelf, monkeypatch):
    shelf.dialog.list.setCurrentRow(0)
    assert not shelf.dialog.remove.isEnabled()  # it ships
    shelf.dialog.list.setCurrentRow(1)
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    monkeypatch.setattr(QMessageBox, "question", lambda *_: answers.pop(0))
    shelf.click(shelf.dialog.remove)
    assert (user_models_dir() / "medsam").exists()
    shelf.click(shelf.dialog.remove)
    for _ in range(2):
        shelf.runner.run_all()
        shelf.files.run_all()
    assert not (user_models_dir() / "medsam").exists()
    assert [t.splitlines()[0] for t in shelf.titles()] == ["Bright"]
    assert shelf.session.prompting.model_id == "embedded"
    assert Settings.load().model_id == "embedded"


def test_the_model_of_the_last_session_may_be_gone(qtbot, bright_model, user_home):
    settings = Settings(model_id="gone")
    runner = ManualRunner()
    session = Session(
        runner, ManualRunner(), InferenceEngine(bright_models), bright_models, settings
    )
    told = []
    session.message.connect(lambda message: told.append(message.text))
    session.model_choice.load()
    runner.run_all()
    assert session.prompting.model_id == "embedded"
    assert settings.model_id == "embedded"
    assert len(told) == 1
    assert "“gone”" in told[0]


def test_files_are_imported_by_dialog_and_by_drop(shelf, tmp_path, monkeypatch):
    path = tmp_path / "notes.pth"
    path.write_text("no checkpoint")
    monkeypatch.setattr(dialogs, "ask_weights", lambda parent, folder: path)
    shelf.click(shelf.dialog.add)
    shelf.files.run_all()
    by_dialog = shelf.told[-1]
    assert "notes.pth" in by_dialog
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)), QUrl.fromLocalFile(str(tmp_path / "scan.nii"))])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    drop = QDropEvent(QPointF(20, 20), Qt.DropAction.CopyAction, data, left, none)
    shelf.told.clear()
    shelf.dialog.dropEvent(drop)
    shelf.files.run_all()
    assert shelf.told == [by_dialog]


def test_an_import_is_listed_at_once(shelf):
    entry = user_models_dir() / "medsam" / ENTRY
    other = json.loads(entry.read_text()) | {"id": "other", "title": "Other"}
    folder = user_models_dir() / "other"
    folder.mkdir()
    (folder / "weights.pth").write_bytes(b"weights")
    (folder / ENTRY).write_text(json.dumps(other))
    shelf.session.models_changed.emit(None)
    assert [t.splitlines()[0] for t in shelf.titles()] == ["Bright", "MedSAM", "Other"]
    assert dataclasses.asdict(shelf.models()["other"])["title"] == "Other"
