"""A program that is killed in the middle of its work loses no step that was done."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from app.core.document import UndoStack
from app.workspace.recovery import find_unfinished
from app.workspace.step import restored_document
from app.workspace.store import Store
from tests.conftest import REPOSITORY
from tests.workspace.random_edits import fingerprint, new_document


def killed_after(n_lines: int, folder, seed: int) -> list[str]:
    """Return what a program said that was killed after it had said so many lines."""
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.workspace.random_edits", str(folder), str(seed)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        lines = [program.stdout.readline() for _ in range(n_lines)]
        program.kill()
        lines += program.stdout.readlines()
    # The last line may have been cut by the death.
    return [line.strip() for line in lines if line.endswith("\n")]


# More with MASKWRIGHT_KILL_RUNS=200.
N_RUNS = int(os.environ.get("MASKWRIGHT_KILL_RUNS", "3"))


@pytest.mark.parametrize("seed", range(N_RUNS))
def test_a_killed_program_left_its_last_step_or_the_one_it_was_writing(tmp_path, seed):
    n_lines = random.Random(seed).randint(20, 150)
    check(tmp_path, killed_after(n_lines, tmp_path, seed))


def check(folder: Path, said: list[str]) -> int:
    """Compare what a killed program left with what it said; return how many steps there are."""
    certain = max(n for n, line in enumerate(said) if line.startswith("is "))
    allowed = {line.split()[1] for line in said[certain:]}
    summary = find_unfinished(folder)
    assert summary is not None
    assert not summary.is_closed
    store = Store.open(summary.path)
    volume = new_document().volume
    document = restored_document(volume, store.load(volume.geometry), UndoStack())
    store.close()
    before = fingerprint(document)
    assert before in allowed
    # The history is whole, too: all of it comes off and goes on again.
    n_steps = len(document.undo_labels)
    assert all(document.undo() for _ in range(n_steps))
    assert all(document.redo() for _ in range(n_steps))
    assert fingerprint(document) == before
    return n_steps
