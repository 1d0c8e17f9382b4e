"""Saves what leaves the program; first asks where that would tell who the patient is.

No Qt; on the GUI thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from app.core.document import Document, Snapshot
from app.core.events import Event
from app.core.privacy import Disclosure, Privacy
from app.core.tasks import JobContext, Runner
from app.exporting import SaveReport, exporter_for
from app.notices import Notices
from app.privacy import save, told_by_texts, what_leaves

Check = Callable[[JobContext], tuple[Disclosure, ...]]


@dataclass(frozen=True)
class Question:
    """A file that would tell something; nothing is written until one of the answers is called.

    Attributes
    ----------
    path : Path
    told : tuple of Disclosure
    save_anyway : callable
    leave_out : callable, optional
        Saves it without the patient; None where that cannot be done.
    """

    path: Path
    told: tuple[Disclosure, ...]
    save_anyway: Callable[[], None]
    leave_out: Callable[[], None] | None = None


class Saving:
    """Checks and writes files on the worker.

    Events
    ------
    saved : SaveReport
    questioned : Question
    """

    def __init__(self, runner: Runner, notices: Notices) -> None:
        self.saved: Event[SaveReport] = Event()
        self.questioned: Event[Question] = Event()
        self._runner = runner
        self._notices = notices

    def save_mask(self, document: Document, snapshot: Snapshot, path: Path) -> None:
        """Write a snapshot of a document in the form of the path's suffix, and its prompts.

        The document counts as saved then, and `saved` is told.
        """
        state = document.state

        def done(report: SaveReport) -> None:
            if document.state is state:
                document.mark_saved()
            self.saved.emit(report)

        self._save(document, snapshot, path, done)

    def export(self, document: Document, snapshot: Snapshot, path: Path) -> None:
        """Write what the path's suffix stands for alone, e.g. surfaces, and nothing beside it.

        Raises
        ------
        ExportError
            No exporter writes such files.
        """
        if exporter_for(path).id != "prompts":
            snapshot = replace(snapshot, prompts=())
        self._save(document, snapshot, path, lambda _: None)

    def ask_first(
        self,
        document: Document,
        path: Path,
        save_it: Callable[[], None],
        names: tuple[str, ...] = (),
        texts: tuple[str, ...] = (),
        leave_out: Callable[[], None] | None = None,
    ) -> None:
        """Call ``save_it``, but ask first where names would tell something.

        Parameters
        ----------
        document : Document
            The names of its labels count, and that of the file.
        names, texts : tuple of str
            What else the file will hold that could tell something; ``texts`` can be left out.
        leave_out : callable, optional
            Saves the file without ``texts``.
        """
        volume = document.volume
        names = (*names, path.name, *(info.name for info in document.label_table))

        def check(ctx: JobContext) -> tuple[Disclosure, ...]:
            by_names = told_by_texts(volume, path, names, is_in_name=True)
            said = {d.what for d in by_names}
            others = told_by_texts(volume, path, texts)
            return (*by_names, *(d for d in others if d.what not in said))

        self._ask_first(document, path, check, save_it, leave_out)

    # -- inside --------------------------------------------------------------------------------

    def _save(
        self,
        document: Document,
        snapshot: Snapshot,
        path: Path,
        done: Callable[[SaveReport], None],
    ) -> None:
        def write(privacy: Privacy) -> None:
            self._write(snapshot, path, privacy, done)

        self._ask_first(
            document,
            path,
            lambda ctx: what_leaves(snapshot, path, ctx),
            lambda: write(Privacy.TELL),
            lambda: write(Privacy.ANONYMOUS),
        )

    def _ask_first(
        self,
        document: Document,
        path: Path,
        check: Check,
        save_it: Callable[[], None],
        leave_out: Callable[[], None] | None,
    ) -> None:
        if document.volume.header_path is None:
            # A file without a header of a person has nobody to tell of.
            save_it()
            return

        def done(told: tuple[Disclosure, ...]) -> None:
            self._notices.end("check")
            if not told:
                save_it()
                return
            is_named = any(d.is_in_name for d in told)
            self.questioned.emit(Question(path, told, save_it, None if is_named else leave_out))

        self._notices.begin("check", f"Checking what {path.name} would tell")
        failed = self._notices.failed("check")
        self._runner.submit(check, key=f"check {path}", done=done, failed=failed)

    def _write(
        self,
        snapshot: Snapshot,
        path: Path,
        privacy: Privacy,
        done: Callable[[SaveReport], None],
    ) -> None:
        def written(report: SaveReport) -> None:
            self._notices.end("save")
            done(report)
            without = ", without the patient" if privacy is Privacy.ANONYMOUS else ""
            self._notices.tell(f"Saved {report.path.name}{without}; read back and compared.")

        self._notices.begin("save", f"Saving {path.name}")
        self._runner.submit(
            lambda ctx: save(snapshot, path, ctx, privacy),
            # Several files may be exported one after the other.
            key=f"save {path}",
            done=written,
            failed=self._notices.failed("save"),
        )
