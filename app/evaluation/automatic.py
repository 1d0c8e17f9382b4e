"""Runs automatic models on labelled cases: one row per case, structure and model.

What is scored: structures that a case is labelled for and that the model finds (the same value
and, where the data set names its values, the same name). Where the truth is empty nothing is
scored, but it is counted whether the model found something all the same; where the model found
nothing, Dice and surface Dice are 0 and the distance is not defined.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.core.errors import UsageError
from app.core.tasks import JobContext, NullContext
from app.core.volume import Modality, Volume
from app.evaluation.cases import Case, DataSet, read_case
from app.evaluation.metrics import Agreement, agreement
from app.evaluation.trial import TOLERANCE, Row, evenly, spacing_of
from app.io.itk_bridge import canonical_axis
from models.automatic.intensity import hounsfield_of_bytes
from models.automatic.result import AutomaticResult
from models.automatic.segmenter import AutomaticSegmenter
from models.automatic.spec import AutomaticLabel, AutomaticSpec

STEP = "auto"


@dataclass(frozen=True)
class Counts:
    """Cases of one structure that say more than a mean.

    Attributes
    ----------
    n_cases : int
        Labelled for the structure.
    n_missed : int
        It is there and was not found: Dice 0, no distance.
    n_absent : int
        It is not there: not scored.
    n_extra : int
        It is not there and was found all the same.
    """

    n_cases: int
    n_missed: int
    n_absent: int
    n_extra: int


@dataclass(frozen=True)
class AutoRow(Row):
    """A row of an automatic model; ``found`` counts the voxels of its mask."""

    found: int = 0


def evaluate_automatic(
    models: Mapping[str, AutomaticSegmenter],
    data_sets: Sequence[DataSet],
    *,
    max_cases: int = 0,
    ctx: JobContext | None = None,
) -> list[AutoRow]:
    """Return the rows of several models on the same cases.

    Parameters
    ----------
    models : mapping of name to AutomaticSegmenter
    data_sets : sequence of DataSet
        Those without a structure that a model finds are left out.
    max_cases : int
        Per data set, evenly chosen; 0 for all.
    ctx : JobContext, optional

    Raises
    ------
    UsageError
        No data set has labels that any of the models finds.
    ReadError, GeometryError, Cancelled
    """
    ctx = ctx or NullContext()
    suited = [d for d in data_sets if any(_suits(m.spec, d) for m in models.values())]
    if not suited:
        raise UsageError(
            "None of these cases is labelled for what the models find: "
            + "; ".join(
                f"{name}: {', '.join(label.name for label in m.spec.labels)}"
                for name, m in models.items()
            )
            + "."
        )
    chosen = [(d, c) for d in suited for c in evenly(d.cases, max_cases or len(d.cases))]
    rows: list[AutoRow] = []
    for number, (data_set, case) in enumerate(chosen):
        ctx.report(number / len(chosen), f"{data_set.name} {case.name}")
        volume, truth = read_case(case)
        if data_set.facts.is_ct_bytes:
            volume = dataclasses.replace(
                volume, voxels=hounsfield_of_bytes(volume.voxels), modality=Modality.CT
            )
        for name, model in models.items():
            if _suits(model.spec, data_set):
                result = model.segment(volume, _Quiet(ctx), is_stack=data_set.facts.is_stack)
                rows += _rows(name, model.spec, data_set, case, volume, truth, result)
    ctx.report(1.0, "done")
    return rows


def counts(rows: Sequence[AutoRow]) -> Counts:
    """Return what the means of these rows do not say."""
    return Counts(
        len(rows),
        sum(r.area > 0 and r.found == 0 for r in rows),
        sum(r.area == 0 for r in rows),
        sum(r.area == 0 and r.found > 0 for r in rows),
    )


# -- inside -------------------------------------------------------------------------------------


class _Quiet:
    """Passes on whether to go on, but not the progress of one case."""

    def __init__(self, ctx: JobContext) -> None:
        self._ctx = ctx

    def report(self, fraction: float, text: str = "") -> None:
        self._ctx.check()

    def check(self) -> None:
        self._ctx.check()


def _suits(spec: AutomaticSpec, data_set: DataSet) -> bool:
    # Slices that are not neighbours are no volume.
    if data_set.facts.is_stack and spec.is_volumetric:
        return False
    return any(_is_labelled(label, data_set) for label in spec.labels)


def _is_labelled(label: AutomaticLabel, data_set: DataSet) -> bool:
    names = data_set.facts.structures
    return not names or names.get(label.value) == label.name


def _rows(
    model: str,
    spec: AutomaticSpec,
    data_set: DataSet,
    case: Case,
    volume: Volume,
    truth: np.ndarray,
    result: AutomaticResult,
) -> Iterator[AutoRow]:
    confidence = {s.value: s.confidence for s in result.structures}
    across = canonical_axis(volume, 2) if data_set.facts.is_stack else None
    for label in spec.labels:
        is_known = case.labelled is None or label.value in case.labelled
        if not is_known or not _is_labelled(label, data_set):
            continue
        wanted, found = truth == label.value, result.labels == label.value
        measured = _measured(found, wanted, spacing_of(volume, data_set), across)
        yield AutoRow(
            data_set.name,
            case.name,
            volume.modality.value,
            label.name,
            label.value,
            0,
            0 if across is None else across,
            0,
            STEP,
            model,
            int(np.count_nonzero(wanted)),
            measured.dice,
            measured.nsd,
            measured.hd95,
            data_set.unit,
            confidence.get(label.value, np.nan),
            result.seconds,
            int(np.count_nonzero(found)),
        )


def _measured(
    found: np.ndarray, wanted: np.ndarray, spacing: Sequence[float], across: int | None
) -> Agreement:
    """Return the agreement in a case; in a stack, Dice of all of it and the others by slice.

    Parameters
    ----------
    found, wanted : (z, y, x) bool
    spacing : sequence of 3 float
    across : int, optional
        The axis across slices that are not neighbours.
    """
    if not wanted.any():
        return Agreement(np.nan, np.nan, np.nan)
    if across is None:
        return agreement(found, wanted, spacing, TOLERANCE)
    in_plane = [s for a, s in enumerate(spacing) if a != across]
    slices = [
        agreement(a, b, in_plane, TOLERANCE)
        for a, b in zip(np.moveaxis(found, across, 0), np.moveaxis(wanted, across, 0), strict=True)
        if a.any() or b.any()
    ]
    hd95 = [s.hd95 for s in slices if np.isfinite(s.hd95)]
    both = int(np.count_nonzero(found & wanted))
    total = int(np.count_nonzero(found)) + int(np.count_nonzero(wanted))
    return Agreement(
        2 * both / total,
        float(np.mean([s.nsd for s in slices])),
        float(np.mean(hd95)) if hd95 else np.nan,
    )
