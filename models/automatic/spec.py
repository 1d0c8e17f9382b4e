"""What an automatic model expects of a scan and what it finds. Imports neither torch nor OpenVINO.

The same description is written by training and read when a scan is segmented, so that both
prepare a scan in the same way. It is kept in the manifest beside the weights, under "automatic".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.core.errors import ModelUnavailableError, WeightsError
from app.core.volume import Modality

if TYPE_CHECKING:
    from models.base import InstalledModel

# The families of networks, in `models.networks`.
FAMILIES = ("vnet", "transunet")


@dataclass(frozen=True)
class IntensityScale:
    """How a scan's values become the network's, between 0 and 1: piecewise linear.

    Attributes
    ----------
    kind : "values" or "percentiles"
        Whether ``knots`` are values of the scan (Hounsfield units) or percentiles of those of
        its voxels that are not the lowest, which are padding in many MR scans.
    knots : tuple of float
        Ascending, two or more.
    scaled : tuple of float
        The network's value at each knot; constant beyond the first and the last.
    """

    kind: str
    knots: tuple[float, ...]
    scaled: tuple[float, ...]

    def values(self, voxels: np.ndarray) -> tuple[float, ...]:
        """Return the knots as values of a scan with these voxels (any shape)."""
        if self.kind == "values":
            return self.knots
        # Every n-th voxel tells the percentiles of a large scan.
        sample = voxels.reshape(-1)[:: max(1, voxels.size // 500_000)]
        above = sample[sample > sample.min()]
        found = np.percentile(above if above.size else sample, self.knots)
        return tuple(float(v) for v in np.maximum.accumulate(found))

    def scale(self, voxels: np.ndarray, values: tuple[float, ...]) -> np.ndarray:
        """Return float32 of the same shape, where ``values`` became ``scaled``."""
        # Equal values (an empty scan) would leave np.interp without a slope.
        rising = np.asarray(values) + 1e-6 * np.arange(len(values))
        return np.interp(voxels, rising, self.scaled).astype(np.float32)


@dataclass(frozen=True)
class AutomaticLabel:
    """One structure that the model finds.

    Attributes
    ----------
    value : int
        In the label map that it writes.
    name : str
    n_components : int
        That many of its largest connected components are kept; 0 keeps all.
    fill_holes : bool
        Whether cavities inside it are filled.
    min_ml : float
        Components smaller than this are dropped.
    """

    value: int
    name: str
    n_components: int = 0
    fill_holes: bool = False
    min_ml: float = 0.0


@dataclass(frozen=True)
class AutomaticSpec:
    """What an automatic network expects and gives.

    Attributes
    ----------
    family : "vnet" or "transunet"
        V-Net takes (1, 1, D, H, W) blocks, TransUNet (B, 1, H, W) slices, both in canonical
        orientation: axes grow towards superior, posterior, left.
    arguments : mapping
        Of the network's constructor in `models.networks`.
    labels : tuple of AutomaticLabel
        Of output channels 1, 2, ...; channel 0 is background.
    modality : Modality
    intensity : IntensityScale
    spacing_zyx : tuple of 3 float, optional
        Voxel size in mm that the network works at. For a network of slices the first one is not
        used: slices are taken as they are. None: each slice is scaled, whole, to the tile.
    tile_zyx : tuple of 3 int
        Size of the sliding window in voxels of that grid; (1, n, n) for slices.
    extent_mm : tuple of 3 (low, high)
        Sides (z, y, x) of the scans that it was trained on; far outside of them it has seen
        nothing like it.
    body_part : str
        What the scan must show, in words.
    mirror_pairs : tuple of (int, int), optional
        The network knows mirror images, left and right exchanged: it learnt from them, and its
        answers to a scan and to the scan's mirror image are averaged. These labels change places.
        None: it does not.
    """

    family: str
    arguments: Mapping[str, Any]
    labels: tuple[AutomaticLabel, ...]
    modality: Modality
    intensity: IntensityScale
    spacing_zyx: tuple[float, float, float] | None
    tile_zyx: tuple[int, int, int]
    extent_mm: tuple[tuple[float, float], ...] = field(default=())
    body_part: str = ""
    mirror_pairs: tuple[tuple[int, int], ...] | None = None

    @property
    def is_volumetric(self) -> bool:
        return self.family == "vnet"

    def mirrored_channels(self) -> list[int]:
        """Return which output channel of a mirror image shows what each one shows."""
        values = [label.value for label in self.labels]
        order = list(range(1 + len(values)))
        for a, b in self.mirror_pairs or ():
            first, second = values.index(a) + 1, values.index(b) + 1
            order[first], order[second] = second, first
        return order

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {**asdict(self), "arguments": dict(self.arguments), "modality": self.modality.value}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> AutomaticSpec:
        """Return the description in a manifest's entry.

        Raises
        ------
        WeightsError
            Something is missing or of another kind.
        """
        try:
            spec = cls(
                family=entry["family"],
                arguments={k: _tuples(v) for k, v in entry["arguments"].items()},
                labels=tuple(AutomaticLabel(**label) for label in entry["labels"]),
                modality=Modality(entry["modality"]),
                intensity=IntensityScale(
                    entry["intensity"]["kind"],
                    _tuples(entry["intensity"]["knots"]),
                    _tuples(entry["intensity"]["scaled"]),
                ),
                # TOML has no word for "none": there the entry is missing.
                spacing_zyx=_tuples(entry.get("spacing_zyx")),
                tile_zyx=_tuples(entry["tile_zyx"]),
                extent_mm=_tuples(entry.get("extent_mm", ())),
                body_part=str(entry.get("body_part", "")),
                mirror_pairs=_tuples(entry.get("mirror_pairs")),
            )
            spec.mirrored_channels()  # raises where a pair names what is no label
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WeightsError(
                "The description of an automatic model is incomplete; install or import it again."
            ) from error
        if spec.family not in FAMILIES:
            raise WeightsError(f"There is no automatic network of the family “{spec.family}”.")
        return spec


def automatic_spec(model: InstalledModel) -> AutomaticSpec:
    """Return what an installed automatic model expects and finds.

    Raises
    ------
    ModelUnavailableError
        It came without a description, as published checkpoints do: nobody says how to prepare a
        scan for it.
    WeightsError
        The description is damaged.
    """
    entry = model.details.get("automatic")
    if not isinstance(entry, Mapping):
        raise ModelUnavailableError(
            f"“{model.title}” came as weights alone, without a word about spacing, intensities and "
            "labels, so it cannot be run on a scan."
        )
    return AutomaticSpec.from_json(entry)


def automatic_members(model: InstalledModel) -> list[InstalledModel]:
    """Return the further networks of a model, whose answers are averaged with its own one's.

    Its manifest lists them under "also": a file beside its own, the file's hash, and its own
    description. All find the same labels.

    Raises
    ------
    WeightsError
        The list is damaged, or a network finds other labels.
    """
    listed = model.details.get("also", [])
    try:
        if not isinstance(listed, list):
            raise TypeError(type(listed))
        found = [
            replace(
                model,
                id=f"{model.id}-{number}",
                path=model.path.with_name(Path(str(entry["file"])).name),
                sha256=entry["sha256"],
                details={"automatic": entry["automatic"]},
            )
            for number, entry in enumerate(listed, start=2)
        ]
    except (KeyError, TypeError) as error:
        raise WeightsError(
            f"The description of “{model.title}” is damaged; install or import it again."
        ) from error
    labels = automatic_spec(model).labels
    if any(automatic_spec(other).labels != labels for other in found):
        raise WeightsError(f"The networks of “{model.title}” do not find the same structures.")
    return found


def _tuples(value: Any) -> Any:
    """Return JSON's lists as tuples."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value
