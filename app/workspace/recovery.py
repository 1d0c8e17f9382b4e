"""The folder of automatic workspaces: what a crash left, what is set aside, what is too old."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from app.core.volume import Volume
from app.workspace.codec import WorkspaceError
from app.workspace.schema import SUFFIX, LockedError, log_path
from app.workspace.store import Store, Summary

logger = logging.getLogger(__name__)

# Work that was exported goes after this long, other work after it was left alone much longer.
MAX_AGE = timedelta(days=90)
MAX_BYTES = 2 << 30
# Work that was never exported stays at least this long, whatever room it takes.
UNSAVED_AGE = timedelta(days=30)


def image_digest(volume: Volume) -> str:
    """Return a hash of a scan's voxels and grid: equal for the same scan wherever it lies.

    The first 16 bytes of a SHA-256 (fast on processors of today) over the type, the shape, the
    affine rounded to 0.0001 mm and the voxels.
    """
    voxels = volume.voxels
    digest = hashlib.sha256()
    affine = np.round(volume.geometry.affine, 4) + 0.0  # no negative zeros
    digest.update(f"{voxels.dtype.str} {voxels.shape}".encode() + affine.tobytes())
    for plane in voxels:
        digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()[:32]


def automatic_path(folder: Path, digest: str) -> Path:
    """Return where the automatic workspace of a scan lies."""
    return folder / f"{digest}{SUFFIX}"


def another_path(folder: Path, digest: str) -> Path:
    """Return a free name for one more workspace of a scan."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    path = folder / f"{digest}-{stamp}{SUFFIX}"
    number = 2
    while path.exists():
        path = folder / f"{digest}-{stamp}-{number}{SUFFIX}"
        number += 1
    return path


def make_folder(folder: Path) -> None:
    """Make the folder of automatic workspaces, for its owner alone.

    Raises
    ------
    WorkspaceError
        It cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(
            f"The work cannot be kept: the folder “{folder}” cannot be made ({error.strerror})."
        ) from error


def peek(path: Path) -> Summary:
    """Return what is known of a workspace that nobody has open; see `Store.open` for errors."""
    store = Store.open(path, is_checked=False)
    try:
        return store.summary()
    finally:
        store.close()


def set_aside(path: Path) -> Path:
    """Move an automatic workspace out of the way of a new one; return its new name.

    Raises
    ------
    LockedError
        Another window works on it.
    WorkspaceError
        It cannot be moved.
    """
    try:
        peek(path)  # brings what its log holds into the file
    except LockedError:
        raise
    except WorkspaceError as error:
        logger.info("A workspace that is set aside: %s", type(error).__name__)
    aside = another_path(path.parent, path.name.removesuffix(SUFFIX).partition("-")[0])
    try:
        path.rename(aside)
        if log_path(path).exists():
            log_path(path).rename(log_path(aside))
    except OSError as error:
        raise WorkspaceError(f"“{path.name}” cannot be moved: {error.strerror}.") from error
    return aside


def find_unfinished(folder: Path, others: Iterable[Path] = ()) -> Summary | None:
    """Return the latest work that a crash interrupted, in a folder or among other files."""
    found = []
    for path in (*_workspaces(folder), *others):
        try:
            summary = peek(path)
        except WorkspaceError as error:
            logger.info("A workspace that is not offered: %s", type(error).__name__)
            continue
        if not summary.is_closed and summary.has_work:
            found.append(summary)
    return max(found, key=lambda summary: summary.changed_at, default=None)


@dataclass(frozen=True)
class Limits:
    """How much the automatic workspaces may take."""

    max_age: timedelta = MAX_AGE
    max_bytes: int = MAX_BYTES
    unsaved_age: timedelta = UNSAVED_AGE


def prune(folder: Path, limits: Limits | None = None, *, now: datetime | None = None) -> int:
    """Remove old automatic workspaces, the oldest first; return how many.

    Those open in a window, and those whose work was never exported and is younger than
    ``limits.unsaved_age``, stay. Damaged ones count as never exported.
    """
    limits, now = limits or Limits(), now or datetime.now(UTC)
    aged = sorted((_changed_at(path), path) for path in _workspaces(folder))
    total = sum(_size(path) for _, path in aged)
    n_removed = 0
    for changed_at, path in aged:
        age = now - changed_at
        if age <= limits.max_age and total <= limits.max_bytes:
            continue
        n_bytes = _size(path)
        if _may_go(path, age, limits):
            with suppress(OSError):
                path.unlink()
                log_path(path).unlink(missing_ok=True)
                total -= n_bytes
                n_removed += 1
    return n_removed


# -- inside -------------------------------------------------------------------------------------


def _workspaces(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


def _changed_at(path: Path) -> datetime:
    """Return when a file or its log was written last."""
    times = [p.stat().st_mtime for p in (path, log_path(path)) if p.exists()]
    return datetime.fromtimestamp(max(times, default=0.0), UTC)


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in (path, log_path(path)) if p.exists())


def _may_go(path: Path, age: timedelta, limits: Limits) -> bool:
    is_saved = False
    try:
        summary = peek(path)
        is_saved = summary.is_saved or not summary.has_work
    except LockedError:
        return False
    except WorkspaceError as error:
        logger.info("A workspace that is to go: %s", type(error).__name__)
    return is_saved or age > limits.unsaved_age
