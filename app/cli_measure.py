"""Commands that measure: evaluate and bench."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli_common import (
    DeviceName,
    DeviceOption,
    JsonOption,
    ModelOption,
    check_folder,
    installed_models,
    make_engine,
    print_json,
    progress,
    say,
)
from app.cli_evaluate_auto import evaluate_auto
from app.core.errors import UsageError

if TYPE_CHECKING:
    from app.evaluation.report import Figure, Summary
    from models.base import InstalledModel


def evaluate(
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="DIR", help="A data set, or the parent of several.",
            show_default=False,
        ),
    ],
    model: ModelOption = None,
    prompt: Annotated[str, typer.Option(help="box, box+clicks, box3d or auto.")] = "box",
    split: Annotated[
        str,
        typer.Option(
            help="Which part of the data: dev, train, test; or aside, those patients of the "
            "training part that settings are chosen on and nothing is learnt from."
        ),
    ] = "dev",
    jitter: Annotated[float, typer.Option(help="Sloppiness of boxes, share of a side.")] = 0.05,
    plane: Annotated[str, typer.Option(help="native, axial, coronal or sagittal.")] = "native",
    seed: Annotated[int, typer.Option(help="Fixes boxes and slices.")] = 0,
    max_cases: Annotated[int, typer.Option(help="Per data set; 0 for all.")] = 0,
    max_slices: Annotated[
        int, typer.Option("--max-slices-per-structure", help="Per structure and case.")
    ] = 5,
    device: DeviceOption = DeviceName.AUTO,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="CSV", help="Every mask, one a line.")
    ] = None,
    tables: Annotated[
        Path | None, typer.Option("--tables", metavar="MD", help="Tables for a model card.")
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            help="A checkpoint of training, FILE.pt, in place of a model; with auto beside models, "
            "and as often as wanted."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Measure a model beside methods that know nothing, on labelled cases."""
    from app.evaluation import report, trial
    from app.evaluation.cases import find_data_sets
    from app.io.atomic import replacing
    from models.engine import DEFAULT_MODEL

    if prompt == "auto":
        for path in (out, tables):
            if path is not None:
                check_folder(path)
        evaluate_auto(
            data,
            [name for name in (model or "").split(",") if name],
            checkpoint or [],
            split=split,
            seed=seed,
            max_cases=max_cases,
            device=device,
            out=out,
            tables=tables,
            as_json=as_json,
        )
        return
    if checkpoint and (model or len(checkpoint) > 1):
        raise UsageError("Measure one model or one checkpoint; with --prompt auto several go.")
    plan = trial.Plan(prompt, jitter, seed, max_cases, max_slices, plane=plane)
    for path in (out, tables):
        if path is not None:
            check_folder(path)
    data_sets = find_data_sets(data, split)
    with ExitStack() as stack:
        models, model_id = installed_models(), model or DEFAULT_MODEL
        if checkpoint:
            made = _made_model(checkpoint[0], stack)
            models, model_id = {made.id: made}, made.id
        engine = make_engine(device, lambda: models)
        with progress("Evaluating") as ctx:
            rows = trial.evaluate(engine, model_id, data_sets, plan, ctx)
        measured, device_text = models[model_id], engine.load(model_id).model.device
    summary = report.summarise(rows, seed)
    for path, text in ((out, report.csv_text(rows)), (tables, report.markdown(summary))):
        if path is not None:
            with replacing(path) as temporary:
                temporary.write_text(text, "utf-8")
            say(f"Saved {path}")
    left_out = measured.details.get("left_out", [])
    assert isinstance(left_out, list)
    if not as_json:
        typer.echo(summary_text(summary))
        if left_out:
            typer.echo("not trained on: " + ", ".join(left_out))
        return
    print_json(
        {
            "model": str(checkpoint[0]) if checkpoint else measured.id,
            "model_sha256": measured.sha256,
            "left_out": left_out,
            "device": device_text,
            "prompt": prompt,
            "split": split,
            "jitter": jitter,
            "plane": plane,
            "seed": seed,
            "tolerance": trial.TOLERANCE,
            "out": str(out) if out else None,
            **report.as_json(summary),
        }
    )


def _made_model(checkpoint: Path, stack: ExitStack) -> InstalledModel:
    """Return a checkpoint as a model, whose files are there until the stack ends."""
    from models.training.export import exported_model

    # The graph may still be mapped when the folder goes.
    made = TemporaryDirectory(ignore_cleanup_errors=True)
    return exported_model(checkpoint, Path(stack.enter_context(made)))


def summary_text(summary: Summary) -> str:
    """Return the means over structures and over data sets as lines of text."""
    from app.evaluation.trial import METHODS

    width = max([10, *(len(x.data_set) for x in summary.lines)])
    lines = []
    for step in summary.steps:
        lines.append(f"{step}: mean Dice (95 % interval), NSD, HD95")
        for line in summary.lines:
            if line.step != step or line.structure:
                continue
            f = line.figures
            margin = f"  {line.margin.mean:+.3f} above the ellipse" if line.margin else ""
            lines.append(
                f"  {line.data_set or 'all':{width}}  {line.method:{max(map(len, METHODS))}}  "
                f"{_interval(f['dice'])}  {f['nsd'].mean:.3f}  {f['hd95'].mean:.1f} {line.unit}"
                f"{margin}".rstrip()
            )
    lines.append(
        f"score against Dice: calibration error {summary.calibration_error:.3f}; "
        f"one answer takes {1000 * summary.seconds_p50:.0f} ms "
        f"(95th percentile {1000 * summary.seconds_p95:.0f} ms)"
    )
    return "\n".join(lines)


def _interval(figure: Figure) -> str:
    return f"{figure.mean:.3f} ({figure.low:.3f}-{figure.high:.3f})"


def bench(
    device: DeviceOption = DeviceName.AUTO,
    networks: Annotated[
        bool, typer.Option(help="Published networks beside plain PyTorch, instead; minutes.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure this machine: start-up, opening, box to mask, carrying through, memory."""
    from app.benchmark import figures_text, run_benchmark

    if networks:
        _bench_networks(as_json)
        return
    with progress("Measuring") as ctx:
        figures = run_benchmark(make_engine(device), ctx)
    if as_json:
        print_json(figures)
    else:
        typer.echo(figures_text(figures))


def _bench_networks(as_json: bool) -> None:
    from models.network_benchmark import network_text, run_network_benchmark
    from models.runtime import cpu_name

    with progress("Measuring") as ctx:
        rows = run_network_benchmark(ctx)
    if as_json:
        print_json({"machine": {"cpu": cpu_name(), "cores": os.cpu_count()}, "networks": rows})
    else:
        typer.echo(network_text(rows))
