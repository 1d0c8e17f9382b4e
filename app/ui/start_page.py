"""What the window shows before a scan is open: an invitation."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.session import Session

_MAX_CARDS, _CARDS_PER_ROW = 8, 4
_CARD_WIDTH = 150
_PICTURE = QSize(112, 112)


class StartPage(QWidget):
    """Open a scan, the sample, or a recent one.

    Signals
    -------
    open_requested, folder_requested, sample_requested
    recent_requested : str
    scheme_chosen : str
        What the right mouse button shall do, "pacs" or "research"; asked until it was answered.
    """

    open_requested = Signal()
    folder_requested = Signal()
    sample_requested = Signal()
    recent_requested = Signal(str)
    scheme_chosen = Signal(str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._recent = session.recent
        title = QLabel(self.tr("Open a scan, or drop it here"))
        title.setObjectName("title")
        below = QLabel(
            self.tr("CT or MR as NIfTI, NRRD, MetaImage, a DICOM file or a DICOM folder.")
        )
        below.setObjectName("quiet")
        open_button = self.open_button = QPushButton(self.tr("Open image…"))
        open_button.setProperty("accent", True)
        folder_button = QPushButton(self.tr("Open DICOM folder…"))
        sample_button = QPushButton(self.tr("Open the sample"))
        row = QHBoxLayout()
        for button in (open_button, folder_button, sample_button):
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.addStretch(2)
        centre = Qt.AlignmentFlag.AlignHCenter
        layout.addWidget(title, 0, centre)
        layout.addWidget(below, 0, centre)
        layout.addSpacing(14)
        holder = QWidget()
        holder.setLayout(row)
        layout.addWidget(holder, 0, centre)
        layout.addSpacing(20)
        self.cards: list[QToolButton] = []
        self._grid = QGridLayout()
        self._grid.setSpacing(8)
        recent = QWidget()
        recent.setLayout(self._grid)
        layout.addWidget(recent, 0, centre)
        self.clear_button = QPushButton(self.tr("Clear list"))
        self.clear_button.setFlat(True)
        self.clear_button.setObjectName("quiet")
        self.clear_button.setToolTip(self.tr("Forget these scans and drop their pictures"))
        layout.addWidget(self.clear_button, 0, centre)
        layout.addStretch(3)
        self.clear_button.clicked.connect(session.recent.clear)
        session.recent.changed.connect(lambda _: self._fill())
        self._fill()
        session.recent.look()
        if not session.settings.mouse_scheme:
            layout.addWidget(self._scheme_question(), 0, centre)
            layout.addSpacing(24)
        open_button.clicked.connect(self.open_requested)
        folder_button.clicked.connect(self.folder_requested)
        sample_button.clicked.connect(self.sample_requested)

    def _fill(self) -> None:
        """Show the recent scans with their pictures; those that are gone are grey."""
        for card in self.cards:
            self._grid.removeWidget(card)
            card.deleteLater()
        self.cards = [self._card(entry) for entry in self._recent.entries[:_MAX_CARDS]]
        for n, card in enumerate(self.cards):
            self._grid.addWidget(card, n // _CARDS_PER_ROW, n % _CARDS_PER_ROW)
        self.clear_button.setVisible(bool(self.cards))

    def _card(self, entry: str) -> QToolButton:
        name, card = Path(entry).name, QToolButton()
        card.setObjectName("card")
        card.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        card.setFixedWidth(_CARD_WIDTH)
        card.setIconSize(_PICTURE)
        card.setIcon(_picture(self._recent.picture(entry), _PICTURE))
        # Beginning and end both tell scans apart.
        shown = card.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, _CARD_WIDTH - 16)
        card.setText(shown.replace("&", "&&"))
        card.setAccessibleName(self.tr("Open {name}").format(name=name))
        if entry in self._recent.missing:
            card.setEnabled(False)
            card.setToolTip(self.tr("{path} is not there any more.").format(path=entry))
        else:
            card.setToolTip(entry)
        card.clicked.connect(lambda: self.recent_requested.emit(entry))
        return card

    def _scheme_question(self) -> QWidget:
        """Return the one question that is asked of a new user: PACS or research habits."""
        holder = QWidget()
        row = QHBoxLayout(holder)
        label = QLabel(self.tr("Dragging with the right button changes"))
        label.setObjectName("quiet")
        row.addWidget(label)
        self.schemes = {
            "pacs": QRadioButton(self.tr("brightness, as in a PACS")),
            "research": QRadioButton(self.tr("the zoom, as in research tools")),
        }
        group = QButtonGroup(holder)
        for scheme, button in self.schemes.items():
            group.addButton(button)
            row.addWidget(button)
            button.clicked.connect(lambda _=False, scheme=scheme: self.scheme_chosen.emit(scheme))
        return holder


def _picture(path: Path, size: QSize) -> QIcon:
    """Return a picture on a black square, so that every card is the same; black if there is none.

    Twice as many pixels as are shown, so that it is sharp on fine screens.
    """
    square = QPixmap(size * 2)
    square.fill(QColor("#000000"))
    picture = QPixmap(str(path)) if path.exists() else QPixmap()
    if not picture.isNull():
        keep = Qt.AspectRatioMode.KeepAspectRatio
        fitted = picture.scaled(square.size(), keep, Qt.TransformationMode.SmoothTransformation)
        place = QRect(fitted.rect())
        place.moveCenter(square.rect().center())
        painter = QPainter(square)
        painter.drawPixmap(place, fitted)
        painter.end()
    square.setDevicePixelRatio(2)
    return QIcon(square)
