"""What the window shows before a scan is open: an invitation."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from app.settings import Settings


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

    def __init__(self, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        title = QLabel(self.tr("Open a scan, or drop it here"))
        title.setObjectName("title")
        below = QLabel(
            self.tr("CT or MR as NIfTI, NRRD, MetaImage, a DICOM file or a DICOM folder.")
        )
        below.setObjectName("quiet")
        open_button = QPushButton(self.tr("Open image…"))
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
        for text in settings.recent_files[:6]:
            button = QPushButton(Path(text).name)
            button.setFlat(True)
            button.setToolTip(text)
            button.clicked.connect(lambda _=False, text=text: self.recent_requested.emit(text))
            layout.addWidget(button, 0, centre)
        layout.addStretch(3)
        if not settings.mouse_scheme:
            layout.addWidget(self._scheme_question(), 0, centre)
            layout.addSpacing(24)
        open_button.clicked.connect(self.open_requested)
        folder_button.clicked.connect(self.folder_requested)
        sample_button.clicked.connect(self.sample_requested)

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
