"""Finds earlier work, offers it, and opens it with its image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from app.core.events import Event
from app.core.tasks import JobContext, JobHandle, Runner
from app.core.view_state import ViewState
from app.core.volume import Volume
from app.memory import check_room
from app.notices import Notices
from app.workspace.opening import (
    ReadImage,
    Window,
    closing_on_error,
    image_places,
    images_near,
    open_or_copy,
    other_image,
    read_its_image,
)
from app.workspace.reading import Work
from app.workspace.recovery import automatic_path, find_unfinished, peek, prune
from app.workspace.schema import SUFFIX, LockedError
from app.workspace.store import ImageRef, Store, Summary
from app.workspace.writing import Writing


@dataclass(frozen=True)
class Offer:
    """Earlier work that the user can go on with.

    Attributes
    ----------
    summary : Summary
    scan : ImageRef, optional
        The open scan, if the work belongs to it.
    """

    summary: Summary
    scan: ImageRef | None = None

    @property
    def is_this_scan(self) -> bool:
        """Whether it belongs to the scan that is open."""
        return self.scan is not None


@dataclass(frozen=True)
class ImageWanted:
    """A workspace whose image is not where it was."""

    workspace: Path
    image_name: str


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


class Restoring:
    """Brings back work that was left by a crash or another day.

    Parameters
    ----------
    writing : Writing
        Of the open scan.
    file_runner : Runner
        Reads images.
    view_state : ViewState
    notices : Notices
    folder : Path
        Of automatic workspaces.
    read_image : callable
        Returns a volume and its window.
    recent : callable
        Returns what was opened lately, now.
    show : callable
        Shows restored work and keeps on in its workspace; see `Keeper.resume`.

    Events
    ------
    offered : Offer or None
        Earlier work was found; None when it is too late to go on with it.
    image_wanted : ImageWanted
        Call `open` again with the image.
    """

    def __init__(
        self,
        writing: Writing,
        file_runner: Runner,
        view_state: ViewState,
        notices: Notices,
        folder: Path,
        *,
        read_image: ReadImage,
        recent: Callable[[], Iterable[Path]],
        show: Callable[[Restored], None],
    ) -> None:
        self.offered: Event[Offer | None] = Event()
        self.image_wanted: Event[ImageWanted] = Event()
        self._writing = writing
        self._file_runner = file_runner
        self._view_state = view_state
        self._notices = notices
        self._folder = folder
        self._read_image = read_image
        self._recent = recent
        self._show = show
        self._offer: Offer | None = None
        self._handle: JobHandle | None = None

    # -- offers --------------------------------------------------------------------------------

    def look_for_unfinished(self) -> None:
        """Offer what a crash interrupted, unless a scan is open by then; remove what is too old.

        For the start of the program.
        """
        others = [
            p for p in self._recent() if p.suffix.lower() == SUFFIX and p.parent != self._folder
        ]

        def look(ctx: JobContext) -> Summary | None:
            prune(self._folder)
            return find_unfinished(self._folder, others)

        def found(summary: Summary | None) -> None:
            if summary is not None and self._writing.journal is None:
                self._set_offer(Offer(summary))

        self._writing.submit(look, found, self._notices.failed("workspace"))

    def look_for_work_on(self, scan: ImageRef) -> None:
        """Offer earlier work on the scan that was just opened, until something is done to it."""
        journal, path = self._writing.journal, automatic_path(self._folder, scan.digest)

        def look(ctx: JobContext) -> Summary | None:
            return peek(path) if path.exists() else None

        def found(summary: Summary | None) -> None:
            if summary is None or not summary.has_work:
                return
            if journal is not None and self._writing.journal is journal and not journal.has_steps:
                self._set_offer(Offer(summary, scan))

        def failed(error: BaseException, trace: str) -> None:
            if isinstance(error, LockedError):
                self._notices.tell(
                    "This scan is open in another window, too. Each window keeps its own work."
                )
            else:
                self._notices.failed("workspace")(error, trace)

        self._writing.submit(look, found, failed)

    def withdraw(self) -> None:
        """Offer nothing any more."""
        self._set_offer(None)

    def decline(self) -> None:
        """Start afresh: what was offered stays on disk, and is not offered at the next start."""
        offer = self._offer
        self._set_offer(None)
        if offer is None:
            return

        def work(ctx: JobContext) -> None:
            Store.open(offer.summary.path, is_checked=False).leave()

        self._writing.submit(work, lambda _: None, self._notices.failed("workspace"))

    def go_on(self) -> None:
        """Go on with the work that was offered."""
        offer, journal = self._offer, self._writing.journal
        self._set_offer(None)
        if offer is None:
            return
        path, scan = offer.summary.path, offer.scan
        if scan is None or journal is None:
            self.open(path)
            return
        volume, window = journal.document.volume, self._view_state.window

        def work(ctx: JobContext) -> Restored:
            store = Store.open(path)
            with closing_on_error(store):
                if store.summary().image.digest != scan.digest:
                    raise other_image(path, scan.name)
                loaded = store.load(volume.geometry)
                # It may have been opened from another place this time.
                store.set_image(scan)
            return Restored(volume, window, Path(scan.path), scan, loaded, store)

        def done(restored: Restored) -> None:
            self._notices.end("workspace")
            if self._writing.journal is not journal or journal.has_steps:
                # Something was drawn in the meantime: that is what the user sees and wants.
                restored.store.close()
                return
            self._show(restored)

        self._notices.begin("workspace", "Fetching the earlier work")
        # In the order of writing: what is drawn now must not go into that file.
        self._writing.submit(work, done, self._notices.failed("workspace"))

    # -- opening -------------------------------------------------------------------------------

    def open(self, path: Path, image_path: Path | None = None, *, is_tight: bool = False) -> None:
        """Open a workspace with its image; the open scan stays until both are there.

        Parameters
        ----------
        path : Path
        image_path : Path, optional
            Where the user says that the image is.
        is_tight : bool
            It was agreed to that the image will hardly fit into the memory.
        """
        path = path.absolute()
        journal, recent = self._writing.journal, tuple(self._recent())
        if journal is not None and journal.is_in(path):
            self._notices.tell(f"“{path.name}” is open already.")
            return
        read = partial(self._read_image, room=None if is_tight else check_room)

        def work(ctx: JobContext) -> Restored | ImageWanted:
            store, is_copy = open_or_copy(path, self._folder)
            with closing_on_error(store):
                image = store.summary().image
                places = (image_path,) if image_path else self._places(path, image, recent)
                others = () if image_path else images_near(path, image, recent, ctx)
                found = read_its_image(path, image, places, read, ctx, others)
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
                self._writing.tell_read_only(path.name)

        self._notices.begin("open", f"Opening {path.name}", can_cancel=True)
        self._handle = self._file_runner.submit(
            work,
            key="open",
            done=done,
            failed=self._notices.failed_to_open(
                partial(self.open, path, image_path, is_tight=True)
            ),
            progress=self._notices.progress("open", f"Opening {path.name}"),
        )

    def drop(self) -> None:
        """Cancel what is being opened."""
        if self._handle is not None:
            self._handle.cancel()
        self._notices.end("open")

    # -- inside --------------------------------------------------------------------------------

    def _places(self, path: Path, image: ImageRef, recent: tuple[Path, ...]) -> tuple[Path, ...]:
        is_ours = path.parent == self._folder
        return image_places(path, image, recent, is_trusted=is_ours)

    def _set_offer(self, offer: Offer | None) -> None:
        if offer is not self._offer:
            self._offer = offer
            self.offered.emit(offer)
