"""Random editing in the real window for a long time: memory stays flat, nothing goes wrong.

    python -m tests.campaigns.soak --minutes 20 --seed 0

Boxes, clicks, strokes, operations on masks, labels, undo, scrolling, carrying through, saving and
opening the scan anew follow one another at random. Undo and caches get small bounds and are full
after half the time; whatever grows after that is a leak. It fails if the memory in use in the last
quarter is above that of the third by more than `GROWTH`, if an error is told or logged, or if the
work that is found again is not what was left.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from app.application import Application
from app.core.commands import DeleteLabel, EditVoxels
from app.core.document import Document
from app.core.errors import AppError
from app.core.geometry import Region
from app.editing.operation import FillBetween, FillHoles, Grow, KeepLargest, Smooth, Threshold
from app.session import Message, Trouble
from app.settings import Settings
from models import propagation
from resources import resource_path

# Of the memory in use, from the third quarter to the last: what an allocator takes at its whim.
GROWTH = 0.03
BOUND_MB = 16
_IDLE_LIMIT_S = 120.0


@dataclass
class Soak:
    """What was done and what came of it.

    Attributes
    ----------
    done : Counter
        How often each action was done.
    used_mb : list of (float, float)
        Seconds since the start, and the memory in use then, MB.
    problems : list of str
    """

    done: Counter = field(default_factory=Counter)
    used_mb: list[tuple[float, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def quarter_mb(self, n: int) -> float:
        """Return the median of the memory in use in the n-th quarter of the time, from 0."""
        start, stop = (self.used_mb[-1][0] * edge / 4 for edge in (n, n + 1))
        return statistics.median(mb for at, mb in self.used_mb if start <= at <= stop)

    @property
    def growth(self) -> float:
        """By what part the last quarter is above the third."""
        return self.quarter_mb(3) / self.quarter_mb(2) - 1


class Editor:
    """Somebody who does one random thing after the other, and never waits long."""

    def __init__(self, application: Application, scan: Path, folder: Path, seed: int) -> None:
        self.soak = Soak()
        self._application = application
        self._session = application.session
        self._scan = scan
        self._folder = folder
        self._rng = random.Random(seed)
        self._session.message.connect(self._on_message)
        self._session.writing.trouble_changed.connect(self._on_trouble)
        self._actions: list[tuple[Callable[[], object], int]] = [
            (self.box, 12),
            (self.click, 8),
            (self.stroke, 20),
            (self.operation, 6),
            (self.undo, 10),
            (self.redo, 5),
            (self.scroll, 20),
            (self.accept, 6),
            (self.carry, 3),
            (self.label, 3),
            (self.delete_label, 2),
            (self.window, 3),
            (self.reset, 2),
            (self.cancel, 2),
            (self.save, 2),
            (self.open_again, 1),
        ]

    def run(self, goes_on: Callable[[], bool]) -> Soak:
        """Edit as long as that is wanted; return what came of it."""
        self._open()
        began = last = time.monotonic()
        weights = [weight for _, weight in self._actions]
        while goes_on():
            (act, _), *_ = self._rng.choices(self._actions, weights)
            self.soak.done[act.__name__] += 1
            try:
                act()
            except AppError:
                self.soak.done["refused"] += 1  # e.g. a locked label: a sentence in the window
            self._events(self._rng.randrange(4))
            if self._rng.random() < 0.3:
                self._idle()
            now = time.monotonic()
            if now - last >= 1 or not self.soak.used_mb:
                self.soak.used_mb.append((now - began, _used_mb()))
                last = now
        self.open_again()
        self.soak.used_mb.append((time.monotonic() - began, _used_mb()))
        return self.soak

    # -- what is done --------------------------------------------------------------------------

    def box(self) -> None:
        axis, index, (r, c), (rows, columns) = self._place()
        stop = (min(rows, r + 4 + rows // 4), min(columns, c + 4 + columns // 4))
        self._session.prompting.place_box(axis, index, (r, c, *stop))

    def click(self) -> None:
        self._session.prompting.place_point(
            self._voxel(), self._rng.randrange(3), self._rng.random() < 0.7
        )

    def stroke(self) -> None:
        start = self._voxel()
        stop = [
            min(n, a + self._rng.randint(1, 12)) for a, n in zip(start, self._shape(), strict=True)
        ]
        region = Region(start, (stop[0], stop[1], stop[2]))
        value = self._rng.choice((0, self._session.view_state.active_label))
        block = np.full(region.shape_zyx, value, np.uint16)
        self._document().do(EditVoxels("Brush", region, block))

    def operation(self) -> None:
        low = self._rng.uniform(0, 150)
        self._session.edit_mask(
            self._rng.choice(
                (
                    Grow(self._rng.choice((-2.0, 2.0))),
                    Smooth(3.0),
                    FillHoles(),
                    KeepLargest(),
                    FillBetween(0),
                    Threshold(low, low + 40),
                )
            )
        )

    def undo(self) -> None:
        for _ in range(self._rng.randint(1, 4)):
            self._session.undo()

    def redo(self) -> None:
        for _ in range(self._rng.randint(1, 4)):
            self._session.redo()

    def scroll(self) -> None:
        self._session.view_state.cursor_zyx = self._voxel()

    def accept(self) -> None:
        self._session.prompting.accept()

    def carry(self) -> None:
        axis, index, (r, c), (rows, columns) = self._place()
        self._session.prompting.place_box(
            axis, index, (r, c, min(rows, r + 30), min(columns, c + 30))
        )
        self._idle()
        self._session.prompting.carry_through(
            max(0, index - 3), min(self._shape()[axis], index + 4)
        )

    def label(self) -> None:
        if len(self._document().label_table) < 8:
            self._session.label_editing.add()

    def delete_label(self) -> None:
        labels = tuple(self._document().label_table)
        if len(labels) > 2:
            self._document().do(DeleteLabel(self._rng.choice(labels).id))
            self._session.label_editing.choose(next(iter(self._document().label_table)).id)

    def window(self) -> None:
        low = self._rng.uniform(-500, 100)
        self._session.view_state.window = (low, low + self._rng.uniform(50, 1500))

    def reset(self) -> None:
        self._session.prompting.reset_object()

    def cancel(self) -> None:
        self._session.cancel(keep=self._rng.random() < 0.5)

    def save(self) -> None:
        suffix = self._rng.choice((".nii.gz", ".nrrd", ".mha", ".csv"))
        self._session.save_mask(self._folder / f"mask{suffix}")

    def open_again(self) -> None:
        """Leave the scan, open it again, and go on with what was kept of it."""
        self._idle()
        before = _fingerprint(self._document())
        self._open()
        self._session.restoring.go_on()
        self._idle()
        if _fingerprint(self._document()) != before:
            self.soak.problems.append("The work that was found again is not what was left.")

    # -- inside --------------------------------------------------------------------------------

    def _open(self) -> None:
        opened: list[object] = []
        leave = self._session.document_changed.connect(opened.append)
        self._session.open(self._scan)
        self._until(lambda: bool(opened))
        leave()
        self._idle()

    def _on_message(self, message: Message) -> None:
        # Undo may drop a prompt on which another one waits; that is told and is no fault.
        if message.is_error:
            self.soak.done["sentences"] += 1
            if "unexpected" in message.text:
                self.soak.problems.append(message.text)

    def _on_trouble(self, trouble: Trouble | None) -> None:
        if trouble is not None:
            self.soak.problems.append(trouble.sentence)

    def _document(self) -> Document:
        document = self._session.document
        assert document is not None
        return document

    def _shape(self) -> tuple[int, ...]:
        return self._document().volume.voxels.shape

    def _voxel(self) -> tuple[int, int, int]:
        z, y, x = (self._rng.randrange(n) for n in self._shape())
        return z, y, x

    def _place(self) -> tuple[int, int, tuple[int, int], tuple[int, int]]:
        axis, voxel, shape = self._rng.randrange(3), self._voxel(), self._shape()
        rows, columns = (n for k, n in enumerate(shape) if k != axis)
        r, c = (v for k, v in enumerate(voxel) if k != axis)
        return axis, voxel[axis], (min(r, rows - 4), min(c, columns - 4)), (rows, columns)

    def _events(self, n: int) -> None:
        for _ in range(n):
            self._application.qt.processEvents()

    def _idle(self) -> None:
        """Let everything end that was asked for."""
        app = self._application
        runners = (app.file_runner, app.journal_runner)
        self._until(
            lambda: (
                not (
                    self._session.prompting.pending
                    or self._session.prompting.is_carrying
                    or any(runner.is_busy for runner in runners)
                )
            )
        )

    def _until(self, holds: Callable[[], bool]) -> None:
        stop = time.monotonic() + _IDLE_LIMIT_S
        while not holds():
            self._application.qt.processEvents()
            if time.monotonic() > stop:
                raise TimeoutError(f"Nothing came for {_IDLE_LIMIT_S:.0f} s.")


class _Faults(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self, soak: Soak) -> None:
        super().__init__(logging.ERROR)
        self._soak = soak

    def emit(self, record: logging.LogRecord) -> None:
        self._soak.problems.append(record.getMessage())


def soak(scan: Path, folder: Path, seed: int, goes_on: Callable[[], bool]) -> Soak:
    """Edit a scan in a window of its own as long as that is wanted; return what came of it."""
    settings = Settings.load()
    settings.undo_megabytes = settings.cache_megabytes = BOUND_MB
    settings.save()
    # What slices were answered is kept, too, within a bound of its own.
    propagation._MEMORY_BYTES = BOUND_MB << 20
    application = Application()
    application.show()
    editor = Editor(application, scan, folder, seed)
    handler = _Faults(editor.soak)
    logging.getLogger().addHandler(handler)
    try:
        result = editor.run(goes_on)
    finally:
        logging.getLogger().removeHandler(handler)
        if application.session.document is not None:
            application.session.document.mark_saved()
        if not application.close():
            editor.soak.problems.append("A worker did not end.")
    return result


def _fingerprint(document: Document) -> str:
    digest = hashlib.sha256(document.labelmap.voxels.astype(np.uint16).tobytes())
    digest.update(repr((document.label_table, document.prompts)).encode())
    digest.update(repr((document.undo_labels, document.redo_labels)).encode())
    return digest.hexdigest()


def _used_mb() -> float:
    """Return the memory that this process holds now, MB; the most it held where Linux is not."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 1e6
    from app.memory import peak_rss_mb

    return peak_rss_mb()


def report(found: Soak) -> str:
    """Return what was done, the memory over time, and what went wrong."""
    n = sum(found.done.values()) - found.done["refused"] - found.done["sentences"]
    seconds = found.used_mb[-1][0]
    quarters = ", ".join(f"{found.quarter_mb(q):.0f}" for q in range(4))
    done = ", ".join(f"{name} {count}" for name, count in found.done.most_common())
    lines = [
        f"{n} actions in {seconds / 60:.1f} minutes: {done}",
        f"memory in use, median of each quarter: {quarters} MB; the last is "
        f"{100 * found.growth:+.1f} % of the third (at most {100 * GROWTH:+.0f} %)",
        f"{len(found.problems)} problems",
    ]
    return "\n".join(lines + [f"- {text} ({n} x)" for text, n in Counter(found.problems).items()])


def main() -> int:
    """Run the soak; 1 if memory grew or anything went wrong."""
    parser = argparse.ArgumentParser(description="Edit at random and watch the memory.")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    stop = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MASKWRIGHT_HOME"] = str(Path(folder, "home"))
        scan = resource_path("samples/torso_ct.nii.gz")
        found = soak(scan, Path(folder), options.seed, lambda: time.monotonic() < stop)
    sys.stdout.write(report(found) + "\n")
    return 1 if found.problems or found.growth > GROWTH else 0


if __name__ == "__main__":
    sys.exit(main())
