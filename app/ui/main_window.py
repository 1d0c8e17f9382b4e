"""The window: views in the middle, panels beside them, menus above. No logic of its own."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QActionGroup, QCloseEvent, QDragEnterEvent, QDropEvent, QIcon
from PySide6.QtWidgets import (
    QDockWidget,
    QMainWindow,
    QMenu,
    QStackedWidget,
    QToolBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.core.document import Document
from app.core.volume import Modality
from app.session import ImageWanted, Question, SaveReport, SeriesInfo, Session
from app.tools import tools_in_order
from app.ui import dialogs
from app.ui.actions import ActionTable
from app.ui.automatic_panel import AutomaticPanel
from app.ui.display_panel import DisplayPanel
from app.ui.drops import dropped_paths, is_checkpoint
from app.ui.edit_panel import EditPanel
from app.ui.label_panel import LabelPanel
from app.ui.leaving import Leaving
from app.ui.measurement_panel import MeasurementPanel
from app.ui.menu_titles import menu_title
from app.ui.menus import MENUS, action_specs
from app.ui.menus.window_level import N_WINDOW_PRESETS
from app.ui.message_bar import MessageBar
from app.ui.names import window_name
from app.ui.recovery_bar import RecoveryBar
from app.ui.review_strip import ReviewStrip
from app.ui.segment_panel import SegmentPanel
from app.ui.silence_bar import SilenceBar
from app.ui.start_page import StartPage
from app.ui.status_bar import StatusBar
from app.ui.storage_bar import StorageBar
from app.ui.tour import Tour
from app.ui.view_grid import ViewGrid
from app.ui.window_memory import WindowMemory
from resources import resource_path

# These show their icon alone: the bar has no room for every name.
HAND_TOOLS = ("brush", "flood_fill", "lasso_fill", "ruler", "angle")
# These have their settings in the panel for editing.
EDIT_TOOLS = ("brush", "flood_fill", "lasso_fill")
# What a right click on a label offers.
LABEL_ACTIONS = (
    *("label_rename", "label_colour", "label_up", "label_down"),
    *("label_merge", "label_split", "label_delete"),
)
SAMPLE = "samples/torso_ct.nii.gz"


class MainWindow(QMainWindow):
    """Shows one session."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setWindowTitle("Maskwright")
        self.setAcceptDrops(True)
        self.grid = ViewGrid(session)
        self.start_page = StartPage(session)
        self.stack = QStackedWidget()
        self.stack.addWidget(self.start_page)
        self.stack.addWidget(self.grid)
        self.message_bar = MessageBar(session, self.stack)
        middle = QWidget()
        column = QVBoxLayout(middle)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.storage_bar = StorageBar(session)
        column.addWidget(self.storage_bar)
        self.recovery_bar = RecoveryBar(session)
        column.addWidget(self.recovery_bar)
        self.silence_bar = SilenceBar()
        column.addWidget(self.silence_bar)
        column.addWidget(self.stack, 1)
        self.review_strip = ReviewStrip(session)
        column.addWidget(self.review_strip)
        self.setCentralWidget(middle)
        self.label_panel = LabelPanel(session)
        self.segment_panel = SegmentPanel(session)
        self._add_dock(self.tr("Labels"), "labels", self.label_panel)
        self.edit_panel = EditPanel(session, self.grid)
        segment = self._add_dock(self.tr("Segment"), "segment", self.segment_panel)
        edit = self._add_dock(self.tr("Edit mask"), "edit", self.edit_panel)
        self.automatic_panel = AutomaticPanel(session)
        automatic = self._add_dock(self.tr("Automatic"), "automatic", self.automatic_panel)
        self.tabifyDockWidget(segment, automatic)
        self.tabifyDockWidget(automatic, edit)
        self.measurement_panel = MeasurementPanel(session)
        measure = self._add_dock(self.tr("Measure"), "measure", self.measurement_panel)
        self.tabifyDockWidget(edit, measure)
        measure.visibilityChanged.connect(self.measurement_panel.set_seen)
        self.display_panel = DisplayPanel(session, self.grid)
        display = self._add_dock(self.tr("Display"), "display", self.display_panel)
        self.tabifyDockWidget(measure, display)
        segment.raise_()
        self.status = StatusBar(session)
        self.setStatusBar(self.status)
        self.windows = json.loads(resource_path("windows.json").read_text(encoding="utf-8"))
        self.actions_table = ActionTable(session, self, action_specs(self))
        self.label_panel.offer([self.actions_table[name] for name in LABEL_ACTIONS])
        self._fill_menus()
        self._fill_tool_bar()
        self._leave_document = lambda: None
        self.leaving = Leaving(self)
        self.memory = WindowMemory(self)
        self.tour = Tour(self)
        self.storage_bar.mask_wanted.connect(lambda: self.actions_table.run("save"))
        self.storage_bar.workspace_wanted.connect(lambda: self.actions_table.run("save_workspace"))
        self.grid.hover_changed.connect(self.status.show_hover)
        self.start_page.open_requested.connect(lambda: self.actions_table.run("open"))
        self.start_page.folder_requested.connect(lambda: self.actions_table.run("open_folder"))
        self.start_page.sample_requested.connect(lambda: self.actions_table.run("open_sample"))
        self.start_page.recent_requested.connect(lambda text: self.open_path(Path(text)))
        self.start_page.scheme_chosen.connect(lambda s: self.actions_table.run(f"mouse_{s}"))
        session.document_changed.connect(self._on_document_changed)
        session.prompting.pending_changed.connect(lambda _: self._refresh())
        session.measurements.changed.connect(lambda _: self.actions_table.refresh())
        session.recent.changed.connect(lambda _: self.actions_table.refresh())
        session.view_state.changed.connect(self._on_view_changed)
        session.beside.changed.connect(lambda _: self.actions_table.refresh())
        self.grid.cine.playing_changed.connect(lambda _: self.actions_table.refresh())
        session.save_questioned.connect(self._on_save_questioned)
        session.series_offered.connect(self._on_series_offered)
        session.saved.connect(self._on_saved)
        session.restoring.image_wanted.connect(self._on_image_wanted)
        self.memory.restore()
        self._on_document_changed(session.document)

    # -- building ------------------------------------------------------------------------------

    def _add_dock(self, title: str, name: str, panel: QWidget) -> QDockWidget:
        dock = QDockWidget(title, self)
        dock.setObjectName(name)
        dock.setFeatures(
            QDockWidget.DockWidgetFeature.DockWidgetMovable
            | QDockWidget.DockWidgetFeature.DockWidgetFloatable
        )
        dock.setWidget(panel)
        dock.setMinimumWidth(250)
        self.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
        return dock

    def _fill_menus(self) -> None:
        for title in MENUS:
            menu = self.menuBar().addMenu(menu_title(title))
            self.actions_table.fill(menu, title)
            if title == "Segment":
                self.model_menu = QMenu(self.tr("Model"), menu)
                menu.insertMenu(self.actions_table["models"], self.model_menu)
                self.model_menu.aboutToShow.connect(self._fill_models)
            if title == "File":
                self.recent_menu = QMenu(self.tr("Open recent"), menu)
                menu.insertMenu(self.actions_table["open_sample"], self.recent_menu)
                self.recent_menu.aboutToShow.connect(self._fill_recent)

    def _fill_models(self) -> None:
        """List the models that take prompts; the one in use is checked."""
        self.model_menu.clear()
        for model in self.session.model_choice.installed.values():
            if model.kind.value == "promptable":
                action = self.model_menu.addAction(model.title)
                action.setCheckable(True)
                action.setChecked(model.id == self.session.prompting.model_id)
                action.triggered.connect(partial(self.session.model_choice.choose, model.id))

    def _fill_recent(self) -> None:
        recent = self.session.recent
        self.recent_menu.clear()
        for text in recent.entries:
            action = self.recent_menu.addAction(text)
            action.setEnabled(text not in recent.missing)
            action.triggered.connect(lambda _=False, text=text: self.open_path(Path(text)))
        self.recent_menu.addSeparator()
        self.recent_menu.addAction(self.actions_table["clear_recent"])

    def _fill_tool_bar(self) -> None:
        bar = QToolBar(self.tr("Tools"))
        bar.setObjectName("tools")
        bar.setMovable(False)
        bar.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        group = QActionGroup(self)
        for tool in tools_in_order():
            action = self.actions_table[f"tool_{tool.id}"]
            icon = resource_path(f"icons/{tool.id}.svg")
            if icon.exists():
                action.setIcon(QIcon(str(icon)))
            group.addAction(action)
            bar.addAction(action)
            button = bar.widgetForAction(action)
            if isinstance(button, QToolButton) and tool.id in HAND_TOOLS:
                button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
        for names in (
            ("positive", "accept", "carry"),
            ("undo", "redo"),
            ("save",),
            ("crosshair", "show_mask"),
        ):
            bar.addSeparator()
            for name in names:
                bar.addAction(self.actions_table[name])
        self.addToolBar(bar)
        # Qt's own sign for what a narrow window has no room for is dark on dark.
        more = bar.findChild(QToolButton, "qt_toolbar_ext_button")
        if more is not None:
            more.setIcon(QIcon(str(resource_path("icons/more.svg"))))
            more.setToolTip(self.tr("More tools"))
            more.setAccessibleName(self.tr("More tools"))

    # -- opening and saving --------------------------------------------------------------------

    def open_path(self, path: Path) -> None:
        """Open a file or folder, once the work on the present scan is safe."""
        if self.leaving.may_leave(lambda: self.open_path(path)):
            self.session.open(path)

    def open_sample(self) -> None:
        """Open the synthetic torso that ships with the program."""
        self.open_path(resource_path(SAMPLE))

    def save(self) -> bool:
        """Ask where, and save on the worker; False if the user thought better of it."""
        path = dialogs.ask_save(self, self.suggestion("mask", ".nii.gz"))
        if path is None:
            return False
        self.session.save_mask(path)
        return True

    def suggestion(self, what: str, suffix: str) -> Path:
        """Return where something of the open scan may be saved: beside it, called after it."""
        source = self.session.source_path
        folder = Path(self.session.settings.last_folder or ".")
        if source is not None and resource_path("samples") not in source.parents:
            folder = source.parent
        stem = "" if source is None else source.name.split(".")[0]
        return folder / f"{'_'.join(part for part in (stem, what) if part) or 'scan'}{suffix}"

    def _on_saved(self, _: SaveReport) -> None:
        self._refresh()
        self.leaving.go_on_after_saving()

    def _on_save_questioned(self, question: Question) -> None:
        answer = dialogs.ask_telling(self, question)
        if answer is dialogs.Telling.SAVE:
            question.save_anyway()
        elif answer is dialogs.Telling.LEAVE_OUT and question.leave_out is not None:
            question.leave_out()
        else:
            self.leaving.stay()

    def _on_series_offered(self, series: tuple[SeriesInfo, ...]) -> None:
        chosen = dialogs.ask_series(self, series)
        path = self.session.opening.offered_path
        if chosen is not None and path is not None:
            self.session.open(path, series_uid=chosen.uid, resample=not chosen.is_openable)

    def _on_image_wanted(self, wanted: ImageWanted) -> None:
        path = dialogs.ask_moved_image(self, wanted.image_name, wanted.workspace.parent)
        if path is not None:
            self.session.restoring.open(wanted.workspace, path)

    # -- display window ------------------------------------------------------------------------

    def use_window(self, number: int) -> None:
        """Take the n-th preset of the scan's modality for display."""
        document = self.session.document
        if document is None:
            return
        if document.volume.modality is Modality.CT:
            presets = self.windows["CT"]
            if number < len(presets):
                width, level = presets[number]["width"], presets[number]["level"]
                self.session.view_state.window = (level - width / 2, level + width / 2)
            return
        presets = self.windows["MR"]
        if number < len(presets):
            self.session.use_percentile_window(*presets[number]["percentiles"])

    def _name_windows(self, modality: Modality) -> None:
        """Offer the presets of a modality under their names."""
        presets = self.windows["CT" if modality is Modality.CT else "MR"]
        for number in range(N_WINDOW_PRESETS):
            action = self.actions_table[f"window_{number + 1}"]
            action.setVisible(number < len(presets))
            if number < len(presets):
                action.setText(window_name(presets[number]["name"]))

    # -- keeping up ----------------------------------------------------------------------------

    def _on_document_changed(self, document: Document | None) -> None:
        self._leave_document()
        self._leave_document = lambda: None
        if document is not None:
            self._leave_document = document.changed.connect(lambda change: self._refresh())
            self.stack.setCurrentWidget(self.grid)
            self.grid.fit()
            self._name_windows(document.volume.modality)
            self.memory.take_tool()
        else:
            self.stack.setCurrentWidget(self.start_page)
        self._refresh()

    def _on_view_changed(self, name: str) -> None:
        if name == "active_tool":
            self._show_settings_of(self.session.view_state.active_tool)
        if name not in ("cursor_zyx", "window", "active_label", "overlay_opacity"):
            self.actions_table.refresh()

    def _show_settings_of(self, tool_id: str) -> None:
        """Bring the panel for a tool to the front where the one for the last tool was."""
        panels = (self.segment_panel, self.edit_panel)
        new, old = panels[::-1] if tool_id in EDIT_TOOLS else panels
        dock = new.parentWidget()
        is_in_front = not old.visibleRegion().isEmpty()
        if isinstance(dock, QDockWidget) and is_in_front and not dock.isFloating():
            dock.raise_()

    def _refresh(self) -> None:
        document = self.session.document
        self.actions_table.refresh()
        undo, redo = self.actions_table["undo"], self.actions_table["redo"]
        undone = document.undo_labels[:1] if document is not None else ()
        again = document.redo_labels[:1] if document is not None else ()
        undo.setText(self.tr("Undo") if not undone else f"{self.tr('Undo')} {undone[0]}")
        redo.setText(self.tr("Redo") if not again else f"{self.tr('Redo')} {again[0]}")
        undo.setIconText(self.tr("Undo"))
        redo.setIconText(self.tr("Redo"))
        if document is None:
            self.setWindowTitle("Maskwright")
            return
        mark = " •" if document.is_modified else ""
        self.setWindowTitle(f"{document.volume.name}{mark} – Maskwright")

    # -- Qt ------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        paths = dropped_paths(event.mimeData())
        if paths:
            event.acceptProposedAction()
            checkpoints = [p for p in paths if is_checkpoint(p)]
            scans = [p for p in paths if p not in checkpoints]
            for path in checkpoints:
                self.session.model_choice.add(path)
            if scans:
                self.open_path(scans[0])

    def closeEvent(self, event: QCloseEvent) -> None:
        if not self.leaving.may_leave(self.close):
            event.ignore()
            return
        self.session.cancel(keep=False)
        self.memory.remember()
        self.grid.close_views()
        event.accept()
