"""Files that are either complete or not there: written under another name, then moved."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.core.errors import AppError, ExportError

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your disk quota is used up",
    errno.EROFS: "the folder is read-only",
    errno.EACCES: "you may not write there",
    errno.EPERM: "you may not write there",
    errno.ENOENT: "the folder does not exist",
    errno.ENOTDIR: "the folder does not exist",
    errno.EISDIR: "a folder of that name is in the way",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EIO: "the drive reports an error",
    errno.ENODEV: "the drive is gone",
}


@contextmanager
def replacing(path: Path, suffix: str = "") -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it there if the body succeeds.

    Parameters
    ----------
    path : Path
        An existing file stays as it is until the new one is complete.
    suffix : str
        How the temporary name ends, for writers that go by suffixes.

    Raises
    ------
    ExportError
        The folder is missing or may not be written, the disk is full, ... Nothing is left behind.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ExportError(
            f"“{path.name}” cannot be saved: the folder “{path.parent}” does not exist."
        )
    if path.is_dir():
        raise ExportError(f"“{path.name}” cannot be saved: a folder of that name is in the way.")
    temporary = path.parent / f".{uuid.uuid4().hex[:12]}.part{suffix}"
    try:
        # Made here, so that a folder that may not be written shows before any work.
        with open(temporary, "xb"):
            pass
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if isinstance(error, AppError):
            raise
        raise ExportError(
            f"“{path.name}” cannot be saved: {_REASONS.get(error.errno or 0, error.strerror)}."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that is complete or not there, and was read back the same.

    Raises
    ------
    ExportError
        It cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        check_bytes(temporary, content, path)


def check_bytes(written: Path, content: bytes, path: Path) -> None:
    """Raise `ExportError` unless a file, meant to become ``path``, holds ``content``."""
    if written.read_bytes() != content:
        raise ExportError(f"“{path.name}” does not read back as it was written; nothing was saved.")
