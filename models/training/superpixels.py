"""Targets without labels: superpixels of real slices, so that unlabelled tissue teaches too.

Felzenszwalb and Huttenlocher's segmentation (IJCV 2004) through scikit-image, at random scales,
as ScribblePrompt does. Made once and kept beside the packs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.training.pack import (
    LABEL_MAPS,
    STACK_AXIS,
    PackedCase,
    patient_of,
    take_slice,
    tune_patients,
)

# Slices longer than this are segmented at half size: segments need not be sharp to a pixel.
_LARGE = 300


@dataclass(frozen=True, eq=False)
class Superpixels:
    """Segments (H, W) uint16 of one slice of a case."""

    case: PackedCase
    axis: int
    index: int
    segments: np.ndarray


def superpixels(cases: list[PackedCase], path: Path, *, n: int, seed: int) -> list[Superpixels]:
    """Return superpixels of ``n`` random training slices, read from ``path`` if it is there."""
    if path.exists():
        return _load(cases, path)
    made = _make(cases, n, seed)
    where = [(s.case.dataset, s.case.name, s.axis, s.index) for s in made]
    arrays = {f"segments{i}": s.segments for i, s in enumerate(made)}
    np.savez_compressed(path, where=np.array(json.dumps(where)), **arrays)  # type: ignore[arg-type]
    return made


def _load(cases: list[PackedCase], path: Path) -> list[Superpixels]:
    by_name = {(c.dataset, c.name): c for c in cases}
    with np.load(path, allow_pickle=False) as archive:
        where = json.loads(str(archive["where"]))
        return [
            Superpixels(by_name[dataset, name], axis, index, archive[f"segments{i}"])
            for i, (dataset, name, axis, index) in enumerate(where)
        ]


def _make(cases: list[PackedCase], n: int, seed: int) -> list[Superpixels]:
    from skimage.segmentation import felzenszwalb

    rng = np.random.default_rng(seed)
    held = tune_patients(cases)
    by_set: dict[str, list[PackedCase]] = {}
    for case in cases:
        is_held = case.is_dev or (case.dataset, patient_of(case)) in held
        if case.dataset != LABEL_MAPS and not is_held:
            by_set.setdefault(case.dataset, []).append(case)
    names = sorted(by_set)
    made: list[Superpixels] = []
    for _ in range(20 * n if names else 0):
        if len(made) == n:
            break
        pool = by_set[names[rng.integers(len(names))]]
        case = pool[rng.integers(len(pool))]
        axis = STACK_AXIS if case.is_stack else int(rng.integers(3))
        index = int(rng.integers(case.image.shape[axis]))
        image = take_slice(case.image, axis, index)
        if min(image.shape) < 24 or (image > 10).mean() < 0.15:
            continue
        step = 2 if max(image.shape) > _LARGE else 1
        scale = float(np.exp(rng.uniform(np.log(5), np.log(400))))
        coarse = image[::step, ::step].astype(np.float32) / 255
        segments = felzenszwalb(coarse, scale=scale, sigma=0.6, min_size=30)
        if segments.max() < 3:
            continue
        full = segments.repeat(step, 0).repeat(step, 1)[: image.shape[0], : image.shape[1]]
        made.append(Superpixels(case, axis, index, full.astype(np.uint16)))
    return made
