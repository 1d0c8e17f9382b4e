"""Draws examples for the 3-D guide: an object in a block, and masks of its key slices.

What the network gets is made by the functions that make it in use (`models.volume_guide`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional
from torch.utils.data import IterableDataset, get_worker_info

from models.base import KeySlice
from models.preprocess import filled_box
from models.training.appearance import augmented, paint_labels
from models.training.deformation import deformed, random_bend, random_matrix
from models.training.guide_keys import KeyMasks
from models.training.pack import CT_TABLE, LABEL_MAPS, PackedCase
from models.training.prompts import corrupted, drifted
from models.volume_guide import GRID, PLANES_IN_RANGE, guide_channels

MIN_SLICES = 4
MIN_AREA = 16
# In-plane the tile is drawn this much finer and averaged, against aliasing.
_FINER = 2
_DATASET_WEIGHT = defaultdict(lambda: 1.0, {"openkbp_hn": 2.0, "fetal_sb_atlas": 0.6})
_REAL_SHARE, _MAP_SHARE = 0.72, 0.10
# How often a key slice is answered by the network of slices, and how often it is a changed truth.
_ANSWERED_SHARE, _CHANGED_SHARE = 0.7, 0.2


class GuideStream(IterableDataset):
    """Batches of (channels (B, 4, D, H, W), target (B, D, H, W)) without end."""

    def __init__(self, cases: list[PackedCase], keys: KeyMasks, batch: int, seed: int) -> None:
        self._cases = cases
        self._keys = keys
        self._batch = batch
        self._seed = seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        torch.set_num_threads(1)
        worker = get_worker_info()
        seed = self._seed + (0 if worker is None else worker.id)
        sampler = GuideSampler(self._cases, self._keys, seed)
        while True:
            drawn = [sampler.draw() for _ in range(self._batch)]
            planes, targets = (np.stack(part) for part in zip(*drawn, strict=True))
            yield torch.from_numpy(planes), torch.from_numpy(targets)


class GuideSampler:
    """Draws examples from those of the cases that are volumes."""

    def __init__(self, cases: list[PackedCase], keys: KeyMasks, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self._keys = keys
        volumes = [c for c in cases if not c.is_stack]
        self._maps = [c for c in volumes if c.dataset == LABEL_MAPS]
        # data set -> label -> cases
        self._index: dict[str, dict[int, list[PackedCase]]] = {}
        for case in volumes:
            if case.dataset != LABEL_MAPS and case.labels.any():
                structures = self._index.setdefault(case.dataset, defaultdict(list))
                for label in case.known_labels:
                    structures[label].append(case)
        self._names = sorted(self._index)
        weights = np.array([_DATASET_WEIGHT[n] for n in self._names])
        self._weights = weights / weights.sum() if len(weights) else weights

    @property
    def has_cases(self) -> bool:
        """Whether there is an object in a real scan."""
        return bool(self._names)

    def draw_real(self) -> tuple[np.ndarray, np.ndarray]:
        """Return an example of a real scan."""
        while True:
            example = self._real()
            if example is not None:
                return example

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        """Return channels (4, D, H, W) and target (D, H, W), float32."""
        while True:
            r = self.rng.random()
            if r < _REAL_SHARE and self._names:
                example = self._real()
            elif r < _REAL_SHARE + _MAP_SHARE and self._maps:
                example = self._painted_map()
            else:
                example = self._invented()
            if example is not None:
                return example

    # -- sources -------------------------------------------------------------------------------

    def _real(self) -> tuple[np.ndarray, np.ndarray] | None:
        rng = self.rng
        structures = self._index[self._names[rng.choice(len(self._names), p=self._weights)]]
        label = list(structures)[rng.integers(len(structures))]
        case = structures[label][rng.integers(len(structures[label]))]
        image = CT_TABLE[case.image] - CT_TABLE[0] if case.is_ct else case.image.astype("f4")
        return self._example(image, case.labels == label, case.spacing_zyx, is_ct=case.is_ct)

    def _painted_map(self) -> tuple[np.ndarray, np.ndarray] | None:
        rng = self.rng
        case = self._maps[rng.integers(len(self._maps))]
        label = int(rng.choice(case.known_labels))
        found = ndimage.find_objects((case.labels == label).astype(np.uint8))
        if not found:
            return None
        around = tuple(slice(max(0, s.start - 20), s.stop + 20) for s in found[0])
        block = case.labels[around]
        if block.size > 1_500_000:
            return None
        return self._example(paint_labels(block, rng), block == label, case.spacing_zyx)

    def _invented(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return an example from touching blobs: the largest of several smooth random fields."""
        rng = self.rng
        n, size = int(rng.integers(3, 8)), 72
        grain = int(rng.integers(5, 12))
        coarse = torch.from_numpy(rng.standard_normal((1, n, *(grain,) * 3), dtype=np.float32))
        fields = functional.interpolate(coarse, (size,) * 3, mode="trilinear", align_corners=True)
        labels = fields[0].argmax(0).numpy()
        if rng.random() < 0.5:
            grid = np.indices((size,) * 3) - size / 2 - rng.uniform(-4, 4, 3)[:, None, None, None]
            radii = np.exp(rng.uniform(np.log(5), np.log(20), 3))[:, None, None, None]
            rough = 1 + 0.25 * fields[0, 0].numpy()
            labels[((grid / radii) ** 2).sum(0) < rough] = n
        label = int(rng.choice(np.unique(labels)))
        pieces, _ = ndimage.label(labels == label)
        sizes = np.bincount(pieces.ravel())[1:]
        large = np.flatnonzero(sizes > 400)
        mask = pieces == 1 + int(rng.choice(large) if large.size else sizes.argmax())
        return self._example(paint_labels(labels, rng), mask, (1.0, 1.0, 1.0))

    # -- examples ------------------------------------------------------------------------------

    def _example(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        spacing: tuple[float, float, float],
        *,
        is_ct: bool = False,
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return an example of an object; None where it is too small."""
        rng = self.rng
        # The slice axis: any where voxels are nearly cubes, else the coarsest.
        axis = (
            int(rng.integers(3)) if max(spacing) < 2.2 * min(spacing) else int(np.argmax(spacing))
        )
        if axis != 0 and rng.random() < 0.4:
            axis = 0
        order = (axis, *(a for a in range(3) if a != axis))
        image, mask = image.transpose(order), mask.transpose(order)
        steps = np.array([spacing[a] for a in order])
        where = ndimage.find_objects(mask.astype(np.uint8))
        if not where:
            return None
        low = np.array([s.start for s in where[0]])
        high = np.array([s.stop for s in where[0]])
        n_slices = int(high[0] - low[0])
        if n_slices < MIN_SLICES:
            return None
        middle_area = np.argwhere(mask[(low[0] + high[0] - 1) // 2])
        if len(middle_area) < MIN_AREA:
            return None
        extent = (middle_area.max(0) + 1 - middle_area.min(0)) * steps[1:]
        # As in `GuideGrid.around`, with room for change.
        side = max(
            rng.uniform(1.9, 3.0) * extent.max(), 0.6 * n_slices * steps[0], 12 * steps[1:].max()
        )
        planes = rng.uniform(0.85, 1.05) * PLANES_IN_RANGE
        tile_steps = np.array(
            [n_slices * steps[0] / planes, side / GRID[1] / _FINER, side / GRID[1] / _FINER]
        )
        centre = np.array(
            [(low[0] + high[0] - 1) / 2, *((middle_area.min(0) + middle_area.max(0)) / 2)]
        )
        centre[1:] += rng.uniform(-0.06, 0.06, 2) * side / steps[1:]
        tile, labels = deformed(
            torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)),
            torch.from_numpy(mask.astype(np.uint8)),
            (GRID[0], GRID[1] * _FINER, GRID[2] * _FINER),
            centre_zyx=centre,
            matrix=random_matrix(rng, 12, 0.1, is_planar=False) @ np.diag(rng.choice([-1, 1], 3)),
            bend_mm=random_bend(rng, 0.03 * side, is_planar=False),
            spacing_zyx=(steps[0], steps[1], steps[2]),
            tile_spacing_zyx=(tile_steps[0], tile_steps[1], tile_steps[2]),
        )
        tile = functional.avg_pool2d(tile, _FINER)
        target = (functional.avg_pool2d(labels.float(), _FINER) > 0.5).float().numpy()
        filled = np.flatnonzero(target.sum(axis=(1, 2)) >= 4)
        if filled.size < 6:
            return None
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        tile = augmented(tile[None], torch.tensor([is_ct]), generator)[0]
        return self._prompted(tile.numpy(), target, filled, n_slices)

    def _prompted(
        self, image: np.ndarray, target: np.ndarray, filled: np.ndarray, n_slices: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return channels and target with one to three key slices."""
        rng = self.rng
        first, last = int(filled[0]), int(filled[-1])
        centres = [(first + last) / 2] if rng.random() < 0.6 else [rng.uniform(first, last)]
        centres += list(rng.uniform(first, last, int(rng.choice(3, p=(0.75, 0.15, 0.1)))))
        thickness = PLANES_IN_RANGE / n_slices
        is_key = np.zeros(len(image), bool)
        keys, boxes = np.zeros_like(image), np.zeros_like(image)
        for centre in centres:
            shown = np.abs(np.arange(len(image)) - centre) <= max(0.5, thickness / 2)
            at = round(float(np.clip(centre, first, last)))
            mask = target[at]
            if mask.sum() < 4:
                continue
            key = self._key(image[at], mask)
            keys[shown] = key.probability
            boxes[shown] = 0.0 if key.box_rc is None else filled_box(key.box_rc, GRID[1])
            is_key |= shown
        if not is_key.any() or not keys.any():
            return None
        # Ranges are given roughly; what lies outside of the range is not asked for.
        low = first - round(rng.normal(0, 0.6)) if rng.random() < 0.4 else first
        high = last + round(rng.normal(0, 0.6)) if rng.random() < 0.4 else last
        planes = np.arange(len(image))
        in_range = (planes >= low) & (planes <= high)
        target = target * in_range[:, None, None]
        return guide_channels(image, keys, boxes, is_key, in_range), target.astype(np.float32)

    def _key(self, plane: np.ndarray, target: np.ndarray) -> KeySlice:
        """Return a key slice as it might be given."""
        rng = self.rng
        how = rng.random()
        if how < _ANSWERED_SHARE:
            return self._keys.answer(plane, target, rng)
        if how < _ANSWERED_SHARE + _CHANGED_SHARE:
            return KeySlice(corrupted(target, rng) if rng.random() < 0.7 else drifted(target, rng))
        return KeySlice(target)
