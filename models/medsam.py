"""MedSAM and LiteMedSAM as slice models: a slice is encoded once, each box is decoded from that."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from app.core.errors import PromptError
from app.core.prompts import PromptKind
from app.core.tasks import JobContext
from app.core.volume import Modality, Volume
from models import medsam_processing as processing
from models.base import (
    MODEL_FORMATS,
    InstalledModel,
    KeySlice,
    ModelFormat,
    ModelSpec,
    SliceMask,
    SlicePrompts,
    SliceView,
)
from models.cache import EmbeddingCache, EmbeddingKey, slice_digest
from models.converted import cpu_network
from models.runtime import Device, Network, wrap_module

if TYPE_CHECKING:
    import torch

    from models.networks.sam import PromptableNetwork

EMBEDDING_SHAPE = (1, 256, 64, 64)
# bfloat16 holds a position of 0 to 1023 only to the nearest 4: boxes would move by pixels.
DECODER_PRECISION = "f32"
# Slices that a GPU encodes together while nobody waits.
GPU_BATCH = 4


@dataclass(frozen=True)
class Steps:
    """What a network needs done around it.

    Attributes
    ----------
    side : int
        Of the encoder's input.
    to_input, to_box, to_probability : callable
        See `models.medsam_processing`.
    rates_itself : bool
        Whether its predicted IoU was trained together with its masks.
    """

    side: int
    to_input: Callable[[np.ndarray], np.ndarray]
    to_box: Callable[[tuple[float, float, float, float], tuple[int, int]], np.ndarray]
    to_probability: Callable[[np.ndarray, tuple[int, int]], np.ndarray]
    rates_itself: bool


STEPS = {
    "medsam_vit_b": Steps(
        processing.MEDSAM_SIDE,
        processing.medsam_input,
        processing.medsam_box,
        processing.medsam_probability,
        # MedSAM's loss is of the mask alone: its IoU head is SAM's on features that moved away.
        rates_itself=False,
    ),
    "lite_medsam": Steps(
        processing.LITE_SIDE,
        processing.lite_input,
        processing.lite_box,
        processing.lite_probability,
        rates_itself=True,
    ),
}


class BoxModel:
    """MedSAM or LiteMedSAM behind the `SliceModel` protocol. It takes boxes and nothing else.

    Neither was trained with points, and both need a box that fits (bowang-lab/MedSAM, issues 251,
    284 and 182).

    Parameters
    ----------
    spec : ModelSpec
    steps : Steps
    encode : Network
        (B, 3, side, side) float32 to (B, 256, 64, 64); B is 1 unless ``spec.n_ahead`` is more.
    decode : Network
        Embedding (1, 256, 64, 64) and box (1, 4) to logits (1, 1, 256, 256) and IoU (1, 1).
    sha256 : str
        Of the weights.
    device : str
        How it runs, in words.
    """

    def __init__(
        self,
        spec: ModelSpec,
        steps: Steps,
        encode: Network,
        decode: Network,
        *,
        sha256: str,
        device: str,
    ) -> None:
        self.spec = spec
        self._steps = steps
        self._encode = encode
        self._decode = decode
        self._sha256 = sha256
        self._device = device
        self._extremes: WeakKeyDictionary[Volume, tuple[float, float]] = WeakKeyDictionary()

    @property
    def device(self) -> str:
        return self._device

    def runs_on(self, device: str) -> None:
        """Tell that it runs elsewhere from now on, e.g. because the GPU's memory is full."""
        self._device = device

    def prepare(self, views: Sequence[SliceView], cache: EmbeddingCache, ctx: JobContext) -> None:
        keys = [self._key(view) for view in views]
        missing = [(k, v) for k, v in zip(keys, views, strict=True) if k not in cache]
        for start in range(0, len(missing), self.spec.n_ahead):
            ctx.check()
            batch = missing[start : start + self.spec.n_ahead]
            images = np.concatenate([self._input(view) for _, view in batch])
            (embeddings,) = self._encode(images, check=ctx.check)
            for (key, _), embedding in zip(batch, embeddings, strict=True):
                cache.keep(key, embedding.astype(np.float16))

    def guide(
        self, view: SliceView, keys: Mapping[int, KeySlice], start: int, stop: int
    ) -> Mapping[int, np.ndarray]:
        """Return nothing: SAM sees one slice at a time."""
        return {}

    def predict(self, view: SliceView, prompts: SlicePrompts, cache: EmbeddingCache) -> SliceMask:
        if prompts.box_rc is None or prompts.has_clicks:
            raise PromptError(f"{self.spec.title} takes boxes only; draw a box on the slice.")
        r0, c0, r1, c1 = prompts.box_rc
        embedding = cache.get_or_compute(self._key(view), lambda: self._embedding(view))
        box = self._steps.to_box((c0, r0, c1, r1), view.shape_rc)
        logits, overlap = self._decode(embedding[None].astype(np.float32), box)
        probability = self._steps.to_probability(logits[0, 0], view.shape_rc)
        probability = probability.astype(np.float32, copy=False)
        if self._steps.rates_itself:
            iou = float(np.clip(overlap.reshape(-1)[0], 0.0, 1.0))
            return SliceMask(probability, 2 * iou / (1 + iou))
        return SliceMask(probability, expected_dice(probability))

    def _embedding(self, view: SliceView) -> np.ndarray:
        (embeddings,) = self._encode(self._input(view))
        return embeddings[0].astype(np.float16)

    def _input(self, view: SliceView) -> np.ndarray:
        extremes = self._extremes_of(view.volume)
        keep_zero = view.volume.modality is not Modality.CT
        levels = processing.grey_levels(view.pixels, view.window, extremes, keep_zero=keep_zero)
        return self._steps.to_input(levels)

    def _extremes_of(self, volume: Volume) -> tuple[float, float]:
        found = self._extremes.get(volume)
        if found is None:
            found = float(np.nanmin(volume.voxels)), float(np.nanmax(volume.voxels))
            self._extremes[volume] = found
        return found

    def _key(self, view: SliceView) -> EmbeddingKey:
        extremes = tuple(float(np.clip(v, *view.window)) for v in self._extremes_of(view.volume))
        is_ct = view.volume.modality is Modality.CT
        # How it runs is a part: bfloat16 gives other embeddings than float32.
        preprocessing = f"medsam-1 {view.window} {extremes} {is_ct} {self._device}"
        digest = slice_digest(view.volume, view.axis, view.index)
        return EmbeddingKey(view.volume.uid, digest, self._sha256, preprocessing)


def expected_dice(probability: np.ndarray) -> float:
    """Return the Dice that a mask is expected to have if its probabilities are right.

    Twice the sum over the mask by the mask's area and the sum over all; 0 for an empty mask.
    """
    mask = probability > 0.5
    area = int(mask.sum())
    if area == 0:
        return 0.0
    return float(2 * probability[mask].sum() / (area + probability.sum()))


def build(installed: InstalledModel, device: Device, cache_dir: Path | None) -> BoxModel:
    """Return MedSAM or LiteMedSAM from its checkpoint.

    Raises
    ------
    WeightsError
        The file is missing, damaged or holds another network.
    """

    def load() -> torch.nn.Module:
        from models.weights import load_network

        return load_network(installed.path)

    return assemble(load, installed, device, cache_dir)


def assemble(
    load: Callable[[], PromptableNetwork],
    installed: InstalledModel,
    device: Device,
    cache_dir: Path | None,
    *,
    precision: str | None = None,
) -> BoxModel:
    """Return a model whose network comes from ``load``, which is called at most once.

    On a CPU: OpenVINO graphs, kept in ``cache_dir``; the encoder in its fastest precision, or the
    one given. On a GPU: PyTorch, the encoder in half precision, warmed up.
    """
    steps = STEPS[installed.format]
    image = np.zeros((1, 3, steps.side, steps.side), np.float32)
    embedding = np.zeros(EMBEDDING_SHAPE, np.float32)
    box = np.array([[0.25, 0.25, 0.75, 0.75]], np.float32) * steps.side
    network = functools.cache(load)
    on_cpu = device.kind == "cpu"
    spec = ModelSpec(
        installed.id,
        installed.title,
        installed.kind,
        frozenset({PromptKind.BOX}),
        has_encoder=True,
        n_ahead=1 if on_cpu else GPU_BATCH,
    )
    if on_cpu:
        encode, words = cpu_network(
            lambda: network().image_encoder,
            (image,),
            device,
            name=f"{installed.sha256}-encoder",
            cache_dir=cache_dir,
            precision=precision,
        )
        decode, _ = cpu_network(
            lambda: decoder(network()),
            (embedding, box),
            device,
            name=f"{installed.sha256}-decoder",
            cache_dir=cache_dir,
            precision=DECODER_PRECISION,
        )
        return BoxModel(spec, steps, encode, decode, sha256=installed.sha256, device=words)

    def moved() -> None:
        model.runs_on("PyTorch float32 on the CPU (the GPU's memory is full)")

    encode = wrap_module(network().image_encoder, device, on_cpu=moved)
    decode = wrap_module(decoder(network()), device, precision=DECODER_PRECISION)
    words = f"PyTorch fp16 on {device.name}"
    model = BoxModel(spec, steps, encode, decode, sha256=installed.sha256, device=words)
    # The first run chooses kernels; nobody should wait for that.
    decode(*encode(image), box)
    return model


def decoder(network: PromptableNetwork) -> torch.nn.Module:
    """Return the part of a network that answers boxes, as a module of its own."""
    import torch

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.prompt_encoder = network.prompt_encoder
            self.mask_decoder = network.mask_decoder

        def forward(
            self, embedding: torch.Tensor, boxes: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            return network.decode(embedding, boxes)

    return Decoder().eval()


for _format in STEPS:
    MODEL_FORMATS.register(ModelFormat(_format, build))
