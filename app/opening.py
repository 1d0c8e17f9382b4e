"""Reads a scan on the worker, or offers the series of a folder. No Qt; on the GUI thread only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from app.core.events import Event
from app.core.tasks import JobContext, JobHandle, Runner
from app.core.volume import Volume
from app.io.grid_file import Room
from app.io.reader import SeriesInfo, read_volume, scan
from app.memory import check_room
from app.notices import Notices
from app.workspace.recovery import image_digest
from app.workspace.store import ImageRef
from models.preprocess import intensity_window

Opened = Callable[[Path, Volume, tuple[float, float], ImageRef], None]


class Opening:
    """Opens scans.

    Parameters
    ----------
    runner : Runner
    notices : Notices
    opened : callable
        Gets the path, the scan, the window that suits it, and how to find it again.

    Attributes
    ----------
    offered_path : Path, optional
        The folder whose series were offered last.

    Events
    ------
    series_offered : tuple of SeriesInfo
        The path holds several series; call `open` again with one of their uids.
    """

    def __init__(self, runner: Runner, notices: Notices, opened: Opened) -> None:
        self.offered_path: Path | None = None
        self.series_offered: Event[tuple[SeriesInfo, ...]] = Event()
        self._runner = runner
        self._notices = notices
        self._opened = opened
        self._handle: JobHandle | None = None

    def open(
        self, path: Path, *, series_uid: str | None, resample: bool, is_tight: bool = False
    ) -> None:
        """Read a scan; see `Session.open`.

        One that will hardly fit into the memory is not read; the user is offered to try it, and
        ``is_tight`` says that this was agreed to.
        """
        room = None if is_tight else check_room

        def work(
            ctx: JobContext,
        ) -> tuple[SeriesInfo, ...] | tuple[Volume, tuple[float, float], ImageRef]:
            if series_uid is None and path.is_dir():
                offered = _series_to_choose(path)
                if offered:
                    return offered
            volume, window = read_image(path, series_uid or "", ctx, resample=resample, room=room)
            shape, where = volume.geometry.shape_zyx, str(path.absolute())
            return volume, window, ImageRef(image_digest(volume), shape, where, series_uid or "")

        def done(result: tuple) -> None:
            self._notices.end("open")
            if isinstance(result[0], Volume):
                self._opened(path, *result)
            else:
                self.offered_path = path
                self.series_offered.emit(result)

        anyway = partial(self.open, path, series_uid=series_uid, resample=resample, is_tight=True)
        self._notices.begin("open", f"Opening {path.name}", can_cancel=True)
        self._handle = self._runner.submit(
            work,
            key="open",
            done=done,
            failed=self._notices.failed_to_open(anyway),
            progress=self._notices.progress("open", f"Opening {path.name}"),
        )

    def drop(self) -> None:
        """Cancel what is being opened."""
        if self._handle is not None:
            self._handle.cancel()
        self._notices.end("open")


def read_image(
    path: Path, series_uid: str, ctx: JobContext, *, resample: bool, room: Room | None = None
) -> tuple[Volume, tuple[float, float]]:
    """Return a scan and the window that suits it."""
    uid = series_uid or None
    volume = read_volume(path, series_uid=uid, resample=resample, room=room, ctx=ctx)
    return volume, intensity_window(volume.voxels, volume.modality)


def _series_to_choose(folder: Path) -> tuple[SeriesInfo, ...]:
    """Return the series that a person must choose from; none where it is clear."""
    found = scan(folder)
    openable = tuple(s for s in found if s.is_openable)
    if len(openable) > 1:
        return openable
    crooked = tuple(s for s in found if s.can_resample)
    return crooked if crooked and not openable else ()
