"""The networks of automatic models as functions of tiles: OpenVINO on a CPU, PyTorch on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.core.errors import WeightsError
from models.automatic.spec import AutomaticSpec
from models.base import InstalledModel
from models.converted import cpu_network
from models.runtime import Device, Network, wrap_module

if TYPE_CHECKING:
    import torch

# How many tiles a GPU gets at once; halved where its memory is full. A CPU gains nothing by more
# than one.
_GPU_TILES = {"vnet": 2, "transunet": 16}


def new_module(spec: AutomaticSpec) -> torch.nn.Module:
    """Return the network that a description names, freshly initialised.

    Raises
    ------
    WeightsError
        Its arguments make no network.
    """
    from models.networks.transunet import TransUNet
    from models.networks.vnet import VNet

    try:
        return VNet(**spec.arguments) if spec.is_volumetric else TransUNet(**spec.arguments)
    except (TypeError, ValueError) as error:
        raise WeightsError(
            "The description of an automatic model names a network that this version of "
            "Maskwright cannot make."
        ) from error


def load_module(path: Path, spec: AutomaticSpec) -> torch.nn.Module:
    """Return the network of a weights file in eval mode, float32.

    Raises
    ------
    WeightsError
        The file is missing, damaged, or of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    module = new_module(spec)
    try:
        stored = load_file(path)
        module.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in stored.items()}
        )
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WeightsError(
            f"The weights {path.name} are missing, damaged, or do not fit their description; "
            "install or import the model again."
        ) from error
    return module.eval()


def open_network(
    model: InstalledModel, spec: AutomaticSpec, device: Device, cache_dir: Path | None
) -> tuple[Network, str, int]:
    """Return an installed model's network, how it runs in words, and its best number of tiles.

    Raises
    ------
    WeightsError
    """
    # The file's content is checked when a graph is made of it; afterwards its hash names the graph.
    if not model.path.is_file():
        raise WeightsError(f"“{model.title}”: the file {model.path.name} is missing.")
    return run_module(
        lambda: load_module(model.path, spec),
        spec,
        device,
        name=f"{model.id}-{model.sha256[:12]}",
        cache_dir=cache_dir,
    )


def run_module(
    make_module: Callable[[], torch.nn.Module],
    spec: AutomaticSpec,
    device: Device,
    *,
    name: str,
    cache_dir: Path | None,
) -> tuple[Network, str, int]:
    """Return a module as a function of tiles; see `open_network`."""
    if device.kind == "cuda":
        network = wrap_module(make_module(), device)
        return network, f"PyTorch fp16 on {device.name}", _GPU_TILES[spec.family]
    sides = spec.tile_zyx if spec.is_volumetric else spec.tile_zyx[1:]
    example = np.zeros((1, 1, *sides), np.float32)
    size = "x".join(str(n) for n in sides)
    network, words = cpu_network(
        make_module, (example,), device, name=f"{name}-{size}", cache_dir=cache_dir
    )
    return network, words, 1
