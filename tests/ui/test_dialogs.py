"""Where something is saved: names get their endings, and nothing is replaced unasked."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication, QFileDialog, QMessageBox, QPushButton

from app.ui import dialogs


@pytest.fixture
def typed(monkeypatch):
    """Return a function that types a name into the next dialog and chooses a kind there."""

    def type_in(path: Path | str, kind: str = "") -> None:
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), kind))

    return type_in


@pytest.fixture
def answer(monkeypatch):
    """Return a function that presses a button of the next question, and the questions' texts."""
    asked: list[str] = []

    def press(text: str) -> list[str]:
        def exec_(box: QMessageBox) -> int:
            asked.append(box.text())
            next(b for b in box.findChildren(QPushButton) if text in b.text()).click()
            return 0

        monkeypatch.setattr(QMessageBox, "exec", exec_)
        return asked

    return press


@pytest.mark.parametrize(
    ("ask", "name", "kind", "made"),
    [
        (dialogs.ask_save, "mask", "NIfTI (*.nii.gz *.nii)", "mask.nii.gz"),
        (dialogs.ask_save, "mask", "NRRD (*.nrrd)", "mask.nrrd"),
        (dialogs.ask_save, "case.1", "", "case.1.nii.gz"),
        (dialogs.ask_save, "mask.NII", "NRRD (*.nrrd)", "mask.NII"),
        (dialogs.ask_save, "a.rtstruct.dcm", "NRRD (*.nrrd)", "a.rtstruct.dcm"),
        (dialogs.ask_export, "a", "ITK-SNAP (*.label.txt)", "a.label.txt"),
        (dialogs.ask_save_table, "week.48", "Tables (*.csv)", "week.48.csv"),
        (dialogs.ask_save_report, "report", "CSV (*.csv)", "report.csv"),
        (dialogs.ask_save_workspace, "case.1", "Workspaces (*.maskwright)", "case.1.maskwright"),
        (dialogs.ask_save_picture, "view", "Pictures (*.png)", "view.png"),
    ],
)
def test_a_name_without_its_ending_gets_that_of_the_chosen_kind(
    qapp, typed, tmp_path, ask, name, kind, made
):
    typed(tmp_path / name, kind)
    assert ask(None, tmp_path / "suggestion") == tmp_path / made


def test_who_thinks_better_of_it_saves_nothing(qapp, typed, tmp_path):
    typed("")
    assert dialogs.ask_save(None, tmp_path / "mask.nii.gz") is None


@pytest.mark.parametrize(("button", "is_replaced"), [("Replace", True), ("Cancel", False)])
def test_a_file_that_the_dialog_did_not_ask_about_is_replaced_only_if_told_to(
    qapp, typed, answer, tmp_path, button, is_replaced
):
    there = tmp_path / "mask.nii.gz"
    there.write_bytes(b"work")
    typed(tmp_path / "mask", "NIfTI (*.nii.gz *.nii)")
    asked = answer(button)
    chosen = dialogs.ask_save(None, tmp_path / "suggestion")
    assert chosen == (there if is_replaced else None)
    assert len(asked) == 1
    assert "mask.nii.gz" in asked[0]


def test_a_name_that_was_typed_whole_is_not_asked_about_twice(qapp, typed, answer, tmp_path):
    there = tmp_path / "mask.nii.gz"
    there.write_bytes(b"work")
    typed(there)
    asked = answer("Cancel")
    assert dialogs.ask_save(None, tmp_path / "suggestion") == there
    assert asked == []
    assert QApplication.activeModalWidget() is None
