"""What the window shows before a scan is open: an invitation."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget


class StartPage(QWidget):
    """Open a scan, the sample, or a recent one.

    Signals
    -------
    open_requested, folder_requested, sample_requested
    recent_requested : str
    """

    open_requested = Signal()
    folder_requested = Signal()
    sample_requested = Signal()
    recent_requested = Signal(str)

    def __init__(self, recent: list[str], parent: QWidget | None = None) -> None:
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
        for text in recent[:6]:
            button = QPushButton(Path(text).name)
            button.setFlat(True)
            button.setToolTip(text)
            button.clicked.connect(lambda _=False, text=text: self.recent_requested.emit(text))
            layout.addWidget(button, 0, centre)
        layout.addStretch(3)
        open_button.clicked.connect(self.open_requested)
        folder_button.clicked.connect(self.folder_requested)
        sample_button.clicked.connect(self.sample_requested)
