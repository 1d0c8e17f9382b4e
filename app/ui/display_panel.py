"""How the scan is shown: window, colours, slabs, masks, cine, and what is shown beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QFrame,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLayout,
    QPushButton,
    QScrollArea,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.core.errors import AppError
from app.session import Message, Session
from app.ui import dialogs
from app.ui.cine import FASTEST, SLOWEST
from app.ui.colour_maps import COLOUR_MAPS, colour_map_title
from app.ui.slab import SLAB_KINDS
from app.ui.view_grid import ViewGrid

_WIDEST = 1e7
_THICKEST_MM = 200.0


class _NumberBox(QDoubleSpinBox):
    """Takes its number at Enter, which the window has another use for."""

    def event(self, event: QEvent) -> bool:
        """Claim Enter before the window's shortcut gets it."""
        if (
            isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.ShortcutOverride
            and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        ):
            event.accept()
            return True
        return bool(super().event(event))


class DisplayPanel(QScrollArea):
    """Numbers and switches for looking; nothing here changes the result or enters the history."""

    def __init__(self, session: Session, grid: ViewGrid, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self._grid = grid
        self._is_filling = False
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        inside = self._inside = QWidget()
        column = QVBoxLayout(inside)
        for title, build in (
            (self.tr("Image"), self._build_image),
            (self.tr("Thick slab"), self._build_slab),
            (self.tr("Masks and views"), self._build_masks),
            (self.tr("Cine"), self._build_cine),
            (self.tr("Second scan"), self._build_second),
            (self.tr("Earlier label map"), self._build_earlier),
        ):
            box = QGroupBox(title)
            form = QFormLayout(box)
            form.setContentsMargins(8, 6, 8, 6)
            build(form)
            column.addWidget(box)
        column.addStretch(1)
        self.setWidget(inside)
        session.view_state.changed.connect(self._on_view_changed)
        session.beside.changed.connect(lambda _: self._show())
        session.document_changed.connect(lambda _: self._show())
        grid.cine.playing_changed.connect(lambda _: self._show())
        self._show()

    # -- building ------------------------------------------------------------------------------

    def _build_image(self, form: QFormLayout) -> None:
        self.width_box = self._number(self.tr("Window width"), 0.001, _WIDEST)
        self.level_box = self._number(self.tr("Window level"), -_WIDEST, _WIDEST)
        self.auto_button = QPushButton(self.tr("Automatic"))
        self.colours = self._colour_choice(self.tr("Colours of the image"))
        self.invert = QCheckBox(self.tr("Inverted"))
        form.addRow(self.tr("Width"), self.width_box)
        form.addRow(self.tr("Level"), self.level_box)
        form.addRow(self.auto_button)
        form.addRow(self.tr("Colours"), self.colours)
        form.addRow(self.invert)
        for box in (self.width_box, self.level_box):
            box.valueChanged.connect(lambda _: self._when_asked(self._take_window))
        self.auto_button.clicked.connect(lambda: self.session.use_percentile_window(1, 99))
        self._bind_choice(self.colours, "colour_map")
        self._bind_switch(self.invert, "inverted")

    def _build_slab(self, form: QFormLayout) -> None:
        self.slab_kind = QComboBox()
        self.slab_kind.setAccessibleName(self.tr("What of a slab is shown"))
        names = (self.tr("Maximum"), self.tr("Mean"), self.tr("Minimum"))
        for kind, name in zip(SLAB_KINDS, names, strict=True):
            self.slab_kind.addItem(name, kind)
        self.slab_mm = self._number(self.tr("Slab thickness"), 0, _THICKEST_MM)
        self.slab_mm.setSuffix(" mm")
        self.slab_mm.setSpecialValueText(self.tr("off"))
        self.slab_mm.setSingleStep(1.0)
        form.addRow(self.tr("Shows"), self.slab_kind)
        form.addRow(self.tr("Thickness"), self.slab_mm)
        note = QLabel(self.tr("For looking only: tools and models use the single slice."))
        note.setWordWrap(True)
        note.setObjectName("quiet")
        form.addRow(note)
        self._bind_choice(self.slab_kind, "slab_kind")
        self.slab_mm.valueChanged.connect(
            lambda mm: self._when_asked(lambda: setattr(self.session.view_state, "slab_mm", mm))
        )

    def _build_masks(self, form: QFormLayout) -> None:
        self.fill = QCheckBox(self.tr("Masks filled"))
        self.outline = QCheckBox(self.tr("Masks outlined"))
        self.linked = QCheckBox(self.tr("Planes zoom and move together"))
        for box, name in (
            (self.fill, "fill"),
            (self.outline, "outline"),
            (self.linked, "linked_zoom"),
        ):
            form.addRow(box)
            self._bind_switch(box, name)
        self.linked.toggled.connect(lambda _: self._grid.link_views())

    def _build_cine(self, form: QFormLayout) -> None:
        self.play = QPushButton()
        self.speed = QSpinBox()
        self.speed.setRange(SLOWEST, FASTEST)
        self.speed.setSuffix(self.tr(" slices/s"))
        self.speed.setAccessibleName(self.tr("Cine speed"))
        self.speed.setValue(self._grid.cine.slices_per_s)
        self.loop = QCheckBox(self.tr("Begin again at the end"))
        self.loop.setChecked(self._grid.cine.loops)
        form.addRow(self.play)
        form.addRow(self.tr("Speed"), self.speed)
        form.addRow(self.loop)
        self.play.clicked.connect(lambda: self._grid.cine.toggle())
        self.speed.valueChanged.connect(self._grid.cine.set_speed)
        self.loop.toggled.connect(lambda on: setattr(self._grid.cine, "loops", on))

    def _build_second(self, form: QFormLayout) -> None:
        self.second_name = QLabel()
        self.second_name.setWordWrap(True)
        self.second_open = QPushButton(self.tr("Open file …"))
        self.second_folder = QPushButton(self.tr("Open folder …"))
        self.second_close = QPushButton(self.tr("Close"))
        self.second_opacity = QSlider(Qt.Orientation.Horizontal)
        self.second_opacity.setRange(0, 100)
        self.second_opacity.setAccessibleName(self.tr("Opacity of the second scan"))
        self.second_width = self._number(self.tr("Window width of the second scan"), 0.001, _WIDEST)
        self.second_level = self._number(
            self.tr("Window level of the second scan"), -_WIDEST, _WIDEST
        )
        self.second_colours = self._colour_choice(self.tr("Colours of the second scan"))
        form.addRow(self.second_name)
        form.addRow(_row(self.second_open, self.second_folder, self.second_close))
        form.addRow(self.tr("Opacity"), self.second_opacity)
        form.addRow(self.tr("Width"), self.second_width)
        form.addRow(self.tr("Level"), self.second_level)
        form.addRow(self.tr("Colours"), self.second_colours)
        beside = self.session.beside
        self.second_open.clicked.connect(lambda: self.ask_second())
        self.second_folder.clicked.connect(lambda: self.ask_second(is_folder=True))
        self.second_close.clicked.connect(lambda: beside.close_second())
        self.second_opacity.valueChanged.connect(
            lambda v: self._when_asked(lambda: beside.change_second(opacity=v / 100))
        )
        for box in (self.second_width, self.second_level):
            box.valueChanged.connect(lambda _: self._when_asked(self._take_second_window))
        self.second_colours.currentIndexChanged.connect(
            lambda _: self._when_asked(
                lambda: beside.change_second(colour_map=self.second_colours.currentData())
            )
        )

    def _build_earlier(self, form: QFormLayout) -> None:
        self.earlier_name = QLabel()
        self.earlier_name.setWordWrap(True)
        self.earlier_open = QPushButton(self.tr("Open …"))
        self.earlier_close = QPushButton(self.tr("Close"))
        form.addRow(self.earlier_name)
        form.addRow(_row(self.earlier_open, self.earlier_close))
        self.earlier_open.clicked.connect(lambda: self.ask_earlier())
        self.earlier_close.clicked.connect(lambda: self.session.beside.close_earlier())

    # -- opening -------------------------------------------------------------------------------

    def ask_second(self, *, is_folder: bool = False) -> None:
        """Ask for a scan and show it over the open one."""
        ask = dialogs.ask_folder if is_folder else dialogs.ask_image
        self._open(ask(self, self._folder()), self.session.beside.show_second)

    def ask_earlier(self) -> None:
        """Ask for a label map and show its outlines."""
        self._open(dialogs.ask_mask(self, self._folder()), self.session.beside.show_earlier)

    def _open(self, path: Path | None, show: Callable[[Path], None]) -> None:
        if path is None:
            return
        try:
            show(path)
        except AppError as error:
            self.session.message.emit(Message(str(error), is_error=True))

    def _folder(self) -> str:
        source = self.session.source_path
        return str(source.parent) if source else self.session.settings.last_folder

    # -- what is shown and what was asked for ------------------------------------------------------

    def _on_view_changed(self, name: str) -> None:
        # Scrolling goes past here many times a second.
        if name != "cursor_zyx":
            self._show()

    def _show(self) -> None:
        """Let every widget tell the present state."""
        state, second = self.session.view_state, self.session.beside.second
        earlier, is_open = self.session.beside.earlier, self.session.document is not None
        self._inside.setEnabled(is_open)
        self._is_filling = True
        _set_window(self.width_box, self.level_box, state.window)
        _choose(self.colours, state.colour_map)
        _choose(self.slab_kind, state.slab_kind)
        self.slab_mm.setValue(state.slab_mm)
        for box, is_on in (
            (self.invert, state.inverted),
            (self.fill, state.fill),
            (self.outline, state.outline),
            (self.linked, state.linked_zoom),
        ):
            box.setChecked(is_on)
        self.play.setText(self.tr("Stop") if self._grid.cine.is_playing else self.tr("Play"))
        self.second_name.setText(second.volume.name if second else self.tr("None is shown."))
        self.earlier_name.setText(earlier.name if earlier else self.tr("None is shown."))
        self.earlier_close.setEnabled(earlier is not None)
        for widget in (
            self.second_close,
            self.second_opacity,
            self.second_width,
            self.second_level,
            self.second_colours,
        ):
            widget.setEnabled(second is not None)
        if second is not None:
            _set_window(self.second_width, self.second_level, second.window)
            _choose(self.second_colours, second.colour_map)
            self.second_opacity.setValue(round(100 * second.opacity))
        self._is_filling = False

    def _when_asked(self, act: Callable[[], object]) -> None:
        """Do something unless a widget only follows."""
        if not self._is_filling:
            act()

    def _take_window(self) -> None:
        self.session.view_state.window = _window(self.width_box, self.level_box)

    def _take_second_window(self) -> None:
        self.session.beside.change_second(window=_window(self.second_width, self.second_level))

    def _bind_switch(self, box: QCheckBox, name: str) -> None:
        state = self.session.view_state
        box.toggled.connect(lambda on: self._when_asked(lambda: setattr(state, name, on)))

    def _bind_choice(self, box: QComboBox, name: str) -> None:
        state = self.session.view_state
        box.currentIndexChanged.connect(
            lambda _: self._when_asked(lambda: setattr(state, name, box.currentData()))
        )

    def _number(self, name: str, lowest: float, highest: float) -> QDoubleSpinBox:
        box = _NumberBox()
        box.setRange(lowest, highest)
        box.setDecimals(1)
        box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        # Digits are taken when they are complete: 4, 40, 400 would be three windows.
        box.setKeyboardTracking(False)
        box.setAccessibleName(name)
        return box

    def _colour_choice(self, name: str) -> QComboBox:
        box = QComboBox()
        box.setAccessibleName(name)
        for colours in COLOUR_MAPS:
            box.addItem(colour_map_title(colours), colours)
        return box


def _window(width_box: QDoubleSpinBox, level_box: QDoubleSpinBox) -> tuple[float, float]:
    width, level = width_box.value(), level_box.value()
    return level - width / 2, level + width / 2


def _set_window(
    width_box: QDoubleSpinBox, level_box: QDoubleSpinBox, window: tuple[float, float]
) -> None:
    low, high = window
    # As many digits as a scan between 0 and 1 needs, and none where there are hundreds.
    width = max(high - low, 1e-6)
    decimals = int(np.clip(3 - np.floor(np.log10(width)), 0, 6))
    for box, value in ((width_box, width), (level_box, (low + high) / 2)):
        box.setDecimals(decimals)
        box.setValue(value)


def _choose(box: QComboBox, data: str) -> None:
    box.setCurrentIndex(max(0, box.findData(data)))


def _row(*widgets: QWidget) -> QLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row
