"""The status bar: what runs and how far, the device, what is under the pointer."""

from __future__ import annotations

from PySide6.QtWidgets import QLabel, QProgressBar, QPushButton, QStatusBar, QWidget

from app.session import Session, Status
from app.ui.hover import HoverInfo


class StatusBar(QStatusBar):
    """Shows the session's status; its button cancels what can be cancelled."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.setSizeGripEnabled(False)
        self.activity = QLabel()
        self.bar = QProgressBar()
        self.bar.setFixedWidth(150)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(self.tr("Progress"))
        self.cancel_button = QPushButton(self.tr("Cancel"))
        self.cancel_button.setToolTip(self.tr("Stop (Esc); finished slices are kept"))
        self.cancel_button.clicked.connect(lambda: session.cancel())
        self.drop_button = QPushButton(self.tr("Drop"))
        self.drop_button.setToolTip(self.tr("Stop and drop the finished slices (Shift+Esc)"))
        self.drop_button.clicked.connect(lambda: session.cancel(keep=False))
        self.place = QLabel()
        self.place.setObjectName("quiet")
        self.chip = QLabel()
        self.chip.setObjectName("chip")
        self.chip.setAccessibleName(self.tr("Device"))
        for widget in (self.activity, self.bar, self.cancel_button, self.drop_button):
            self.addWidget(widget)
        self.addPermanentWidget(self.place)
        self.addPermanentWidget(self.chip)
        session.status_changed.connect(self._on_status)
        session.models_changed.connect(lambda _: self._show_device())
        self._on_status(Status())
        self._show_device()

    def show_hover(self, info: HoverInfo | None) -> None:
        """Show index, position in mm, value and label under the pointer."""
        if info is None or self.session.document is None:
            self.place.clear()
            return
        z, y, x = info.index_zyx
        left, posterior, superior = info.position_lps
        label = self.session.document.label_table.get(info.label_id)
        name = f"   {label.name}" if label else ""
        unit = " HU" if self.session.document.volume.modality.value == "CT" else ""
        self.place.setText(
            f"({x}, {y}, {z})   L {left:.1f}  P {posterior:.1f}  S {superior:.1f} mm   "
            f"{info.value:g}{unit}{name}"
        )

    def _on_status(self, status: Status) -> None:
        self.activity.setText(status.text)
        self.bar.setVisible(status.is_busy)
        self.cancel_button.setVisible(status.can_cancel)
        is_carrying = status.can_cancel and self.session.prompting.is_carrying
        self.cancel_button.setText(self.tr("Keep") if is_carrying else self.tr("Cancel"))
        self.drop_button.setVisible(is_carrying)
        if status.fraction is None:
            self.bar.setRange(0, 0)
        else:
            self.bar.setRange(0, 1000)
            self.bar.setValue(round(1000 * status.fraction))

    def _show_device(self) -> None:
        text = self.session.model_choice.device_text or self.tr("Loading the model …")
        short = text.partition(" on ")[0] if self.session.model_choice.device_text else text
        self.chip.setText(short)
        self.chip.setToolTip(text)
