"""Tables of automatic models side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.evaluation.automatic import STEP, AutoRow, Counts, counts
from app.evaluation.report import Figure, Line, Summary, summarise


def auto_summary(rows: Sequence[AutoRow], seed: int = 0) -> Summary:
    """Return means and bootstrap intervals of every model; see `app.evaluation.report`."""
    return summarise(rows, seed, methods=tuple(dict.fromkeys(r.method for r in rows)))


def auto_counts(rows: Sequence[AutoRow], line: Line) -> Counts:
    """Return the counts that belong to a line of the summary."""
    return counts(
        [
            r
            for r in rows
            if r.method == line.method
            and line.data_set in ("", r.data_set)
            and line.structure in ("", r.structure)
        ]
    )


def auto_markdown(summary: Summary, rows: Sequence[AutoRow]) -> str:
    """Return one table: structures down, models across."""
    methods = list(dict.fromkeys(r.method for r in rows))
    head = ["data set", "structure", "cases"]
    for method in methods:
        head += [f"Dice, {method}", "NSD", "HD95", "missed / extra"]
    table = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines = {(x.data_set, x.structure, x.method): x for x in summary.lines if x.step == STEP}
    sets = list(dict.fromkeys(r.data_set for r in rows))
    keys = []
    for name in sets:
        own = [r for r in rows if r.data_set == name]
        keys += [(name, s) for s in dict.fromkeys(r.structure for r in own)] + [(name, "")]
    if len(sets) > 1:
        keys.append(("", ""))
    for data_set, structure in keys:
        some = [x for m in methods if (x := lines.get((data_set, structure, m))) is not None]
        n_cases = max(x.figures["dice"].n_cases for x in some)
        cells = [data_set or "**mean**", structure or "**mean**", str(n_cases)]
        for method in methods:
            line = lines.get((data_set, structure, method))
            cells += [""] * 4 if line is None else _cells(line, auto_counts(rows, line))
        table.append("| " + " | ".join(cells) + " |")
    tail = (
        "Dice with its 95 % interval over patients. NSD at 2 mm (2 px without spacing). Missed: "
        "there and not found, Dice 0, no distance. Extra: found where there is none; where there "
        "is none, nothing is scored."
    )
    return "\n".join([*table, "", tail, ""])


def auto_text(summary: Summary, rows: Sequence[AutoRow]) -> str:
    """Return the same as lines for a terminal."""
    wide = max(len(r.structure) for r in rows)
    out = []
    for method in dict.fromkeys(r.method for r in rows):
        own = [r for r in rows if r.method == method]
        seconds = {(r.data_set, r.case): r.seconds for r in own}
        out.append(
            f"{method}: Dice (95 % interval), NSD, HD95, missed, extra; "
            f"{np.median(list(seconds.values())):.1f} s a case"
        )
        for line in summary.lines:
            if line.method != method or not line.data_set:
                continue
            f, n = line.figures, auto_counts(rows, line)
            hd95 = f"{f['hd95'].mean:.1f} {line.unit}" if np.isfinite(f["hd95"].mean) else "-"
            out.append(
                f"  {line.data_set}  {line.structure or 'mean':{wide}}  {_interval(f['dice'])}  "
                f"{_number(f['nsd'].mean)}  {hd95}  {n.n_missed}/{n.n_cases}  "
                f"{n.n_extra}/{n.n_absent}"
            )
    return "\n".join(out)


def _cells(line: Line, n: Counts) -> list[str]:
    f = line.figures
    hd95 = f"{f['hd95'].mean:.1f} {line.unit}" if np.isfinite(f["hd95"].mean) else "–"
    return [_interval(f["dice"]), _number(f["nsd"].mean), hd95, f"{n.n_missed} / {n.n_extra}"]


def _interval(figure: Figure) -> str:
    if not np.isfinite(figure.mean):
        return "–"
    return f"{figure.mean:.3f} ({figure.low:.3f}–{figure.high:.3f})"


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "–"
