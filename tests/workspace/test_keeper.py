"""Work is kept from the first edit: which steps go into which file, and when."""

from __future__ import annotations

import shutil
import sqlite3
import uuid

import pytest

from app.workspace.recovery import peek
from app.workspace.schema import log_path
from tests.workspace.bench import Bench, automatic, state, worked_on, write_image

pytestmark = pytest.mark.usefixtures("bright_model")


def test_looking_at_a_scan_leaves_no_file(image):
    bench = Bench()
    bench.open(image)
    bench.end()
    assert automatic() == []


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
