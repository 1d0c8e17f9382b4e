"""Draws training examples: a target, a prompt that a person might give, and the crop round it.

Crops follow `models.preprocess.Zoom`: network pixel *j* is the j-th of ``size`` equal parts of the
crop's side. Rotation, flips and stretching happen in the same resampling step.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from models.preprocess import MIN_SIDE_VOXELS, filled_box
from models.prompt_model import CONTEXT
from models.training.appearance import paint_labels
from models.training.corrections import add_corrections
from models.training.pack import (
    CT_TABLE,
    LABEL_MAPS,
    STACK_AXIS,
    PackedCase,
    patient_of,
    take_slice,
    tune_patients,
)
from models.training.prompts import add_first_clicks, box_of, corrupted, drifted, jittered
from models.training.shapes import random_label_map
from models.training.superpixels import Superpixels

MIN_AREA = 6
# How often a slice just beyond a structure is shown, so that carrying through learns to stop.
END_SHARE = 0.15
# How often one connected piece is the target rather than all of a structure on the slice: people
# box one thing at a time.
PIECE_SHARE = 0.85
_STEPS = np.array((-1, 0, 1))
_REACHES, _REACH_SHARES = (1, 2, 3), (0.5, 0.3, 0.2)
# What is asked: a box; the next slice of a carried mask; clicks alone; a mask to be corrected.
_MODES, _MODE_SHARES = ("box", "carry", "click", "edit"), (0.55, 0.34, 0.07, 0.04)

# How often each data set is drawn; the ones with few patients less, lest they be learnt by heart.
DATASET_WEIGHT = defaultdict(
    lambda: 1.0,
    {
        "openkbp_hn": 1.3,
        "btcv2d_imis": 1.5,
        "hvsmr_heart2d": 0.7,
        "sunnybrook_lv2d": 0.8,
    },
)


@dataclass(frozen=True)
class Example:
    """One example before its images get their look.

    Attributes
    ----------
    planes : (8, N, N) float32
        The network's channels; the images as `models.training.appearance.augmented` takes them.
    target : (N, N) float32
    is_hu : bool
    """

    planes: np.ndarray
    target: np.ndarray
    is_hu: bool


@dataclass
class Source:
    """One slice with its target and its neighbours, before cropping.

    ``stack`` holds image z-1, z, z+1, then target z-reach, z, z+reach, as (6, H, W) float32.
    """

    stack: np.ndarray
    spacing_rc: tuple[float, float]
    has_neighbours: bool
    is_ct_hu: bool
    is_end: bool = False


class Sampler:
    """Draws examples from packed cases. One instance per worker process."""

    def __init__(
        self, cases: list[PackedCase], superpixels: list[Superpixels], size: int, seed: int
    ) -> None:
        self.size = size
        self.rng = np.random.default_rng(seed)
        held = tune_patients(cases)
        train = [c for c in cases if not c.is_dev and (c.dataset, patient_of(c)) not in held]
        self.label_maps = [c for c in train if c.dataset == LABEL_MAPS]
        self.superpixels = superpixels
        # data set -> label -> one list per case of (case, axis, slice)
        self.index: dict[str, dict[int, list[list[tuple[PackedCase, int, int]]]]] = {}
        for case in train:
            if not case.labels.any() or case.dataset == LABEL_MAPS:
                continue
            structures = self.index.setdefault(case.dataset, defaultdict(list))
            axes = (STACK_AXIS,) if case.is_stack else (0, 1, 2)
            for label in case.known_labels:
                hit = case.labels == label
                slices = []
                for axis in axes:
                    area = hit.sum(axis=tuple(a for a in range(3) if a != axis))
                    slices += [(case, axis, int(i)) for i in np.flatnonzero(area >= MIN_AREA)]
                if slices:
                    structures[label].append(slices)
        names = sorted(self.index)
        weights = np.array([DATASET_WEIGHT[n] for n in names])
        self.names, self.weights = names, weights / weights.sum()

    def draw(self) -> Example:
        """Return one example."""
        while True:
            r = self.rng.random()
            if r < 0.65 and self.names:
                source = self._real()
            elif r < 0.80 and self.superpixels:
                source = self._superpixel()
            else:
                source = self._synthetic()
            example = self._example(source)
            if example is not None:
                return example

    # -- sources -------------------------------------------------------------------------------

    def _real(self) -> Source:
        rng = self.rng
        name = self.names[rng.choice(len(self.names), p=self.weights)]
        structures = self.index[name]
        label = list(structures)[rng.integers(len(structures))]
        of_case = structures[label][rng.integers(len(structures[label]))]
        case, axis, index = of_case[rng.integers(len(of_case))]
        if not case.is_stack and rng.random() < END_SHARE:
            return self._end(case, axis, [i for c, a, i in of_case if a == axis], label)
        labels = [label]
        if rng.random() < 0.12:
            # Two structures as one target: a person may want both.
            present = np.unique(take_slice(case.labels, axis, index))
            others = [int(v) for v in present if v not in (0, label)]
            labels += [int(rng.choice(others))] if others else []
        return self._cut(case, axis, index, labels)

    def _cut(self, case: PackedCase, axis: int, index: int, labels: list[int]) -> Source:
        n = case.image.shape[axis]
        # Now and then the mask comes from further away, as if errors had added up on the way.
        reach = int(self.rng.choice(_REACHES, p=_REACH_SHARES))
        where = [i if 0 <= i < n and not case.is_stack else index for i in index + _STEPS]
        pixels = np.stack([take_slice(case.image, axis, i) for i in where])
        stack = np.empty((6, *pixels.shape[1:]), np.float32)
        # CT counts from the lowest value, so that what lies outside the scan is air.
        stack[:3] = CT_TABLE[pixels] - CT_TABLE[0] if case.is_ct else pixels
        where = [i if 0 <= i < n and not case.is_stack else index for i in index + reach * _STEPS]
        masks = np.stack([np.isin(take_slice(case.labels, axis, i), labels) for i in where])
        if self.rng.random() < PIECE_SHARE:
            masks = one_piece(masks, self.rng)
        stack[3:] = masks
        rows, columns = (s for a, s in enumerate(case.spacing_zyx) if a != axis)
        has_neighbours = not case.is_stack and 0 < index < n - 1
        return Source(stack, (rows, columns), has_neighbours, case.is_ct)

    def _end(self, case: PackedCase, axis: int, indices: list[int], label: int) -> Source:
        """Return a slice beyond the end of a structure, guided by its mask at the end."""
        up = bool(self.rng.integers(2))
        last = max(indices) if up else min(indices)
        beyond = last + int(self.rng.integers(1, 4)) * (1 if up else -1)
        if not 0 <= beyond < case.image.shape[axis]:
            return self._cut(case, axis, last, [label])
        source = self._cut(case, axis, beyond, [label])
        # Images and masks from the end outwards: the mask that guides comes first.
        if not up:
            source.stack = source.stack[[2, 1, 0, 5, 4, 3]]
        source.stack[3] = take_slice(case.labels, axis, last) == label
        source.is_end = True
        return source

    def _superpixel(self) -> Source:
        rng = self.rng
        drawn = self.superpixels[rng.integers(len(self.superpixels))]
        segments = drawn.segments
        ids, counts = np.unique(segments, return_counts=True)
        fine = ids[(counts >= 30) & (counts < 0.25 * segments.size)]
        first = int(rng.choice(fine)) if fine.size else int(ids[0])
        mask = segments == first
        for _ in range(rng.integers(0, 4)):
            grown = ndimage.binary_dilation(mask)
            touching = np.setdiff1d(np.unique(segments[grown & ~mask]), [first])
            if touching.size == 0:
                break
            more = mask | (segments == rng.choice(touching))
            if more.mean() > 0.3:
                break
            mask = more
        source = self._cut(drawn.case, drawn.axis, drawn.index, [])
        source.stack[3:] = mask
        return source

    def _synthetic(self) -> Source:
        rng = self.rng
        if self.label_maps and rng.random() < 0.5:
            case = self.label_maps[rng.integers(len(self.label_maps))]
            axis = int(rng.integers(3))
            index = int(
                rng.integers(case.labels.shape[axis] // 6, case.labels.shape[axis] * 5 // 6)
            )
            maps = np.stack([take_slice(case.labels, axis, index + d) for d in (-1, 0, 1)])
        else:
            maps = random_label_map(rng, 160)
        ids, counts = np.unique(maps[1], return_counts=True)
        fine = ids[(counts >= 25) & (counts < 0.4 * maps[1].size)]
        target = rng.choice(fine) if fine.size else ids[-1]
        masks = maps == target
        if rng.random() < 0.3 and fine.size > 1:
            masks = masks | (maps == rng.choice(fine))
        stack = np.concatenate([paint_labels(maps, rng), masks.astype(np.float32)])
        return Source(stack, (1.0, 1.0), True, False)

    # -- examples ------------------------------------------------------------------------------

    def _example(self, source: Source) -> Example | None:
        """Return an example of a source; None where its target is too small."""
        rng, size = self.rng, self.size
        mode = rng.choice(_MODES, p=_MODE_SHARES)
        order = (0, 1, 2)
        if source.is_end:
            mode = "carry"
        elif rng.random() < 0.5:
            order = (2, 1, 0)
        stack = source.stack[[*order, *(3 + i for i in order)]]
        if mode == "carry" and not stack[3].any():
            mode = "box"
        guide, target = stack[3], stack[4]
        anchor = guide if mode == "carry" else target
        matrix = self._matrix(source.spacing_rc)
        bounds = mask_bounds(anchor, matrix)
        if bounds is None:
            return None
        low, high = bounds
        if mode == "carry":
            margin = np.maximum((high - low) * 0.10, _pixel(matrix))
            low, high = low - margin, high + margin
        else:
            low, high = jittered(low, high, rng)
        voxel = math.sqrt(abs(np.linalg.det(matrix)))
        factor = CONTEXT if rng.random() < 0.5 else rng.uniform(1.25, 2.8)
        side = max(factor * float((high - low).max()), MIN_SIDE_VOXELS * voxel)
        centre = (low + high) / 2
        if mode == "click":
            side *= rng.uniform(1.0, 3.0)
            centre = centre + rng.uniform(-0.2, 0.2, 2) * side / 2
        elif rng.random() < 0.1:
            centre = centre + rng.uniform(-0.1, 0.1, 2) * side
        crop = resample(stack, matrix, centre, side, size)
        target = (crop[4] > 0.5).astype(np.float32)
        if mode != "carry" and target.sum() < 6:
            return None
        images = crop[:3]
        if not source.has_neighbours or rng.random() < 0.12:
            images = np.stack([images[1]] * 3)
        planes = np.zeros((8, size, size), np.float32)
        planes[:3] = images
        edges = (np.concatenate([low, high]).reshape(2, 2) - centre) / side * size + size / 2
        if mode == "box":
            planes[3] = filled_box(tuple(edges.ravel()), size)
        if mode == "carry":
            planes[7] = drifted(crop[3], rng) if rng.random() < 0.7 else corrupted(crop[3], rng)
            if rng.random() < 0.5:
                planes[3] = box_of(planes[7], margin=rng.uniform(0, 0.12))
        elif mode == "box" and source.has_neighbours and rng.random() < 0.1:
            planes[7] = drifted(crop[3], rng)
        if mode == "click" or (mode == "box" and rng.random() < 0.1):
            add_first_clicks(planes, target, rng)
        if mode == "edit":
            planes[6] = corrupted(target, rng, strength=3.0)
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            drawn = torch.from_numpy(planes)[None]
            add_corrections(drawn, torch.from_numpy(target)[None], drawn[:, 6], generator)
            if rng.random() < 0.7:
                planes[3] = filled_box(tuple(edges.ravel()), size)
        return Example(planes, target, source.is_ct_hu)

    def _matrix(self, spacing: tuple[float, float]) -> np.ndarray:
        """Return voxel steps to mm with a random rotation, flip and stretch."""
        rng = self.rng
        angle = 0.0
        if rng.random() < 0.4:
            reach = 180 if rng.random() < 0.5 else 20
            angle = math.radians(rng.uniform(-reach, reach))
        c, s = math.cos(angle), math.sin(angle)
        turn = np.array([[c, -s], [s, c]])
        flip = np.diag(rng.choice([-1.0, 1.0], 2)) if rng.random() < 0.5 else np.eye(2)
        if rng.random() < 0.25:
            flip = flip @ np.array([[0.0, 1.0], [1.0, 0.0]])
        stretch = np.diag(np.exp(rng.normal(0, 0.12, 2)))
        return turn @ flip @ stretch @ np.diag(spacing)


def one_piece(masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return one connected piece of the middle of three masks, and what touches it beside.

    Parameters
    ----------
    masks : (3, H, W) bool
    rng : Generator
        Pieces are drawn in proportion to the root of their area, none below `MIN_AREA` pixels.
    """
    pieces, _ = ndimage.label(masks[1])
    areas = np.bincount(pieces.ravel())[1:].astype(float)
    areas[areas < MIN_AREA] = 0
    if np.count_nonzero(areas) == 0:
        return masks
    weights = np.sqrt(areas)
    middle = pieces == 1 + rng.choice(len(areas), p=weights / weights.sum())
    out = [middle]
    for mask in (masks[0], masks[2]):
        pieces, _ = ndimage.label(mask)
        touching = np.unique(pieces[middle & mask])
        out.append(np.isin(pieces, touching[touching > 0]))
    return np.stack([out[1], middle, out[2]])


def _pixel(matrix: np.ndarray) -> np.ndarray:
    """Return the extent of one voxel in mm along both axes after ``matrix``."""
    return np.abs(matrix).sum(axis=1)


def mask_bounds(mask: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the tight bounds in mm (low, high) of a mask's voxels after ``matrix``."""
    points = np.argwhere(mask > 0.5)
    if len(points) == 0:
        return None
    moved = points @ matrix.T
    half = _pixel(matrix) / 2
    return moved.min(axis=0) - half, moved.max(axis=0) + half


def resample(
    stack: np.ndarray, matrix: np.ndarray, centre: np.ndarray, side: float, size: int
) -> np.ndarray:
    """Return (6, H, W) planes on a square grid of ``size`` pixels and ``side`` mm."""
    inverse = np.linalg.inv(matrix)
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * side / 2 + centre
    box = corners @ inverse.T
    reach = 4
    low = np.maximum(np.floor(box.min(axis=0)).astype(int) - reach, 0)
    high = np.minimum(np.ceil(box.max(axis=0)).astype(int) + reach + 1, stack.shape[1:])
    if (high <= low).any():
        return np.zeros((len(stack), size, size), np.float32)
    block = np.ascontiguousarray(stack[:, low[0] : high[0], low[1] : high[1]])
    part = torch.from_numpy(block)[None]
    step = side / size / math.sqrt(abs(np.linalg.det(matrix)))
    shrink = int(step)
    origin = low.astype(float)
    if shrink > 1:
        part = functional.avg_pool2d(part, shrink, ceil_mode=True, count_include_pad=False)
        origin = origin + (shrink - 1) / 2
    axis = (np.arange(size) + 0.5) / size - 0.5
    rr, cc = np.meshgrid(axis, axis, indexing="ij")
    where = (np.stack([rr, cc], -1) * side + centre) @ inverse.T
    where = (where - origin) / max(shrink, 1)
    shape = np.array(part.shape[2:])
    grid = ((where + 0.5) / shape * 2 - 1)[..., ::-1].astype(np.float32)
    out = functional.grid_sample(
        part,
        torch.from_numpy(np.ascontiguousarray(grid))[None],
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    return out[0].numpy()
