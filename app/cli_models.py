"""Commands about networks: models, train."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_common import (
    DeviceName,
    DeviceOption,
    JsonOption,
    installed_models,
    print_json,
    progress,
    say,
)
from app.core.errors import AppError, ModelUnavailableError, ReadError, UsageError

if TYPE_CHECKING:
    from models.base import InstalledModel

models_app = typer.Typer(
    name="models", help="Which networks are on this machine.", no_args_is_help=True
)

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


@models_app.command("list")
def list_command(as_json: JsonOption = False) -> None:
    """List the models that are installed."""
    models = installed_models().values()
    if as_json:
        print_json({"models": [_model_json(m) for m in models]})
        return
    for model in models:
        typer.echo(f"{model.id}  {model.title}")
        typer.echo(
            f"  {model.kind.value}, {model.source}, {model.format}, {model.n_bytes / 1e6:.1f} MB, "
            f"licence {model.licence or 'not named'}"
        )
        if model.labels:
            typer.echo(f"  finds {', '.join(model.labels)}")


@models_app.command("verify")
def verify(
    model_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One model; all by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the files of the installed models with their hashes."""
    from app.settings import user_models_dir
    from models.model_store import refused_entries
    from models.weights import list_models, verify_model

    models = installed_models()
    if model_id is not None and model_id not in models:
        raise ModelUnavailableError(
            f"There is no model “{model_id}”. Installed models: {', '.join(models) or 'none'}."
        )
    faults: dict[str, str] = {}
    for name in models if model_id is None else [model_id]:
        try:
            verify_model(models[name])
            faults[name] = ""
        except AppError as error:
            faults[name] = str(error)
        if not as_json:
            typer.echo(f"{name}: {faults[name] or 'intact'}")
    if model_id is None:
        for name, reason in refused_entries(user_models_dir(), frozenset(list_models())).items():
            faults[f"imported/{name}"] = reason
            if not as_json:
                typer.echo(f"imported/{name}: {reason}")
    if as_json:
        print_json(
            {
                "models": [
                    {"id": n, "ok": not reason, "reason": reason} for n, reason in faults.items()
                ]
            }
        )
    broken = [reason for reason in faults.values() if reason]
    if broken:
        raise ModelUnavailableError(broken[0])


@models_app.command("import")
def import_command(
    path: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    model_id: Annotated[str | None, typer.Option("--id", metavar="ID")] = None,
    as_json: JsonOption = False,
) -> None:
    """Add a published checkpoint: MedSAM, LiteMedSAM, TransUNet or V-Net."""
    from app.settings import user_models_dir
    from models.model_store import import_model

    taken = frozenset(installed_models())
    with progress(f"Importing {path.name}") as ctx:
        model = import_model(path, user_models_dir(), ctx, model_id=model_id or "", taken=taken)
    if as_json:
        print_json({"models": [_model_json(model)]})
    else:
        typer.echo(f"Imported {model.title} as {model.id}; licence: {model.licence}.")


@models_app.command("remove")
def remove(
    model_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Remove an imported model."""
    from models.model_store import remove_model

    found = installed_models().get(model_id)
    if found is None:
        raise ModelUnavailableError(f"There is no model “{model_id}”.")
    remove_model(found)
    if as_json:
        print_json({"removed": model_id})
    else:
        typer.echo(f"Removed {found.title}.")


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", show_default=False)],
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR|PACK", help="Scans, or what was packed.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Checkpoints, weights, log.")
    ] = None,
    device: DeviceOption = DeviceName.AUTO,
    time_budget: Annotated[
        str | None, typer.Option("--time-budget", metavar="20m", help="Such as 90s, 20m, 1h30m.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="WEIGHTS",
            help="Begin with these weights, .safetensors or last.pt; those of an automatic model "
            "for other structures lose their last layer.",
        ),
    ] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATA_SET",
            help="Do not train on it, to see how anatomy never seen is done; may be repeated.",
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            metavar="monai_vnet|monai_basic_unet",
            help="A network of MONAI in place of the recipe's, to compare with.",
        ),
    ] = None,
) -> None:
    """Train a network by a recipe."""
    budget = None if time_budget is None else seconds_of(time_budget)
    if not recipe.is_file():
        raise ReadError(f"The recipe “{recipe}” does not exist.")
    from models.training.train import train as run_training

    checkpoint = run_training(
        recipe,
        data=data,
        out=out,
        device=device.value,
        time_budget_s=budget,
        resume=resume,
        report=say,
        peer=network,
        start_from=start_from,
        leave_out=tuple(leave_out or ()),
    )
    typer.echo(f"Saved {checkpoint}")


def seconds_of(text: str) -> float:
    """Return the seconds of a duration such as 90s, 20m or 1h30m; a bare number is seconds.

    Raises
    ------
    UsageError
        It is none, or not positive.
    """
    found = _DURATION.fullmatch(text.strip())
    hours, minutes, seconds = (float(p or 0) for p in found.groups()) if found else (0.0,) * 3
    total = 3600 * hours + 60 * minutes + seconds
    if total <= 0:
        raise UsageError(f"“{text}” is no time budget; say 90s, 20m or 1h30m.")
    return total


def _model_json(model: InstalledModel) -> dict[str, Any]:
    return {
        "id": model.id,
        "title": model.title,
        "kind": model.kind.value,
        "labels": list(model.labels),
        "source": model.source,
        "format": model.format,
        "sha256": model.sha256,
        "bytes": model.n_bytes,
        "licence": model.licence,
    }
