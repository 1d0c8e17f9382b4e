"""Networks of others, trained by the same recipe, to be compared with ours in evaluation alone.

``maskwright train RECIPE --network monai_vnet`` trains one on the recipe's data, with its budget.
They come as checkpoints of a training run (see `models.training.automatic_training`), not as
installed models, and need MONAI, which the program itself does without.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.errors import ModelUnavailableError, UsageError, WeightsError
from models.automatic.network import new_module, run_module
from models.automatic.segmenter import AutomaticSegmenter
from models.automatic.spec import AutomaticSpec
from models.runtime import Device

if TYPE_CHECKING:
    import torch


def load_checkpoint(path: Path, device: Device) -> tuple[str, AutomaticSegmenter]:
    """Return a name for a training checkpoint, and its averaged network, ready to run.

    What network it is, is told from the names of its weights: our own of the description that the
    checkpoint holds, MONAI's ``VNet`` or MONAI's ``BasicUNet``.

    Raises
    ------
    WeightsError
        It is no checkpoint of an automatic network.
    ModelUnavailableError
        It holds a network of MONAI, which is not installed.
    """
    import pickle

    import torch

    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        about, state = json.loads(stored["about"]), stored["ema"]
        spec = AutomaticSpec.from_json(about["automatic"])
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as e:
        raise WeightsError(
            f"“{path.name}” is no checkpoint of an automatic network; give the file that training "
            "writes."
        ) from e
    name = f"{path.stem} ({about.get('id', 'unnamed')})"
    if "in_tr.conv_block.conv.weight" in state:
        name, module = f"MONAI VNet ({about['id']})", _monai_vnet(spec)
    elif "conv_0.conv_0.conv.weight" in state:
        name, module = f"MONAI BasicUNet ({about['id']})", _monai_basic_unet(state)
    else:
        module = new_module(spec)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"The weights in “{path.name}” do not fit their description.") from error
    module.eval()
    network, words, batch = run_module(lambda: module, spec, device, name=path.stem, cache_dir=None)
    return name, AutomaticSegmenter(spec, network, words, batch)


def new_peer(name: str, spec: AutomaticSpec) -> torch.nn.Module:
    """Return a network of MONAI in its own size for the input and the outputs of a description.

    Parameters
    ----------
    name : {"monai_vnet", "monai_basic_unet"}
    spec : AutomaticSpec

    Raises
    ------
    UsageError
        There is no such network.
    ModelUnavailableError
        MONAI is not installed.
    """
    if name == "monai_vnet":
        return _monai_vnet(spec)
    if name != "monai_basic_unet":
        raise UsageError(f"There is no network “{name}”; say monai_vnet or monai_basic_unet.")
    dims = 3 if spec.is_volumetric else 2
    module: torch.nn.Module = _monai().BasicUNet(dims, 1, 1 + len(spec.labels))
    return module


def _monai_vnet(spec: AutomaticSpec) -> torch.nn.Module:
    nets = _monai()
    dims = 3 if spec.is_volumetric else 2
    module: torch.nn.Module = nets.VNet(dims, in_channels=1, out_channels=1 + len(spec.labels))
    return module


def _monai_basic_unet(state: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    nets = _monai()
    firsts = ["conv_0", *(f"down_{k}.convs" for k in range(1, 5)), "upcat_1.convs"]
    features = tuple(int(state[f"{first}.conv_0.conv.weight"].shape[0]) for first in firsts)
    n_classes = int(state["final_conv.weight"].shape[0])
    dims = state["final_conv.weight"].ndim - 2
    module: torch.nn.Module = nets.BasicUNet(dims, 1, n_classes, features)
    return module


def _monai():
    try:
        from monai.networks import nets
    except ImportError as error:
        raise ModelUnavailableError(
            "This is a network of MONAI, which is not installed; install it with pip install monai."
        ) from error
    return nets
