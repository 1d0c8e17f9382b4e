"""The models on this machine: which one answers prompts, adding, checking and removing them.

No Qt; on the GUI thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from app.core.errors import UsageError
from app.core.events import Event
from app.core.tasks import JobContext, Runner
from app.encoding import IdleEncoding
from app.notices import Notices
from app.prompting import Prompting
from app.settings import Settings, user_models_dir
from models.base import InstalledModel, ModelKind, ModelSpec
from models.engine import DEFAULT_MODEL, InferenceEngine
from models.model_store import import_model, remove_model
from models.weights import verify_model


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
        settings: Settings,
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
        self._settings = settings
        self._notices = notices
        self._prompting = prompting
        self._encoding = encoding
        encoding.device_changed.connect(self._show_device)

    @property
    def installed(self) -> Mapping[str, InstalledModel]:
        """Installed models by id."""
        return self._models()

    def choose(self, model_id: str) -> None:
        """Use a model from now on, and after the next start."""
        self._settings.model_id = model_id
        self._settings.save()
        self.load(model_id)

    def load(self, model_id: str | None = None) -> None:
        """Make a model ready on the worker; a prompt given meanwhile waits for it.

        One that is not there any more gives way to the embedded one.
        """
        wanted = model_id or self._prompting.model_id
        if wanted not in self.installed and wanted != DEFAULT_MODEL:
            self._notices.tell(f"The model “{wanted}” is not there any more; the embedded one is.")
            self.choose(DEFAULT_MODEL)
            return
        self._prompting.model_id = wanted

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
                self.choose(model.id)

        self._notices.begin("import", f"Importing {path.name}", can_cancel=False)
        self._file_runner.submit(
            lambda ctx: import_model(path, user_models_dir(), ctx, taken=taken),
            key=f"import {path}",
            done=done,
            failed=self._notices.failed("import"),
            progress=self._notices.progress("import", f"Importing {path.name}"),
        )

    def check(self, model_id: str) -> None:
        """Compare a model's files with their SHA-256 on the worker, and say what came of it."""
        model = self.installed[model_id]

        def done(_: object) -> None:
            self._notices.end("check")
            self._notices.tell(f"{model.title}: the files are those that were installed.")

        self._notices.begin("check", f"Checking {model.title}", can_cancel=False)
        self._file_runner.submit(
            lambda ctx: verify_model(model),
            key=f"check {model_id}",
            done=done,
            failed=self._notices.failed("check"),
        )

    def remove(self, model_id: str) -> None:
        """Delete an imported model; where it is in use, the embedded one takes over.

        Raises
        ------
        UsageError
            The model ships with the program.
        """
        model = self.installed[model_id]
        if model.source != "imported":
            raise UsageError(f"“{model.title}” is part of the program and stays.")
        if model_id in (self._prompting.model_id, self._settings.model_id):
            self.choose(DEFAULT_MODEL)

        def delete(_: object) -> None:
            # Only now: until the worker has let go of it, the file may be open.
            self._file_runner.submit(
                lambda ctx: remove_model(model),
                key=f"remove {model_id}",
                done=done,
                failed=self._notices.failed("remove"),
            )

        def done(_: object) -> None:
            self._notices.end("remove")
            self._notices.tell(f"Removed {model.title}.")
            self.changed.emit(None)

        self._notices.begin("remove", f"Removing {model.title}", can_cancel=False)
        self._runner.submit(
            lambda ctx: self._engine.unload(model_id),
            key=f"unload {model_id}",
            done=delete,
            failed=self._notices.failed("remove"),
        )

    def _show_device(self, device_text: str) -> None:
        self.device_text = device_text
        self.changed.emit(None)


def about(model: InstalledModel) -> str:
    """Return what there is to know about a model, as Markdown: facts, then its card, if any."""
    facts = {
        "Id": model.id,
        "Used for": "prompts" if model.kind is ModelKind.PROMPTABLE else "whole scans",
        "Finds": ", ".join(model.labels),
        "Format": model.format,
        "Licence": model.licence,
        "Size": f"{model.n_bytes / 1e6:.1f} MB",
        "SHA-256": f"`{model.sha256}`",
        "Imported from": str(model.details.get("imported_from") or ""),
        "File": f"`{model.path}`",
    }
    lines = [f"- {name}: {value}" for name, value in facts.items() if value]
    has_card = model.card.exists()
    text = model.card.read_text(encoding="utf-8") if has_card else f"# {model.title}"
    heading, _, rest = text.partition("\n")
    return "\n".join([heading, "", *lines, "", rest])
