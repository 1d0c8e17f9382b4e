"""The memory that a large scan takes: opened in the window, one box drawn, against the budget.

    python -m tests.campaigns.memory                # 512 x 512 x 1000, budget 2 x raw + 1 GB
    python -m tests.campaigns.memory --slices 300

The scan is written by another process, so that making it does not count.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SIDE = 512
EXTRA_MB = 1000.0


def write_scan(path: Path, n_slices: int) -> None:
    """Write a CT of a cylinder with a bright ball, slice by slice."""
    from tests.io.files import nifti_bytes

    header = bytearray(nifti_bytes(np.zeros((1, 1, 1), "i2"))[:352])
    np.frombuffer(header, "<i2", count=8, offset=40)[:4] = (3, SIDE, SIDE, n_slices)
    rows, columns = np.indices((SIDE, SIDE)) - SIDE / 2
    radius = np.hypot(rows, columns)
    noise = np.random.default_rng(0).normal(0, 12, (SIDE, SIDE))
    with path.open("wb") as file:
        file.write(header)
        for k in range(n_slices):
            plane = np.where(radius < 200, 40.0, -1000.0) + np.roll(noise, k, axis=0)
            plane[np.hypot(radius, k - n_slices / 2) < 60] += 110
            file.write(plane.astype("<i2").tobytes())


def measure(path: Path) -> None:
    """Open a scan as the window does, draw a box, and print the peaks in MB."""
    from app import window_benchmark as window
    from app.application import Application
    from app.memory import peak_rss_mb

    application = Application()
    session = application.session
    application.show()
    try:
        window._until(session.document_changed, lambda: session.open(path))
        application.qt.processEvents()
        opened_mb = peak_rss_mb()
        window._until(session.prompting.scores_changed, lambda: window._box(session, 0))
        application.qt.processEvents()
    finally:
        window._forget_changes(session)
        application.close()
    sys.stdout.write(f"{opened_mb:.0f} {peak_rss_mb():.0f}\n")


def main() -> int:
    """Write the scan, measure in a process of its own, and compare; 1 if it took too much."""
    parser = argparse.ArgumentParser(description="Measure the memory of a large scan.")
    parser.add_argument("--slices", type=int, default=1000)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write_scan(options.write, options.slices)
        return 0
    if options.measure:
        measure(options.measure)
        return 0
    itself = [sys.executable, "-m", "tests.campaigns.memory", "--slices", str(options.slices)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.nii")
        subprocess.run([*itself, "--write", str(path)], check=True)
        environment = {"QT_QPA_PLATFORM": "offscreen"} | dict(os.environ)
        environment["MASKWRIGHT_HOME"] = str(Path(folder, "home"))
        done = subprocess.run(
            [*itself, "--measure", str(path)],
            check=True,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        raw_mb = path.stat().st_size / 1e6
    opened_mb, peak_mb = (float(word) for word in done.stdout.split()[-2:])
    budget_mb = 2 * raw_mb + EXTRA_MB
    sys.stdout.write(
        f"{SIDE} x {SIDE} x {options.slices}: raw {raw_mb:.0f} MB, peak {opened_mb:.0f} MB when "
        f"opened, {peak_mb:.0f} MB after a box; budget {budget_mb:.0f} MB\n"
    )
    return 0 if peak_mb <= budget_mb else 1


if __name__ == "__main__":
    sys.exit(main())
