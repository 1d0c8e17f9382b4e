"""Leaving a scan without losing work, and without questions that have an answer already."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.core.document import Document
from app.ui import dialogs

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow


class Leaving:
    """Decides whether the open scan may be left.

    Every step is kept on the disk as it is done, and offered when the scan is opened again; so
    nothing is asked unless that failed, e.g. because the disk is full.
    """

    def __init__(self, window: MainWindow) -> None:
        self._window = window
        self._session = window.session
        self._given_up: Document | None = None
        self._is_settling = False
        self._after_saving: Callable[[], object] | None = None

    def may_leave(self, then: Callable[[], object]) -> bool:
        """Return whether the open document may be replaced now.

        If it may not yet, because steps are still being written or the user chose to save them,
        ``then`` is called when it may.
        """
        document, writing = self._session.document, self._session.writing
        if document is None or not document.is_modified or document is self._given_up:
            return True
        if writing.is_kept:
            return True
        if not writing.has_scan:
            return self._ask(then)
        if not self._is_settling:
            self._is_settling = True
            writing.settle(lambda is_kept: self._on_settled(is_kept, document, then))
        return False

    def go_on_after_saving(self) -> None:
        """Do what waited for the mask to be saved, if anything did."""
        then, self._after_saving = self._after_saving, None
        if then is not None:
            then()

    def stay(self) -> None:
        """Forget what waited for the mask to be saved: the user thought better of it."""
        self._after_saving = None

    def _on_settled(self, is_kept: bool, document: Document, then: Callable[[], object]) -> None:
        self._is_settling = False
        if is_kept:
            then()
        elif self._session.document is document and self._ask(then):
            self._given_up = document
            then()

    def _ask(self, then: Callable[[], object]) -> bool:
        answer = dialogs.ask_unsaved(self._window)
        if answer is dialogs.Unsaved.SAVE and self._window.save():
            self._after_saving = then
        return answer is dialogs.Unsaved.DISCARD
