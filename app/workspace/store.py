"""One open workspace file: entries of the journal go in, the whole work comes out."""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from app.core.geometry import Geometry
from app.io.atomic import replacing
from app.workspace.codec import (
    DamagedError,
    State,
    StepChange,
    WorkspaceError,
    checked,
    encode_state,
    encode_step,
)
from app.workspace.reading import StoredWork, Work
from app.workspace.schema import (
    LockedError,
    UnwritableError,
    connect,
    damage_sentence,
    log_path,
    plain,
)

T = TypeVar("T")

# Steps that cannot be undone any more are merged into the base once there is this much of them.
COMPACT_STEPS = 500
COMPACT_BYTES = 64 << 20


@dataclass(frozen=True)
class ImageRef:
    """Which image the work belongs to, and where it was.

    Attributes
    ----------
    digest : str
        Of the voxels and the grid, see `app.workspace.recovery.image_digest`.
    shape_zyx : tuple of 3 int
    path : str
        Absolute in an automatic workspace, which only its owner can read; relative to the file
        in one that was saved, which may travel; empty if not even that is known.
    series_uid : str
        Which series of a DICOM folder; empty for others.
    """

    digest: str
    shape_zyx: tuple[int, int, int]
    path: str = ""
    series_uid: str = ""

    @property
    def name(self) -> str:
        """How to call it to the user."""
        return Path(self.path).name or "the scan"


@dataclass(frozen=True)
class NewStep:
    """A step that the document has done."""

    seq: int
    label: str
    change: StepChange


@dataclass(frozen=True)
class Entry:
    """What one transaction writes.

    Attributes
    ----------
    steps : tuple of NewStep
        Steps that were done now; what could be redone before them is gone.
    cursor, oldest : int
        See the package's docstring.
    is_saved : bool
    view : mapping
    """

    steps: tuple[NewStep, ...]
    cursor: int
    oldest: int
    is_saved: bool
    view: Mapping[str, object]


@dataclass(frozen=True)
class Summary:
    """What is known of a workspace without reading the work.

    ``n_steps`` counts those in effect that are still told apart; what was undone and can be done
    again is work, too.
    """

    path: Path
    image: ImageRef
    n_steps: int
    has_work: bool
    is_saved: bool
    is_closed: bool
    changed_at: datetime


class Store:
    """A workspace file that this window owns. Make it with `create` or `open`.

    Not thread-safe in itself: one thread uses it at a time.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection

    @classmethod
    def create(cls, path: Path, image: ImageRef, base: State, app_version: str = "") -> Store:
        """Return a new workspace with an empty label map; see `connect` for the errors."""
        store = cls(path, connect(path, is_new=True))
        content, now = encode_state(base), _now()
        row = (_image_json(image), content, zlib.crc32(content), app_version, now, now)
        try:
            with store._transaction():
                store._db.execute(
                    "INSERT INTO workspace VALUES (1, ?, 0, 1, 1, 0, '{}', ?, ?, ?, ?, ?)", row
                )
        except WorkspaceError:
            store.close()
            with suppress(OSError):
                path.unlink()
            raise
        return store

    @classmethod
    def open(cls, path: Path, *, is_checked: bool = True) -> Store:
        """Return an existing workspace, locked for this window; see `connect` for the errors."""
        store = cls(path, connect(path, is_checked=is_checked))
        try:
            store.summary()
        except WorkspaceError:
            store._db.close()
            raise
        return store

    # -- writing -------------------------------------------------------------------------------

    def append(self, entry: Entry) -> None:
        """Write one entry; it is on the disk when this returns, or nothing of it is.

        Raises
        ------
        WorkspaceError
            The disk is full, the drive is gone, ...
        """
        if not self.path.exists():
            # Some systems let a file be written that has no name any more.
            raise UnwritableError(
                f"The work cannot be kept in “{self.path.name}”: it was moved or deleted, or its "
                "drive was removed."
            )
        with self._transaction():
            if entry.steps:
                # What was undone before a new step is gone.
                self._db.execute("DELETE FROM step WHERE seq > (SELECT cursor FROM workspace)")
            for step in entry.steps:
                content = encode_step(step.change)
                self._db.execute(
                    "INSERT INTO step VALUES (?, ?, ?, ?, ?)",
                    (step.seq, step.label, _now(), zlib.crc32(content), content),
                )
            self._db.execute(
                "UPDATE workspace SET cursor = ?, oldest = ?, is_saved = ?, is_closed = 0, "
                "view = ?, changed_at = ?",
                (entry.cursor, entry.oldest, entry.is_saved, json.dumps(entry.view), _now()),
            )

    def compact_if_due(self) -> None:
        """Merge forgotten steps into the base where they have become many."""
        n_steps, n_bytes = self._db.execute(
            "SELECT COUNT(*), TOTAL(LENGTH(content)) FROM step "
            "WHERE seq < (SELECT oldest FROM workspace)"
        ).fetchone()
        if n_steps >= COMPACT_STEPS or n_bytes >= COMPACT_BYTES:
            self.compact()

    def compact(self) -> None:
        """Merge the steps that cannot be undone any more into the base."""
        stored = StoredWork(self._db, self.summary().image.shape_zyx)
        (oldest,) = self._db.execute("SELECT oldest FROM workspace").fetchone()
        labelmap, state = stored.base_labels(), stored.base_state()
        for _, _, change in stored.steps(before=oldest):
            for delta in change.deltas:
                delta.apply(labelmap)
            state = change.applied_to(state)
        content = encode_state(state)
        with self._transaction():
            self._db.execute("DELETE FROM base_slice")
            for z, plane in enumerate(labelmap.voxels):
                if plane.any():
                    packed = zlib.compress(plane.tobytes(), 1)
                    self._db.execute(
                        "INSERT INTO base_slice VALUES (?, ?, ?, ?)",
                        (z, plane.itemsize, zlib.crc32(packed), packed),
                    )
            self._db.execute(
                "UPDATE workspace SET base = ?, base_crc = ?", (content, zlib.crc32(content))
            )
            self._db.execute("DELETE FROM step WHERE seq < ?", (oldest,))

    def set_image(self, image: ImageRef) -> None:
        """Note where the image is now."""
        with self._transaction():
            self._db.execute("UPDATE workspace SET image = ?", (_image_json(image),))

    def leave(self, view: Mapping[str, object] | None = None) -> None:
        """Note that the work was left on purpose, and where; then close.

        Raises
        ------
        WorkspaceError
            It cannot be noted; the file is closed all the same.
        """
        try:
            with self._transaction():
                self._db.execute("UPDATE workspace SET is_closed = 1")
                if view is not None:
                    self._db.execute("UPDATE workspace SET view = ?", (json.dumps(view),))
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file; its log is merged into it."""
        with suppress(sqlite3.Error):
            self._db.close()

    def copy_to(self, path: Path, image: ImageRef) -> None:
        """Write a copy under another name, complete and read back, or nothing.

        Parameters
        ----------
        path : Path
            An existing file is replaced once the copy is complete.
        image : ImageRef
            What the copy says of the image: it may travel.

        Raises
        ------
        ExportError, WorkspaceError
        """
        _make_way(path)
        with replacing(path) as temporary:
            try:
                # SQLite copies into an empty file that is there, so the permissions stay ours.
                os.chmod(temporary, 0o600)
                self._db.execute("VACUUM INTO ?", (str(temporary),))
            except sqlite3.Error as error:
                raise plain(error, path) from error
            copy = Store.open(temporary)
            try:
                with copy._transaction():
                    copy._db.execute(
                        "UPDATE workspace SET image = ?, is_closed = 1", (_image_json(image),)
                    )
                if copy._content_digest() != self._content_digest():
                    raise WorkspaceError(
                        f"“{path.name}” does not read back as it was written; nothing was saved."
                    )
            finally:
                copy.close()

    # -- reading -------------------------------------------------------------------------------

    def summary(self) -> Summary:
        """Return what is known without reading the work."""

        def read() -> Summary:
            row = self._db.execute(
                "SELECT image, cursor, is_saved, is_closed, changed_at, "
                "(SELECT COUNT(*) FROM step WHERE seq <= cursor), (SELECT COUNT(*) FROM step), "
                "(SELECT COUNT(*) FROM base_slice) FROM workspace"
            ).fetchone()
            image, _, is_saved, is_closed, changed_at, n_steps, n_stored, n_slices = row
            return Summary(
                self.path,
                _image(json.loads(image)),
                int(n_steps),
                bool(n_stored or n_slices),
                bool(is_saved),
                bool(is_closed),
                datetime.fromisoformat(changed_at),
            )

        return self._checked(read)

    def load(self, geometry: Geometry) -> Work:
        """Return everything, for the image on its grid.

        Raises
        ------
        DamagedError
            A part is not what was written.
        """

        def read() -> Work:
            image = self.summary().image
            if image.shape_zyx != geometry.shape_zyx:
                raise WorkspaceError(f"“{self.path.name}” belongs to an image of another size.")
            return StoredWork(self._db, image.shape_zyx).read()

        return self._checked(read)

    # -- inside --------------------------------------------------------------------------------

    def _content_digest(self) -> list[tuple]:
        """Return what tells the content of two workspaces apart, cheaply."""
        steps = self._db.execute("SELECT seq, crc, LENGTH(content) FROM step ORDER BY seq")
        slices = self._db.execute("SELECT z, crc, LENGTH(content) FROM base_slice ORDER BY z")
        row = self._db.execute("SELECT cursor, oldest, is_saved, base_crc FROM workspace")
        return [*steps.fetchall(), *slices.fetchall(), *row.fetchall()]

    def _checked(self, read: Callable[[], T]) -> T:
        """Return what a reader returns; damage becomes a sentence about this file."""
        try:
            return checked(read)
        except sqlite3.Error as error:
            raise plain(error, self.path) from error
        except DamagedError as error:
            if str(error).startswith("“"):
                raise
            raise DamagedError(damage_sentence(self.path, str(error))) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # After some errors SQLite has rolled back by itself.
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise plain(error, self.path) from error


def _make_way(path: Path) -> None:
    """Let nothing of a file that is replaced outlive it: a log would spoil its successor."""
    if path.exists():
        try:
            connect(path).close()
        except LockedError:
            raise
        except WorkspaceError:
            pass  # whatever else it is, the user chose to replace it
    with suppress(OSError):
        log_path(path).unlink(missing_ok=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _image_json(image: ImageRef) -> str:
    return json.dumps(
        {
            "digest": image.digest,
            "shape_zyx": list(image.shape_zyx),
            "path": image.path,
            "series_uid": image.series_uid,
        }
    )


def _image(entry: dict[str, Any]) -> ImageRef:
    z, y, x = (int(n) for n in entry["shape_zyx"])
    return ImageRef(str(entry["digest"]), (z, y, x), str(entry["path"]), str(entry["series_uid"]))
