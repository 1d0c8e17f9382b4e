"""Keeps the work on the open scan on disk, and finds again what was kept.

Writing has a runner of its own, so that a step is safe at once even while a long export runs.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from app.core.document import Document
from app.core.errors import UsageError
from app.core.events import Event
from app.core.tasks import JobContext, JobHandle, Runner
from app.core.volume import Volume
from app.notices import Notices
from app.workspace.codec import WorkspaceError
from app.workspace.journal import Journal
from app.workspace.opening import (
    ReadImage,
    Window,
    closing_on_error,
    image_places,
    images_near,
    open_or_copy,
    other_image,
    read_its_image,
    travelling_path,
)
from app.workspace.recovery import (
    another_path,
    automatic_path,
    find_unfinished,
    make_folder,
    peek,
    prune,
    set_aside,
)
from app.workspace.schema import SUFFIX, LockedError
from app.workspace.store import ImageRef, Store, Summary, Work

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Offer:
    """Earlier work that the user can go on with.

    Attributes
    ----------
    summary : Summary
    is_this_scan : bool
        Whether it belongs to the scan that is open.
    """

    summary: Summary
    is_this_scan: bool


@dataclass(frozen=True)
class ImageWanted:
    """A workspace whose image is not where it was."""

    workspace: Path
    image_name: str


@dataclass(frozen=True)
class Trouble:
    """Why the work is not where the user wants it, said for as long as that is so.

    Attributes
    ----------
    sentence : str
    is_read_only : bool
        The file that was opened takes no changes, which go into a copy; else steps are in memory
        alone.
    """

    sentence: str
    is_read_only: bool = False


@dataclass(frozen=True, eq=False)
class Restored:
    """A workspace that was opened with its image."""

    volume: Volume
    window: Window
    image_path: Path
    image: ImageRef
    work: Work
    store: Store
    is_copy: bool = False


class Keeper:
    """The workspace of the open scan.

    Parameters
    ----------
    runner : Runner
        Writes; nothing else runs there.
    file_runner : Runner
        Reads images.
    folder : Path
        Of automatic workspaces.
    view : callable
        Returns how the user looks at the scan, now.
    read_image : callable
        Takes a path, a series uid and a context; returns a volume and its window.
    show : callable
        Shows restored work and calls `resume` with its document.

    Events
    ------
    offered : Offer or None
        Earlier work was found; None when it is too late to go on with it.
    image_wanted : ImageWanted
        Call `open` again with the image.
    trouble_changed : Trouble or None
        None when it is over.
    """

    def __init__(
        self,
        runner: Runner,
        file_runner: Runner,
        notices: Notices,
        folder: Path,
        *,
        view: Callable[[], Mapping[str, object]],
        read_image: ReadImage,
        show: Callable[[Restored], None],
        app_version: str = "",
    ) -> None:
        self.offered: Event[Offer | None] = Event()
        self.image_wanted: Event[ImageWanted] = Event()
        self.trouble_changed: Event[Trouble | None] = Event()
        self._runner = runner
        self._file_runner = file_runner
        self._notices = notices
        self._folder = folder
        self._view = view
        self._read_image = read_image
        self._show = show
        self._app_version = app_version
        self._journal: Journal | None = None
        self._image: ImageRef | None = None
        self._offer: Offer | None = None
        self._leaving: deque[tuple[Journal, Mapping[str, object]]] = deque()
        self._numbers = itertools.count()
        self._is_writing = False
        self._failure: Trouble | None = None
        self._read_only: Trouble | None = None
        self._told: Trouble | None = None

    # -- the open scan -------------------------------------------------------------------------

    def keep(self, document: Document, image: ImageRef) -> None:
        """Keep the work on a scan that was just opened, and look for earlier work on it."""

        def make_store() -> Store:
            make_folder(self._folder)
            path = automatic_path(self._folder, image.digest)
            if path.exists():
                try:
                    set_aside(path)
                except LockedError:
                    path = another_path(self._folder, image.digest)
            return Store.create(path, image, journal.base, self._app_version)

        journal = Journal(document, make_store, self._view, self._on_entry)
        self._begin(journal, image)
        path = automatic_path(self._folder, image.digest)

        def look(ctx: JobContext) -> Summary | None:
            return peek(path) if path.exists() else None

        def found(summary: Summary | None) -> None:
            if summary is None or not summary.has_work or self._journal is not journal:
                return
            if not journal.has_steps:
                self._set_offer(Offer(summary, is_this_scan=True))

        def failed(error: BaseException, trace: str) -> None:
            if isinstance(error, LockedError):
                self._notices.tell(
                    "This scan is open in another window, too. Each window keeps its own work."
                )
            else:
                self._notices.failed("workspace")(error, trace)

        self._submit(look, found, failed)

    def resume(self, document: Document, restored: Restored) -> None:
        """Keep on in the workspace from which a document was restored."""
        work = restored.work
        journal = Journal(
            document,
            lambda: restored.store,
            self._view,
            self._on_entry,
            steps=(*work.done, *work.undone),
        )
        journal.store = restored.store
        self._begin(journal, restored.image)
        # From now on a crash is to be seen in the file.
        journal.touch()

    def leave(self) -> None:
        """Finish with the open scan: write what waits and close the file."""
        self._set_offer(None)
        journal, self._journal = self._journal, None
        if journal is None:
            return
        journal.leave()
        self._read_only = None
        self._set_failure(None)
        self._leaving.append((journal, dict(self._view())))
        self._submit(
            lambda ctx: self._close_left(), lambda _: None, self._notices.failed("workspace")
        )

    def finish(self) -> None:
        """Leave, and write what the runner did not come to; only once it runs no more."""
        self.leave()
        while self._leaving:
            try:
                self._close_left()
            except WorkspaceError as error:
                logger.warning("The last steps could not be kept: %s", error)

    def save_as(
        self, path: Path, *, done: Callable[[Path], None], names_image: bool = True
    ) -> None:
        """Go on in a workspace of the user's own; it replaces the automatic one.

        Parameters
        ----------
        path : Path
            Gets the suffix of workspaces if it lacks it.
        done : callable
            Gets the path once the file is complete and was read back.
        names_image : bool
            Whether the file says what the scan is called; without, it is found by its hash alone.
        """
        journal, image = self._journal, self._image
        if journal is None or image is None:
            raise UsageError("Open a scan first.")
        if path.suffix.lower() != SUFFIX:
            path = path.with_name(path.name + SUFFIX)
        view = dict(self._view())
        travelling = replace(image, path=travelling_path(image.path, path) if names_image else "")

        def work(ctx: JobContext) -> Path:
            # Where the old file takes no more, the new one gets what waits.
            store = journal.open_store(is_strict=False)
            if path.exists() and store.path.exists() and path.samefile(store.path):
                journal.write()
                return path
            store.copy_to(path, travelling)
            journal.store = Store.open(path)
            journal.write()
            with suppress(WorkspaceError):
                store.leave(view)
            if store.path.parent == self._folder:
                with suppress(OSError):
                    store.path.unlink()
            return path

        def finished(saved: Path) -> None:
            self._notices.end("workspace")
            if self._journal is journal:
                journal.touch()
                self._read_only = None
                self._set_failure(None)
            self._notices.tell(f"Saved {saved.name}; further work goes into it as you do it.")
            done(saved)

        self._notices.begin("workspace", f"Saving {path.name}")
        self._submit(work, finished, self._notices.failed("workspace"))

    # -- earlier work --------------------------------------------------------------------------

    def look_for_unfinished(self, recent: Iterable[Path] = ()) -> None:
        """Offer what a crash interrupted, unless a scan is open by then; remove what is too old."""
        others = [p for p in recent if p.suffix.lower() == SUFFIX and p.parent != self._folder]

        def look(ctx: JobContext) -> Summary | None:
            prune(self._folder)
            return find_unfinished(self._folder, others)

        def found(summary: Summary | None) -> None:
            if summary is not None and self._journal is None:
                self._set_offer(Offer(summary, is_this_scan=False))

        self._submit(look, found, self._notices.failed("workspace"))

    def decline(self) -> None:
        """Start afresh: what was offered stays on disk, and is not offered at the next start."""
        offer = self._offer
        self._set_offer(None)
        if offer is None:
            return

        def work(ctx: JobContext) -> None:
            Store.open(offer.summary.path, is_checked=False).leave()

        self._submit(work, lambda _: None, self._notices.failed("workspace"))

    def go_on(
        self, volume: Volume | None, window: Window, recent: Iterable[Path] = ()
    ) -> JobHandle | None:
        """Go on with the work that was offered; ``volume`` is the open scan, if any.

        Returns what can be cancelled: reading the image, where it is not open yet.
        """
        offer, journal = self._offer, self._journal
        self._set_offer(None)
        if offer is None:
            return None
        if not offer.is_this_scan or volume is None or journal is None or self._image is None:
            return self.open(offer.summary.path, recent=recent)
        path, source = offer.summary.path, self._image

        def work(ctx: JobContext) -> Restored:
            store = Store.open(path)
            with closing_on_error(store):
                if store.summary().image.digest != source.digest:
                    raise other_image(path, source.name)
                loaded = store.load(volume.geometry)
                # It may have been opened from another place this time.
                store.set_image(source)
            return Restored(volume, window, Path(source.path), source, loaded, store)

        def done(restored: Restored) -> None:
            self._notices.end("workspace")
            if self._journal is not journal or journal.has_steps:
                # Something was drawn in the meantime: that is what the user sees and wants.
                restored.store.close()
                return
            self._show(restored)

        self._notices.begin("workspace", "Fetching the earlier work")
        # In the order of writing: what is drawn now must not go into that file.
        self._submit(work, done, self._notices.failed("workspace"))
        return None

    def open(
        self, path: Path, image_path: Path | None = None, recent: Iterable[Path] = ()
    ) -> JobHandle | None:
        """Open a workspace with its image; the open scan stays until both are there.

        Parameters
        ----------
        path : Path
        image_path : Path, optional
            Where the user says that the image is.
        recent : iterable of Path
            Where else an image of the same name may be.
        """
        path = path.absolute()
        if self._journal is not None and self._journal.is_in(path):
            self._notices.tell(f"“{path.name}” is open already.")
            return None
        recent = tuple(recent)

        def work(ctx: JobContext) -> Restored | ImageWanted:
            store, is_copy = open_or_copy(path, self._folder)
            with closing_on_error(store):
                image = store.summary().image
                places = (image_path,) if image_path else self._places(path, image, recent)
                others = () if image_path else images_near(path, image, recent, ctx)
                found = read_its_image(path, image, places, self._read_image, ctx, others)
                if found is None:
                    store.close()
                    return ImageWanted(path, image.name)
                where, volume, window = found
                loaded = store.load(volume.geometry)
                image = replace(image, path=str(where.absolute()))
                if store.path.parent == self._folder:
                    store.set_image(image)
            return Restored(volume, window, where, image, loaded, store, is_copy)

        def done(result: Restored | ImageWanted) -> None:
            self._notices.end("open")
            if isinstance(result, ImageWanted):
                self.image_wanted.emit(result)
                return
            self._show(result)
            if result.is_copy:
                self._read_only = Trouble(
                    f"“{path.name}” is open in another window or may not be written, so it is "
                    "read-only here. What you do goes into a copy; give that a name of its own.",
                    is_read_only=True,
                )
                self._set_failure(None)

        self._notices.begin("open", f"Opening {path.name}", can_cancel=True)
        return self._file_runner.submit(
            work,
            key="open",
            done=done,
            failed=self._notices.failed("open"),
            progress=self._notices.progress("open", f"Opening {path.name}"),
        )

    # -- is it safe? ---------------------------------------------------------------------------

    def image_name_in(self, path: Path) -> str:
        """Return what a file that the work is saved to would call the scan; empty without one."""
        return "" if self._image is None else travelling_path(self._image.path, path)

    @property
    def trouble(self) -> Trouble | None:
        """Why the work is not where the user wants it; what is in memory alone goes first."""
        return self._failure or self._read_only

    @property
    def has_scan(self) -> bool:
        """Whether there is a scan whose work can be kept."""
        return self._journal is not None

    @property
    def is_kept(self) -> bool:
        """Whether every step on the open scan is on the disk."""
        return self._journal is not None and not self._journal.entries and not self._failure

    def settle(self, done: Callable[[bool], None]) -> None:
        """Write what waits, then call ``done`` with whether every step is on the disk.

        What failed before is tried once more: the disk may have room again.
        """
        journal = self._journal
        if journal is None:
            done(False)
            return

        def written(_: None) -> None:
            if self._journal is journal:
                self._tell_written()
            done(True)

        def failed(error: BaseException, trace: str) -> None:
            if self._journal is journal:
                self._tell_failure(error, trace)
            done(False)

        self._submit(lambda ctx: journal.write(), written, failed)

    # -- inside: writing -----------------------------------------------------------------------

    def _begin(self, journal: Journal, image: ImageRef) -> None:
        self._journal, self._image = journal, image

    def _on_entry(self) -> None:
        self._set_offer(None)
        if not self._is_writing:
            self._write()

    def _write(self) -> None:
        journal = self._journal
        if journal is None:
            return

        def done(_: None) -> None:
            self._is_writing = False
            if self._journal is journal:
                self._tell_written()
            if self._journal is not None and self._journal.entries:
                self._write()

        def failed(error: BaseException, trace: str) -> None:
            self._is_writing = False
            if self._journal is journal:
                self._tell_failure(error, trace)
            if self._journal is not journal and self._journal and self._journal.entries:
                self._write()

        self._is_writing = True
        self._submit(lambda ctx: journal.write(), done, failed)

    def _tell_failure(self, error: BaseException, trace: str) -> None:
        # Once, not at each step; it is tried again at each.
        is_known = isinstance(error, WorkspaceError)
        if not is_known and self._failure is None:
            self._notices.failed("workspace")(error, trace)
        what = str(error) if is_known else "The work cannot be kept on the disk."
        self._set_failure(
            Trouble(f"{what} It is in memory only; save the mask before you close the window.")
        )

    def _tell_written(self) -> None:
        if self._failure is not None:
            self._set_failure(None)
            self._notices.tell("Your work is kept on disk again.")

    def _set_failure(self, failure: Trouble | None) -> None:
        """Take a failure, or None, and tell if anything is another than before."""
        self._failure = failure
        if self.trouble != self._told:
            self._told = self.trouble
            self.trouble_changed.emit(self._told)

    def _close_left(self) -> None:
        """Write and close the files of scans that are not open any more; on the worker."""
        while self._leaving:
            journal, view = self._leaving.popleft()
            try:
                journal.write()
            finally:
                if journal.store is not None:
                    journal.store.leave(view)

    def _submit(
        self,
        work: Callable[[JobContext], T],
        done: Callable[[T], None],
        failed: Callable[[BaseException, str], None],
    ) -> None:
        # Every job under a key of its own: none may cancel another.
        key = f"workspace {next(self._numbers)}"
        self._runner.submit(work, key=key, done=done, failed=failed)

    def _places(self, path: Path, image: ImageRef, recent: tuple[Path, ...]) -> tuple[Path, ...]:
        is_ours = path.parent == self._folder
        return image_places(path, image, recent, is_trusted=is_ours)

    def _set_offer(self, offer: Offer | None) -> None:
        if offer is not self._offer:
            self._offer = offer
            self.offered.emit(offer)
