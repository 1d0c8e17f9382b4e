"""Prepares scans for an automatic network and draws deformed tiles of them.

A scan is brought to the network's grid and intensities once, by the functions that prepare it in
use; tiles are then drawn from it with random shape and contrast.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional
from torch.utils.data import IterableDataset, get_worker_info

from models.automatic import grid
from models.automatic.intensity import hounsfield_of_bytes
from models.automatic.spec import AutomaticSpec
from models.training.aside import patients_aside
from models.training.automatic_recipe import AutomaticRecipe
from models.training.deformation import deformed, random_bend, random_matrix
from models.training.pack import CT_TABLE, PackedCase, patient_of

# Data sets whose CT was windowed for soft tissue and stored as bytes.
CT_BYTES = frozenset({"btcv2d_imis"})
_SLICE_SPACING = (1.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class PreparedScan:
    """A scan on the network's grid.

    Attributes
    ----------
    name : str
    image : (D, H, W) float32 in [0, 1]
    labels : (D, H, W) uint8
    is_known : (n_classes,) bool
        Which output channels the case has labels for; the background is always known.
    quantiles : (33,) float32
        Of the image, for matching histograms.
    """

    name: str
    image: Tensor
    labels: Tensor
    is_known: Tensor
    quantiles: np.ndarray


def split_cases(
    cases: list[PackedCase], recipe: AutomaticRecipe
) -> tuple[list[PackedCase], list[PackedCase]]:
    """Return the cases to learn from and those that are set aside, by patient; dev in neither."""
    own = [c for c in cases if c.dataset == recipe.dataset and not c.is_dev]
    aside = patients_aside(recipe.dataset, [c.name for c in own])
    learnt = [c for c in own if patient_of(c) not in aside]
    return learnt, [c for c in own if patient_of(c) in aside]


def prepared(case: PackedCase, spec: AutomaticSpec) -> PreparedScan:
    """Return a case on the network's grid, as in use; labels by nearest neighbour."""
    raw = CT_TABLE[case.image] if case.is_ct else case.image.astype(np.float32)
    if case.dataset in CT_BYTES:
        raw = hounsfield_of_bytes(case.image)
    image = grid.prepared(raw, case.spacing_zyx, spec)
    labels = torch.from_numpy(case.labels)[None, None].float()
    if image.shape != case.labels.shape:
        labels = functional.interpolate(labels, image.shape, mode="nearest-exact")
    lookup = np.zeros(256, np.uint8)
    for channel, label in enumerate(spec.labels, start=1):
        lookup[label.value] = channel
    channels = torch.from_numpy(lookup)[labels[0, 0].long()]
    known = [True] + [
        label.value in case.known_labels or not is_partial(case) for label in spec.labels
    ]
    picture = torch.from_numpy(np.ascontiguousarray(image))
    inside = picture[picture > 0.02].numpy()
    return PreparedScan(
        case.name,
        picture,
        channels.contiguous(),
        torch.tensor(known),
        np.quantile(inside if inside.size else np.zeros(1), np.linspace(0, 1, 33)).astype("f4"),
    )


def is_partial(case: PackedCase) -> bool:
    """Return whether an organ without a label in this case may still be in the picture."""
    return case.dataset == "openkbp_hn"


class TileStream(IterableDataset):
    """Batches of (images (B, 1, ...), channels (B, ...), known classes (B, C)) without end."""

    def __init__(self, scans: list[PreparedScan], recipe: AutomaticRecipe, seed: int) -> None:
        self._scans = scans
        self._recipe = recipe
        self._seed = seed
        self._places = [] if recipe.model.is_volumetric else _places(scans)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        torch.set_num_threads(1)
        worker = get_worker_info()
        rng = np.random.default_rng(self._seed + (0 if worker is None else worker.id))
        while True:
            drawn = [self._draw(rng) for _ in range(self._recipe.batch)]
            images, labels, known = (torch.stack(part) for part in zip(*drawn, strict=True))
            yield images[:, None], labels, known

    def _draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        recipe, spec = self._recipe, self._recipe.model
        scan, index = self._scan_and_slice(rng)
        image, labels = scan.image, scan.labels
        if not spec.is_volumetric:
            image, labels = image[index : index + 1], labels[index : index + 1]
        known = scan.is_known
        if spec.mirror_pairs is not None and rng.random() < 0.5:
            order = spec.mirrored_channels()
            image, known = image.flip(-1), known[order]
            labels = torch.tensor(order, dtype=torch.uint8)[labels.flip(-1).long()]
        if recipe.is_turned_over and rng.random() < 0.5:
            image, labels = image.flip(-2), labels.flip(-2)
        planar = not spec.is_volumetric
        tile, label_tile = deformed(
            image,
            labels,
            spec.tile_zyx,
            centre_zyx=_centre(image.shape, spec.tile_zyx, rng),
            matrix=random_matrix(rng, recipe.rotation, recipe.stretch, is_planar=planar),
            bend_mm=random_bend(rng, recipe.bend_mm, is_planar=planar),
            spacing_zyx=spec.spacing_zyx or _SLICE_SPACING,
        )
        if rng.random() < recipe.match_share:
            other = self._scans[rng.integers(len(self._scans))]
            matched = np.interp(tile.numpy(), _rising(scan.quantiles), other.quantiles)
            tile = torch.where(tile > 0.02, torch.from_numpy(matched.astype(np.float32)), tile)
        if rng.random() < recipe.phase_share:
            tile = torch.from_numpy(with_phase(tile.numpy(), label_tile.numpy(), rng))
        tile = torch.from_numpy(with_contrast(tile.numpy(), rng))
        if planar:
            tile, label_tile = tile[0], label_tile[0]
        return tile, label_tile, known

    def _scan_and_slice(self, rng: np.random.Generator) -> tuple[PreparedScan, int]:
        """Return a scan and one of its slices; every other time one with a structure drawn first,
        so that what few slices show is seen often enough."""
        places = self._places
        if places and rng.random() < 0.5:
            own = places[rng.integers(len(places))]
            number, index = own[rng.integers(len(own))]
            return self._scans[number], int(index)
        scan = self._scans[rng.integers(len(self._scans))]
        return scan, int(rng.integers(len(scan.image)))


def _places(scans: list[PreparedScan]) -> list[np.ndarray]:
    """Return for each structure (n, 2): the numbers of the scans and slices that show it."""
    found: dict[int, list[tuple[int, int]]] = {}
    for number, scan in enumerate(scans):
        for index, labels in enumerate(scan.labels):
            for channel in torch.unique(labels).tolist():
                if channel:
                    found.setdefault(channel, []).append((number, index))
    return [np.array(own) for _, own in sorted(found.items())]


def with_phase(x: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a tile of CT as if less contrast medium, or none, were in its structures.

    Their means move towards that of the darkest among them, by a share common to the tile and a
    little of each one's own: unenhanced, soft tissues hardly differ. What has no label keeps its
    contrast.

    Parameters
    ----------
    x : (D, H, W) float32 in [0, 1]
    labels : (D, H, W) integer
        Output channels.
    """
    x = x.copy()
    common = rng.uniform(0, 1)
    channels = [channel for channel in np.unique(labels) if channel]
    means = [x[labels == channel].mean() for channel in channels]
    for channel, mean in zip(channels, means, strict=True):
        inside = labels == channel
        share = np.clip(common + rng.normal(0, 0.15), 0, 1)
        plain = min(means) + rng.normal(0, 0.01)
        soft = inside.astype(np.float32)
        for axis in (-2, -1):
            soft = ndimage.uniform_filter1d(soft, 3, axis=axis)
        x += np.float32(share * (plain - mean)) * soft
    return np.clip(x, 0, 1).astype(np.float32)


def with_contrast(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a tile (float32 in [0, 1]) with another contrast, blur and noise."""
    if rng.random() < 0.3:
        x = np.clip(x, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.25)))
    if rng.random() < 0.4:
        x = (x - 0.5) * np.float32(rng.uniform(0.8, 1.2)) + np.float32(0.5 + rng.normal(0, 0.04))
    if rng.random() < 0.15:
        sigma = rng.uniform(0.3, 0.9)
        x = ndimage.gaussian_filter(x, (0 if x.shape[0] == 1 else sigma, sigma, sigma))
    if rng.random() < 0.3:
        noise = rng.standard_normal(x.shape, dtype=np.float32)
        x = x + noise * np.float32(rng.uniform(0.005, 0.05))
    return np.clip(x, 0, 1).astype(np.float32)


def _centre(shape: torch.Size, tile: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Return a middle for a tile: anywhere it fits; where the scan is smaller, a little off."""
    centre = []
    for n, t in zip(shape, tile, strict=True):
        slack = max((n - t) / 2, 0.0) + (0.06 * t if t > 1 else 0.0)
        centre.append((n - 1) / 2 + rng.uniform(-slack, slack))
    return np.array(centre)


def _rising(values: np.ndarray) -> np.ndarray:
    return np.asarray(values) + 1e-5 * np.arange(len(values))
