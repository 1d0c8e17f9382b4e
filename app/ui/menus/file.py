"""The File menu."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from app.ui import dialogs
from app.ui.actions import ActionSpec
from app.ui.settings_dialog import SettingsDialog

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow


def specs(window: MainWindow) -> list[ActionSpec]:
    """Return the actions of the menu, in its order."""
    session, tr = window.session, window.tr

    def is_open() -> bool:
        return session.document is not None

    def open_image() -> None:
        path = dialogs.ask_image(window, session.settings.last_folder)
        if path is not None:
            window.open_path(path)

    def open_folder() -> None:
        path = dialogs.ask_folder(window, session.settings.last_folder)
        if path is not None:
            window.open_path(path)

    def import_mask() -> None:
        path = dialogs.ask_mask(window, session.settings.last_folder)
        if path is not None:
            session.import_mask(path)

    def export() -> None:
        path = dialogs.ask_export(window, window.suggestion("", ".stl"))
        if path is not None:
            session.export(path)

    def open_workspace() -> None:
        path = dialogs.ask_workspace(window, session.settings.last_folder)
        if path is not None:
            window.open_path(path)

    def save_workspace() -> None:
        source = session.source_path
        folder = Path(session.settings.last_folder or ".")
        name = "work" if source is None else source.name.split(".")[0]
        path = dialogs.ask_save_workspace(window, folder / f"{name}.maskwright")
        if path is not None:
            session.save_workspace(path)

    def make_settings() -> SettingsDialog:
        dialog = SettingsDialog(session, window)
        dialog.changed.connect(window.actions_table.refresh)
        return dialog

    def show_settings() -> None:
        dialogs.show_once(window, SettingsDialog, make_settings)

    return [
        ActionSpec("open", "File", tr("&Open image…"), "Ctrl+O", open_image),
        ActionSpec("open_folder", "File", tr("Open &DICOM folder…"), "Ctrl+Shift+O", open_folder),
        ActionSpec("open_sample", "File", tr("Open the sample"), "", window.open_sample),
        ActionSpec("save", "File", tr("&Save mask…"), "Ctrl+S", window.save, is_open),
        ActionSpec(
            "export",
            "File",
            tr("&Export…"),
            "",
            export,
            is_open,
            hint=tr("Surfaces (STL, PLY, OBJ), names of labels for ITK-SNAP, or the prompts."),
        ),
        ActionSpec(
            "import_mask", "File", tr("&Import mask…"), "Ctrl+Shift+I", import_mask, is_open
        ),
        ActionSpec("open_workspace", "File", tr("Open &workspace…"), "", open_workspace),
        ActionSpec(
            "save_workspace",
            "File",
            tr("Save workspace &as…"),
            "Ctrl+Shift+S",
            save_workspace,
            is_open,
        ),
        ActionSpec(
            "clear_recent",
            "File recent",
            tr("Clear the list of recent scans"),
            "",
            session.recent.clear,
            lambda: bool(session.recent.entries),
            needs=tr("The list is empty."),
        ),
        ActionSpec("settings", "File", tr("Se&ttings…"), "Ctrl+,", show_settings),
        ActionSpec("quit", "File", tr("&Quit"), "Ctrl+Q", window.close),
    ]
