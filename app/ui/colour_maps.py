"""Colours for intensities, by name."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QCoreApplication

# In the order in which they are offered.
COLOUR_MAPS = ("grey", "hot", "bone", "viridis", "inferno", "plasma", "magma")


def colour_map_title(name: str) -> str:
    """Return the name of a colour map in the user's language."""
    return {
        "grey": _tr("Grey"),
        "hot": _tr("Hot"),
        "bone": _tr("Bone"),
        "viridis": _tr("Viridis"),
        "inferno": _tr("Inferno"),
        "plasma": _tr("Plasma"),
        "magma": _tr("Magma"),
    }[name]


@cache
def colour_table(name: str, *, inverted: bool = False, opacity: float = 1.0) -> np.ndarray:
    """Return the colour of each grey level, (256,) uint32 0xAARRGGBB multiplied by alpha.

    Raises
    ------
    KeyError
        There is no map of that name.
    """
    rgb = _rgb(name)
    if inverted:
        rgb = rgb[::-1]
    alpha = round(255 * opacity)
    parts = np.round(rgb * opacity * 255).astype(np.uint32)
    table: np.ndarray = (
        np.uint32(alpha << 24) | parts[:, 0] << 16 | parts[:, 1] << 8 | parts[:, 2]
    ).astype(np.uint32)
    table.setflags(write=False)
    return table


def _rgb(name: str) -> np.ndarray:
    """Return (256, 3) shares of red, green and blue."""
    grey = np.linspace(0.0, 1.0, 256)
    # Black to red to yellow to white, a third of the range each.
    hot = np.clip(3 * grey[:, None] - np.arange(3), 0, 1)
    if name == "grey":
        return np.repeat(grey[:, None], 3, axis=1)
    if name == "hot":
        return hot
    if name == "bone":
        # Grey with a cool tint: seven parts of it and one of "hot" with red and blue exchanged.
        return (7 * grey[:, None] + hot[:, ::-1]) / 8
    if name not in COLOUR_MAPS:
        raise KeyError(name)
    colours: np.ndarray = pg.colormap.get(name).getLookupTable(nPts=256, mode="byte")
    return colours[:, :3] / 255


def _tr(text: str) -> str:
    return QCoreApplication.translate("colours", text)
