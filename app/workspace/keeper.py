"""Keeps the work on the open scan in a workspace: a new one, the one it came from, or another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from app.core.document import Document
from app.core.errors import UsageError
from app.core.tasks import JobContext
from app.notices import Notices
from app.workspace.codec import WorkspaceError
from app.workspace.journal import Journal
from app.workspace.opening import travelling_path
from app.workspace.recovery import another_path, automatic_path, make_folder, set_aside
from app.workspace.restoring import Restored, Restoring
from app.workspace.schema import SUFFIX, LockedError
from app.workspace.store import ImageRef, Store
from app.workspace.writing import Writing


class Keeper:
    """The workspace of the open scan.

    Parameters
    ----------
    writing : Writing
    restoring : Restoring
        Told of each scan that is opened, and when it is too late for earlier work.
    notices : Notices
    folder : Path
        Of automatic workspaces.
    view : callable
        Returns how the user looks at the scan, now.
    """

    def __init__(
        self,
        writing: Writing,
        restoring: Restoring,
        notices: Notices,
        folder: Path,
        *,
        view: Callable[[], Mapping[str, object]],
        app_version: str = "",
    ) -> None:
        self._writing = writing
        self._restoring = restoring
        self._notices = notices
        self._folder = folder
        self._view = view
        self._app_version = app_version
        self._image: ImageRef | None = None

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
        self._restoring.look_for_work_on(image)

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
        self._restoring.withdraw()
        if self._writing.journal is not None:
            self._writing.leave(dict(self._view()))

    def finish(self) -> None:
        """Leave, and write what the runner did not come to; only once it runs no more."""
        self.leave()
        self._writing.finish()

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
        journal, image = self._writing.journal, self._image
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
            if self._writing.journal is journal:
                journal.touch()
                self._writing.end_trouble()
            self._notices.tell(f"Saved {saved.name}; further work goes into it as you do it.")
            done(saved)

        self._notices.begin("workspace", f"Saving {path.name}")
        self._writing.submit(work, finished, self._notices.failed("workspace"))

    def image_name_in(self, path: Path) -> str:
        """Return what a file that the work is saved to would call the scan; empty without one."""
        return "" if self._image is None else travelling_path(self._image.path, path)

    # -- inside --------------------------------------------------------------------------------

    def _begin(self, journal: Journal, image: ImageRef) -> None:
        self._writing.journal, self._image = journal, image

    def _on_entry(self) -> None:
        self._restoring.withdraw()
        self._writing.write()
