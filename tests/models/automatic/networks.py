"""Hand-made networks and descriptions whose answers are known, and one installed as a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from app.core.volume import Modality
from models.automatic.spec import AutomaticLabel, AutomaticSpec, IntensityScale
from models.base import InstalledModel, ModelKind

# Intensities of the phantoms; the network tells them apart by value alone.
AIR, FIRST, SECOND = -1000.0, 100.0, 400.0


def spec_for(
    family: str = "vnet",
    *,
    spacing: tuple[float, float, float] | None = (2.0, 2.0, 2.0),
    tile: tuple[int, int, int] = (16, 16, 16),
    values: tuple[int, ...] = (3, 7),
    **rules: object,
) -> AutomaticSpec:
    """Return a description of a network that finds two structures in a CT."""
    sizes = {"in_channels": 1, "n_classes": 1 + len(values)}
    arguments = (
        sizes | {"width": 2, "kernel": 3, "encoder": (1, 1, 1, 1, 1), "decoder": (1, 1, 1, 1)}
        if family == "vnet"
        else sizes
        | {
            "image_size": tile[1],
            "width": 8,
            "units": (1, 1, 1),
            "hidden": 32,
            "depth": 1,
            "heads": 2,
            "n_first": 16,
            "decoder_channels": (16, 8, 8, 8),
        }
    )
    return AutomaticSpec(
        family,
        arguments,
        tuple(
            AutomaticLabel(v, f"organ {v}", **rules)  # type: ignore[arg-type]
            for v in values
        ),
        Modality.CT,
        IntensityScale("values", (AIR, 1000.0), (0.0, 1.0)),
        spacing,
        tile,
        ((10.0, 400.0),) * 3,
        "phantom",
    )


def bands(spec: AutomaticSpec, sharpness: float = 60.0):
    """Return a network that tells air, `FIRST` and `SECOND` apart, and a list of its batch sizes.

    The logit of each class falls with the distance of a voxel's value from the class's own.
    """
    scaled = [(v - AIR) / (1000.0 - AIR) for v in (AIR, FIRST, SECOND)][: 1 + len(spec.labels)]
    batches: list[tuple[int, ...]] = []

    def network(tiles: np.ndarray, check=None) -> tuple[np.ndarray, ...]:
        if check is not None:
            check()
        batches.append(tiles.shape)
        apart = [-np.abs(tiles[:, 0] - np.float32(s)) * sharpness for s in scaled]
        return (np.stack(apart, 1).astype(np.float32),)

    return network, batches


def install(folder: Path, spec: AutomaticSpec, model_id: str = "tiny") -> InstalledModel:
    """Return a model of random weights, as it is kept in a folder of imported models."""
    import torch
    from safetensors.torch import save_file

    from models.automatic.network import new_module
    from models.weights import installed_model, sha256_of

    torch.manual_seed(0)
    own = folder / model_id
    own.mkdir(parents=True)
    path = own / f"{model_id}.safetensors"
    state = new_module(spec).state_dict()
    save_file(
        {k: v.half().contiguous() if v.is_floating_point() else v for k, v in state.items()}, path
    )
    entry: Mapping[str, object] = {
        "id": model_id,
        "title": "Tiny",
        "kind": ModelKind.AUTOMATIC.value,
        "format": "automatic",
        "labels": [label.name for label in spec.labels],
        "file": path.name,
        "sha256": sha256_of(path),
        "bytes": path.stat().st_size,
        "licence": "Apache-2.0",
        "automatic": spec.to_json(),
    }
    (own / "model.json").write_text(json.dumps(entry), encoding="utf-8")
    return installed_model(entry, own, source="imported")
