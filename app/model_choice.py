"""Which model answers prompts: loading it, adding a checkpoint. No Qt; on the GUI thread only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from app.core.events import Event
from app.core.tasks import JobContext, Runner
from app.encoding import IdleEncoding
from app.notices import Notices
from app.prompting import Prompting
from app.settings import user_models_dir
from models.base import InstalledModel, ModelKind, ModelSpec
from models.engine import InferenceEngine
from models.model_store import import_model


class ModelChoice:
    """The model of the session.

    Attributes
    ----------
    device_text : str
        Where and how the model runs, and why there.

    Events
    ------
    changed : None
        The model, its device or the list of models changed.
    """

    def __init__(
        self,
        runner: Runner,
        file_runner: Runner,
        engine: InferenceEngine,
        models: Callable[[], Mapping[str, InstalledModel]],
        notices: Notices,
        prompting: Prompting,
        encoding: IdleEncoding,
    ) -> None:
        self.device_text = ""
        self.changed: Event[None] = Event()
        self._runner = runner
        self._file_runner = file_runner
        self._engine = engine
        self._models = models
        self._notices = notices
        self._prompting = prompting
        self._encoding = encoding
        encoding.device_changed.connect(self._show_device)

    @property
    def installed(self) -> Mapping[str, InstalledModel]:
        """Installed models by id."""
        return self._models()

    def load(self, model_id: str | None = None) -> None:
        """Make a model ready on the worker; a prompt given meanwhile waits for it."""
        wanted = self._prompting.model_id = model_id or self._prompting.model_id

        def work(ctx: JobContext) -> tuple[str, ModelSpec]:
            spec = self._engine.load(wanted).spec
            return self._engine.device_text(wanted), spec

        def done(result: tuple[str, ModelSpec]) -> None:
            device_text, spec = result
            self._encoding.use(spec)
            self._notices.end("model")
            self._show_device(device_text)

        self._notices.begin("model", "Loading the model")
        self._runner.submit(work, key="model", done=done, failed=self._notices.failed("model"))

    def add(self, path: Path) -> None:
        """Add a published checkpoint on the worker, and use it if it takes prompts."""
        path, taken = Path(path), frozenset(self.installed)

        def done(model: InstalledModel) -> None:
            self._notices.end("import")
            self._notices.tell(f"Imported {model.title}; licence: {model.licence}.")
            self.changed.emit(None)
            if model.kind is ModelKind.PROMPTABLE:
                self.load(model.id)

        self._notices.begin("import", f"Importing {path.name}", can_cancel=False)
        self._file_runner.submit(
            lambda ctx: import_model(path, user_models_dir(), ctx, taken=taken),
            key=f"import {path}",
            done=done,
            failed=self._notices.failed("import"),
            progress=self._notices.progress("import", f"Importing {path.name}"),
        )

    def _show_device(self, device_text: str) -> None:
        self.device_text = device_text
        self.changed.emit(None)
