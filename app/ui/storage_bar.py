"""Says that work is in memory alone, or in a copy, for as long as that is so."""

from __future__ import annotations

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget

from app.session import Session, Trouble

_TRY_AGAIN_MS = 10_000


class StorageBar(QFrame):
    """A sentence above the views that nobody can close: it goes once it is not true any more.

    While steps cannot be written, that is tried again every ten seconds.

    Signals
    -------
    mask_wanted, workspace_wanted
        The user wants to save the mask, or the workspace, elsewhere.
    """

    mask_wanted = Signal()
    workspace_wanted = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("message")
        self.setProperty("error", True)
        self._writing = session.writing
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.again_button = QPushButton(self.tr("Try again"))
        self.mask_button = QPushButton(self.tr("Save mask…"))
        self.workspace_button = QPushButton(self.tr("Save workspace as…"))
        self.again_button.clicked.connect(self._try_again)
        self.mask_button.clicked.connect(self.mask_wanted)
        self.workspace_button.clicked.connect(self.workspace_wanted)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 5, 8, 5)
        row.addWidget(self.label, 1)
        for button in (self.again_button, self.mask_button, self.workspace_button):
            row.addWidget(button)
        self._timer = QTimer(self)
        self._timer.setInterval(_TRY_AGAIN_MS)
        self._timer.timeout.connect(self._try_again)
        session.writing.trouble_changed.connect(self._on_trouble)
        self._on_trouble(session.writing.trouble)

    def _on_trouble(self, trouble: Trouble | None) -> None:
        self.setVisible(trouble is not None)
        if trouble is None:
            self._timer.stop()
            return
        self.label.setText(trouble.sentence)
        self.again_button.setVisible(not trouble.is_read_only)
        self.mask_button.setVisible(not trouble.is_read_only)
        if trouble.is_read_only:
            self._timer.stop()
        else:
            self._timer.start()

    def _try_again(self) -> None:
        self._writing.settle(lambda is_kept: None)
