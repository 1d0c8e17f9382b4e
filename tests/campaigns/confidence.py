"""How well the confidence that the review strip shows tells right slices from wrong ones.

    python -m tests.campaigns.confidence ../shared/data/openkbp_hn --cases 12
    python -m tests.campaigns.confidence FOLDER --split train --csv slices.csv

A box on the middle slice of each structure is carried through all its slices, as a person would
do it with a model that ships. For each carried slice its Dice with the truth is set beside the
confidence, as `app.confidence` defines it, and beside the signs that the confidence is made of.

Printed for each sign and for the confidence, pooled over the slices of all structures:

rho
    Spearman's rank correlation with Dice.
within
    The mean of that over objects: whether an object's worst slices come first.
off
    The expected calibration error, in ten bins: how far the number is from the Dice it stands for.
missed
    The share of slices with a Dice below 0.5 that would not be shown as needing a look.
shown
    The share of all slices that would be shown as needing a look.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from app.confidence import confidences, look_at
from app.core.geometry import Region
from app.core.prompts import BoxPrompt, slice_region
from app.core.tasks import NullContext
from app.core.volume import take_slice
from app.evaluation.cases import Case, DataSet, find_data_sets, read_case
from app.evaluation.simulate import jittered_box, pieces, tight_box
from app.evaluation.trial import evenly
from app.io.itk_bridge import canonical_axis
from app.settings import user_models_dir
from models.agreement import dice
from models.base import UNSURE
from models.engine import DEFAULT_MODEL, InferenceEngine, SegmentationRequest
from models.preprocess import intensity_window
from models.weights import list_models

JITTER = 0.05
MIN_AREA_PX = 25
WRONG = 0.5
SIGNS = ("score", "overlap", "confidence")


def slices(engine: InferenceEngine, data_set: DataSet, case: Case) -> Iterator[dict]:
    """Yield a row for each slice that the mask of each structure was carried to."""
    volume, truth = read_case(case)
    axis = canonical_axis(volume, 2)
    window = intensity_window(volume.voxels, volume.modality)
    for value in (int(v) for v in np.unique(truth) if v):
        if case.labelled is not None and value not in case.labelled:
            continue
        piece = pieces(truth == value, 1)[0]
        areas = np.count_nonzero(piece, axis=tuple(a for a in range(3) if a != axis))
        large, present = np.flatnonzero(areas >= MIN_AREA_PX), np.flatnonzero(areas)
        if large.size < 5:
            continue
        start, stop = int(present[0]), int(present[-1]) + 1
        index = int(large[np.abs(large - (start + stop - 1) / 2).argmin()])
        drawn = take_slice(piece, axis, index)
        shape = (drawn.shape[0], drawn.shape[1])
        box = jittered_box(tight_box(drawn), shape, JITTER, np.random.default_rng(value))
        prompt = BoxPrompt(slice_region(axis, index, box), axis, through=(start, stop))
        result = engine.run(
            SegmentationRequest(volume, DEFAULT_MODEL, (prompt,), window), NullContext()
        )
        mask = np.zeros(piece.shape, bool)
        if result.region is not None and result.mask is not None:
            mask[result.region.slices] = result.mask
        masks = np.ascontiguousarray(np.moveaxis(mask, axis, 0))
        look = look_at(masks, Region.whole(mask.shape), axis)
        scores = {i: s for i, s in result.scores.items() if i in look.digests}
        shown = confidences(scores, result.agreement, look.overlap)
        usual = float(np.median(list(look.overlap.values()))) if look.overlap else 1.0
        for at, (confidence, _) in shown.items():
            if at != index:
                yield {
                    "data_set": data_set.name,
                    "object": f"{case.name} {value}",
                    "slice": at,
                    "dice": dice(masks[at], take_slice(piece, axis, at)),
                    "score": scores[at],
                    "overlap": min(1.0, look.overlap.get(at, np.nan) / usual),
                    "confidence": confidence,
                }


def judged(rows: list[dict], name: str) -> dict[str, float]:
    """Return the figures of one sign; see the module's text."""
    known = [r for r in rows if np.isfinite(r[name])]
    if len(known) < 3:
        return dict.fromkeys(("rho", "within", "off", "missed", "shown"), np.nan) | {
            "n": len(known)
        }
    values, truths = (np.array([r[k] for r in known], float) for k in (name, "dice"))
    objects = np.array([r["object"] for r in known])
    within = [
        spearmanr(values[objects == o], truths[objects == o]).statistic
        for o in np.unique(objects)
        if np.ptp(values[objects == o]) > 0 and np.ptp(truths[objects == o]) > 0
    ]
    bins = np.clip((10 * values).astype(int), 0, 9)
    gaps = [
        np.mean(bins == b) * abs(float(np.mean(values[bins == b]) - np.mean(truths[bins == b])))
        for b in np.unique(bins)
    ]
    wrong, shown = truths < WRONG, values < UNSURE
    return {
        "rho": float(spearmanr(values, truths).statistic),
        "within": float(np.mean(within)) if within else np.nan,
        "off": float(np.sum(gaps)),
        "missed": float(np.mean(~shown[wrong])) if wrong.any() else np.nan,
        "shown": float(np.mean(shown)),
        "n": len(known),
    }


def main() -> None:
    """Print a table of the figures; with ``--csv`` write every slice as a row."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--cases", type=int, default=0, help="per data set; 0 for all")
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args()
    engine = InferenceEngine(lambda: list_models(user_models_dir()))
    engine.load(DEFAULT_MODEL)
    rows: list[dict] = []
    for data_set in find_data_sets(given.folder, given.split):
        if data_set.facts.is_stack:
            continue
        for case in evenly(data_set.cases, given.cases or len(data_set.cases)):
            rows += slices(engine, data_set, case)
    if not rows:
        parser.error("no slices to measure in this folder")
    if given.csv is not None:
        with given.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    columns = ("rho", "within", "off", "missed", "shown", "n")
    lines = [f"{'':12}" + "".join(f"{c:>9}" for c in columns)]
    for name in SIGNS:
        found = judged(rows, name)
        lines.append(f"{name:12}" + "".join(f"{found[c]:9.3f}" for c in columns[:-1]))
        lines[-1] += f"{found['n']:9d}"
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
