"""What the commands share: exit codes, output, progress, the engine."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.core.errors import (
    AppError,
    ExportError,
    ModelUnavailableError,
    TightMemoryError,
    UsageError,
    WeightsError,
)
from app.core.privacy import Privacy
from app.core.tasks import JobContext

if TYPE_CHECKING:
    from app.core.document import Snapshot
    from models.base import InstalledModel
    from models.engine import InferenceEngine

DONE, FAULT, USAGE, REFUSED, NO_MODEL, NOT_WRITTEN, CANCELLED = 0, 1, 2, 3, 4, 5, 130


class DeviceName(StrEnum):
    """Where networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output.")
]
DeviceOption = Annotated[DeviceName, typer.Option("--device", help="Where the network runs.")]
ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="ID", help="Model; the embedded one by default.")
]
SeriesOption = Annotated[
    str | None,
    typer.Option(
        "--series", metavar="UID", help="Which series of a DICOM folder; `info` lists them."
    ),
]
ResampleOption = Annotated[
    bool,
    typer.Option(
        "--resample", help="Put tilted or uneven slices on a regular grid instead of refusing them."
    ),
]


PrivacyOption = Annotated[
    Privacy,
    typer.Option(
        "--privacy",
        help="What is done where the files would tell who the patient is: tell says so and writes "
        "them, anonymous leaves the patient out of DICOM objects, refuse writes nothing.",
    ),
]


def save_privately(snapshot: Snapshot, path: Path, ctx: JobContext, privacy: Privacy) -> list[str]:
    """Write a result and its prompts; return sentences about what they tell of the patient."""
    from app.privacy import KEPT, listed, save, what_leaves

    told = what_leaves(snapshot, path, ctx) if privacy is Privacy.TELL else ()
    save(snapshot, path, ctx, privacy)
    if told:
        return [
            f"“{path.name}” tells {listed(told)}. With --privacy anonymous it is written without, "
            "with --privacy refuse it is not written."
        ]
    if privacy is Privacy.ANONYMOUS and path.suffix.lower() == ".dcm":
        return [f"“{path.name}” is without the patient; it keeps {KEPT}."]
    return []


def warn_if_tight(n_bytes: int) -> None:
    """Say that a scan of so many bytes will hardly fit into the memory; it is tried all the same.

    Whoever runs a command decides beforehand, and may have more memory to swap.
    """
    from app.memory import check_room

    try:
        check_room(n_bytes)
    except TightMemoryError as error:
        say(str(error))


def exit_code(error: AppError) -> int:
    """Return the exit status of an expected error."""
    if isinstance(error, UsageError):
        return USAGE
    if isinstance(error, (ModelUnavailableError, WeightsError)):
        return NO_MODEL
    if isinstance(error, ExportError):
        return NOT_WRITTEN
    return REFUSED


def say(text: str) -> None:
    """Print a line on standard error: everything that is not the result."""
    typer.echo(text, err=True)


def print_json(content: Mapping[str, Any]) -> None:
    """Print a result as one JSON object on standard output."""
    typer.echo(json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False))


class LineProgress:
    """Plain lines on standard error, for logs and pipes: at each tenth, at most one a second.

    What takes less than a second says nothing.
    """

    def __init__(self) -> None:
        self._shown = -1
        self._last = time.monotonic()

    def report(self, fraction: float, text: str = "") -> None:
        """Tell how far the job is."""
        tenth, now = int(fraction * 10), time.monotonic()
        if tenth != self._shown and now - self._last >= 1.0:
            say(f"{min(100, int(fraction * 100)):3d} % {text}".rstrip())
            self._shown, self._last = tenth, now

    def check(self) -> None:
        """Do nothing: Ctrl-C interrupts by itself."""


class BarProgress:
    """A bar on a terminal's standard error; it goes away when the job is done."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._title = title
        self._task = self.bar.add_task(title, total=1.0)

    def report(self, fraction: float, text: str = "") -> None:
        """Tell how far the job is."""
        description = f"{self._title}: {text}" if text else self._title
        self.bar.update(self._task, completed=fraction, description=description)

    def check(self) -> None:
        """Do nothing: Ctrl-C interrupts by itself."""


@contextmanager
def progress(title: str) -> Iterator[JobContext]:
    """Yield a context that shows on standard error how far a job is."""
    if not sys.stderr.isatty():
        yield LineProgress()
        return
    shown = BarProgress(title)
    with shown.bar:
        yield shown


def installed_models() -> Mapping[str, InstalledModel]:
    """Return the models on this machine by id."""
    from app.settings import user_models_dir
    from models.weights import list_models

    return list_models(user_models_dir())


def make_engine(
    device: DeviceName, models: Callable[[], Mapping[str, InstalledModel]] = installed_models
) -> InferenceEngine:
    """Return the engine that the window uses, too; by default with the models that it has."""
    from app.segmenting import TimedCache
    from app.settings import make_private_folders, user_cache_dir
    from models.engine import InferenceEngine

    make_private_folders()
    cache = TimedCache(512 << 20, folder=user_cache_dir() / "embeddings")
    return InferenceEngine(
        models,
        device=device.value,
        cache=cache,
        graph_cache_dir=user_cache_dir() / "graphs",
    )


def check_output(path: Path, inputs: tuple[Path, ...] = ()) -> None:
    """Refuse an output before any work is done.

    Raises
    ------
    UsageError
        It would overwrite an input.
    ExportError
        No exporter writes such files, or the folder does not exist.
    """
    from app.exporting import exporter_for

    exporter_for(path)
    check_folder(path)
    for one in inputs:
        if path.exists() and one.exists() and path.samefile(one):
            raise UsageError(f"“{path.name}” is the input; give the output another name.")


def check_folder(path: Path) -> None:
    """Raise ExportError if a file's folder does not exist."""
    if not path.absolute().parent.is_dir():
        raise ExportError(
            f"“{path.name}” cannot be saved: the folder “{path.parent}” does not exist."
        )
