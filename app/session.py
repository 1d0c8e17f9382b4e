"""The use cases: open, prompt, carry through, undo, export. No Qt; on the GUI thread only.

Slow work goes through a `Runner`; what crosses to the worker is immutable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from app import __version__
from app.automatic import Automatic
from app.beside import Beside
from app.core.annotations import Annotation
from app.core.document import Document, Snapshot, UndoStack
from app.core.errors import PromptError
from app.core.events import Event
from app.core.labels import LabelTable
from app.core.tasks import Runner
from app.core.view_state import ViewState
from app.core.volume import Volume, percentile_window
from app.editing.operation import Operation
from app.encoding import IdleEncoding
from app.exporting import SaveReport
from app.importing import MaskImport
from app.io.reader import SeriesInfo
from app.label_editing import LabelEditing
from app.mask_editing import MaskEditing
from app.measurements import Measurements
from app.model_choice import ModelChoice
from app.notices import Message, Notices, Status
from app.opening import Opening, read_image
from app.previewing import Preview
from app.prompting import Prompting
from app.recent import RecentFiles
from app.review import Review
from app.saving import Question, Saving
from app.settings import Settings, user_cache_dir, user_data_dir
from app.timings import Timings
from app.tuning import Tuning
from app.view3d.surfaces import SceneSource
from app.view_keeping import ViewKeeping
from app.volume_figures import VolumeFigures
from app.workspace.keeper import Keeper
from app.workspace.restoring import ImageWanted, Offer, Restored, Restoring
from app.workspace.schema import SUFFIX as WORKSPACE_SUFFIX
from app.workspace.step import restored_document
from app.workspace.store import ImageRef
from app.workspace.writing import Trouble, Writing
from models.base import InstalledModel
from models.engine import DEFAULT_MODEL, InferenceEngine

__all__ = [
    "ImageWanted",
    "Message",
    "Offer",
    "Preview",
    "Question",
    "SaveReport",
    "SeriesInfo",
    "Session",
    "Status",
    "Trouble",
]


class Session:
    """One open scan and what can be done with it.

    Attributes
    ----------
    document : Document, optional
    view_state : ViewState
    source_path : Path, optional
        The opened file or folder.
    opening : Opening
        Reads scans; says which folder's series were offered.
    prompting : Prompting
        Asks the model for masks, and says what waits for one.
    review : Review
        Which slices need a look, and which got one.
    writing : Writing
        Writes every step to the disk; says while it cannot.
    restoring : Restoring
        Offers work that was left by a crash or another day, and opens workspaces.
    keeper : Keeper
        Keeps the work on the open scan in a workspace.
    model_choice : ModelChoice
        The models on this machine; which one answers prompts, and where it runs.
    measurements : Measurements
    beside : Beside
        A second scan and an earlier label map, shown with the open scan.
    label_editing : LabelEditing
        Adds, changes, chooses, merges and splits labels.
    recent : RecentFiles
    tuning : Tuning
    scene_source : SceneSource
        Surfaces of the labels, for the 3-D view.
    automatic : Automatic
        Segments the whole scan without prompts.

    Events
    ------
    document_changed : Document or None
        Another scan is open. (Changes inside it are `Document.changed`.)
    status_changed : Status
    message : Message
    series_offered : tuple of SeriesInfo
        The path holds several series; call `open` again with one of their uids.
    models_changed : None
        The model, its device or the list of models changed.
    saved : SaveReport
    save_questioned : Question
        A file would tell who the patient is; it is written once the question is answered.
    """

    def __init__(
        self,
        runner: Runner,
        file_runner: Runner,
        engine: InferenceEngine,
        models: Callable[[], Mapping[str, InstalledModel]],
        settings: Settings,
        journal_runner: Runner | None = None,
    ) -> None:
        self.settings = settings
        self.view_state = ViewState()
        self.document: Document | None = None
        self.source_path: Path | None = None
        self._notices = Notices()
        self.opening = Opening(file_runner, self._notices, self._opened)
        self._encoding = IdleEncoding(runner, engine, self.view_state, self._notices)
        self.prompting = Prompting(
            runner,
            engine,
            self.view_state,
            self._notices,
            self._encoding,
            settings.model_id or DEFAULT_MODEL,
        )
        self.review = Review(lambda: self.prompting.scores)
        self.prompting.answered.connect(lambda answer: self.review.record(*answer))
        self.model_choice = ModelChoice(
            runner,
            file_runner,
            engine,
            models,
            settings,
            self._notices,
            self.prompting,
            self._encoding,
        )
        # Not on the model's runner: a mask is edited while another one is carried through.
        self._mask_editing = MaskEditing(
            file_runner, self.view_state, self._notices, lambda: self.prompting.draw_over
        )
        self._mask_import = MaskImport(file_runner, self._notices)
        self.saving = Saving(file_runner, self._notices)
        self.figures = VolumeFigures(
            runner,
            file_runner,
            engine,
            self.view_state,
            self._notices,
            self.prompting,
            self.saving,
        )
        self.measurements = Measurements(file_runner, self._notices)
        self.label_editing = LabelEditing(
            file_runner, self.view_state, self._notices, self.prompting.accept
        )
        # Only looked at: for that, a tilted series on a regular grid is good enough.
        self.beside = Beside(file_runner, self._notices, partial(read_image, resample=True))
        self.recent = RecentFiles(
            file_runner, settings, self._notices, user_cache_dir() / "pictures"
        )
        self.tuning = Tuning(runner, engine, settings, self._notices, self.model_choice.load)
        self.scene_source = SceneSource(file_runner, self._notices)
        self.automatic = Automatic(
            runner,
            file_runner,
            engine,
            models,
            self.view_state,
            self._notices,
            self.prompting,
            timings=Timings(user_data_dir() / "timings.json"),
            device=lambda: settings.device,
        )
        self.model_choice.changed.connect(lambda _: self.automatic.list_models())
        self._view_keeping = ViewKeeping(self.view_state, self.prompting, self.review)
        workspaces = user_data_dir() / "workspaces"
        self.writing = Writing(journal_runner or file_runner, self._notices)
        self.restoring = Restoring(
            self.writing,
            file_runner,
            self.view_state,
            self._notices,
            workspaces,
            # The image of kept work was opened already, if need be on a regular grid.
            read_image=partial(read_image, resample=True),
            recent=lambda: [Path(entry) for entry in self.recent.entries],
            show=self._show_restored,
        )
        self.keeper = Keeper(
            self.writing,
            self.restoring,
            self._notices,
            workspaces,
            view=self._view_keeping.content,
            app_version=__version__,
        )

        self.document_changed: Event[Document | None] = Event()
        self.series_offered = self.opening.series_offered
        self.models_changed = self.model_choice.changed
        self.saved = self.saving.saved
        self.save_questioned = self.saving.questioned
        self.status_changed = self._notices.status_changed
        self.message = self._notices.message

    # -- opening -------------------------------------------------------------------------------

    def open(self, path: Path, *, series_uid: str | None = None, resample: bool = False) -> None:
        """Read a scan or a workspace on the worker; the open document stays until it is there.

        Of a folder with several series, or with one that can be opened only on another grid, the
        series are offered instead. With ``resample`` tilted or uneven slices are put on a regular
        grid.
        """
        path = Path(path)
        if path.suffix.lower() == WORKSPACE_SUFFIX:
            self.restoring.open(path)
            return
        self.opening.open(path, series_uid=series_uid, resample=resample)

    def _opened(
        self, path: Path, volume: Volume, window: tuple[float, float], image: ImageRef
    ) -> None:
        undo_stack = UndoStack(self.settings.undo_megabytes << 20)
        document = Document(volume, label_table=_first_table(), undo_stack=undo_stack)
        self.set_document(document, window)
        self.source_path = path
        self.recent.remember(path, volume, window)
        self.keeper.keep(document, image)
        for note in volume.notes:
            self._notices.tell(note)

    def save_workspace(self, path: Path) -> None:
        """Keep the work in a file of the user's own from now on.

        Where its names would tell who the patient is, `save_questioned` comes first.
        """
        document, path = self._editable(), Path(path)
        marker = document.state

        def done(saved: Path) -> None:
            self.recent.remember(saved, document.volume, self.view_state.window)
            if self.document is document and document.state is marker:
                document.mark_saved()

        self.saving.ask_first(
            document,
            path,
            lambda: self.keeper.save_as(path, done=done),
            names=(*document.undo_labels, *document.redo_labels),
            texts=(self.keeper.image_name_in(path),),
            leave_out=lambda: self.keeper.save_as(path, done=done, names_image=False),
        )

    def _show_restored(self, restored: Restored) -> None:
        undo_stack = UndoStack(self.settings.undo_megabytes << 20)
        document = restored_document(restored.volume, restored.work, undo_stack)
        self.set_document(document, restored.window)
        self._view_keeping.restore(restored.work.view, document, restored.window)
        self.source_path = restored.image_path
        self.recent.remember(restored.image_path, restored.volume, restored.window)
        self.keeper.resume(document, restored)

    def set_document(self, document: Document | None, window: tuple[float, float]) -> None:
        """Show another document; whatever ran for the old one is cancelled."""
        self.cancel(keep=False)
        self.keeper.leave()
        if self.document is not None:
            self._encoding.forget(self.document.volume.uid)
        self.document = document
        self.prompting.open(document, window)
        self.review.open(document)
        self._mask_editing.open(document)
        self._mask_import.open(document)
        self.measurements.open(document)
        self.beside.open(document)
        self.label_editing.open(document)
        self.automatic.open(document)
        self.figures.document = document
        if document is not None:
            shape = document.volume.voxels.shape
            self.view_state.window = window
            self.view_state.cursor_zyx = (shape[0] // 2, shape[1] // 2, shape[2] // 2)
            self.view_state.active_label = next((i.id for i in document.label_table), 1)
        self._encoding.open(document.volume if document is not None else None, window)
        self.document_changed.emit(document)

    def use_percentile_window(self, low: float, high: float) -> None:
        """Display from one percentile of the scan's values to another."""
        self.view_state.window = percentile_window(self._editable().volume.voxels, low, high)

    # -- editing -------------------------------------------------------------------------------

    def edit_mask(self, operation: Operation) -> None:
        """Do an operation on the active label, as one undo step, when the worker is free."""
        self._mask_editing.run(operation)

    @property
    def marks(self) -> tuple[Annotation, ...]:
        """Lines on slices whose ends tools can move."""
        return self.measurements.marks

    def keep_mark(self, annotation: Annotation) -> None:
        """Add a line to the document, or put it in place of the one with its id."""
        self.measurements.keep(annotation)

    # -- history and cancelling ----------------------------------------------------------------

    def undo(self) -> bool:
        """Cancel the latest waiting edit or prompt, else take back the last step."""
        if self._mask_editing.drop_latest() or self.prompting.drop_latest():
            return True
        return self.document is not None and self.document.undo()

    def redo(self) -> bool:
        """Do the last undone step again."""
        return self.document is not None and self.document.redo()

    def cancel(self, *, keep: bool = True) -> None:
        """Stop what runs; with ``keep``, a carry-through keeps the slices that are done."""
        if keep and self.prompting.stop_carrying():
            return
        self.prompting.drop_all()
        self._mask_editing.drop_all()
        self._mask_import.drop()
        self.measurements.drop()
        self.figures.drop()
        self.automatic.stop()
        self.opening.drop()
        self.restoring.drop()

    # -- saving and importing --------------------------------------------------------------------

    def save_mask(self, path: Path) -> None:
        """Write the label map and, beside it, its labels and the prompts that made it.

        Where that would tell who the patient is, `save_questioned` comes first.
        """
        self.saving.save_mask(self._editable(), self._snapshot(), Path(path))

    def export(self, path: Path) -> None:
        """Write something else than the mask: surfaces, prompts, names of labels, by the suffix.

        Where that would tell who the patient is, `save_questioned` comes first.
        """
        self.saving.export(self._editable(), self._snapshot(), Path(path))

    def import_mask(self, path: Path) -> None:
        """Add the labels of a file on the grid of the scan, as one undo step."""
        self._mask_import.run(Path(path))

    def _snapshot(self) -> Snapshot:
        model = self.model_choice.installed.get(self.prompting.model_id)
        return self._editable().snapshot(
            model_id=self.prompting.model_id,
            model_sha256=model.sha256 if model else "",
            window=self.prompting.model_window,
            app_version=__version__,
        )

    def _editable(self) -> Document:
        if self.document is None:
            raise PromptError("Open a scan first.")
        return self.document


def _first_table() -> LabelTable:
    table = LabelTable()
    return table.with_added(table.new_label("Label 1"))
