"""How fast published networks run here, beside plain PyTorch in float32 as their own scripts do it.

Seeded random weights: neither time nor rounding depends on what a network has learnt. Both sides
run in turns in one process with the same threads, and the quickest run of each counts, so that
their ratio means something on a machine that is busy, too.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from app.core.tasks import JobContext
from models.converted import convert
from models.medsam import DECODER_PRECISION, EMBEDDING_SHAPE, decoder
from models.runtime import Network, compile_graph, cpu_precision

if TYPE_CHECKING:
    import torch

    from models.networks.sam import PromptableNetwork

N_RUNS = 3
N_BOXES = 8
# What is asked of two cores; shown beside the figures, never asserted.
GOALS = {
    "MedSAM image encoder": "at least 3.5 x, error at most 2 %, IoU at least 0.97",
    "LiteMedSAM image encoder": "at least 2 x",
    "box from an embedding": "at most 60 ms",
    "V-Net, 128 x 128 x 64": "at least 2 x",
    "TransUNet, a slice": "at least 1.6 x",
}


@dataclass(frozen=True)
class Row:
    """One network's figures.

    Attributes
    ----------
    name, precision : str
    ours_ms, plain_ms : float
        The quickest runs of OpenVINO and of plain PyTorch in float32.
    ratio : float
        How many times faster ours is.
    error : float
        Of the output, relative to plain PyTorch's, in the Euclidean norm.
    iou : float
        Mean overlap of the masks of both.
    """

    name: str
    precision: str
    ours_ms: float
    plain_ms: float
    ratio: float
    error: float
    iou: float


def run_network_benchmark(ctx: JobContext) -> list[dict[str, Any]]:
    """Return the rows of all networks as dictionaries. Takes minutes and up to 6 GB."""
    rows: list[dict[str, Any]] = []
    for n, (what, part) in enumerate(PARTS.items()):
        ctx.report(n / len(PARTS), what)
        rows += [asdict(row) | {"goal": GOALS.get(row.name, "")} for row in part()]
        gc.collect()
    return rows


def network_text(rows: list[dict[str, Any]]) -> str:
    """Return the rows as lines of text, with what is asked of them."""
    wide = max(len(row["name"]) for row in rows)
    return "\n".join(
        f"{r['name']:{wide}}  {r['ours_ms']:7.0f} ms ({r['precision']}), plain PyTorch "
        f"{r['plain_ms']:7.0f} ms: {r['ratio']:.2f} x; error {r['error']:.2%}, IoU {r['iou']:.4f}"
        + (f"   ({r['goal']})" if r["goal"] else "")
        for r in rows
    )


def measure(
    name: str,
    module: torch.nn.Module,
    example: tuple[np.ndarray, ...],
    masks: Callable[[np.ndarray], list[np.ndarray]],
    *,
    precision: str | None = None,
    n_runs: int = N_RUNS,
) -> Row:
    """Return one network's row.

    Parameters
    ----------
    name : str
    module : torch.nn.Module
        In eval mode.
    example : tuple of float32 arrays
    masks : callable
        First output to masks, which are compared.
    precision : "bf16" or "f32", optional
    n_runs : int
    """
    import torch

    precision = precision or cpu_precision()
    tensors = [torch.from_numpy(array) for array in example]

    def plain(*_: np.ndarray) -> tuple[np.ndarray, ...]:
        with torch.inference_mode():
            outputs = module(*tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(output.numpy() for output in outputs)

    # Converting runs the module once: that is its warm-up.
    ours = compile_graph(convert(module, example), precision=precision)
    ours(*example)
    turns = [(_timed(plain, example), _timed(ours, example)) for _ in range(n_runs)]
    (wanted, _), (found, _) = turns[0]
    plain_s, ours_s = (min(turn[side][1] for turn in turns) for side in (0, 1))
    pairs = [(a, b) for a, b in zip(masks(found), masks(wanted), strict=True) if b.any()]
    overlaps = [float((a & b).sum() / (a | b).sum()) for a, b in pairs]
    return Row(
        name,
        precision,
        1000 * ours_s,
        1000 * plain_s,
        plain_s / ours_s,
        float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted)),
        statistics.fmean(overlaps),
    )


def _timed(run: Network, inputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, float]:
    """Return the first output and the seconds that a run takes."""
    began = time.perf_counter()
    output = run(*inputs)[0]
    return output, time.perf_counter() - began


# -- the networks ------------------------------------------------------------------------------


def _medsam() -> Iterator[Row]:
    from models.networks.sam import medsam_vit_b

    network = seeded(medsam_vit_b)
    # Plain PyTorch takes a quarter of a minute for one.
    yield _encoder_row("MedSAM image encoder", network, n_runs=2)
    yield _decoder_row(network)


def _lite_medsam() -> Iterator[Row]:
    from models.networks.sam import lite_medsam

    yield _encoder_row("LiteMedSAM image encoder", seeded(lite_medsam))


def _vnet() -> Iterator[Row]:
    from models.networks.vnet import vnet_released

    volume = np.random.default_rng(0).normal(size=(1, 1, 64, 128, 128)).astype(np.float32)
    yield measure("V-Net, 128 x 128 x 64", seeded(vnet_released), (volume,), _class_masks)


def _transunet() -> Iterator[Row]:
    from models.networks.transunet import transunet_r50_vit_b16

    slice_ = np.random.default_rng(0).random((1, 1, 224, 224), np.float32)
    network = seeded(lambda: transunet_r50_vit_b16(9, 224))
    yield measure("TransUNet, a slice", network, (slice_,), _class_masks)


def _encoder_row(name: str, network: PromptableNetwork, *, n_runs: int = N_RUNS) -> Row:
    image = _image(network.image_size)
    plain_decoder = decoder(network)

    def masks(embedding: np.ndarray) -> list[np.ndarray]:
        return [_decode(plain_decoder, embedding, box) for box in _boxes(network.image_size)]

    return measure(name, network.image_encoder, (image,), masks, n_runs=n_runs)


def _decoder_row(network: PromptableNetwork) -> Row:
    embedding = np.random.default_rng(1).normal(size=EMBEDDING_SHAPE).astype(np.float32)
    box = _boxes(network.image_size)[0]
    return measure(
        "box from an embedding",
        decoder(network),
        (embedding, box),
        lambda logits: [logits > 0],
        precision=DECODER_PRECISION,
    )


def _decode(module: torch.nn.Module, embedding: np.ndarray, box: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        logits, _ = module(torch.from_numpy(embedding), torch.from_numpy(box))
    return (logits > 0).numpy()


def _class_masks(logits: np.ndarray) -> list[np.ndarray]:
    classes = logits.argmax(axis=1)
    return [classes == n for n in range(logits.shape[1])]


def seeded(make: Callable[[], torch.nn.Module]) -> Any:
    """Return a network in eval mode with seeded weights, none of them zero as at birth.

    SAM's position tables start at zero; a rounding error in them would stay hidden.
    """
    import torch

    torch.manual_seed(0)
    network = make()
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return network.eval()


def _image(side: int) -> np.ndarray:
    """Return a smooth picture (1, 3, side, side) float32 in [0, 1] with a little noise."""
    rng = np.random.default_rng(0)
    at = np.linspace(0, 3, side, dtype=np.float32)
    waves = np.sin(2 * at)[:, None] * np.cos(3 * at) + 0.1 * rng.normal(size=(side, side))
    grey = (waves - waves.min()) / np.ptp(waves)
    return np.repeat(grey[None, None], 3, axis=1).astype(np.float32)


def _boxes(side: int) -> list[np.ndarray]:
    corners = np.random.default_rng(2).uniform(0.05, 0.95, (N_BOXES, 2, 2))
    ordered = np.sort(corners, axis=1).reshape(N_BOXES, 1, 4)
    return list((ordered * side).astype(np.float32))


PARTS = {
    "MedSAM": _medsam,
    "LiteMedSAM": _lite_medsam,
    "V-Net": _vnet,
    "TransUNet": _transunet,
}
