"""Sentences for the user, over the views: a note goes by itself, an error stays."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget

from app.session import Message, Session

_NOTE_MS = 6000
_MARGIN_PX = 12


class MessageBar(QFrame):
    """Shows the latest message.

    It floats at the lower edge of ``over``: in a row of its own it would push the pictures away
    under a hand that is drawing.
    """

    def __init__(self, session: Session, over: QWidget) -> None:
        super().__init__(over)
        over.installEventFilter(self)
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
        self._place()
        self.show()
        self.raise_()
        if message.is_error:
            self._timer.stop()
        else:
            self._timer.start()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay at the lower edge when the views change their size; let every event through."""
        if event.type() == QEvent.Type.Resize:
            self._place()
        return super().eventFilter(watched, event)

    def _place(self) -> None:
        over = self.parentWidget()
        if over is not None:
            # One line where there is room, else as high as the sentence needs.
            self.label.setWordWrap(False)
            width = min(self.sizeHint().width(), over.width() - 2 * _MARGIN_PX)
            self.label.setWordWrap(True)
            height = max(self.sizeHint().height(), self.heightForWidth(width))
            self.setGeometry(_MARGIN_PX, over.height() - height - _MARGIN_PX, width, height)

    def _act(self) -> None:
        self.hide()
        self._message.act()
