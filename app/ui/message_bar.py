"""Sentences for the user, above the views: a note goes by itself, an error stays."""

from __future__ import annotations

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget

from app.session import Message, Session

_NOTE_MS = 6000


class MessageBar(QFrame):
    """Shows the latest message."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("message")
        self.label = QLabel()
        self.label.setWordWrap(True)
        # Hidden until a message offers something; a button always has a name to be read out.
        self.action_button = QPushButton(self.tr("Do it"))
        self.action_button.clicked.connect(self._act)
        self.close_button = QPushButton(self.tr("Close"))
        self.close_button.clicked.connect(self.hide)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 5, 8, 5)
        row.addWidget(self.label, 1)
        row.addWidget(self.action_button)
        row.addWidget(self.close_button)
        self._message = Message("")
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_NOTE_MS)
        self._timer.timeout.connect(self.hide)
        session.message.connect(self.show_message)
        self.hide()

    def show_message(self, message: Message) -> None:
        """Show a sentence; a note does not push an error away."""
        is_error_shown = self.isVisible() and self.property("error") is True
        if is_error_shown and not message.is_error:
            return
        self._message = message
        self.label.setText(message.text)
        if message.action:
            self.action_button.setText(message.action)
        self.action_button.setVisible(bool(message.action))
        self.setProperty("error", message.is_error)
        self.style().unpolish(self)
        self.style().polish(self)
        self.show()
        if message.is_error:
            self._timer.stop()
        else:
            self._timer.start()

    def _act(self) -> None:
        self.hide()
        self._message.act()
