"""Work that cannot be kept is told until it can: full disks, lost drives, damaged files."""

from __future__ import annotations

import logging
import os

import pytest

from app.settings import user_data_dir
from app.workspace.codec import WorkspaceError
from app.workspace.recovery import peek
from tests.workspace.bench import Bench, automatic, state, worked_on

pytestmark = pytest.mark.usefixtures("bright_model")


def test_a_full_disk_is_told_once_and_loses_nothing(image, monkeypatch):
    bench = Bench()
    bench.open(image)
    bench.paint(0)
    bench.run()
    store = bench.session.writing.journal.store
    append = store.append
    full = WorkspaceError("The work cannot be kept: the disk is full.")

    def refuse(entry):
        raise full

    monkeypatch.setattr(store, "append", refuse)
    for z in (1, 2, 3):
        bench.paint(z)
        bench.run()
    (trouble,) = bench.troubles
    assert "disk is full" in trouble.sentence
    assert not trouble.is_read_only
    assert not bench.session.writing.is_kept
    monkeypatch.setattr(store, "append", append)
    bench.paint(4)
    bench.run()
    assert bench.troubles[1:] == [None]
    assert any("kept on disk again" in sentence for sentence in bench.said)
    before = state(bench.document)
    bench.crash()
    again = Bench()
    again.open(image)
    again.session.restoring.go_on()
    again.run()
    assert state(again.document) == before


def test_a_drive_that_was_removed_is_told_until_it_is_back(image, tmp_path):
    bench = worked_on(image)
    drive = tmp_path / "drive"
    drive.mkdir()
    bench.session.save_workspace(drive / "case.maskwright")
    bench.run()
    away = drive.rename(tmp_path / "away")
    for z in (1, 2):
        bench.paint(z)
        bench.run()
    (trouble,) = bench.troubles
    assert "“case.maskwright”: it was moved or deleted, or its drive was removed" in (
        trouble.sentence
    )
    assert "in memory only" in trouble.sentence
    away.rename(drive)
    answers: list[bool] = []
    bench.session.writing.settle(answers.append)
    bench.run()
    assert answers == [True]
    assert bench.troubles[1:] == [None]
    before = state(bench.document)
    bench.crash()
    again = Bench(bench.settings)
    again.open(drive / "case.maskwright")
    assert state(again.document)[:6] == before[:6]


def test_a_workspace_that_was_deleted_goes_on_where_it_is_saved_next(image, tmp_path):
    bench = worked_on(image)
    own = tmp_path / "case.maskwright"
    bench.session.save_workspace(own)
    bench.run()
    own.unlink()
    bench.paint(7)
    bench.run()
    assert bench.session.writing.trouble is not None
    other = tmp_path / "other.maskwright"
    bench.session.save_workspace(other)
    bench.run()
    assert bench.session.writing.trouble is None
    before = state(bench.document)
    bench.end()
    again = Bench(bench.settings)
    again.open(other)
    assert state(again.document)[:6] == before[:6]


def test_a_folder_that_cannot_be_made_is_told_until_it_can(image):
    folder = user_data_dir() / "workspaces"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("in the way")
    bench = Bench()
    bench.open(image)
    bench.paint(1)
    bench.run()
    (trouble,) = bench.troubles
    assert "cannot be made" in trouble.sentence
    assert bench.document.undo_labels == ("Paint 1",)
    folder.unlink()
    bench.paint(2)
    bench.run()
    assert bench.troubles[1:] == [None]
    assert peek_steps(bench) == 2


def peek_steps(bench: Bench) -> int:
    bench.crash()
    return peek(automatic()[0]).n_steps


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="an administrator may write anywhere"
)
def test_a_workspace_in_a_folder_that_may_not_be_written_opens_read_only(image, tmp_path):
    bench = worked_on(image)
    folder = tmp_path / "closed"
    folder.mkdir()
    bench.session.save_workspace(folder / "case.maskwright")
    bench.run()
    before = state(bench.document)
    bench.end()
    (folder / "case.maskwright").chmod(0o400)
    folder.chmod(0o500)
    try:
        again = Bench(bench.settings)
        again.open(folder / "case.maskwright")
        assert state(again.document)[:6] == before[:6]
        assert again.session.writing.trouble.is_read_only
        again.paint(7)
        again.run()
        assert again.session.writing.is_kept
        again.end()
    finally:
        folder.chmod(0o700)


def test_a_damaged_workspace_is_named_and_kept(image):
    worked_on(image).end()
    (path,) = automatic()
    spoilt = path.read_bytes()[:5000]
    path.write_bytes(spoilt)
    bench = Bench()
    bench.open(image)
    assert any("damaged" in sentence for sentence in bench.said)
    assert path.read_bytes() == spoilt
    bench.paint(0)
    bench.run()
    bench.end()
    aside = next(p for p in automatic() if "-" in p.stem)
    assert aside.read_bytes() == spoilt
    assert peek(path).n_steps == 1


def test_a_fault_of_the_program_is_told_too(image, monkeypatch, caplog):
    bench = Bench()
    bench.open(image)
    monkeypatch.setattr(
        "app.workspace.keeper.Store.create", lambda *_: (_ for _ in ()).throw(RuntimeError("odd"))
    )
    with caplog.at_level(logging.ERROR):
        bench.paint(0)
        bench.run()
    assert any("unexpected" in sentence for sentence in bench.said)
    assert bench.document.undo_labels == ("Paint 0",)
