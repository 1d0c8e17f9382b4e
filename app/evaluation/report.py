"""From rows to figures: means of means, bootstrap intervals, CSV and Markdown tables.

Slices are averaged within a case, cases within a structure, structures within a data set, data
sets at last, so that neither a large organ nor a large data set decides. Intervals come from
drawing the cases of each data set again, with replacement.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.evaluation.trial import BASELINES, METHODS, MODEL, Row

MEASURES = ("dice", "nsd", "hd95")
N_BOOTSTRAP = 1000
ELLIPSE = "inscribed ellipse"
_N_BINS = 10


@dataclass(frozen=True)
class Figure:
    """A mean with its 95 % bootstrap interval.

    Attributes
    ----------
    mean, low, high : float
        NaN where nothing is defined.
    n_cases, n_masks : int
    n_undefined : int
        Masks for which the measure has no value, e.g. a distance to an empty mask.
    """

    mean: float
    low: float
    high: float
    n_cases: int
    n_masks: int
    n_undefined: int


@dataclass(frozen=True)
class Line:
    """The figures of one method at one step, for a structure, a data set or everything.

    Attributes
    ----------
    data_set, structure : str
        Empty for a mean over all of them.
    step, method, unit : str
        Lengths of several data sets with different units have none.
    figures : mapping of measure to Figure
    margin : Figure, optional
        Dice above the inscribed ellipse of the same boxes, for the model after the box.
    """

    data_set: str
    structure: str
    step: str
    method: str
    unit: str
    figures: Mapping[str, Figure]
    margin: Figure | None = None


@dataclass(frozen=True)
class Summary:
    """What a trial found.

    Attributes
    ----------
    lines : tuple of Line
        Structures first, then data sets, then everything.
    calibration_error : float
        Expected calibration error of the model's own score against its Dice (Guo et al., "On
        calibration of modern neural networks", 2017, section 2; ten bins), NaN without scores.
    seconds_p50, seconds_p95 : float
        Of one answer of the model.
    """

    lines: tuple[Line, ...]
    calibration_error: float
    seconds_p50: float
    seconds_p95: float

    def overall(self, step: str, method: str) -> Line | None:
        """Return the mean over data sets of the mean over structures."""
        return self._find("", "", step, method)

    def data_set(self, name: str, step: str, method: str) -> Line | None:
        """Return the mean over the structures of one data set."""
        return self._find(name, "", step, method)

    @property
    def steps(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(line.step for line in self.lines))

    def _find(self, data_set: str, structure: str, step: str, method: str) -> Line | None:
        key = (data_set, structure, step, method)
        return next(
            (x for x in self.lines if (x.data_set, x.structure, x.step, x.method) == key), None
        )


def summarise(rows: Sequence[Row], seed: int = 0, methods: Sequence[str] = METHODS) -> Summary:
    """Return the figures of a trial's rows, by the methods that are named."""
    lines: list[Line] = []
    totals: list[Line] = []
    for step in dict.fromkeys(r.step for r in rows):
        for method in methods:
            chosen = [r for r in rows if r.step == step and r.method == method]
            if chosen:
                structures, sets, overall = _lines(chosen, rows, seed)
                lines += structures
                totals += [*sets, overall]
    own = [r for r in rows if r.method not in BASELINES]
    seconds = [r.seconds for r in own] or [np.nan]
    ordered = sorted(totals, key=lambda line: line.data_set == "")
    return Summary(
        (*lines, *ordered),
        calibration_error([r.score for r in own], [r.dice for r in own]),
        float(np.percentile(seconds, 50)),
        float(np.percentile(seconds, 95)),
    )


def calibration_error(scores: Sequence[float], dice: Sequence[float]) -> float:
    """Return the mean distance of score and Dice over ten bins of the score, weighted by count."""
    score, real = np.asarray(scores, np.float64), np.asarray(dice, np.float64)
    known = np.isfinite(score) & np.isfinite(real)
    score, real = score[known], real[known]
    if score.size == 0:
        return np.nan
    bins = np.clip((score * _N_BINS).astype(int), 0, _N_BINS - 1)
    apart = [
        abs(float(score[bins == b].mean() - real[bins == b].mean())) * int((bins == b).sum())
        for b in np.unique(bins)
    ]
    return sum(apart) / score.size


# -- files --------------------------------------------------------------------------------------


def csv_text(rows: Sequence[Row]) -> str:
    """Return all rows as CSV; values that are not defined stay empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([f.name for f in dataclasses.fields(rows[0] if rows else Row)])
    for row in rows:
        writer.writerow([_cell(v) for v in dataclasses.astuple(row)])
    return text.getvalue()


def markdown(summary: Summary) -> str:
    """Return tables for a model card: everything, by data set, by structure."""
    parts = []
    for step in summary.steps:
        title = "After the box" if step == "box" else f"After {step}"
        parts += [f"### {title}", "", *_markdown_table(summary, step), ""]
    return "\n".join(parts)


def as_json(summary: Summary) -> dict[str, object]:
    """Return the summary as plain dictionaries; values that are not defined are None."""
    return {
        "mean": [_json_line(x) for x in summary.lines if not x.data_set],
        "data_sets": [_json_line(x) for x in summary.lines if x.data_set and not x.structure],
        "structures": [_json_line(x) for x in summary.lines if x.structure],
        "calibration_error": _plain(summary.calibration_error),
        "seconds_per_prompt": {
            "p50": _plain(summary.seconds_p50),
            "p95": _plain(summary.seconds_p95),
        },
    }


# -- inside: means and intervals ------------------------------------------------------------------


class _DataSetMeans:
    """Case means of one data set as a (case, structure) table, and draws of its cases."""

    def __init__(self, rows: Sequence[Row], cases: Sequence[str], draws: np.ndarray) -> None:
        self.structures = sorted({(r.value, r.structure) for r in rows})
        self._rows = rows
        self._cases = {name: n for n, name in enumerate(cases)}
        self._draws = draws

    def table(self, measure: str) -> np.ndarray:
        """Return (cases, structures) means over slices; NaN where nothing is defined."""
        total = np.zeros((len(self._cases), len(self.structures)))
        count = np.zeros_like(total)
        column = {value: n for n, (value, _) in enumerate(self.structures)}
        for row in self._rows:
            found = getattr(row, measure)
            if np.isfinite(found):
                where = self._cases[row.case], column[row.value]
                total[where] += found
                count[where] += 1
        return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)

    def drawn(self, table: np.ndarray) -> np.ndarray:
        """Return (draws, structures) means over the drawn cases; NaN where none has a value."""
        known = np.isfinite(table)
        total = self._draws @ np.where(known, table, 0.0)
        count = self._draws @ known.astype(np.float64)
        return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _lines(
    chosen: Sequence[Row], rows: Sequence[Row], seed: int
) -> tuple[list[Line], list[Line], Line]:
    """Return the lines of one method at one step."""
    step, method = chosen[0].step, chosen[0].method
    structures: list[Line] = []
    sets: list[Line] = []
    means: dict[str, list[tuple[float, np.ndarray]]] = {m: [] for m in (*MEASURES, "margin")}
    for name in dict.fromkeys(r.data_set for r in chosen):
        own = [r for r in chosen if r.data_set == name]
        cases = sorted({r.case for r in rows if r.data_set == name})
        data = _DataSetMeans(own, cases, _draws(len(cases), seed))
        unit = own[0].unit
        tables = {m: data.table(m) for m in MEASURES}
        drawn = {m: data.drawn(tables[m]) for m in MEASURES}
        for n, (value, structure) in enumerate(data.structures):
            some = [r for r in own if r.value == value]
            figures = {
                m: _figure(float(_mean(tables[m][:, n])), drawn[m][:, n], some, m) for m in MEASURES
            }
            structures.append(Line(name, structure, step, method, unit, figures))
        figures = {}
        for m in MEASURES:
            mean, spread = float(_mean(_mean(tables[m], 0))), _mean(drawn[m], 1)
            figures[m] = _figure(mean, spread, own, m)
            means[m].append((mean, spread))
        margin = None
        rivals = [r for r in rows if _is_rival(r, name, step)]
        if method == MODEL and rivals:
            apart = tables["dice"] - _DataSetMeans(rivals, cases, data._draws).table("dice")
            mean, spread = float(_mean(_mean(apart, 0))), _mean(data.drawn(apart), 1)
            margin = _figure(mean, spread, own, "dice")
            means["margin"].append((mean, spread))
        sets.append(Line(name, "", step, method, unit, figures, margin))
    overall = {m: _overall(means[m], chosen, m) for m in MEASURES}
    margin = _overall(means["margin"], chosen, "dice") if means["margin"] else None
    units = {r.unit for r in chosen}
    unit = units.pop() if len(units) == 1 else ""
    return structures, sets, Line("", "", step, method, unit, overall, margin)


def _is_rival(row: Row, data_set: str, step: str) -> bool:
    return row.data_set == data_set and row.step == step and row.method == ELLIPSE


def _draws(n_cases: int, seed: int) -> np.ndarray:
    """Return how often each case is drawn in each repetition, (draws, cases) float64."""
    rng = np.random.default_rng([seed, n_cases])
    return rng.multinomial(n_cases, np.full(n_cases, 1 / n_cases), N_BOOTSTRAP).astype(np.float64)


def _overall(parts: list[tuple[float, np.ndarray]], rows: Sequence[Row], measure: str) -> Figure:
    mean = float(_mean(np.array([m for m, _ in parts])))
    spread = _mean(np.stack([s for _, s in parts]), 0)
    return _figure(mean, spread, rows, measure)


def _figure(mean: float, spread: np.ndarray, rows: Sequence[Row], measure: str) -> Figure:
    known = spread[np.isfinite(spread)]
    low, high = np.percentile(known, (2.5, 97.5)) if known.size else (np.nan, np.nan)
    values = np.array([getattr(r, measure) for r in rows])
    return Figure(
        mean,
        float(low),
        float(high),
        len({(r.data_set, r.case) for r in rows}),
        len(rows),
        int(np.count_nonzero(~np.isfinite(values))),
    )


def _mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Return the mean of what is defined; NaN, without a warning, where nothing is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=axis)
    count = known.sum(axis=axis)
    return np.divide(total, count, out=np.full_like(total, np.nan, np.float64), where=count > 0)


# -- inside: text ---------------------------------------------------------------------------------


def _markdown_table(summary: Summary, step: str) -> list[str]:
    lines = [x for x in summary.lines if x.step == step]
    methods = [m for m in METHODS if any(x.method == m for x in lines)]
    head = ["data set", "structure", "cases", *(f"Dice, {m}" for m in methods), "NSD", "HD95"]
    table = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    keys = list(dict.fromkeys((x.data_set, x.structure) for x in lines))
    for data_set, structure in keys:
        by_method = {
            x.method: x for x in lines if (x.data_set, x.structure) == (data_set, structure)
        }
        own = by_method.get(MODEL)
        first = own or next(iter(by_method.values()))
        cells = [data_set or "**mean**", structure or "**mean**"]
        cells.append(str(first.figures["dice"].n_cases))
        for method in methods:
            line = by_method.get(method)
            cells.append("" if line is None else _interval(line.figures["dice"], method))
        cells.append(_number(first.figures["nsd"].mean, 3))
        unit = f" {first.unit}" if first.unit else ""
        cells.append(f"{_number(first.figures['hd95'].mean, 1)}{unit}")
        table.append("| " + " | ".join(cells) + " |")
    return table


def _interval(figure: Figure, method: str) -> str:
    if method in BASELINES or not np.isfinite(figure.low):
        return _number(figure.mean, 3)
    return f"{figure.mean:.3f} ({figure.low:.3f}–{figure.high:.3f})"


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"


def _json_line(line: Line) -> dict[str, object]:
    content: dict[str, object] = {"data_set": line.data_set} if line.data_set else {}
    if line.structure:
        content["structure"] = line.structure
    content |= {"step": line.step, "method": line.method, "unit": line.unit}
    content |= {name: _json_figure(figure) for name, figure in line.figures.items()}
    if line.margin is not None:
        content["dice_above_ellipse"] = _json_figure(line.margin)
    return content


def _json_figure(figure: Figure) -> dict[str, object]:
    return {
        "mean": _plain(figure.mean),
        "interval": [_plain(figure.low), _plain(figure.high)],
        "cases": figure.n_cases,
        "masks": figure.n_masks,
        "undefined": figure.n_undefined,
    }


def _plain(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def _cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6g}" if np.isfinite(value) else ""
    return value
