"""The View menu."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from app.ui.actions import ActionSpec
from app.ui.slice_view import ZOOM_STEP
from app.ui.view_grid import LAYOUTS

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

    def change_opacity(step: float) -> None:
        state.overlay_opacity = min(1.0, max(0.0, state.overlay_opacity + step))

    def set_scheme(scheme: str) -> None:
        session.settings.mouse_scheme = scheme
        session.settings.save()

    def has_scheme(scheme: str) -> bool:
        return (session.settings.mouse_scheme or "pacs") == scheme

    def zoom(factor: float) -> None:
        window.grid.panels[window.grid.active_axis].view.zoom_key(factor)

    entries = [
        ActionSpec("fit", "View", tr("Fit"), "F", window.grid.fit, is_open),
        ActionSpec("zoom_in", "View", tr("Zoom in"), "+|=", lambda: zoom(ZOOM_STEP), is_open),
        ActionSpec("zoom_out", "View", tr("Zoom out"), "-", lambda: zoom(1 / ZOOM_STEP), is_open),
        ActionSpec(
            "next_view", "View", tr("Next view"), "Ctrl+Tab", window.grid.focus_next, is_open
        ),
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
        entries.append(
            ActionSpec(
                f"layout_{name}",
                "View",
                tr("Layout: {name}").format(name=name),
                "",
                partial(window.grid.set_layout, name),
                is_open,
                submenu=tr("Layout"),
            )
        )
    entries.append(
        ActionSpec(
            "reset_layout",
            "View",
            tr("Reset layout"),
            "",
            lambda: window.memory.reset(),
            submenu=tr("Layout"),
        )
    )
    entries += window.grid.scene.action_specs()
    for scheme, text in (
        ("pacs", tr("Right button: window/level (PACS)")),
        ("research", tr("Right button: zoom (research)")),
    ):
        entries.append(
            ActionSpec(
                f"mouse_{scheme}",
                "View",
                text,
                "",
                partial(set_scheme, scheme),
                is_checked=partial(has_scheme, scheme),
                submenu=tr("Mouse"),
            )
        )
    return entries
