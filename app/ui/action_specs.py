"""What is in the menus."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtGui import QGuiApplication

from app.session import Message
from app.tools import tools_in_order
from app.ui import dialogs
from app.ui.actions import ActionSpec
from app.ui.diagnostics import diagnostics
from app.ui.view_grid import LAYOUTS

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow

N_WINDOW_PRESETS = 5

ABOUT = (
    "Maskwright segments CT and MRI from a box.\n\n"
    "Not a medical device: for research and for preparing work that a qualified person checks.\n"
    "Apache-2.0."
)


def action_specs(window: MainWindow) -> list[ActionSpec]:
    """Return every action of the window, in the order of the menus."""
    session, state = window.session, window.session.view_state
    tr = window.tr

    def is_open() -> bool:
        return session.document is not None

    def has_undo() -> bool:
        document = session.document
        return bool(session.pending) or (document is not None and bool(document.undo_labels))

    def has_redo() -> bool:
        return session.document is not None and bool(session.document.redo_labels)

    def flip(name: str) -> None:
        setattr(state, name, not getattr(state, name))

    def open_image() -> None:
        path = dialogs.ask_image(window, session.settings.last_folder)
        if path is not None:
            window.open_path(path)

    def import_model() -> None:
        path = dialogs.ask_weights(window, session.settings.last_folder)
        if path is not None:
            session.import_model(path)

    def open_folder() -> None:
        path = dialogs.ask_folder(window, session.settings.last_folder)
        if path is not None:
            window.open_path(path)

    def import_mask() -> None:
        path = dialogs.ask_mask(window, session.settings.last_folder)
        if path is not None:
            session.import_mask(path)

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

    def show_next_doubt() -> None:
        if not window.grid.show_next_doubt():
            session.message.emit(Message(tr("No slice needs a second look.")))

    def change_opacity(step: float) -> None:
        state.overlay_opacity = min(1.0, max(0.0, state.overlay_opacity + step))

    def take_label(number: int) -> None:
        labels = tuple(session.document.label_table) if session.document else ()
        if number < len(labels):
            session.set_active_label(labels[number].id)

    def copy_diagnostics() -> None:
        QGuiApplication.clipboard().setText(diagnostics(session))
        session.message.emit(Message(tr("Copied. It holds no file name and no image data.")))

    def set_scheme(scheme: str) -> None:
        session.settings.mouse_scheme = scheme
        session.settings.save()

    def has_scheme(scheme: str) -> bool:
        return (session.settings.mouse_scheme or "pacs") == scheme

    def is_in_hand(tool_id: str) -> bool:
        return state.active_tool == tool_id

    specs = [
        ActionSpec("open", "File", tr("&Open image…"), "Ctrl+O", open_image),
        ActionSpec("open_folder", "File", tr("Open &DICOM folder…"), "Ctrl+Shift+O", open_folder),
        ActionSpec("open_sample", "File", tr("Open the sample"), "", window.open_sample),
        ActionSpec("save", "File", tr("&Save mask…"), "Ctrl+S", window.save, is_open),
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
        ActionSpec("quit", "File", tr("&Quit"), "Ctrl+Q", window.close),
        ActionSpec("undo", "Edit", tr("Undo"), "Ctrl+Z", session.undo, has_undo),
        ActionSpec("redo", "Edit", tr("Redo"), "Ctrl+Y|Ctrl+Shift+Z", session.redo, has_redo),
        *window.edit_panel.action_specs(),
        ActionSpec("fit", "View", tr("Fit"), "F", window.grid.fit, is_open),
        ActionSpec(
            "crosshair",
            "View",
            tr("Crosshair"),
            "X",
            lambda: flip("crosshair_visible"),
            is_open,
            lambda: state.crosshair_visible,
        ),
        ActionSpec(
            "show_mask",
            "View",
            tr("Masks"),
            "V",
            lambda: flip("overlay_visible"),
            is_open,
            lambda: state.overlay_visible,
        ),
        ActionSpec(
            "outline",
            "View",
            tr("Outline"),
            "O",
            lambda: flip("outline"),
            is_open,
            lambda: state.outline,
        ),
        ActionSpec("more", "View", tr("More opaque"), "Ctrl+]", lambda: change_opacity(0.1)),
        ActionSpec("less", "View", tr("Less opaque"), "Ctrl+[", lambda: change_opacity(-0.1)),
    ]
    for name in LAYOUTS:
        specs.append(
            ActionSpec(
                f"layout_{name}",
                "View",
                tr("Layout: {name}").format(name=name),
                "",
                partial(window.grid.set_layout, name),
                is_open,
            )
        )
    for scheme, text in (
        ("pacs", tr("Right button: window/level (PACS)")),
        ("research", tr("Right button: zoom (research)")),
    ):
        specs.append(
            ActionSpec(
                f"mouse_{scheme}",
                "View",
                text,
                "",
                partial(set_scheme, scheme),
                is_checked=partial(has_scheme, scheme),
            )
        )
    for tool in tools_in_order():
        specs.append(
            ActionSpec(
                f"tool_{tool.id}",
                "Segment",
                tool.title,
                tool.shortcut,
                partial(setattr, state, "active_tool", tool.id),
                is_open,
                partial(is_in_hand, tool.id),
            )
        )
    specs += [
        ActionSpec(
            "positive",
            "Segment",
            tr("Positive"),
            "T",
            lambda: flip("positive"),
            is_open,
            lambda: state.positive,
        ),
        ActionSpec("accept", "Segment", tr("Accept"), "Return|Enter", session.accept, is_open),
        ActionSpec(
            "alternative", "Segment", tr("Another outline"), "C", session.next_alternative, is_open
        ),
        ActionSpec("reset", "Segment", tr("Reset object"), "R", session.reset_object, is_open),
        ActionSpec(
            "carry",
            "Segment",
            tr("Carry through"),
            "Ctrl+Return",
            window.segment_panel.carry,
            is_open,
        ),
        ActionSpec(
            "next_doubt", "Segment", tr("Next slice to check"), "N", show_next_doubt, is_open
        ),
        ActionSpec("import_model", "Segment", tr("Import model…"), "", import_model),
        ActionSpec("cancel", "Segment", tr("Cancel"), "Esc", session.cancel, is_open),
    ]
    for number in range(9):
        specs.append(
            ActionSpec(
                f"label_{number + 1}",
                "Segment labels",
                tr("Label {n}").format(n=number + 1),
                str(number + 1),
                partial(take_label, number),
                is_open,
            )
        )
    for number in range(N_WINDOW_PRESETS):
        specs.append(
            ActionSpec(
                f"window_{number + 1}",
                "Window",
                window.windows["CT"][number]["name"],
                f"F{number + 1}",
                partial(window.use_window, number),
                is_open,
            )
        )
    specs += [
        ActionSpec(
            "window_auto",
            "Window",
            tr("Automatic"),
            "F6",
            lambda: session.use_percentile_window(1, 99),
            is_open,
        ),
        ActionSpec(
            "shortcuts",
            "Help",
            tr("Shortcuts"),
            "?",
            lambda: dialogs.show_text(
                window, tr("Shortcuts"), window.actions_table.shortcut_sheet()
            ),
        ),
        ActionSpec("diagnostics", "Help", tr("Copy diagnostics"), "", copy_diagnostics),
        ActionSpec(
            "about", "Help", tr("About"), "", lambda: dialogs.show_text(window, "Maskwright", ABOUT)
        ),
    ]
    return specs
