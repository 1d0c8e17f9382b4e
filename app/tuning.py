"""What can be tuned while the program runs: the device, the memory and the disk that it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.core.document import Document
from app.core.errors import AppError
from app.core.tasks import JobContext, Runner
from app.notices import Notices
from app.settings import Settings
from models.engine import InferenceEngine


class Tuning:
    """Takes new values into use; the engine and its cache belong to the worker.

    Parameters
    ----------
    load_model : callable
        Makes the present model ready again, on another device.
    """

    def __init__(
        self,
        runner: Runner,
        engine: InferenceEngine,
        settings: Settings,
        notices: Notices,
        load_model: Callable[[], None],
    ) -> None:
        self._runner = runner
        self._engine = engine
        self._settings = settings
        self._notices = notices
        self._load_model = load_model

    def use_device(self, device: str, *, refused: Callable[[], object]) -> None:
        """Run models on another device from now on; ``refused`` is called if it is not there."""
        before, self._settings.device = self._settings.device, device

        def done(_: None) -> None:
            self._settings.save()
            self._load_model()

        def failed(error: BaseException, trace: str) -> None:
            self._settings.device = before
            self._notices.failed("device")(error, trace)
            if isinstance(error, AppError):
                refused()

        self._runner.submit(
            lambda ctx: self._engine.use_device(device), key="device", done=done, failed=failed
        )

    def limit_undo(self, megabytes: int, document: Document | None) -> None:
        """Let the history take so much memory; more than that is forgotten at the next step."""
        self._settings.undo_megabytes = megabytes
        self._settings.save()
        if document is not None:
            document.limit_undo(megabytes << 20)

    def limit_cache(self, megabytes: int, disk_megabytes: int) -> None:
        """Let prepared slices take so much memory and disk."""
        self._settings.cache_megabytes = megabytes
        self._settings.disk_cache_megabytes = disk_megabytes
        self._settings.save()
        cache = self._engine.cache
        self._submit("limit cache", lambda ctx: cache.limit(megabytes << 20, disk_megabytes << 20))

    def clear_cache(self, done: Callable[[], None]) -> None:
        """Forget every prepared slice, in memory and on the disk."""
        self._submit("clear cache", lambda ctx: self._engine.cache.clear(), lambda _: done())

    def ask_cache(self, done: Callable[[int], None]) -> None:
        """Tell how many bytes prepared slices take on the disk."""
        self._submit("ask cache", lambda ctx: self._engine.cache.disk_bytes(), done)

    def _submit(
        self,
        key: str,
        work: Callable[[JobContext], object],
        done: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self._runner.submit(work, key=key, done=done, failed=self._notices.failed(key))
