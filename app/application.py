"""Builds the program: settings, engine, session, window; and ends it cleanly."""

from __future__ import annotations

import logging
import os
import sys
from functools import partial
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from app.jobs import JobRunner
from app.session import Message, Session
from app.settings import Settings, make_private_folders, user_cache_dir, user_models_dir
from app.ui.main_window import MainWindow
from app.ui.theme import apply_theme
from app.ui.translation import install_translations
from models.cache import EmbeddingCache
from models.engine import InferenceEngine
from models.weights import list_models

logger = logging.getLogger(__name__)


class Application:
    """Everything that lives as long as the window."""

    def __init__(self) -> None:
        existing = QApplication.instance()
        self.qt = existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
        self._translators = install_translations(self.qt)
        make_private_folders()
        self.settings = Settings.load()
        apply_theme(self.qt, self.settings.font_px)
        self.runner, self.file_runner = JobRunner(), JobRunner()
        # Of its own, so that no export or opening delays that a step is on the disk.
        self.journal_runner = JobRunner()
        cache = EmbeddingCache(
            self.settings.cache_megabytes << 20,
            folder=user_cache_dir() / "embeddings",
            max_disk_bytes=self.settings.disk_cache_megabytes << 20,
        )
        models = partial(list_models, user_models_dir())
        self._engine = InferenceEngine(
            models,
            device=self.settings.device,
            cache=cache,
            graph_cache_dir=user_cache_dir() / "graphs",
        )
        self.session = Session(
            self.runner,
            self.file_runner,
            self._engine,
            models,
            self.settings,
            self.journal_runner,
        )
        self.window = MainWindow(self.session)
        self.runner.silent_changed.connect(self.window.silence_bar.setVisible)
        self.window.silence_bar.renew_wanted.connect(self.renew_worker)

    def renew_worker(self) -> None:
        """Give up on what the model is doing and load it again on a fresh thread."""
        self.session.cancel(keep=False)
        self.runner.renew()
        self._engine.renew()
        self.session.model_choice.load()

    def show(self) -> None:
        """Show the window, then let the worker load the model."""
        self.window.show()
        QTimer.singleShot(0, self.session.model_choice.load)
        QTimer.singleShot(0, self.session.restoring.look_for_unfinished)

    def close(self) -> bool:
        """Close the window and end the workers; False if one did not stop."""
        self.window.close()
        runners = (self.runner, self.file_runner, self.journal_runner)
        stopped = [runner.shutdown() for runner in runners]
        if stopped[-1]:
            self.session.keeper.finish()
        return all(stopped)

    def tell_fault(
        self, kind: type[BaseException], fault: BaseException, trace: TracebackType | None
    ) -> None:
        """Log what nobody expected and say so once, instead of ending the program."""
        logger.critical("Unexpected", exc_info=(kind, fault, trace))
        sentence = (
            "Something unexpected went wrong; save your work. "
            f"({kind.__name__}; details are in the log.)"
        )
        self.session.message.emit(Message(sentence, is_error=True))


def run_window(path: Path | None) -> int:
    """Show the window, with a scan if a path is given, until it is closed; return 0."""
    if sys.platform == "win32":
        # WORKAROUND(torch 2.9): its DLLs fail to load after Qt's on Windows; remove when fixed.
        import torch  # noqa: F401
    application = Application()
    sys.excepthook = application.tell_fault
    application.show()
    if path is not None:
        application.session.open(path)
    QTimer.singleShot(0, application.window.tour.start_once)
    application.qt.exec()
    if not application.close():
        # A thread that was given up on may still run: it must not see Qt being taken down.
        logging.shutdown()
        os._exit(0)
    return 0
