"""Editing that is killed at random moments: no committed step lost, no file that cannot be opened.

    python -m tests.campaigns.kill --runs 200 --seed 0

Each run edits a scan of its own in a forked process, which says after every step what state is on
the disk, and is killed (SIGKILL) after a random number of steps and a random fraction of a step.
What is found then must be the last state that it said, or the one that it was about to write, with
all of its history.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.workspace import random_edits
from tests.workspace.test_kill import check


def killed(folder: Path, seed: int) -> list[str]:
    """Return what one program said before it was killed."""
    rng = random.Random(f"kill {seed}")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.dup2(writing, 1)
        sys.stdout = os.fdopen(1, "w")
        try:
            random_edits.main(folder, seed)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        lines = [pipe.readline() for _ in range(rng.randint(6, 120))]
        time.sleep(rng.random() * 0.01)  # a moment within a step, not a wait for anything
        os.kill(pid, signal.SIGKILL)
        lines += pipe.readlines()
    os.waitpid(pid, 0)
    # The last line may have been cut by the death.
    return [line.strip() for line in lines if line.endswith("\n")]


def main() -> int:
    """Run the campaign; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description="Kill editing programs at random moments.")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failures, n_steps, n_said = [], 0, 0
    for run in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            said = killed(Path(folder), 1000 * options.seed + run)
            n_said += sum(line.startswith("is ") for line in said)
            try:
                n_steps += check(Path(folder), said)
            except Exception:  # noqa: BLE001 - any of them means that work was lost
                failures.append(f"run {run}:\n{traceback.format_exc(limit=3)}")
    sys.stdout.write("\n".join(failures) + "\n" if failures else "")
    sys.stdout.write(
        f"{options.runs} runs, {n_said} edits; {n_steps} steps found again, each undone "
        f"and redone; {len(failures)} runs lost work or left a file that cannot be opened\n"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
