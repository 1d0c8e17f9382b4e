"""Runs a model, and methods that know nothing, on the same boxes of labelled cases."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.core.errors import UsageError
from app.core.prompts import BoxPrompt, PointPrompt, Prompt, slice_region
from app.core.tasks import JobContext, NullContext
from app.core.volume import Volume, take_slice
from app.evaluation.baselines import filled_box, inscribed_ellipse, random_walker
from app.evaluation.cases import Case, DataSet, read_case, single_slice
from app.evaluation.metrics import agreement
from app.evaluation.simulate import corrective_click, jittered_box, pieces, tight_box
from app.io.itk_bridge import canonical_axis
from models.base import SegmentationResult
from models.engine import InferenceEngine, SegmentationRequest
from models.preprocess import apply_window, intensity_window

MODEL = "model"
BASELINES = ("filled box", "inscribed ellipse", "random walker")
METHODS = (MODEL, *BASELINES)
PROMPTS = ("box", "box+clicks", "box3d")
PLANES = ("native", "axial", "coronal", "sagittal")
CLICK_STEPS = (1, 3, 5)
# Surface Dice: mm, or pixels where the spacing is missing.
TOLERANCE = 2.0


@dataclass(frozen=True)
class Plan:
    """What is measured. Two runs with one plan measure the same boxes.

    Attributes
    ----------
    prompt : one of `PROMPTS`
        "box+clicks" corrects up to five times where the mask is most wrong; "box3d" carries the
        mask of a box on the middle slice through the object's slices.
    jitter : float
        How far each side of the box may be off, as a share of the length across it.
    seed : int
    max_cases : int
        Per data set, evenly chosen; 0 for all.
    max_slices : int
        Per structure and case, evenly chosen.
    min_area_px : int
        Smaller pieces of a cross-section are left out.
    plane : one of `PLANES`
        "native" is across the file's last axis, in which slices were acquired or drawn.
    """

    prompt: str = "box"
    jitter: float = 0.05
    seed: int = 0
    max_cases: int = 0
    max_slices: int = 5
    min_area_px: int = 25
    plane: str = "native"

    def __post_init__(self) -> None:
        if self.prompt not in PROMPTS:
            raise UsageError(f"There is no prompt “{self.prompt}”; use one of {_listed(PROMPTS)}.")
        if self.plane not in PLANES:
            raise UsageError(f"There is no plane “{self.plane}”; use one of {_listed(PLANES)}.")
        if not 0 <= self.jitter <= 1:
            raise UsageError(f"The jitter is a share from 0 to 1, not {self.jitter:g}.")
        if self.max_slices < 1:
            raise UsageError("At least one slice per structure has to be measured.")


@dataclass(frozen=True)
class Row:
    """One mask against its truth: one connected piece of a structure, as a person would box it.

    Attributes
    ----------
    data_set, case, modality, structure : str
    value : int
        The structure's label value.
    slice : int
        In the canonical array, along ``axis``; the boxed slice for "box3d".
    axis : int
    piece : int
        Counts the pieces on the slice, the largest first.
    step : str
        "box", "+1", "+3", "+5" or "box3d".
    method : one of `METHODS`
    area : int
        Pixels (voxels) of the truth.
    dice, nsd, hd95 : float
        NaN where not defined.
    unit : "mm" or "px"
    score : float
        The model's own estimate of its Dice; NaN for other methods.
    seconds : float
    """

    data_set: str
    case: str
    modality: str
    structure: str
    value: int
    slice: int
    axis: int
    piece: int
    step: str
    method: str
    area: int
    dice: float
    nsd: float
    hd95: float
    unit: str
    score: float
    seconds: float


def evaluate(
    engine: InferenceEngine,
    model_id: str,
    data_sets: Sequence[DataSet],
    plan: Plan,
    ctx: JobContext | None = None,
) -> list[Row]:
    """Return one row per mask, of the model and of every baseline on the same box.

    Raises
    ------
    ReadError, GeometryError
        A case cannot be read.
    ModelUnavailableError, WeightsError, Cancelled
    """
    ctx = ctx or NullContext()
    engine.load(model_id)
    chosen = [(d, c) for d in data_sets for c in evenly(d.cases, plan.max_cases or len(d.cases))]
    rows: list[Row] = []
    for number, (data_set, case) in enumerate(chosen):
        ctx.report(number / len(chosen), f"{data_set.name} {case.name}")
        rows += _Measuring(engine, model_id, data_set, case, plan).rows(ctx)
    ctx.report(1.0, "done")
    return rows


class _Measuring:
    """All masks of one case."""

    def __init__(
        self,
        engine: InferenceEngine,
        model_id: str,
        data_set: DataSet,
        case: Case,
        plan: Plan,
    ) -> None:
        self._engine = engine
        self._model_id = model_id
        self._data_set = data_set
        self._case = case
        self._plan = plan
        self._volume, self._truth = read_case(case)
        self._window = intensity_window(self._volume.voxels, self._volume.modality)
        plane = 0 if plan.plane == "native" else PLANES.index(plan.plane) - 1
        self._axis = canonical_axis(self._volume, 2) if plan.plane == "native" else plane

    def rows(self, ctx: JobContext) -> Iterator[Row]:
        """Yield the rows of every structure that was drawn in this case."""
        is_stack = self._data_set.facts.is_stack
        native = canonical_axis(self._volume, 2)
        if is_stack and (self._plan.prompt == "box3d" or self._axis != native):
            return
        labelled = self._case.labelled
        for value in (int(v) for v in np.unique(self._truth) if v):
            if labelled is not None and value not in labelled:
                continue
            ctx.check()
            truth = self._truth == value
            if self._plan.prompt == "box3d":
                yield from self._object_rows(value, truth)
                continue
            for index in self._slices(value, truth):
                on_slice = take_slice(truth, self._axis, index)
                random = self._random(value, index)
                for number, piece in enumerate(pieces(on_slice, self._plan.min_area_px)):
                    row = self._row(value, index, piece, number)
                    yield from self._slice_rows(row, piece, random)

    def _slices(self, value: int, truth: np.ndarray) -> Sequence[int]:
        """Return some slices on which the structure is large enough, evenly chosen."""
        large = np.flatnonzero(self._areas(truth) >= self._plan.min_area_px).tolist()
        phase = self._random(value, -1).random()
        return evenly(large, self._plan.max_slices, phase)

    def _areas(self, truth: np.ndarray) -> np.ndarray:
        others = tuple(a for a in range(3) if a != self._axis)
        return np.count_nonzero(truth, axis=others)

    def _random(self, value: int, index: int) -> np.random.Generator:
        # Of the slice alone: other limits or cases do not change its box.
        name = f"{self._data_set.name}/{self._case.name}/{self._axis}/{value}/{index}"
        return np.random.default_rng([self._plan.seed, zlib.crc32(name.encode())])

    def _slice_rows(
        self, row: Row, truth: np.ndarray, random: np.random.Generator
    ) -> Iterator[Row]:
        axis, index = self._axis, row.slice
        box = jittered_box(tight_box(truth), _rc(truth), self._plan.jitter, random)
        spacing = spacing_of(self._volume, self._data_set, without=axis)
        volume, at = self._volume, index
        if self._data_set.facts.is_stack:
            volume, at = single_slice(volume, axis, index), 0
        prompts: tuple[Prompt, ...] = (BoxPrompt(slice_region(axis, at, box), axis),)
        n_clicks = CLICK_STEPS[-1] if self._plan.prompt == "box+clicks" else 0
        mask, score, seconds = self._predicted(volume, prompts, at)
        for click in range(n_clicks + 1):
            if click:
                correction = corrective_click(mask, truth)
                if correction is not None:
                    (r, c), is_positive = correction
                    point: list[float] = [r, c]
                    point.insert(axis, at)
                    where = (point[0], point[1], point[2])
                    prompts = (*prompts, PointPrompt(where, is_positive, axis))
                    mask, score, seconds = self._predicted(volume, prompts, at)
            if click == 0 or click in CLICK_STEPS:
                step = "box" if click == 0 else f"+{click}"
                measured = agreement(mask, truth, spacing, TOLERANCE)
                yield replace(
                    row, step=step, method=MODEL, score=score, seconds=seconds, **vars(measured)
                )
        pixels = apply_window(take_slice(self._volume.voxels, axis, index), self._window)
        yield from self._baseline_rows(replace(row, step="box"), pixels, truth, box, spacing)

    def _object_rows(self, value: int, truth: np.ndarray) -> Iterator[Row]:
        """Yield the rows of one box on the middle slice, carried through the object's slices."""
        axis = self._axis
        truth = pieces(truth, 1)[0]
        areas = self._areas(truth)
        present = np.flatnonzero(areas)
        large = np.flatnonzero(areas >= self._plan.min_area_px)
        start, stop = int(present[0]), int(present[-1]) + 1
        if large.size == 0 or stop - start < 2:
            return
        index = int(large[np.abs(large - (start + stop - 1) / 2).argmin()])
        on_slice = take_slice(truth, axis, index)
        random = self._random(value, index)
        box = jittered_box(tight_box(on_slice), _rc(on_slice), self._plan.jitter, random)
        spacing = spacing_of(self._volume, self._data_set)
        row = self._row(value, index, truth, 0)
        prompt = BoxPrompt(slice_region(axis, index, box), axis, through=(start, stop))
        began = time.perf_counter()
        result = self._run(self._volume, (prompt,))
        seconds = time.perf_counter() - began
        mask = np.zeros(truth.shape, bool)
        if result.region is not None and result.mask is not None:
            mask[result.region.slices] = result.mask
        measured = agreement(mask, truth, spacing, TOLERANCE)
        row = replace(row, step="box3d")
        score = np.nan if result.score is None else result.score
        yield replace(row, method=MODEL, score=score, seconds=seconds, **vars(measured))
        low, high = [box[0], box[1]], [box[2], box[3]]
        low.insert(axis, start)
        high.insert(axis, stop)
        voxels = apply_window(self._volume.voxels, self._window)
        yield from self._baseline_rows(row, voxels, truth, (*low, *high), spacing)

    def _baseline_rows(
        self,
        row: Row,
        voxels: np.ndarray,
        truth: np.ndarray,
        box: Sequence[int],
        spacing: Sequence[float],
    ) -> Iterator[Row]:
        for method in BASELINES:
            began = time.perf_counter()
            if method == "filled box":
                mask = filled_box(truth.shape, box)
            elif method == "inscribed ellipse":
                mask = inscribed_ellipse(truth.shape, box)
            else:
                mask = random_walker(voxels, box)
            seconds = time.perf_counter() - began
            measured = agreement(mask, truth, spacing, TOLERANCE)
            yield replace(row, method=method, seconds=seconds, **vars(measured))

    def _row(self, value: int, index: int, truth: np.ndarray, piece: int) -> Row:
        return Row(
            self._data_set.name,
            self._case.name,
            self._volume.modality.value,
            self._data_set.structure(value),
            value,
            index,
            self._axis,
            piece,
            "",
            "",
            int(np.count_nonzero(truth)),
            np.nan,
            np.nan,
            np.nan,
            self._data_set.unit,
            np.nan,
            np.nan,
        )

    def _predicted(
        self, volume: Volume, prompts: tuple[Prompt, ...], index: int
    ) -> tuple[np.ndarray, float, float]:
        """Return the mask on the prompted slice, the model's score and the seconds it took."""
        began = time.perf_counter()
        result = self._run(volume, prompts)
        seconds = time.perf_counter() - began
        whole = np.zeros(volume.voxels.shape, bool)
        if result.region is not None and result.mask is not None:
            whole[result.region.slices] = result.mask
        return take_slice(whole, self._axis, index), result.scores[index], seconds

    def _run(self, volume: Volume, prompts: tuple[Prompt, ...]) -> SegmentationResult:
        request = SegmentationRequest(volume, self._model_id, prompts, self._window)
        return self._engine.run(request, NullContext())


def evenly(items: Sequence, n: int, phase: float = 0.5) -> Sequence:
    """Return ``n`` items spread evenly over a sequence; all of them if there are no more."""
    if len(items) <= n:
        return items
    return [items[int((k + phase) * len(items) / n)] for k in range(n)]


def _rc(mask: np.ndarray) -> tuple[int, int]:
    return mask.shape[0], mask.shape[1]


def spacing_of(volume: Volume, data_set: DataSet, without: int | None = None) -> tuple[float, ...]:
    """Return the voxel size along each axis but one: mm, or 1 where it is not known."""
    spacing = volume.geometry.spacing_zyx if data_set.facts.has_spacing else (1.0, 1.0, 1.0)
    return tuple(s for a, s in enumerate(spacing) if a != without)


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words)
