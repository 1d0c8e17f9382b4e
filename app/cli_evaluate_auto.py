"""`evaluate --prompt auto`: automatic models side by side on labelled cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from app.cli_common import (
    DeviceName,
    installed_models,
    make_engine,
    print_json,
    progress,
    say,
)
from app.core.errors import UsageError


def evaluate_auto(
    data: Path,
    model_ids: Sequence[str],
    checkpoints: Sequence[Path],
    *,
    split: str,
    seed: int,
    max_cases: int,
    device: DeviceName,
    out: Path | None,
    tables: Path | None,
    as_json: bool,
) -> None:
    """Measure installed models and checkpoints on the same cases; print and write the figures."""
    from app.evaluation import auto_report, report
    from app.evaluation.automatic import evaluate_automatic
    from app.evaluation.cases import find_data_sets
    from app.evaluation.trial import TOLERANCE
    from app.io.atomic import replacing
    from app.memory import peak_rss_mb

    if not model_ids and not checkpoints:
        raise UsageError(
            "Name the automatic models to measure with --model A,B or --checkpoint FILE.pt; "
            "`maskwright models list` shows which are installed."
        )
    engine = make_engine(device)
    models = {name: engine.load_automatic(name) for name in model_ids}
    if checkpoints:
        from models.automatic.peers import load_checkpoint

        for path in checkpoints:
            name, segmenter = load_checkpoint(path, engine.device)
            models[name if name not in models else f"{name}, {path}"] = segmenter
    data_sets = find_data_sets(data, split)
    with progress("Evaluating") as ctx:
        rows = evaluate_automatic(models, data_sets, max_cases=max_cases, ctx=ctx)
    summary = auto_report.auto_summary(rows, seed)
    files = ((out, report.csv_text(rows)), (tables, auto_report.auto_markdown(summary, rows)))
    for target, text in files:
        if target is not None:
            with replacing(target) as temporary:
                temporary.write_text(text, "utf-8")
            say(f"Saved {target}")
    if not as_json:
        typer.echo(auto_report.auto_text(summary, rows))
        return
    installed = installed_models()
    content: dict[str, Any] = report.as_json(summary)
    content.pop("seconds_per_prompt")
    named = [("mean", x) for x in summary.lines if not x.data_set]
    named += [("data_sets", x) for x in summary.lines if x.data_set and not x.structure]
    named += [("structures", x) for x in summary.lines if x.structure]
    for key in ("mean", "data_sets", "structures"):
        own = [x for k, x in named if k == key]
        for entry, line in zip(content[key], own, strict=True):
            found = auto_report.auto_counts(rows, line)
            entry |= {
                "missed": found.n_missed,
                "absent": found.n_absent,
                "extra": found.n_extra,
            }
    print_json(
        {
            "models": [
                {
                    "id": name,
                    "sha256": installed[name].sha256 if name in installed else "",
                    "device": model.device,
                    "seconds_per_case": _mean_seconds(rows, name),
                }
                for name, model in models.items()
            ],
            "prompt": "auto",
            "split": split,
            "seed": seed,
            "tolerance": TOLERANCE,
            "out": str(out) if out else None,
            "peak_rss_mb": round(peak_rss_mb(), 1),
            **content,
        }
    )


def _mean_seconds(rows: Sequence, name: str) -> float | None:
    seconds = {(r.data_set, r.case): r.seconds for r in rows if r.method == name}
    return round(sum(seconds.values()) / len(seconds), 3) if seconds else None
