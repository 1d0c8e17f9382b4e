"""Start values for TransUNet: the published ImageNet weights ``R50+ViT-B_16.npz``."""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from app.core.errors import WeightsError

if TYPE_CHECKING:
    from models.networks.transunet import TransUNet

ATTENTION = "MultiHeadDotProductAttention_1"
EXPECTED = (
    "The ImageNet weights of TransUNet are a file like R50+ViT-B_16.npz, for the same widths and "
    "depths as the network"
)

# What zipfile and numpy raise on damaged archives, as found by feeding them such.
_READ_ERRORS = (
    OSError, ValueError, EOFError, LookupError, TypeError, AttributeError, NotImplementedError,
    OverflowError, RecursionError, RuntimeError, SyntaxError, struct.error, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
# The published archive is not compressed at all; packing float32 weights saves little.
_MAX_RATIO = 4


def load_imagenet_npz(network: TransUNet, path: Path) -> None:
    """Copy ImageNet weights into everything but the decoder and the head.

    Position embeddings of another image size are stretched linearly, as the authors' program does.

    Raises
    ------
    WeightsError
        The file is no such archive, lacks an array, or an array has another shape. The network
        is left as it was.
    """
    import torch

    wanted = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if name.startswith("transformer.")
    }
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("not an archive")
            file.seek(0)
            _check_size(file)
            archive = np.load(file, allow_pickle=False)
            # A member that is no array comes as bytes.
            read = {name: archive[name] for name in archive.files}
            arrays = {name: a for name, a in read.items() if isinstance(a, np.ndarray)}
    except _READ_ERRORS as error:
        raise WeightsError(f"“{Path(path).name}” cannot be read. {EXPECTED}.") from error
    found = {}
    for name, tensor in wanted.items():
        key, convert = _source(name)
        if key not in arrays:
            raise WeightsError(f"“{Path(path).name}” lacks the array {key}. {EXPECTED}.")
        if name.endswith("position_embeddings"):
            value = stretch_positions(arrays[key], tensor.shape[1])
        else:
            value = convert(arrays[key])
        if value.shape != tuple(tensor.shape):
            raise WeightsError(
                f"“{Path(path).name}”: the array {key} has shape {arrays[key].shape}, which does "
                f"not fit {tuple(tensor.shape)}. {EXPECTED}."
            )
        found[name] = torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))
    network.load_state_dict(found, strict=False)


def _check_size(file: BinaryIO) -> None:
    """Refuse an archive that holds far more than its own size; leaves the file at its start."""
    n_packed = file.seek(0, 2)
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        n_bytes = sum(member.file_size for member in archive.infolist())
    if n_bytes > _MAX_RATIO * n_packed + (1 << 20):
        raise ValueError(f"{n_bytes} bytes in {n_packed}")
    file.seek(0)


def stretch_positions(positions: np.ndarray, n_tokens: int) -> np.ndarray:
    """Return position embeddings (1, n_tokens, C) for a square grid of another size.

    Parameters
    ----------
    positions : (1, 1 + N, C) or (1, N, C)
        With or without the class token, which is dropped.
    n_tokens : int
    """
    n_given, channels = positions.shape[1:]
    if n_given == n_tokens:
        return positions
    n_old = math.isqrt(n_given)
    grid = positions[0] if n_old**2 == n_given else positions[0, 1:]
    if n_old**2 != len(grid):
        raise WeightsError(f"{n_given} position embeddings are no square, with or without a token.")
    if len(grid) != n_tokens:
        from scipy import ndimage

        factor = math.isqrt(n_tokens) / n_old
        grid = ndimage.zoom(grid.reshape(n_old, n_old, channels), (factor, factor, 1), order=1)
    return grid.reshape(1, n_tokens, channels)


def _source(name: str) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
    """Return the archive's array for one of our names, and how its axes are turned."""
    parts = name.split(".")[1:]  # without "transformer"
    last = parts[-1]
    if parts[1] == "position_embeddings":
        return "Transformer/posembed_input/pos_embedding", _as_is
    if parts[1] == "patch_embeddings":
        return (
            ("embedding/kernel", _hwio_to_oihw) if last == "weight" else ("embedding/bias", _flat)
        )
    if parts[1] == "encoder_norm":
        return f"Transformer/encoder_norm/{_norm_part(last)}", _flat
    if parts[1] == "hybrid_model":
        stem = parts[3] if parts[2] == "root" else parts[5]
        unit = "" if parts[2] == "root" else f"{parts[3]}/{parts[4]}/"
        source = {"conv": "conv_root", "gn": "gn_root", "downsample": "conv_proj"}.get(stem, stem)
        if source.startswith("conv"):
            return f"{unit}{source}/kernel", _hwio_to_oihw
        return f"{unit}{source}/{_norm_part(last)}", _flat
    # encoder.layer.<i>.<module>[.<part>].<last>
    block, module, part = f"Transformer/encoderblock_{parts[2]}", parts[3], parts[4]
    norms: Mapping[str, str] = {"attention_norm": "LayerNorm_0", "ffn_norm": "LayerNorm_2"}
    if module in norms:
        return f"{block}/{norms[module]}/{_norm_part(last)}", _flat
    kernel = "kernel" if last == "weight" else "bias"
    if module == "ffn":
        source = f"{block}/MlpBlock_3/Dense_{int(part[-1]) - 1}/{kernel}"
        return source, np.transpose if last == "weight" else _flat
    source = f"{block}/{ATTENTION}/{part}/{kernel}"
    if last == "bias":
        return source, _flat
    # (hidden, heads, size) for query, key and value, (heads, size, hidden) for out
    return source, (_heads_in if part == "out" else _heads_out)


def _norm_part(last: str) -> str:
    return "scale" if last == "weight" else "bias"


def _as_is(array: np.ndarray) -> np.ndarray:
    return array


def _flat(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1)


def _hwio_to_oihw(array: np.ndarray) -> np.ndarray:
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array


def _heads_out(array: np.ndarray) -> np.ndarray:
    return array.reshape(array.shape[0], -1).T


def _heads_in(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, array.shape[-1]).T
