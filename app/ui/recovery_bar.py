"""Earlier work that was found, offered above the views: a question that nobody has to answer."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget

from app.session import Offer, Session


class RecoveryBar(QFrame):
    """Shows the latest offer until it is answered or too late."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("message")
        self._session = session
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.go_on_button = QPushButton(self.tr("Go on"))
        self.decline_button = QPushButton(self.tr("Not now"))
        self.go_on_button.clicked.connect(session.restoring.go_on)
        self.decline_button.clicked.connect(session.restoring.decline)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 5, 8, 5)
        row.addWidget(self.label, 1)
        row.addWidget(self.go_on_button)
        row.addWidget(self.decline_button)
        session.restoring.offered.connect(self._on_offered)
        self.hide()

    def _on_offered(self, offer: Offer | None) -> None:
        if offer is None:
            self.hide()
            return
        summary = offer.summary
        when = f"{summary.changed_at.astimezone():%d %b %Y, %H:%M}"
        if not summary.is_closed:
            text = self.tr(
                "Maskwright did not end cleanly. Your work on {name} up to {when} is kept."
            )
        else:
            text = self.tr("There is earlier work on {name}, from {when}.")
        name = self.tr("this scan") if offer.is_this_scan else f"“{summary.image.name}”"
        self.label.setText(text.format(name=name, when=when))
        self.decline_button.setText(
            self.tr("Start afresh") if offer.is_this_scan else self.tr("Not now")
        )
        self.show()
