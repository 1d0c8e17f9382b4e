"""The Window menu: intensity windows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from app.ui.actions import ActionSpec
from app.ui.names import window_name

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow


N_WINDOW_PRESETS = 5


def specs(window: MainWindow) -> list[ActionSpec]:
    """Return the actions of the menu, in its order."""
    session, tr = window.session, window.tr

    def is_open() -> bool:
        return session.document is not None

    entries: list[ActionSpec] = []
    for number in range(N_WINDOW_PRESETS):
        entries.append(
            ActionSpec(
                f"window_{number + 1}",
                "Window",
                window_name(window.windows["CT"][number]["name"]),
                f"F{number + 1}",
                partial(window.use_window, number),
                is_open,
            )
        )
    entries += [
        ActionSpec(
            "window_auto",
            "Window",
            tr("Automatic"),
            "F6",
            lambda: session.use_percentile_window(1, 99),
            is_open,
        ),
    ]
    return entries
