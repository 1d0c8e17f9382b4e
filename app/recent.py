"""The scans opened lately, each with a small picture that only its owner may see. No Qt."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np

from app.core.events import Event
from app.core.prompts import AXIAL
from app.core.tasks import JobContext, Runner
from app.core.volume import Volume
from app.notices import Notices
from app.settings import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T")

# The longer side of a picture, in pixels: twice what is shown, for fine screens.
PICTURE_PX = 224


class RecentFiles:
    """The list in the settings, and a picture per entry in a folder of the cache.

    A picture shows the middle axial slice; its name is a hash of the path, so that nothing on the
    disk but the list itself names a patient.

    Attributes
    ----------
    missing : frozenset of str
        Entries that were not there when they were looked for last.

    Events
    ------
    changed : None
        An entry came or went, or has a picture now.
    """

    def __init__(self, runner: Runner, settings: Settings, notices: Notices, folder: Path) -> None:
        self.missing: frozenset[str] = frozenset()
        self.changed: Event[None] = Event()
        self._runner = runner
        self._settings = settings
        self._notices = notices
        self._folder = folder
        self._numbers = itertools.count()

    @property
    def entries(self) -> tuple[str, ...]:
        """Paths, newest first."""
        return tuple(self._settings.recent_files)

    def picture(self, entry: str) -> Path:
        """Return where the picture of an entry is, if it has one."""
        return self._folder / f"{hashlib.sha256(entry.encode()).hexdigest()[:32]}.png"

    def remember(self, path: Path, volume: Volume, window: tuple[float, float]) -> None:
        """Put a scan at the head of the list, and make its picture on the worker."""
        self._settings.add_recent(path)
        entries = self.entries
        self.missing -= {entries[0]}

        def work(ctx: JobContext) -> None:
            _write_private(self.picture(entries[0]), png(picture_of(volume, window)))
            self._drop_others(entries)

        self._submit(work)
        self.changed.emit(None)

    def look(self) -> None:
        """Find out which entries are missing: on the worker, for a network drive may be slow."""
        entries = self.entries

        def work(ctx: JobContext) -> frozenset[str]:
            gone = []
            for entry in entries:
                ctx.check()
                if not _exists(entry):
                    gone.append(entry)
            return frozenset(gone)

        def done(missing: frozenset[str]) -> None:
            self.missing = missing

        self._submit(work, done)

    def clear(self) -> None:
        """Forget every entry, and drop the pictures from the disk."""
        self._settings.recent_files = []
        self._settings.last_folder = ""
        self._settings.save()
        self._submit(lambda ctx: self._drop_others(()))
        self.changed.emit(None)

    def _drop_others(self, kept: tuple[str, ...]) -> None:
        pictures = {self.picture(entry) for entry in kept}
        for path in self._folder.glob("*.png"):
            if path not in pictures:
                with suppress(OSError):
                    path.unlink()

    def _submit(
        self, work: Callable[[JobContext], T], done: Callable[[T], object] = lambda _: None
    ) -> None:
        def finished(result: T) -> None:
            done(result)
            self.changed.emit(None)

        self._runner.submit(
            work,
            key=f"recent {next(self._numbers)}",  # none may cancel another
            done=finished,
            failed=self._notices.failed("recent"),
            priority=-1,
        )


def picture_of(volume: Volume, window: tuple[float, float]) -> np.ndarray:
    """Return the middle axial slice as (rows, columns) uint8, in its true proportions."""
    voxels = volume.voxels[volume.voxels.shape[AXIAL] // 2]
    spacing = volume.geometry.spacing_zyx[1:]
    sides_mm = [n * s for n, s in zip(voxels.shape, spacing, strict=True)]
    px_per_mm = PICTURE_PX / max(sides_mm)
    rows, columns = (
        _samples(n, max(1, round(mm * px_per_mm)))
        for n, mm in zip(voxels.shape, sides_mm, strict=True)
    )
    low, high = window
    sampled = voxels[np.ix_(rows, columns)].astype(np.float32)
    grey = np.clip((sampled - low) / max(high - low, 1e-6), 0, 1) * 255
    return np.nan_to_num(grey).astype(np.uint8)


def png(grey: np.ndarray) -> bytes:
    """Return a (rows, columns) uint8 picture as a PNG file without any text in it.

    PNG specification (ISO/IEC 15948), sections 5.3 and 11.2: signature, header, data, end.
    """
    rows, columns = grey.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    # Every row begins with its filter; 0 is none.
    filtered = np.zeros((rows, columns + 1), np.uint8)
    filtered[:, 1:] = grey
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def _samples(n: int, n_wanted: int) -> np.ndarray:
    """Return the indices of the voxels under the centres of so many pixels."""
    return np.minimum(((np.arange(n_wanted) + 0.5) * n / n_wanted).astype(int), n - 1)


def _exists(entry: str) -> bool:
    try:
        return Path(entry).exists()
    except OSError:
        return False


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read; a cache that cannot be written is only logged."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    except OSError as error:
        logger.info("A picture of a recent scan cannot be kept: %s", error)
