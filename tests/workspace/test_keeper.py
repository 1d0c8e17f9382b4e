"""Work is kept from the first edit, and found again: through the session, jobs run when told."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import uuid

import pytest

from app.settings import user_data_dir
from app.workspace.codec import WorkspaceError
from app.workspace.recovery import peek
from app.workspace.schema import log_path
from tests.workspace.bench import Bench, automatic, state, worked_on, write_image

pytestmark = pytest.mark.usefixtures("bright_model")


def test_looking_at_a_scan_leaves_no_file(image):
    bench = Bench()
    bench.open(image)
    bench.end()
    assert automatic() == []


def test_after_a_crash_the_next_start_goes_on_exactly_there(image):
    first = worked_on(image)
    first.session.view_state.cursor_zyx = (3, 4, 5)
    first.session.view_state.window = (-7.5, 212.25)
    first.paint(0, 2)
    first.session.undo()
    first.run()
    before = state(first.document)
    first.crash()

    second = Bench()
    second.session.restoring.look_for_unfinished()
    second.run()
    (offer,) = second.offers
    assert not offer.is_this_scan
    assert offer.summary.image.name == image.name
    second.session.restoring.go_on()
    second.run()
    assert state(second.document) == before
    assert second.session.view_state.cursor_zyx == (3, 4, 5)
    assert second.session.view_state.window == (-7.5, 212.25)
    assert second.session.prompting.scores == first.session.prompting.scores
    # The undo history is the same step by step, down to the scan as it was opened, and back.
    while first.session.undo():
        assert second.session.undo()
        assert state(first.document)[:6] == state(second.document)[:6]
    assert not second.session.undo()
    while first.session.redo():
        assert second.session.redo()
        assert state(first.document)[:6] == state(second.document)[:6]
    assert not second.document.redo_labels


def test_work_that_was_all_undone_comes_back_too_and_can_be_redone(image):
    first = worked_on(image)
    while first.session.undo():
        pass
    first.run()
    undone = first.document.redo_labels
    first.crash()

    second = Bench()
    second.session.restoring.look_for_unfinished()
    second.run()
    assert len(second.offers) == 1
    second.session.restoring.go_on()
    second.run()
    assert second.document.redo_labels == undone
    assert second.session.redo()


def test_work_goes_on_in_the_file_that_was_recovered(image):
    first = worked_on(image)
    first.crash()
    for z in (0, 7):
        bench = Bench()
        bench.open(image)
        assert bench.offers[-1].is_this_scan
        bench.session.restoring.go_on()
        bench.run()
        bench.session.redo()
        bench.session.undo()
        bench.paint(z, 2)
        bench.run()
        before = state(bench.document)
        bench.crash()
    last = Bench()
    last.open(image)
    last.session.restoring.go_on()
    last.run()
    assert state(last.document) == before
    assert len(automatic()) == 1


def test_what_was_left_on_purpose_is_offered_with_its_scan_only(image):
    first = worked_on(image)
    before = state(first.document)
    first.end()
    second = Bench()
    second.session.restoring.look_for_unfinished()
    second.run()
    assert second.offers == []
    second.open(image)
    assert second.offers[-1].summary.is_closed
    second.session.restoring.go_on()
    second.run()
    assert state(second.document) == before


def test_starting_afresh_puts_the_earlier_work_aside_and_loses_nothing(image):
    first = worked_on(image)
    before = state(first.document)
    first.end()
    second = Bench()
    second.open(image)
    second.paint(0)
    assert second.offers[-1] is None  # it is too late to go on
    second.run()
    second.end()
    assert len(automatic()) == 2
    aside = next(path for path in automatic() if "-" in path.stem)
    third = Bench()
    third.open(aside)
    assert state(third.document) == before


def test_declined_work_is_not_offered_at_the_next_start(image):
    worked_on(image).crash()
    bench = Bench()
    bench.session.restoring.look_for_unfinished()
    bench.run()
    bench.session.restoring.decline()
    bench.run()
    again = Bench()
    again.session.restoring.look_for_unfinished()
    again.run()
    assert again.offers == []
    again.open(image)
    assert again.offers[-1].summary.has_work


def test_another_scan_of_the_same_name_is_not_offered_the_work(image):
    worked_on(image).end()
    write_image(image, 2)
    bench = Bench()
    bench.open(image)
    assert bench.offers == []


def test_a_scan_that_was_opened_from_elsewhere_is_found_there_after_a_crash(image, tmp_path):
    worked_on(image).end()
    moved = image.rename(tmp_path / "elsewhere.nii.gz")
    second = Bench()
    second.open(moved)
    second.session.restoring.go_on()
    second.run()
    before = state(second.document)
    second.crash()
    third = Bench()
    third.session.restoring.look_for_unfinished()
    third.run()
    third.session.restoring.go_on()
    third.run()
    assert third.session.source_path == moved
    assert state(third.document) == before


def test_what_is_drawn_while_earlier_work_is_fetched_stays(image):
    first = worked_on(image)
    before = state(first.document)
    first.end()
    second = Bench()
    second.open(image)
    second.session.restoring.go_on()
    second.paint(7)
    second.run()
    assert second.document.undo_labels == ("Paint 7",)
    second.end()
    found = []
    for path in automatic():
        bench = Bench()
        bench.open(path)
        found.append(state(bench.document))
        bench.end()
    assert before in found
    assert state(second.document) in found


def test_two_windows_on_one_scan_keep_their_work_apart(image):
    first = worked_on(image)
    second = Bench()
    second.open(image)
    assert any("another window" in sentence for sentence in second.said)
    second.paint(7)
    second.run()
    of_first, of_second = state(first.document), state(second.document)
    first.crash()
    second.crash()
    found = set()
    for path in automatic():
        bench = Bench()
        bench.open(path)
        found.add(state(bench.document))
        bench.end()
    assert found == {of_first, of_second}


def test_steps_on_another_scan_go_into_another_file(image, tmp_path):
    other = tmp_path / "scans" / "other.nii.gz"
    write_image(other, 3)
    bench = worked_on(image)
    before = state(bench.document)
    bench.open(other)
    bench.paint(2)
    bench.run()
    bench.end()
    again = Bench()
    again.open(image)
    again.session.restoring.go_on()
    again.run()
    assert state(again.document) == before


def test_what_the_worker_did_not_come_to_is_written_at_the_end(image):
    bench = worked_on(image)
    bench.paint(5)
    bench.paint(7)
    before = state(bench.document)
    bench.disk.jobs.clear()  # as `shutdown` does
    bench.end()
    again = Bench()
    again.open(image)
    again.session.restoring.go_on()
    again.run()
    assert state(again.document) == before


def test_a_stroke_is_one_transaction(image):
    bench = Bench()
    bench.open(image)
    bench.document.begin_group("Brush")
    for z in range(3):
        bench.paint(z)
    bench.run()
    assert automatic() == []
    bench.document.commit_group()
    bench.run()
    bench.crash()
    assert peek(automatic()[0]).n_steps == 1


def test_a_stroke_that_is_broken_off_is_not_written(image):
    bench = Bench()
    bench.open(image)
    bench.document.begin_group("Brush")
    bench.paint(1)
    bench.document.abort_group()
    bench.run()
    assert automatic() == []


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


def peek_steps(bench: Bench) -> int:
    bench.crash()
    return peek(automatic()[0]).n_steps


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


def test_the_file_knows_whether_the_masks_were_exported(image, tmp_path):
    bench = worked_on(image)

    def is_saved() -> bool:
        bench.run()
        with sqlite3.connect(":memory:") as database:
            # A copy: the file is locked by the window.
            folder = tmp_path / uuid.uuid4().hex
            folder.mkdir()
            for name in (automatic()[0], log_path(automatic()[0])):
                shutil.copy(name, folder)
            database.execute("ATTACH ? AS copy", (str(folder / automatic()[0].name),))
            (value,) = database.execute("SELECT is_saved FROM copy.workspace").fetchone()
        database.close()
        return bool(value)

    assert not is_saved()
    bench.session.save_mask(tmp_path / "mask.nii.gz")
    assert is_saved()
    bench.paint(7)
    assert not is_saved()
    bench.session.undo()
    assert is_saved()


def test_an_imported_mask_is_kept_like_any_other_step(image, tmp_path):
    first = worked_on(image)
    first.session.save_mask(tmp_path / "mask.nii.gz")
    first.run()
    labels = first.document.labelmap.voxels.copy()
    first.end()
    second = Bench()
    second.open(image)
    second.session.import_mask(tmp_path / "mask.nii.gz")
    second.run()
    second.crash()
    third = Bench()
    third.open(image)
    third.session.restoring.go_on()
    third.run()
    assert third.document.undo_labels == ("Import mask.nii.gz",)
    assert (third.document.labelmap.voxels == labels).all()


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
