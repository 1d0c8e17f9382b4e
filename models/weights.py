"""Weights on this machine: the manifest, their hashes, and networks made from them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.errors import WeightsError
from models.base import InstalledModel, ModelKind
from resources import resource_path

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

MANIFEST = "weights/manifest.json"


def list_models(user_folder: Path | None = None) -> Mapping[str, InstalledModel]:
    """Return the installed models by id: those that ship, then the imported ones.

    Parameters
    ----------
    user_folder : Path, optional
        Of the imported models.

    Raises
    ------
    WeightsError
        The manifest is missing or damaged.
    """
    path = resource_path(MANIFEST)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["models"]
        models = [installed_model(entry, path.parent) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            "The list of the models that ship with Maskwright cannot be read; install it again."
        ) from error
    if user_folder is not None:
        from models.model_store import imported_models

        models += imported_models(user_folder, frozenset(model.id for model in models))
    return {model.id: model for model in models}


def verify_model(model: InstalledModel) -> None:
    """Compare a model's files with their hashes.

    Raises
    ------
    WeightsError
        A file is missing or differs.
    """
    expected = {model.path.name: model.sha256, **_extra_files(model)}
    for name, sha256 in expected.items():
        path = model.path.with_name(name)
        if not path.exists():
            raise WeightsError(f"“{model.title}”: the file {name} is missing; install it again.")
        if sha256_of(path) != sha256:
            raise WeightsError(
                f"“{model.title}”: the file {name} is not the one that was installed (its "
                "SHA-256 differs); install it again."
            )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_network(path: Path, *, device: str = "cpu") -> torch.nn.Module:
    """Return the network of a checkpoint in eval mode, giving logits.

    What it is, is told from its names and shapes; see `models.published.checkpoints`.

    Parameters
    ----------
    path : Path
        `.pth`, `.pt`, `.bin` or `.safetensors`.
    device : "cpu" or "cuda"

    Raises
    ------
    WeightsError
        It is missing, damaged, of another kind, or holds more than weights.
    """
    from models.published.checkpoints import load_checkpoint

    return load_checkpoint(path)[1].to(device)


def load_prompt_unet(model: InstalledModel) -> torch.nn.Module:
    """Return the embedded network in eval mode, float32, on the CPU.

    Raises
    ------
    WeightsError
        The file is missing, damaged or holds another network.
    """
    return load_network(model.path)


def load_guide(path: Path) -> torch.nn.Module:
    """Return the 3-D guide of the embedded model in eval mode, float32, on the CPU.

    Raises
    ------
    WeightsError
        The file is missing, damaged or holds another network.
    """
    from safetensors.torch import load_file

    from models.networks.vnet import guide_vnet

    try:
        stored = {name: tensor.float() for name, tensor in load_file(path).items()}
        network = guide_vnet(width=len(stored["encoder.0.act.weight"]))
        network.load_state_dict(stored)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(f"The file {path.name} is missing or damaged; install again.") from error
    return network.eval()


def installed_model(
    entry: Mapping[str, object], folder: Path, *, source: str = "embedded"
) -> InstalledModel:
    """Return the model of a manifest's entry, whose files lie in ``folder``."""
    # The name alone: removing a model deletes the folder that its file lies in.
    path = folder / Path(str(entry["file"])).name
    labels = entry.get("labels", [])
    assert isinstance(labels, list)
    return InstalledModel(
        id=str(entry["id"]),
        title=str(entry["title"]),
        kind=ModelKind(entry["kind"]),
        format=str(entry["format"]),
        path=path,
        sha256=str(entry["sha256"]),
        n_bytes=int(str(entry["bytes"])),
        licence=str(entry["licence"]),
        source=source,
        labels=tuple(str(label) for label in labels),
        details=dict(entry),
    )


def _extra_files(model: InstalledModel) -> dict[str, str]:
    extra, also = model.details.get("graph", {}), model.details.get("also", [])
    assert isinstance(extra, Mapping)
    assert isinstance(also, list)
    return {
        **{str(name): str(sha256) for name, sha256 in extra.items()},
        **{str(other["file"]): str(other["sha256"]) for other in also},
    }
