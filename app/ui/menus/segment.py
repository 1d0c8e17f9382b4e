"""The Segment menu, and the keys that take a label."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from app.tools import tools_in_order
from app.ui import dialogs
from app.ui.actions import ActionSpec
from app.ui.model_dialog import ModelDialog
from app.ui.names import tool_hint, tool_title

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow


def specs(window: MainWindow) -> list[ActionSpec]:
    """Return the actions of the menu, in its order."""
    session, state = window.session, window.session.view_state
    tr = window.tr

    def is_open() -> bool:
        return session.document is not None

    def flip(name: str) -> None:
        setattr(state, name, not getattr(state, name))

    def import_model() -> None:
        path = dialogs.ask_weights(window, session.settings.last_folder)
        if path is not None:
            session.model_choice.add(path)

    def show_models() -> None:
        dialogs.show_once(window, ModelDialog, lambda: ModelDialog(session, window))

    def press_tool(*, is_alternate: bool = False) -> None:
        view = window.grid.panels[window.grid.active_axis].view
        view.press_key(is_alternate=is_alternate)

    def take_label(number: int) -> None:
        labels = tuple(session.document.label_table) if session.document else ()
        if number < len(labels):
            session.label_editing.choose(labels[number].id)

    def is_in_hand(tool_id: str) -> bool:
        return state.active_tool == tool_id

    entries: list[ActionSpec] = []
    for tool in tools_in_order():
        entries.append(
            ActionSpec(
                f"tool_{tool.id}",
                "Segment",
                tool_title(tool),
                tool.shortcut,
                partial(setattr, state, "active_tool", tool.id),
                is_open,
                partial(is_in_hand, tool.id),
                hint=tool_hint(tool),
            )
        )
    entries += [
        ActionSpec(
            "positive",
            "Segment",
            tr("Positive"),
            "T",
            lambda: flip("positive"),
            is_open,
            lambda: state.positive,
        ),
        ActionSpec(
            "press_tool",
            "Segment",
            tr("Tool at the crosshair"),
            "K",
            press_tool,
            is_open,
            hint=tr("Press or let go; the arrow keys drag. Ctrl+arrows move the crosshair."),
        ),
        ActionSpec(
            "press_tool_alternate",
            "Segment",
            tr("Tool at the crosshair, negative"),
            "Shift+K",
            lambda: press_tool(is_alternate=True),
            is_open,
        ),
        ActionSpec(
            "accept", "Segment", tr("Accept"), "Return|Enter", session.prompting.accept, is_open
        ),
        ActionSpec(
            "alternative",
            "Segment",
            tr("Another outline"),
            "C",
            session.prompting.next_alternative,
            is_open,
        ),
        ActionSpec(
            "reset", "Segment", tr("Reset object"), "R", session.prompting.reset_object, is_open
        ),
        ActionSpec(
            "carry",
            "Segment",
            tr("Carry through"),
            "Ctrl+Return",
            window.segment_panel.carry,
            is_open,
        ),
        ActionSpec(
            "range_start",
            "Segment",
            tr("Range starts here"),
            "Shift+Home",
            window.segment_panel.start_here,
            is_open,
        ),
        ActionSpec(
            "range_end",
            "Segment",
            tr("Range ends here"),
            "Shift+End",
            window.segment_panel.end_here,
            is_open,
        ),
        *window.review_strip.action_specs(),
        ActionSpec("models", "Segment", tr("Models…"), "", show_models),
        ActionSpec("import_model", "Segment", tr("Import model…"), "", import_model),
        ActionSpec("cancel", "Segment", tr("Cancel"), "Esc", session.cancel, is_open),
        ActionSpec(
            "cancel_drop",
            "Segment",
            tr("Cancel and drop what is done"),
            "Shift+Esc",
            partial(session.cancel, keep=False),
            is_open,
        ),
    ]
    for number in range(9):
        entries.append(
            ActionSpec(
                f"label_{number + 1}",
                "Segment labels",
                tr("Label {n}").format(n=number + 1),
                str(number + 1),
                partial(take_label, number),
                is_open,
            )
        )
    return entries
