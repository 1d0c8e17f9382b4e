"""What the View and Window menus offer besides views and presets: colours, slabs, cine, fusion."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from app.ui.actions import ActionSpec
from app.ui.colour_maps import COLOUR_MAPS, colour_map_title

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow

# A common thickness for vessels and nodules; the panel takes any.
_SLAB_MM = 10.0


def specs(window: MainWindow) -> list[ActionSpec]:
    """Return the actions, in the order in which the menus have them."""
    session, state, beside = window.session, window.session.view_state, window.session.beside
    panel, tr = window.display_panel, window.tr

    def is_open() -> bool:
        return session.document is not None

    def flip(name: str) -> None:
        setattr(state, name, not getattr(state, name))

    def link() -> None:
        flip("linked_zoom")
        window.grid.link_views()

    def slab(kind: str) -> None:
        state.slab_kind, state.slab_mm = kind, state.slab_mm or _SLAB_MM

    def is_slab(kind: str) -> bool:
        return state.slab_mm > 0 and state.slab_kind == kind

    entries = [
        ActionSpec(
            "invert", "Window", tr("Inverted"), "I", partial(flip, "inverted"), is_open,
            lambda: state.inverted,
        ),
    ]  # fmt: skip
    for name in COLOUR_MAPS:
        title = tr("Colours: {name}").format(name=colour_map_title(name))
        entries.append(
            ActionSpec(
                f"colours_{name}", "Window", title, "", partial(setattr, state, "colour_map", name),
                is_open, partial(lambda wanted: state.colour_map == wanted, name),
                submenu=tr("Colours"),
            )
        )  # fmt: skip
    for kind, title in (
        ("maximum", tr("Slab: maximum")),
        ("mean", tr("Slab: mean")),
        ("minimum", tr("Slab: minimum")),
    ):
        entries.append(
            ActionSpec(
                f"slab_{kind}", "Window", title, "", partial(slab, kind), is_open,
                partial(is_slab, kind),
                hint=tr("for looking only: tools and models use the single slice"),
                submenu=tr("Thick slab"),
            )
        )  # fmt: skip
    entries += [
        ActionSpec(
            "slab_off", "Window", tr("Slab: off"), "", partial(setattr, state, "slab_mm", 0.0),
            lambda: is_open() and state.slab_mm > 0, needs=tr("No slab is shown."),
            submenu=tr("Thick slab"),
        ),
        ActionSpec(
            "fill", "View", tr("Masks filled"), "Shift+O", partial(flip, "fill"), is_open,
            lambda: state.fill,
        ),
        ActionSpec(
            "linked_zoom", "View", tr("Planes zoom together"), "Shift+Z", link, is_open,
            lambda: state.linked_zoom,
        ),
        ActionSpec(
            "cine", "View", tr("Play slices"), "Y", window.grid.cine.toggle, is_open,
            lambda: window.grid.cine.is_playing,
        ),
        ActionSpec(
            "second_open", "View", tr("Show second scan…"), "", panel.ask_second, is_open
        ),
        ActionSpec(
            "second_close", "View", tr("Close second scan"), "", beside.close_second,
            lambda: beside.second is not None, needs=tr("No second scan is shown."),
        ),
        ActionSpec(
            "earlier_open", "View", tr("Show earlier label map…"), "", panel.ask_earlier, is_open
        ),
        ActionSpec(
            "earlier_close", "View", tr("Close earlier label map"), "", beside.close_earlier,
            lambda: beside.earlier is not None, needs=tr("No earlier label map is shown."),
        ),
    ]  # fmt: skip
    return entries
