"""Says that the model has not been heard of for long, and offers to start it afresh."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget


class SilenceBar(QFrame):
    """A sentence above the views that goes by itself once the model answers.

    Events
    ------
    renew_wanted
        Somebody does not want to wait any longer.
    """

    renew_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("message")
        text = self.tr(
            "The model has not answered for a while. It may still be at work; your masks are safe."
        )
        self.label = QLabel(text)
        self.label.setWordWrap(True)
        self.button = QPushButton(self.tr("Start the model afresh"))
        self.button.clicked.connect(self.renew_wanted)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 5, 8, 5)
        row.addWidget(self.label, 1)
        row.addWidget(self.button)
        self.hide()
