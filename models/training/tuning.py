"""Dice on patients that are set aside from training: to choose settings by, not to report."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import ndimage

from models.agreement import dice
from models.preprocess import CT_WINDOW, MIN_SIDE_VOXELS, filled_box
from models.prompt_model import CONTEXT
from models.training.pack import CT_TABLE, PackedCase, patient_of, take_slice, tune_patients
from models.training.sampling import mask_bounds, resample

_PER_STRUCTURE = 10
_MIN_AREA = 20
_JITTER = 0.05

Structure = tuple[str, int]
Batch = tuple[list[Structure], np.ndarray, np.ndarray, np.ndarray]


class TuneSet:
    """Slices of the patients that are set aside, up to ten per structure.

    Parameters
    ----------
    cases : list of PackedCase
    """

    def __init__(self, cases: list[PackedCase]) -> None:
        held = tune_patients(cases)
        found: dict[tuple[str, int], list[tuple[PackedCase, int]]] = {}
        for case in cases:
            if case.is_dev or (case.dataset, patient_of(case)) not in held:
                continue
            for label in case.known_labels:
                areas = (case.labels == label).sum(axis=(1, 2))
                slices = [(case, int(i)) for i in np.flatnonzero(areas >= _MIN_AREA)]
                found.setdefault((case.dataset, label), []).extend(slices)
        rng = np.random.default_rng(11)
        self._items = [
            (structure, *slices[i])
            for structure, slices in sorted(found.items(), key=lambda f: f[0])
            for i in rng.permutation(len(slices))[:_PER_STRUCTURE]
        ]

    def dice(self, predict: Callable[[np.ndarray], np.ndarray], size: int) -> tuple[float, float]:
        """Return the mean Dice of a network and of the inscribed ellipse.

        The mean over data sets of the mean over structures, on the network's grid, from boxes
        jittered by up to 5 % of their side.

        Parameters
        ----------
        predict : callable
            From (B, 8, size, size) planes to (B, size, size) logits.
        size : int
        """
        if not self._items:
            return math.nan, math.nan
        scores = []
        for structures, planes, targets, ellipses in self.batches(size):
            masks = predict(planes) > 0
            scores += [
                (structure, (dice(mask, target), dice(ellipse, target)))
                for structure, mask, target, ellipse in zip(
                    structures, masks, targets, ellipses, strict=True
                )
            ]
        mean = mean_of_sets(scores)
        return float(mean[0]), float(mean[1])

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield (structures, planes (B, 8, size, size), targets and ellipses (B, size, size)).

        The same boxes every time. A structure is (data set, label).
        """
        rng = np.random.default_rng(5)
        for first in range(0, len(self._items), 32):
            items = self._items[first : first + 32]
            made = [self._example(case, label, i, size, rng) for (_, label), case, i in items]
            planes, targets, ellipses = (np.stack(part) for part in zip(*made, strict=True))
            yield [structure for structure, _, _ in items], planes, targets, ellipses

    def _example(
        self, case: PackedCase, label: int, index: int, size: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mask = largest_piece(take_slice(case.labels, 0, index) == label)
        spacing = case.spacing_zyx[1:]
        bounds = mask_bounds(mask, np.diag(spacing))
        assert bounds is not None
        low, high = bounds
        side = high - low
        low = low - rng.uniform(-_JITTER, _JITTER, 2) * side
        high = high + rng.uniform(-_JITTER, _JITTER, 2) * side
        least = MIN_SIDE_VOXELS * math.sqrt(spacing[0] * spacing[1])
        crop_side = max(CONTEXT * float((high - low).max()), least)
        centre = (low + high) / 2
        n = case.image.shape[0]
        where = [
            i if 0 <= i < n and not case.is_stack else index for i in range(index - 1, index + 2)
        ]
        pixels = np.stack([take_slice(case.image, 0, i) for i in where])
        if case.is_ct:
            lowest, highest = CT_WINDOW
            images = np.clip((CT_TABLE[pixels] - lowest) / (highest - lowest), 0, 1)
        else:
            images = pixels / 255.0
        stack = np.concatenate([images, mask[None]]).astype(np.float32)
        crop = resample(stack, np.diag(spacing), centre, crop_side, size)
        planes = np.zeros((8, size, size), np.float32)
        planes[:3] = crop[:3]
        edges = (np.stack([low, high]) - centre) / crop_side * size + size / 2
        planes[3] = filled_box(tuple(edges.ravel()), size)
        middle, half = edges.mean(axis=0), (edges[1] - edges[0]) / 2
        rows, columns = np.ogrid[:size, :size]
        ellipse = ((rows + 0.5 - middle[0]) / half[0]) ** 2 + (
            (columns + 0.5 - middle[1]) / half[1]
        ) ** 2 <= 1
        return planes, crop[3] > 0.5, ellipse


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """Return the largest connected piece of a mask that is not empty."""
    pieces, _ = ndimage.label(mask)
    areas = np.bincount(pieces.ravel())
    areas[0] = 0
    return np.asarray(pieces == areas.argmax())


def mean_of_sets(scores: Sequence[tuple[Structure, tuple[float, ...]]]) -> np.ndarray:
    """Return the mean over data sets of the mean over structures of the mean over slices."""
    sets: dict[str, dict[int, list[tuple[float, ...]]]] = {}
    for (name, label), values in scores:
        sets.setdefault(name, {}).setdefault(label, []).append(values)
    per_set = [
        np.mean([np.mean(v, axis=0) for v in structures.values()], axis=0)
        for structures in sets.values()
    ]
    return np.asarray(np.mean(per_set, axis=0))
