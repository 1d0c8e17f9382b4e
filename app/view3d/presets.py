"""How a volume is rendered: what is seen, in which colour. Read from a file that ships."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

import numpy as np

from app.core.volume import Modality
from resources import resource_path


@dataclass(frozen=True)
class VolumePreset:
    """A transfer function.

    Attributes
    ----------
    name : str
    opacity : tuple of (value, opacity)
        Per millimetre; values grow. HU for CT, else thousandths of the intensity window.
    colour : tuple of (value, red, green, blue)
        0 to 1.
    """

    name: str
    opacity: tuple[tuple[float, ...], ...]
    colour: tuple[tuple[float, ...], ...]

    def opacity_at(self, values: np.ndarray) -> np.ndarray:
        """Return the opacity of one millimetre of each value."""
        at, opacity = np.array(self.opacity).T
        return np.interp(values, at, opacity)


def presets_for(modality: Modality) -> tuple[VolumePreset, ...]:
    """Return the presets for scans of a modality, the usual one first."""
    return _presets()["CT" if modality is Modality.CT else "MR"]


@cache
def _presets() -> dict[str, tuple[VolumePreset, ...]]:
    content = json.loads(resource_path("volume_presets.json").read_text(encoding="utf-8"))
    return {
        modality: tuple(
            VolumePreset(
                entry["name"],
                tuple(tuple(map(float, point)) for point in entry["opacity"]),
                tuple(tuple(map(float, point)) for point in entry["colour"]),
            )
            for entry in entries
        )
        for modality, entries in content.items()
    }
