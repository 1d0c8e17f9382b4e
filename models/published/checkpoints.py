"""Which network a published checkpoint holds, told from its names and shapes, and that network.

No file is trusted: tensors alone are read (`weights_only`), and every name and shape has to fit.
"""

from __future__ import annotations

import logging
import math
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from app.core.bounded_file import BoundedFile
from app.core.errors import WeightsError
from models.base import ModelKind
from models.networks.prompt_unet import SIZES, prompt_unet
from models.networks.sam import lite_medsam, medsam_vit_b
from models.networks.transunet import transunet_r50_vit_b16
from models.networks.vnet import VNet, vnet_paper, vnet_released
from models.published.vnet_formats import (
    Shapes,
    VNetReading,
    read_additive,
    read_mattmacy,
    read_monai,
    read_released,
)

logger = logging.getLogger(__name__)

State = Mapping[str, Tensor]

KNOWN = (
    "MedSAM or SAM ViT-B (original or Hugging Face names), LiteMedSAM, TransUNet R50-ViT-B/16, "
    "V-Net (MONAI, vnet.pytorch, UA-MT) and Maskwright's own networks"
)
# Where training programs put the weights in what they save; the averaged ones first.
_WRAPPERS = ("ema", "state_dict", "model_state_dict", "model", "network", "net")
_PREFIXES = ("module.", "_orig_mod.")


@dataclass(frozen=True)
class Recognised:
    """A network that a checkpoint holds.

    Attributes
    ----------
    format : str
        Id of its `ModelFormat`.
    title, licence : str
        The licence is what its authors say; a note, not a grant.
    kind : ModelKind
    make : callable
        Returns the network without weights.
    names : dict
        The network's state-dict names by those in the file; the others are not needed.
    """

    format: str
    title: str
    licence: str
    kind: ModelKind
    make: Callable[[], nn.Module]
    names: Mapping[str, str]


def read_state(path: Path) -> State:
    """Return the tensors of a checkpoint by name, on the CPU, without wrappers and prefixes.

    Raises
    ------
    WeightsError
        It is missing, damaged, cut short, no checkpoint, or holds more than tensors.
    """
    if path.suffix.lower() == ".npz":
        raise WeightsError(
            f"“{path.name}” is an archive of arrays like R50+ViT-B_16.npz: ImageNet weights from "
            "which a TransUNet starts its training. They segment nothing by themselves. Import a "
            "trained checkpoint (.pth, .pt, .bin or .safetensors) instead."
        )
    stored = _read_safetensors(path) if _is_safetensors(path) else _read_pickle(path)
    for name in _WRAPPERS:
        inner = stored.get(name) if isinstance(stored, Mapping) else None
        if isinstance(inner, Mapping) and any(isinstance(v, Tensor) for v in inner.values()):
            stored = inner
            break
    if not isinstance(stored, Mapping):
        raise WeightsError(f"“{path.name}” holds no named weights; expected {KNOWN}.")
    state = {str(k): v for k, v in stored.items() if isinstance(v, Tensor)}
    for prefix in _PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    if not state:
        raise WeightsError(f"“{path.name}” holds no weights; expected {KNOWN}.")
    return state


def recognise(shapes: Shapes) -> Recognised | None:
    """Return the network that these names and shapes belong to; None for an unknown one."""
    readers = (_sam, _sam_hugging_face, _lite_medsam, _transunet, _vnet, _own_vnet, _prompt_unet)
    for reader in readers:
        found = reader(shapes)
        if found is not None:
            return found
    return None


def load_checkpoint(path: Path) -> tuple[Recognised, nn.Module]:
    """Return what a checkpoint holds, and its network in eval mode, float32, on the CPU.

    Raises
    ------
    WeightsError
        See `read_state`; or it is of another kind, or names and shapes do not fit.
    """
    state = read_state(path)
    try:
        found = recognise({name: tuple(value.shape) for name, value in state.items()})
        network = found.make() if found is not None else None
    except (
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        RuntimeError,
        MemoryError,
    ) as error:
        # The names are a known network's, the shapes are no network's.
        logger.info("Weights: %s", error)
        raise WeightsError(
            f"“{path.name}” holds weights of sizes that fit no network; expected {KNOWN}."
        ) from error
    if found is None or network is None:
        size = _other_sam(state)
        if size:
            raise WeightsError(
                f"“{path.name}” is a SAM of size {size}. Maskwright runs size ViT-B, which MedSAM "
                "has; import such a checkpoint instead."
            )
        raise WeightsError(
            f"“{path.name}” holds a network that Maskwright does not know; expected {KNOWN}."
        )
    wanted = {
        ours: state[theirs].float() if state[theirs].is_floating_point() else state[theirs]
        for theirs, ours in found.names.items()
        if theirs in state
    }
    try:
        network.load_state_dict(wanted)
    except RuntimeError as error:
        logger.info("Weights: %s", error)
        raise WeightsError(
            f"“{path.name}” looks like {found.title}, but its weights do not fit that network; "
            "it may be cut short or of another size."
        ) from error
    return found, network.eval()


# -- files -------------------------------------------------------------------------------------


def _is_safetensors(path: Path) -> bool:
    return path.suffix.lower() == ".safetensors"


def _read_safetensors(path: Path) -> object:
    try:
        return safetensors.torch.load_file(path)
    except FileNotFoundError as error:
        raise WeightsError(f"There is no file “{path}”.") from error
    except (OSError, safetensors.SafetensorError, ValueError) as error:
        logger.info("Weights: %s", error)
        raise WeightsError(
            f"“{path.name}” is damaged, cut short or no safetensors file."
        ) from error


def _read_pickle(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            # It warns of pickles by other programs, which are refused or read all the same.
            warnings.simplefilter("ignore", UserWarning)
            if zipfile.is_zipfile(path):
                return torch.load(path, map_location="cpu", weights_only=True)
            with BoundedFile(path) as file:  # the form before torch 1.6
                return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"There is no file “{path}”.") from error
    except pickle.UnpicklingError as error:
        logger.info("Weights: %s", error)
        raise WeightsError(
            f"“{path.name}” was not opened: it is no checkpoint of weights alone. Files that can "
            f"run code when they are read are refused. Expected {KNOWN}."
        ) from error
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        TypeError,
        AssertionError,
        struct.error,
        zipfile.BadZipFile,
    ) as error:
        logger.info("Weights: %s", error)
        raise WeightsError(
            f"“{path.name}” is damaged, cut short or no checkpoint; expected {KNOWN}."
        ) from error


# -- formats -----------------------------------------------------------------------------------


def _same(shapes: Shapes) -> dict[str, str]:
    return {name: name for name in shapes}


# SAM and MedSAM have the same names and shapes, so the keys cannot tell which of them it is.
_SAM_TITLE = "MedSAM or SAM (ViT-B), run as MedSAM"
PLAIN_SAM_TITLE = "SAM (ViT-B), run as MedSAM: expect poorer masks"
_SAM_LICENCE = "Apache-2.0 (bowang-lab/MedSAM, facebookresearch/segment-anything)"
_OTHER_SAM = {1024: "ViT-L", 1280: "ViT-H"}


def _other_sam(state: State) -> str:
    """Return the size of a SAM that is larger than MedSAM; "" for anything else."""
    for part in ("image_encoder", "vision_encoder"):
        positions = state.get(f"{part}.pos_embed")
        if positions is not None:
            return _OTHER_SAM.get(positions.shape[-1], "") if positions.ndim else ""
    return ""


def is_plain_sam(name: str) -> bool:
    """Return whether a file's name says that it is SAM as published, not MedSAM.

    >>> is_plain_sam("sam_vit_b_01ec64.pth"), is_plain_sam("medsam_vit_b.pth")
    (True, False)
    """
    return re.match(r"sam[_-]vit", name, re.IGNORECASE) is not None


def _sam(shapes: Shapes) -> Recognised | None:
    if shapes.get("image_encoder.pos_embed") != (1, 64, 64, 768):
        return None
    title, licence = _SAM_TITLE, _SAM_LICENCE
    return Recognised(
        "medsam_vit_b", title, licence, ModelKind.PROMPTABLE, medsam_vit_b, _same(shapes)
    )


def _sam_hugging_face(shapes: Shapes) -> Recognised | None:
    if shapes.get("vision_encoder.pos_embed") != (1, 64, 64, 768):
        return None
    names = {name: sam_name(name) for name in shapes if name != _TIED[0]}
    if _TIED[1] not in shapes and _TIED[0] in shapes:
        # The two are one tensor, and safetensors files keep a shared one under one name alone.
        names[_TIED[0]] = sam_name(_TIED[1])
    title, licence = f"{_SAM_TITLE} (Hugging Face)", _SAM_LICENCE
    return Recognised("medsam_vit_b", title, licence, ModelKind.PROMPTABLE, medsam_vit_b, names)


# Two names of transformers' SamModel for one tensor.
_TIED = (
    "shared_image_embedding.positional_embedding",
    "prompt_encoder.shared_embedding.positional_embedding",
)
# From the names of transformers' SamModel to those of segment-anything, in this order.
_HUGGING_FACE = (
    (r"^vision_encoder\.layers\.", "image_encoder.blocks."),
    (r"^vision_encoder\.", "image_encoder."),
    (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
    (r"^prompt_encoder\.shared_embedding\.positional_embedding$",
     "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    (r"^prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
    (r"\.neck\.conv1\.", ".neck.0."),
    (r"\.neck\.layer_norm1\.", ".neck.1."),
    (r"\.neck\.conv2\.", ".neck.2."),
    (r"\.neck\.layer_norm2\.", ".neck.3."),
    (r"\.mask_embed\.conv1\.", ".mask_downscaling.0."),
    (r"\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
    (r"\.mask_embed\.conv2\.", ".mask_downscaling.3."),
    (r"\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
    (r"\.mask_embed\.conv3\.", ".mask_downscaling.6."),
    (r"\.upscale_conv1\.", ".output_upscaling.0."),
    (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
    (r"\.upscale_conv2\.", ".output_upscaling.3."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.layers\.0\.", r"\1.layers.1."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.proj_in\.", r"\1.layers.0."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.proj_out\.", r"\1.layers.2."),
    (r"\.layer_norm_final_attn\.", ".norm_final_attn."),
    (r"\.layer_norm(\d)\.", r".norm\1."),
)  # fmt: skip


def sam_name(name: str) -> str:
    """Return segment-anything's name of a weight of transformers' SamModel."""
    for pattern, replacement in _HUGGING_FACE:
        name = re.sub(pattern, replacement, name)
    return name


def _lite_medsam(shapes: Shapes) -> Recognised | None:
    if "image_encoder.patch_embed.seq.0.c.weight" not in shapes:
        return None
    licence = "Apache-2.0 (bowang-lab/MedSAM, branch LiteMedSAM)"
    return Recognised(
        "lite_medsam", "LiteMedSAM", licence, ModelKind.PROMPTABLE, lite_medsam, _same(shapes)
    )


def _transunet(shapes: Shapes) -> Recognised | None:
    positions = shapes.get("transformer.embeddings.position_embeddings")
    head = shapes.get("segmentation_head.0.weight")
    if positions is None or head is None or len(positions) != 3 or positions[2] != 768:
        return None
    side = 16 * math.isqrt(positions[1])
    title = f"TransUNet R50-ViT-B/16 ({head[0]} classes, {side} pixels)"
    licence = "Apache-2.0 (Beckschen/TransUNet)"

    def make() -> nn.Module:
        return transunet_r50_vit_b16(head[0], side)

    return Recognised("transunet", title, licence, ModelKind.AUTOMATIC, make, _same(shapes))


def _vnet(shapes: Shapes) -> Recognised | None:
    for reader in (read_monai, read_mattmacy, read_additive, read_released):
        reading: VNetReading | None = reader(shapes)
        if reading is not None:
            return Recognised(
                "vnet",
                reading.title,
                "not stated in the file",
                ModelKind.AUTOMATIC,
                partial(VNet, **reading.options),
                reading.names,
            )
    return None


def _own_vnet(shapes: Shapes) -> Recognised | None:
    first, head = shapes.get("encoder.0.layers.0.conv.weight"), shapes.get("head.weight")
    if first is None or head is None or len(first) != 5:
        return None
    for title, build in (("V-Net (paper)", vnet_paper), ("V-Net (released)", vnet_released)):

        def make(
            build: Callable[..., VNet] = build, first: tuple[int, ...] = first, n: int = head[0]
        ) -> nn.Module:
            return build(first[1], n, width=first[0])

        with torch.device("meta"):
            wanted = {name: tuple(value.shape) for name, value in make().state_dict().items()}
        if wanted == dict(shapes):
            return Recognised(
                "vnet", title, "not stated in the file", ModelKind.AUTOMATIC, make, _same(shapes)
            )
    return None


def _prompt_unet(shapes: Shapes) -> Recognised | None:
    stem = shapes.get("stem.0.weight")
    if stem is None or "quality.0.weight" not in shapes:
        return None
    for name, size in SIZES.items():
        if size.channels[0] == stem[0]:
            return Recognised(
                "prompt_unet",
                f"Maskwright promptable network, size {name}",
                "Apache-2.0",
                ModelKind.PROMPTABLE,
                partial(prompt_unet, name),
                _same(shapes),
            )
    return None
