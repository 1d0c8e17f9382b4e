"""The settings: few, each does something, and at once."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QSize, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QShowEvent
from PySide6.QtWidgets import (
    QApplication,
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QScrollArea,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.session import Session
from app.settings import FONT_SIZES, Settings, user_data_dir
from app.ui.theme import apply_theme

_MB = 1 << 20


class SettingsDialog(QDialog):
    """Everything takes effect as it is changed; there is nothing to confirm.

    Signals
    -------
    changed
        Something that menus show, too.
    """

    changed = Signal()

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self.session = session
        self._is_over = False
        self.setWindowTitle(self.tr("Settings"))
        self._make_widgets()
        self._lay_out()
        self._show_all()
        self._connect()
        session.tuning.ask_cache(self._show_cache)

    # -- building ------------------------------------------------------------------------------

    def _make_widgets(self) -> None:
        self.schemes = {
            "pacs": QRadioButton(self.tr("brightness (PACS)")),
            "research": QRadioButton(self.tr("the zoom (research tools)")),
        }
        self._scheme_group = QButtonGroup(self)
        for scheme in self.schemes.values():
            self._scheme_group.addButton(scheme)
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setAccessibleName(self.tr("Mask opacity"))
        self.outline = QCheckBox(self.tr("as outlines"))
        self.font_px = self._spin(FONT_SIZES[0], FONT_SIZES[-1], 1, self.tr(" px"))
        self.model = QComboBox()
        self.device = QComboBox()
        for device, text in (
            ("auto", self.tr("automatic")),
            ("cpu", self.tr("processor (CPU)")),
            ("cuda", self.tr("graphics card (NVIDIA)")),
        ):
            self.device.addItem(text, device)
        self.device_note = self._quiet()
        self.undo_mb = self._spin(16, 16_384, 64, self.tr(" MB"))
        self.undo_mb.setToolTip(self.tr("The oldest steps are forgotten when it is used up"))
        self.cache_mb = self._spin(64, 65_536, 128, self.tr(" MB"))
        self.disk_mb = self._spin(0, 1_048_576, 512, self.tr(" MB"))
        self.cache_note = self._quiet()
        self.clear_button = QPushButton(self.tr("Clear cache"))
        self.folder_note = self._quiet()
        self.folder_button = QPushButton(self.tr("Show folder"))
        self.defaults_button = QPushButton(self.tr("Defaults"))
        self.close_button = QPushButton(self.tr("Close"))
        for button in (
            self.clear_button,
            self.folder_button,
            self.defaults_button,
        ):
            button.setAutoDefault(False)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setVerticalSpacing(8)
        self._heading(form, self.tr("Looking"))
        self._row(form, self.tr("Right button changes"), *self.schemes.values())
        self._row(form, self.tr("Masks"), self.opacity, self.outline)
        self._row(form, self.tr("Size of text"), self.font_px)
        self._heading(form, self.tr("Model"))
        self._row(form, self.tr("For prompts"), self.model)
        self._row(form, self.tr("Runs on"), self.device)
        form.addRow("", self.device_note)
        self._heading(form, self.tr("Memory and disk"))
        self._row(form, self.tr("Undo history"), self.undo_mb)
        self._row(form, self.tr("Prepared slices in memory"), self.cache_mb)
        self._row(form, self.tr("Prepared slices on disk"), self.disk_mb, self.clear_button)
        form.addRow("", self.cache_note)
        self._heading(form, self.tr("Your work"))
        self._row(form, self.tr("Kept at each step in"), self.folder_button)
        form.addRow("", self.folder_note)
        bottom = QHBoxLayout()
        bottom.addWidget(self.defaults_button)
        bottom.addStretch()
        bottom.addWidget(self.close_button)
        inside = QWidget()
        inside.setLayout(form)
        # A small screen, or large text: the settings scroll, the buttons stay.
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inside)
        self._inside = inside
        layout = QVBoxLayout(self)
        layout.addWidget(area)
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        line.setObjectName("line")
        layout.addWidget(line)
        layout.addLayout(bottom)

    def _heading(self, form: QFormLayout, text: str) -> None:
        label = QLabel(text)
        label.setObjectName("heading")
        form.addRow(label)

    def _row(self, form: QFormLayout, text: str, *widgets: QWidget) -> None:
        label = QLabel(text)
        label.setBuddy(widgets[0])
        row = QHBoxLayout()
        row.setSpacing(12)
        for widget in widgets:
            if not widget.accessibleName() and not isinstance(widget, QPushButton | QCheckBox):
                # A radio button has a text of its own, which says nothing without the question.
                own = widget.text() if isinstance(widget, QRadioButton) else ""
                widget.setAccessibleName(f"{text} {own}".strip())
            row.addWidget(widget)
        row.addStretch()
        form.addRow(label, row)

    def _quiet(self) -> QLabel:
        label = QLabel()
        label.setObjectName("quiet")
        label.setWordWrap(True)
        return label

    def _spin(self, low: int, high: int, step: int, suffix: str) -> QSpinBox:
        spin = QSpinBox()
        spin.setRange(low, high)
        spin.setSingleStep(step)
        spin.setSuffix(suffix)
        spin.setMinimumWidth(110)
        # Half a number is not a wish.
        spin.setKeyboardTracking(False)
        return spin

    def showEvent(self, event: QShowEvent) -> None:
        """Take as much room as the settings need, as far as the screen has it."""
        super().showEvent(event)
        wanted = self._inside.sizeHint() + QSize(60, 110)
        self.resize(wanted.boundedTo(self.screen().availableGeometry().size() * 0.9))

    # -- showing -------------------------------------------------------------------------------

    def _show_all(self) -> None:
        settings, state = self.session.settings, self.session.view_state
        self.schemes[settings.mouse_scheme or "pacs"].setChecked(True)
        self.opacity.setValue(round(100 * state.overlay_opacity))
        self.outline.setChecked(state.outline)
        self.font_px.setValue(settings.font_px)
        self.undo_mb.setValue(settings.undo_megabytes)
        self.cache_mb.setValue(settings.cache_megabytes)
        self.disk_mb.setValue(settings.disk_cache_megabytes)
        self.folder_note.setText(str(user_data_dir() / "workspaces"))
        self._show_model()

    def _show_model(self) -> None:
        self.model.blockSignals(True)
        self.model.clear()
        for model in self.session.model_choice.installed.values():
            if model.kind.value == "promptable":
                self.model.addItem(model.title, model.id)
        self.model.setCurrentIndex(self.model.findData(self.session.prompting.model_id))
        self.model.blockSignals(False)
        self._show_device()

    def _show_device(self) -> None:
        if self._is_over:
            return  # the answer comes too late
        self.device.setCurrentIndex(self.device.findData(self.session.settings.device))
        self.device_note.setText(self.session.model_choice.device_text)

    def _show_cache(self, n_bytes: int) -> None:
        if self._is_over:
            return  # the answer comes too late
        text = self.tr("{n} MB on the disk now; it is filled again as you work.")
        self.cache_note.setText(text.format(n=round(n_bytes / _MB)))

    # -- changing ------------------------------------------------------------------------------

    def _connect(self) -> None:
        session = self.session
        for scheme, button in self.schemes.items():
            button.clicked.connect(partial(self._set, "mouse_scheme", scheme))
        self.opacity.valueChanged.connect(self._on_opacity)
        self.outline.toggled.connect(self._on_outline)
        self.font_px.valueChanged.connect(self._on_font)
        self.model.activated.connect(lambda _: self._on_model())
        self.device.activated.connect(lambda _: self._on_device())
        self.undo_mb.valueChanged.connect(lambda n: session.tuning.limit_undo(n, session.document))
        self.cache_mb.valueChanged.connect(lambda _: self._on_cache())
        self.disk_mb.valueChanged.connect(lambda _: self._on_cache())
        self.clear_button.clicked.connect(self._on_clear)
        self.folder_button.clicked.connect(self._on_folder)
        self.defaults_button.clicked.connect(self._on_defaults)
        self.close_button.clicked.connect(self.close)
        self._leave = session.models_changed.connect(lambda _: self._show_model())
        self.finished.connect(lambda _: self._on_finished())

    def _on_finished(self) -> None:
        self._is_over = True
        self._leave()

    def _set(self, name: str, value: object) -> None:
        setattr(self.session.settings, name, value)
        self.session.settings.save()
        self.changed.emit()

    def _on_opacity(self, percent: int) -> None:
        self.session.view_state.overlay_opacity = percent / 100
        # Written down when the window is closed: a drag makes a hundred of these.
        self.session.settings.overlay_opacity = percent / 100

    def _on_outline(self, is_on: bool) -> None:
        self.session.view_state.outline = is_on
        self._set("outline", is_on)

    def _on_font(self, font_px: int) -> None:
        self._set("font_px", font_px)
        application = QApplication.instance()
        if isinstance(application, QApplication):
            apply_theme(application, font_px)

    def _on_model(self) -> None:
        model_id = self.model.currentData()
        if model_id and model_id != self.session.prompting.model_id:
            self.session.model_choice.choose(model_id)

    def _on_device(self) -> None:
        device = self.device.currentData()
        if device != self.session.settings.device:
            self.session.tuning.use_device(device, refused=self._show_device)

    def _on_cache(self) -> None:
        self.session.tuning.limit_cache(self.cache_mb.value(), self.disk_mb.value())
        self.session.tuning.ask_cache(self._show_cache)

    def _on_clear(self) -> None:
        self.clear_button.setEnabled(False)
        self.session.tuning.clear_cache(self._on_cleared)

    def _on_cleared(self) -> None:
        if self._is_over:
            return  # the answer comes too late
        self.clear_button.setEnabled(True)
        self.session.tuning.ask_cache(self._show_cache)

    def _on_folder(self) -> None:
        folder = user_data_dir() / "workspaces"
        while not folder.is_dir() and folder != folder.parent:
            folder = folder.parent
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))

    def _on_defaults(self) -> None:
        """Take the values that the program comes with, but for the mouse, model and device."""
        default = Settings()
        self.opacity.setValue(round(100 * default.overlay_opacity))
        self.outline.setChecked(default.outline)
        self.font_px.setValue(default.font_px)
        self.undo_mb.setValue(default.undo_megabytes)
        self.cache_mb.setValue(default.cache_megabytes)
        self.disk_mb.setValue(default.disk_cache_megabytes)
