"""A workspace and its image, found and fitted together; on a worker."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from app.core.errors import AppError, TightMemoryError
from app.core.tasks import JobContext
from app.core.volume import Volume
from app.io.grid_file import Room
from app.io.reader import scan
from app.workspace.codec import DamagedError, WorkspaceError
from app.workspace.recovery import another_path, image_digest, make_folder
from app.workspace.schema import SUFFIX, LockedError, UnwritableError, log_path
from app.workspace.store import ImageRef, Store

logger = logging.getLogger(__name__)

Window = tuple[float, float]


class ReadImage(Protocol):
    """Reads a scan; see `app.opening.read_image`."""

    def __call__(
        self, path: Path, series_uid: str, ctx: JobContext, *, room: Room | None
    ) -> tuple[Volume, Window]: ...


# So many files and folders near a workspace are looked at in search of its image.
_MAX_NEAR = 100
# A file that another window writes is copied anew if it changed meanwhile.
_COPY_ATTEMPTS = 3


def open_or_copy(path: Path, folder: Path) -> tuple[Store, bool]:
    """Return a workspace, or a copy in a folder, and whether it is a copy.

    A copy is made of a file that another window works on or that may not be written.

    Raises
    ------
    WorkspaceError
        It is missing, damaged or of a later version.
    """
    try:
        return Store.open(path), False
    except (LockedError, UnwritableError) as error:
        logger.info("Opening a copy: %s", type(error).__name__)
    make_folder(folder)
    for attempt in range(_COPY_ATTEMPTS):
        copy = another_path(folder, path.name.removesuffix(SUFFIX).partition("-")[0])
        try:
            for source, target in ((path, copy), (log_path(path), log_path(copy))):
                if source.exists():
                    target.touch(mode=0o600)
                    shutil.copyfile(source, target)
            return Store.open(copy), True
        except DamagedError:
            copy.unlink(missing_ok=True)
            log_path(copy).unlink(missing_ok=True)
            if attempt == _COPY_ATTEMPTS - 1:
                raise
        except OSError as error:
            if isinstance(error, WorkspaceError):
                raise
            raise WorkspaceError(f"“{path.name}” cannot be read: {error.strerror}.") from error
    raise AssertionError("the last attempt raises")


def read_its_image(
    path: Path,
    image: ImageRef,
    places: Iterable[Path],
    read: Callable[[Path, str, JobContext], tuple[Volume, Window]],
    ctx: JobContext,
    others: Iterable[Path] = (),
) -> tuple[Path, Volume, Window] | None:
    """Return where a workspace's image is, with volume and window; None if it is in no place.

    It is known by its hash. ``others`` are tried where none of the ``places`` has it; what cannot
    be read there is passed over.

    Raises
    ------
    WorkspaceError
        All that is there is another image.
    TightMemoryError
        It will hardly fit into the memory.
    """
    another = None
    for place in places:
        if not place.exists():
            continue
        volume, window = read(place, image.series_uid, ctx)
        if image_digest(volume) == image.digest:
            return place, volume, window
        another = place
    for other in others:
        try:
            volume, window = read(other, image.series_uid, ctx)
        except TightMemoryError:
            raise
        except AppError as error:
            logger.info("Not the image of a workspace: %s", type(error).__name__)
            continue
        if image_digest(volume) == image.digest:
            return other, volume, window
    if another is not None:
        raise other_image(path, another.name)
    return None


def image_places(
    path: Path, image: ImageRef, recent: Iterable[Path], *, is_trusted: bool
) -> tuple[Path, ...]:
    """Return where the image of a workspace may be, the likeliest place first.

    A file that is not ours may come from anywhere: of what it says only a name, or a path below
    its own folder, is believed.
    """
    stored = Path(image.path)
    places = []
    if is_trusted:
        places.append(stored)
    elif image.path and not stored.is_absolute() and ".." not in stored.parts:
        places += [path.parent / stored, path.parent / stored.name]
    places += [p for p in recent if p.name == stored.name]
    return tuple(dict.fromkeys(places))


def images_near(
    path: Path, image: ImageRef, recent: Iterable[Path], ctx: JobContext
) -> Iterator[Path]:
    """Yield what lies beside a workspace, or was opened lately, and has the size of its image.

    Only headers are read here. An image that was renamed is found by this.
    """
    try:
        beside = sorted(path.parent.iterdir())
    except OSError:
        beside = []
    for place in list(dict.fromkeys([*beside, *recent]))[:_MAX_NEAR]:
        ctx.check()
        if place.name.endswith(SUFFIX):
            continue
        try:
            found = scan(place, ctx=ctx)
        except AppError:
            continue
        # A file counts its axes in its own order.
        if any(sorted(info.size_xyz) == sorted(image.shape_zyx) for info in found):
            yield place


def travelling_path(image_path: str, workspace: Path) -> str:
    """Return what a file that may be passed on says of its image: no folder of the user's."""
    image, folder = Path(image_path), workspace.absolute().parent
    if image.is_relative_to(folder):
        return image.relative_to(folder).as_posix()
    return image.name


def other_image(path: Path, name: str) -> WorkspaceError:
    """Return the refusal of an image that is not the workspace's."""
    return WorkspaceError(
        f"“{name}” is another image than the one that “{path.name}” belongs to; nothing was "
        "changed."
    )


@contextmanager
def closing_on_error(store: Store) -> Iterator[None]:
    """Close a workspace if the body raises."""
    try:
        yield
    except BaseException:
        store.close()
        raise
