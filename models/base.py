"""What a model is to the rest of the program. Imports neither torch nor OpenVINO."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from app.core.geometry import Region
from app.core.prompts import Prompt, PromptKind
from app.core.registry import Registry
from app.core.tasks import JobContext
from app.core.volume import Modality, Volume, take_slice

if TYPE_CHECKING:
    from models.cache import EmbeddingCache
    from models.runtime import Device


# (r0, c0, r1, c1) on a slice: half-open, in pixels.
BoxRC = tuple[float, float, float, float]

# A model's estimate of its own Dice below which its mask deserves a look.
UNSURE = 0.7


class ModelKind(Enum):
    """Whether a person has to point at something."""

    PROMPTABLE = "promptable"
    AUTOMATIC = "automatic"


@dataclass(frozen=True)
class ModelSpec:
    """What a window needs to offer a model.

    Attributes
    ----------
    id, title : str
    kind : ModelKind
    prompt_kinds : frozenset of PromptKind
        Empty for a model that runs without prompts.
    dims : int
        2 for slice by slice, 3 for whole volumes.
    label_names : tuple of str
        What an automatic model finds, in the order of its label values from 1.
    modalities : frozenset of Modality
    has_encoder : bool
        Whether an image embedding is computed once per slice and reused by every prompt.
    n_ahead : int
        How many slices are best encoded together while nobody waits.
    """

    id: str
    title: str
    kind: ModelKind
    prompt_kinds: frozenset[PromptKind]
    dims: int = 2
    label_names: tuple[str, ...] = ()
    modalities: frozenset[Modality] = frozenset(Modality)
    has_encoder: bool = False
    n_ahead: int = 1


@dataclass(frozen=True, eq=False)
class SliceView:
    """One slice of a volume as a network sees it.

    Attributes
    ----------
    volume : Volume
    axis, index : int
        Which slice.
    window : tuple of 2 float
        Intensities that become 0 and 1. Not the display's window.
    """

    volume: Volume
    axis: int
    index: int
    window: tuple[float, float]

    @property
    def shape_rc(self) -> tuple[int, int]:
        rows, columns = (n for a, n in enumerate(self.volume.voxels.shape) if a != self.axis)
        return rows, columns

    @property
    def spacing_rc(self) -> tuple[float, float]:
        rows, columns = (
            s for a, s in enumerate(self.volume.geometry.spacing_zyx) if a != self.axis
        )
        return rows, columns

    @property
    def pixels(self) -> np.ndarray:
        """Raw intensities (H, W), read-only, native dtype."""
        return take_slice(self.volume.voxels, self.axis, self.index)

    def neighbour(self, step: int) -> np.ndarray | None:
        """Return the raw slice ``step`` further along the axis; None beyond the volume."""
        index = self.index + step
        if not 0 <= index < self.volume.voxels.shape[self.axis]:
            return None
        return take_slice(self.volume.voxels, self.axis, index)


@dataclass(frozen=True)
class Stroke:
    """A scribble on a slice: (row, column) points and a radius in mm."""

    points_rc: tuple[tuple[float, float], ...]
    radius_mm: float
    positive: bool


@dataclass(frozen=True, eq=False)
class SlicePrompts:
    """Everything that is said about one object on one slice.

    Attributes
    ----------
    box_rc : BoxRC, optional
    positive_rc, negative_rc : tuple of (row, column)
    strokes : tuple of Stroke
    previous : (H, W) float32 in [0, 1], optional
        The mask that is being corrected.
    neighbour : (H, W) float32 in [0, 1], optional
        The same object's mask on the adjacent slice.
    """

    box_rc: BoxRC | None = None
    positive_rc: tuple[tuple[float, float], ...] = ()
    negative_rc: tuple[tuple[float, float], ...] = ()
    strokes: tuple[Stroke, ...] = ()
    previous: np.ndarray | None = None
    neighbour: np.ndarray | None = None

    @property
    def has_clicks(self) -> bool:
        return bool(self.positive_rc or self.negative_rc or self.strokes)


@dataclass(frozen=True, eq=False)
class KeySlice:
    """What is known of one object on one slice when it is looked for on others.

    Attributes
    ----------
    probability : (H, W) float32 in [0, 1]
    box_rc : BoxRC, optional
        The box that a network answered with this mask, where nobody has corrected it since.
    """

    probability: np.ndarray
    box_rc: BoxRC | None = None

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool."""
        return self.probability > 0.5


@dataclass(frozen=True, eq=False)
class SliceMask:
    """What a model says about one object on one slice.

    Attributes
    ----------
    probability : (H, W) float32 in [0, 1]
    score : float
        The model's own estimate of its Dice, 0 to 1.
    """

    probability: np.ndarray
    score: float

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool."""
        return self.probability > 0.5


class SliceModel(Protocol):
    """A promptable 2-D network. Confined to the worker thread; deterministic.

    A new network is one new file with such a class and one ``register`` line.
    """

    spec: ModelSpec

    @property
    def device(self) -> str:
        """Where and how it runs, in words for the device chip."""

    def prepare(self, views: Sequence[SliceView], cache: EmbeddingCache, ctx: JobContext) -> None:
        """Compute and keep what does not depend on prompts (image embeddings, if any).

        ``ctx`` is asked often enough that whoever waits for the worker hardly waits for this.
        """

    def predict(self, view: SliceView, prompts: SlicePrompts, cache: EmbeddingCache) -> SliceMask:
        """Return the mask of one object; ``PromptError`` if a kind of prompt is not taken."""

    def guide(
        self, view: SliceView, keys: Mapping[int, KeySlice], start: int, stop: int
    ) -> Mapping[int, np.ndarray]:
        """Return a first idea of the object on the slices of a range; empty if there is none.

        Parameters
        ----------
        view : SliceView
            Any slice of the volume, for the axis and the window.
        keys : mapping of slice index to KeySlice
            Where the object is known; not all of them empty.
        start, stop : int
            Half-open range of slices.

        Returns
        -------
        mapping of slice index to (H, W) float32 in [0, 1]
        """


@dataclass(frozen=True, eq=False)
class SegmentationResult:
    """A mask of one object and how sure the model is of it.

    Attributes
    ----------
    covered : Region
        What the result speaks about: the slices that were run, whole.
    region : Region, optional
        Tight region of the mask; None if it is empty.
    mask : (z, y, x) bool, optional
        Shape of ``region``.
    axis : int
    scores : mapping of slice index to float
        The model's estimated Dice on each slice that was run.
    stopped : tuple of str
        Why carrying the mask on ended, in words, if it ended before its range.
    alternatives : tuple of (z, y, x) bool
        Other outlines of a slice on which the model is unsure, each with the shape of ``covered``.
    agreement : mapping of slice index to float
        Dice of two ways to the same slice, the mask carried forward and backward. Only where there
        were two.
    """

    covered: Region
    region: Region | None
    mask: np.ndarray | None
    axis: int
    scores: Mapping[int, float] = field(default_factory=dict)
    stopped: tuple[str, ...] = ()
    alternatives: tuple[np.ndarray, ...] = ()
    agreement: Mapping[int, float] = field(default_factory=dict)

    @property
    def score(self) -> float | None:
        """The mean over slices; None if nothing was run."""
        values = list(self.scores.values())
        return float(np.mean(values)) if values else None


class Segmenter(Protocol):
    """Turns prompts of one object into a mask. Confined to the worker thread; deterministic."""

    spec: ModelSpec

    def segment(
        self,
        volume: Volume,
        prompts: tuple[Prompt, ...],
        window: tuple[float, float],
        cache: EmbeddingCache,
        ctx: JobContext,
    ) -> SegmentationResult:
        """Raises PromptError (wrong kind or outside), ModelUnavailableError, Cancelled."""


@dataclass(frozen=True)
class InstalledModel:
    """A model whose weights are on this machine: shipped with the program, or imported.

    Attributes
    ----------
    id, title : str
    kind : ModelKind
    format : str
        Id of the `ModelFormat` that can run it.
    path : Path
        The weights file.
    sha256 : str
    n_bytes : int
    licence : str
    source : "embedded" or "imported"
    labels : tuple of str
        What an automatic model finds.
    details : mapping
        Everything else that its manifest says.
    """

    id: str
    title: str
    kind: ModelKind
    format: str
    path: Path
    sha256: str
    n_bytes: int
    licence: str
    source: str
    labels: tuple[str, ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def card(self) -> Path:
        """Where its model card lies, if it has one: beside the weights."""
        named = self.details.get("card")
        return self.path.with_suffix(".md") if named is None else self.path.with_name(str(named))


@dataclass(frozen=True)
class ModelFormat:
    """How to run the weights files of one format.

    Attributes
    ----------
    id : str
        As in `InstalledModel.format`.
    build : callable
        (installed model, device, folder for compiled graphs or None) to a `SliceModel`. Raises
        WeightsError, ModelUnavailableError. Heavy imports belong inside it.
    """

    id: str
    build: Callable[[InstalledModel, Device, Path | None], SliceModel]


# Every module of the package `models` may register a format.
MODEL_FORMATS: Registry[ModelFormat] = Registry("models")
