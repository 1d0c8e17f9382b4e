"""Tables of a workspace file, their versions, and what is checked when a file is opened."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from app.workspace.codec import DamagedError, WorkspaceError

logger = logging.getLogger(__name__)

SUFFIX = ".maskwright"
APPLICATION_ID = 0x4D534B57  # "MSKW"

# Statements that make each version out of the one before it; the first makes an empty file.
# A file of an earlier version is brought forward in one transaction when it is opened.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE workspace (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            image TEXT NOT NULL,
            cursor INTEGER NOT NULL,
            oldest INTEGER NOT NULL,
            is_saved INTEGER NOT NULL,
            is_closed INTEGER NOT NULL,
            view TEXT NOT NULL,
            base BLOB NOT NULL,
            base_crc INTEGER NOT NULL,
            app_version TEXT NOT NULL,
            created_at TEXT NOT NULL,
            changed_at TEXT NOT NULL
        )""",
        """CREATE TABLE base_slice (
            z INTEGER PRIMARY KEY, n_bytes INTEGER NOT NULL, crc INTEGER NOT NULL,
            content BLOB NOT NULL
        )""",
        """CREATE TABLE step (
            seq INTEGER PRIMARY KEY, label TEXT NOT NULL, at TEXT NOT NULL,
            crc INTEGER NOT NULL, content BLOB NOT NULL
        )""",
    ),
)

_BUSY = "database is locked"
_REASONS = {
    "database or disk is full": "the disk is full",
    "disk I/O error": "the drive reports an error or is gone",
    "attempt to write a readonly database": "it may not be written there",
    "unable to open database file": "the folder is missing or may not be written",
}


class LockedError(WorkspaceError):
    """Another window works on the file."""


class UnwritableError(WorkspaceError):
    """The file, its folder or its drive takes no changes."""


def connect(path: Path, *, is_new: bool = False, is_checked: bool = True) -> sqlite3.Connection:
    """Return a connection to a workspace that is locked for as long as it is open.

    Parameters
    ----------
    path : Path
    is_new : bool
        Make the file; it must not exist. It can be read by its owner alone.
    is_checked : bool
        Read all of an existing file to see whether it is whole.

    Raises
    ------
    LockedError
        Another window works on it.
    DamagedError
        It is no workspace, or damaged; the file is left as it is.
    WorkspaceError
        It is missing, may not be read or written, or was made by a later version.
    """
    try:
        if is_new:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        elif not path.is_file():
            raise WorkspaceError(f"“{path.name}” is not there (any more).")
    except OSError as error:
        if isinstance(error, WorkspaceError):
            raise
        raise UnwritableError(f"“{path.name}” cannot be made: {error.strerror}.") from error
    connection = None
    try:
        # The journal's worker and the one that reads files take turns; SQLite serialises.
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
        )
        _prepare(connection, path, is_checked=is_checked and not is_new, is_new=is_new)
    except (sqlite3.Error, UnicodeDecodeError, WorkspaceError) as error:
        if connection is not None:
            connection.close()
        if is_new:
            # An empty file would be in the way of the next attempt.
            with suppress(OSError):
                path.unlink()
        if isinstance(error, WorkspaceError):
            raise
        if isinstance(error, UnicodeDecodeError):
            # SQLite quotes what it could not read, and that was no text.
            raise DamagedError(damage_sentence(path, "its structure is destroyed")) from error
        raise plain(error, path) from error
    return connection


def log_path(path: Path) -> Path:
    """Return where the write-ahead log of a file is while it is open, and after a crash."""
    return path.with_name(f"{path.name}-wal")


def plain(error: sqlite3.Error, path: Path) -> WorkspaceError:
    """Return an error of SQLite as a sentence about a file."""
    text = str(error)
    if text == _BUSY:
        return LockedError(f"“{path.name}” is open in another window.")
    for known, reason in _REASONS.items():
        if text.startswith(known):
            return UnwritableError(f"The work cannot be kept in “{path.name}”: {reason}.")
    logger.info("SQLite on a workspace: %s", text)
    return DamagedError(damage_sentence(path, text))


def damage_sentence(path: Path, detail: str) -> str:
    """Return the sentence about a damaged file."""
    return (
        f"“{path.name}” is damaged or no workspace ({detail}). The file was left as it is; "
        "open a copy of it from a backup if there is one."
    )


def _prepare(connection: sqlite3.Connection, path: Path, *, is_new: bool, is_checked: bool) -> None:
    # Locked before the first access, so that no index of the log is shared with other windows.
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    # Never run code that a file brings along.
    connection.execute("PRAGMA trusted_schema=OFF")
    if not is_new:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        if application_id != APPLICATION_ID:
            raise DamagedError(damage_sentence(path, "it was not made by this program"))
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    # Take the lock now, not at the first step.
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("COMMIT")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise WorkspaceError(
            f"“{path.name}” was made by a later version of the program (format {version}; this "
            f"one reads up to {len(MIGRATIONS)}). Open it there; it was left as it is."
        )
    if is_checked:
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise DamagedError(damage_sentence(path, verdict.splitlines()[0]))
    if not is_new:
        (n_other,) = connection.execute(
            "SELECT COUNT(*) FROM sqlite_master WHERE type NOT IN ('table', 'index')"
        ).fetchone()
        if n_other:
            raise DamagedError(damage_sentence(path, "it holds triggers or views"))
    _migrate(connection, version)


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    if version == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
