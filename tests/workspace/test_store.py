"""A workspace file: what went in comes out bit for bit, and what is damaged is refused."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from app.core.commands import EditVoxels, SetPrompts
from app.core.document import UndoStack
from app.core.errors import AppError
from app.core.geometry import Geometry, Region
from app.core.prompts import PointPrompt
from app.workspace import schema, store
from app.workspace.codec import DamagedError, WorkspaceError
from app.workspace.recovery import Limits, automatic_path, image_digest, peek, prune
from app.workspace.schema import LockedError, log_path
from app.workspace.step import restored_document
from app.workspace.store import Store
from tests.workspace.random_edits import (
    SHAPE,
    edit,
    fingerprint,
    image_of,
    keeper_in,
    new_document,
    writing_at_once,
)


def edited(folder, seed=0, n_edits=60, *, max_undo_bytes=256 << 20):
    """Return a document that was kept in a folder, and its file; the file is closed."""
    document, keeper = new_document(max_undo_bytes), keeper_in(folder)
    keeper.keep(document, image_of(document))
    rng = random.Random(seed)
    for _ in range(n_edits):
        edit(document, rng)
    keeper.finish()
    return document, automatic_path(folder, image_digest(document.volume))


def reopened(path):
    opened = Store.open(path)
    volume = new_document().volume
    try:
        work = opened.load(volume.geometry)
    finally:
        opened.close()
    return restored_document(volume, work, UndoStack())


@pytest.mark.parametrize("seed", range(4))
def test_every_state_of_the_history_comes_back(tmp_path, seed):
    document, path = edited(tmp_path, seed)
    again = reopened(path)
    assert fingerprint(again) == fingerprint(document)
    while document.redo():
        assert again.redo()
        assert fingerprint(again) == fingerprint(document)
    while document.undo():
        assert again.undo()
        assert fingerprint(again) == fingerprint(document)
    assert not again.undo()


@pytest.mark.parametrize("seed", range(4))
def test_forgotten_steps_are_merged_and_the_file_stays_small(tmp_path, seed, monkeypatch):
    monkeypatch.setattr(store, "COMPACT_STEPS", 8)
    document, path = edited(tmp_path, seed, 150, max_undo_bytes=10_000)
    n_kept = len(document.undo_labels) + len(document.redo_labels)
    with sqlite3.connect(path) as database:
        (n_rows,) = database.execute("SELECT COUNT(*) FROM step").fetchone()
        (n_slices,) = database.execute("SELECT COUNT(*) FROM base_slice").fetchone()
    database.close()
    assert n_rows <= n_kept + 8
    assert n_slices > 0
    again = reopened(path)
    assert fingerprint(again) == fingerprint(document)
    while document.undo():
        assert again.undo()
        assert fingerprint(again) == fingerprint(document)


def test_only_one_window_owns_a_file_and_only_its_user_can_read_it(tmp_path):
    _, path = edited(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    owner = Store.open(path)
    with pytest.raises(LockedError, match="another window"):
        Store.open(path)
    owner.close()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9])
def test_a_torn_file_is_refused_and_kept(tmp_path, share):
    _, path = edited(tmp_path)
    whole = path.read_bytes()
    torn = whole[: int(share * len(whole))]
    path.write_bytes(torn)
    with pytest.raises(DamagedError, match="damaged or no workspace"):
        reopened(path)
    assert path.read_bytes() == torn


def test_altered_bytes_give_the_same_work_or_a_sentence(tmp_path):
    document, path = edited(tmp_path, n_edits=25)
    good, truth = path.read_bytes(), fingerprint(document)
    rng, n_refused = random.Random(7), 0
    for _ in range(80):
        bad = bytearray(good)
        for _ in range(rng.choice([1, 1, 4, 30])):
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        try:
            again = reopened(path)
        except AppError:
            n_refused += 1
        else:
            # A name of a step or a time may have changed; voxels may not.
            np.testing.assert_array_equal(again.labelmap.voxels, document.labelmap.voxels)
            assert again.prompts == document.prompts
    path.write_bytes(good)
    assert fingerprint(reopened(path)) == truth
    assert n_refused > 40


def test_a_torn_log_loses_what_was_not_complete_and_no_more(tmp_path):
    document, keeper = new_document(), keeper_in(tmp_path)
    keeper.keep(document, image_of(document))
    path = automatic_path(tmp_path, image_digest(document.volume))
    states, lengths = [], [0]

    def note(_):
        size = log_path(path).stat().st_size if log_path(path).exists() else 0
        if size > lengths[-1]:
            states.append(fingerprint(document))
            lengths.append(size)

    document.changed.connect(note)
    rng = random.Random(3)
    while len(states) < 15:
        edit(document, rng)
    main, log = path.read_bytes(), log_path(path).read_bytes()
    keeper.finish()
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    torn = crashed / path.name
    for n_whole in range(2, 15):
        torn.write_bytes(main)
        # The power went in the middle of the entry after this one.
        cut = (lengths[n_whole] + lengths[n_whole + 1]) // 2
        log_path(torn).write_bytes(log[:cut] + bytes(len(log) - cut))
        assert fingerprint(reopened(torn)) == states[n_whole - 1]


def test_a_file_with_code_in_it_is_refused(tmp_path):
    _, path = edited(tmp_path)
    with sqlite3.connect(path) as database:
        database.execute(
            "CREATE TRIGGER evil AFTER UPDATE ON workspace BEGIN DELETE FROM step; END"
        )
    database.close()
    with pytest.raises(DamagedError, match="triggers"):
        Store.open(path)


@pytest.mark.parametrize(
    ("statement", "match"),
    [
        ("UPDATE step SET content = zeroblob(50), crc = 0 WHERE seq = 2", "step 2"),
        ("UPDATE workspace SET image = '{}'", "does not make sense"),
        ("UPDATE workspace SET image = 'nonsense'", "does not make sense"),
        ("UPDATE workspace SET changed_at = 'yesterday'", "does not make sense"),
        ("UPDATE workspace SET base_crc = base_crc + 1", "first state"),
        ("DELETE FROM workspace", "does not make sense"),
        ("DROP TABLE step", "no such table"),
        ("INSERT INTO base_slice VALUES (99, 1, 0, x'')", "slice 99"),
    ],
)
def test_what_does_not_make_sense_is_named(tmp_path, statement, match):
    _, path = edited(tmp_path)
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()
    with pytest.raises(DamagedError, match=match):
        reopened(path)


def test_another_database_is_no_workspace(tmp_path):
    path = tmp_path / "other.maskwright"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE things (id INTEGER)")
    database.close()
    content = path.read_bytes()
    with pytest.raises(DamagedError, match="not made by this program"):
        Store.open(path)
    assert path.read_bytes() == content


def test_an_image_of_another_size_is_refused(tmp_path):
    _, path = edited(tmp_path)
    opened = Store.open(path)
    with pytest.raises(WorkspaceError, match="another size"):
        opened.load(Geometry((4000, 4000, 4000), np.eye(4)))
    opened.close()


def test_an_earlier_version_is_brought_forward(tmp_path, monkeypatch):
    document, path = edited(tmp_path)
    later = (*schema.MIGRATIONS, ("ALTER TABLE step ADD COLUMN author TEXT DEFAULT 'me'",))
    monkeypatch.setattr(schema, "MIGRATIONS", later)
    assert fingerprint(reopened(path)) == fingerprint(document)
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)
        assert database.execute("SELECT DISTINCT author FROM step").fetchall() == [("me",)]
    database.close()


def test_a_migration_that_fails_changes_nothing(tmp_path, monkeypatch):
    document, path = edited(tmp_path)
    broken = ("CREATE TABLE extra (id INTEGER)", "this is not SQL")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
    with pytest.raises(WorkspaceError):
        Store.open(path)
    monkeypatch.undo()
    assert fingerprint(reopened(path)) == fingerprint(document)


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path):
    document, writing = new_document(), writing_at_once()
    keeper = keeper_in(tmp_path, writing)
    keeper.keep(document, image_of(document))
    rng = np.random.default_rng(0)

    def paint(name):
        noise = rng.integers(0, 3, SHAPE).astype(np.uint8)
        document.do(EditVoxels(name, Region.whole(SHAPE), noise))

    paint("first")
    kept = fingerprint(document)
    # SQLite reports a full disk when a file may grow no further.
    database = writing.journal.store._db
    (n_pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count={n_pages}")
    paint("second")
    assert "the disk is full" in writing.trouble.sentence
    path = automatic_path(tmp_path, image_digest(document.volume))
    copy = tmp_path / "copy.maskwright"
    copy.write_bytes(path.read_bytes())
    log_path(copy).write_bytes(log_path(path).read_bytes())
    assert fingerprint(reopened(copy)) == kept
    database.execute("PRAGMA max_page_count=1000000")
    paint("third")
    keeper.finish()
    assert fingerprint(reopened(path)) == fingerprint(document)


def test_a_disk_that_is_full_from_the_start_leaves_no_stub(tmp_path, monkeypatch):
    def refuse(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(schema, "_migrate", refuse)
    document, writing = new_document(), writing_at_once()
    keeper = keeper_in(tmp_path, writing)
    troubles = []
    writing.trouble_changed.connect(troubles.append)
    keeper.keep(document, image_of(document))
    rng = random.Random(0)
    for _ in range(5):
        edit(document, rng)
    (trouble,) = troubles
    assert "the disk is full" in trouble.sentence
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    document.do(EditVoxels("Last", Region.whole(SHAPE), np.full(SHAPE, 7, np.uint8)))
    keeper.finish()
    path = automatic_path(tmp_path, image_digest(document.volume))
    assert fingerprint(reopened(path)) == fingerprint(document)


def test_prompts_of_many_steps_are_kept_once_and_count_in_the_history(tmp_path):
    document, keeper = new_document(), keeper_in(tmp_path)
    keeper.keep(document, image_of(document))
    prompts: tuple = ()
    for n in range(30):
        prompts = (*prompts, PointPrompt((1.0, 2.0, float(n)), True, 0, 1, n))
        document.do(SetPrompts("Click", prompts))
    keeper.finish()
    (path,) = tmp_path.glob("*.maskwright")
    found = reopened(path)
    first = found.done_steps[0]._step.after.prompts[0]
    assert all(step._step.after.prompts[0] is first for step in found.done_steps)
    assert found.prompts[0] is first
    counted = sum(step.nbytes for step in found.done_steps)
    assert counted >= sum(step.nbytes for step in document.done_steps)


# -- which image, how much room -------------------------------------------------------------------


def test_a_scan_is_known_by_its_voxels_and_its_grid():
    volume = new_document().volume
    same = type(volume)(volume.voxels.copy(), volume.geometry, name="renamed")
    assert image_digest(same) == image_digest(volume)
    voxels = volume.voxels.copy()
    voxels[3, 4, 5] += 1
    moved = volume.geometry.affine.copy()
    moved[0, 3] += 0.01
    others = [
        type(volume)(voxels, volume.geometry),
        type(volume)(volume.voxels.astype(np.int32), volume.geometry),
        type(volume)(volume.voxels, Geometry(SHAPE, moved)),
    ]
    assert len({image_digest(v) for v in (volume, *others)}) == 4


def aged(folder, name, days, *, is_saved, n_bytes=0):
    """Make a workspace that was left alone for so many days."""
    _, path = edited(folder, n_edits=6)
    opened = Store.open(path)
    opened._db.execute("UPDATE workspace SET is_saved = ?", (is_saved,))
    if n_bytes:
        opened._db.execute("INSERT INTO step VALUES (99, 'big', '', 0, zeroblob(?))", (n_bytes,))
    opened.close()
    path = path.rename(folder / f"{name}.maskwright")
    then = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    os.utime(path, (then, then))
    return path


LIMITS = Limits(timedelta(days=90), 300_000, timedelta(days=30))


def left_in(folder):
    prune(folder, LIMITS)
    return {path.stem for path in folder.glob("*.maskwright")}


def test_old_workspaces_go(tmp_path):
    aged(tmp_path, "saved old", 100, is_saved=True)
    aged(tmp_path, "saved young", 80, is_saved=True)
    aged(tmp_path, "unsaved old", 100, is_saved=False)
    assert left_in(tmp_path) == {"saved young"}


def test_room_is_made_from_the_oldest_on_but_young_unsaved_work_stays(tmp_path):
    aged(tmp_path, "unsaved 20", 20, is_saved=False, n_bytes=200_000)
    aged(tmp_path, "saved 10", 10, is_saved=True, n_bytes=200_000)
    aged(tmp_path, "saved 5", 5, is_saved=True, n_bytes=20_000)
    aged(tmp_path, "unsaved 40", 40, is_saved=False, n_bytes=200_000)
    assert left_in(tmp_path) == {"unsaved 20", "saved 5"}


def test_a_workspace_in_use_or_damaged_is_not_pruned_while_young(tmp_path):
    used = aged(tmp_path, "in use", 200, is_saved=True)
    damaged = tmp_path / "damaged.maskwright"
    damaged.write_bytes(b"x" * 400_000)
    owner = Store.open(used)
    assert left_in(tmp_path) == {"in use", "damaged"}
    owner.close()


def test_peeking_does_not_make_a_workspace_younger(tmp_path):
    path = aged(tmp_path, "old", 50, is_saved=True)
    before = path.stat().st_mtime
    assert peek(path).has_work
    assert path.stat().st_mtime == before
