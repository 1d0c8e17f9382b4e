"""Figures that leave the window: reports, tables as text, and how sure a volume is."""

from __future__ import annotations

from pathlib import Path

from app import __version__
from app.core.document import Document
from app.core.errors import PromptError
from app.core.tasks import JobHandle, Runner
from app.core.view_state import ViewState
from app.io.atomic import write_bytes
from app.notices import Notices
from app.prompting import Prompting
from app.reporting import write_report
from app.saving import Saving
from app.volume_range import VolumeRange, volume_range
from models.engine import InferenceEngine


class VolumeFigures:
    """Writes reports on the file worker and estimates volumes on the model's.

    Attributes
    ----------
    document : Document, optional
        Set by the session when another scan is opened.
    """

    def __init__(
        self,
        runner: Runner,
        file_runner: Runner,
        engine: InferenceEngine,
        view_state: ViewState,
        notices: Notices,
        prompting: Prompting,
        saving: Saving,
    ) -> None:
        self.document: Document | None = None
        self._runner = runner
        self._file_runner = file_runner
        self._engine = engine
        self._view_state = view_state
        self._notices = notices
        self._prompting = prompting
        self._saving = saving
        self._range_handle: JobHandle | None = None

    def save_report(self, path: Path) -> None:
        """Write measures (CSV), or a page with pictures too (PDF); neither names the patient.

        Raises
        ------
        PromptError
            No scan is open.
        """
        document = self._opened()
        snapshot = document.snapshot(app_version=__version__)
        window = self._view_state.window

        def done(_: None) -> None:
            self._notices.end("report")
            self._notices.tell(f"Saved {path.name}.")

        def write() -> None:
            self._notices.begin("report", f"Saving {path.name}")
            self._file_runner.submit(
                lambda ctx: write_report(snapshot, path, window, ctx),
                key="report",
                done=done,
                failed=self._notices.failed("report"),
            )

        self._saving.ask_first(document, path, write)

    def save_text(self, path: Path, text: str) -> None:
        """Write a text about the open scan on the worker.

        Raises
        ------
        PromptError
            No scan is open.
        """

        def done(_: None) -> None:
            self._notices.tell(f"Saved {path.name}.")

        def write() -> None:
            self._file_runner.submit(
                lambda ctx: write_bytes(path, text.encode()),
                key=f"text {path}",
                done=done,
                failed=self._notices.failed("save"),
            )

        self._saving.ask_first(self._opened(), path, write)

    def estimate_volume(self) -> None:
        """Tell how much the object's volume depends on how its box is drawn."""
        request = self._prompting.request_of_object()
        text = "Estimating the volume"

        def done(found: VolumeRange) -> None:
            self._notices.end("range")
            self._notices.tell(found.sentence)

        self._notices.begin("range", text, can_cancel=True)
        self._range_handle = self._runner.submit(
            lambda ctx: volume_range(request, self._engine.run, ctx),
            key="range",
            done=done,
            failed=self._notices.failed("range"),
            progress=self._notices.progress("range", text),
        )

    def drop(self) -> None:
        """Give up an estimate that is going on."""
        if self._range_handle is not None:
            self._range_handle.cancel()
        self._notices.end("range")

    def _opened(self) -> Document:
        if self.document is None:
            raise PromptError("Open a scan first.")
        return self.document
