"""The embedded promptable model: the network that ships with Maskwright, as a `SliceModel`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.core.prompts import PromptKind
from app.core.tasks import JobContext
from models.base import (
    MODEL_FORMATS,
    InstalledModel,
    ModelFormat,
    ModelKind,
    ModelSpec,
    SliceMask,
    SlicePrompts,
    SliceView,
)
from models.cache import EmbeddingCache
from models.preprocess import (
    Zoom,
    apply_window,
    network_input,
    zoom_to_box,
    zoom_to_slice,
)
from models.propagation import box_around
from models.runtime import Device, Network, cpu_precision, open_graph, wrap_module

FORMAT_ID = "prompt_unet"

# The crop is this many times the box: enough to see what the object is not.
CONTEXT = 1.75
# A mask that touches the rim of the crop is asked for again with this much more around it.
ENLARGE = 1.5


class EmbeddedModel:
    """The embedded network behind the `SliceModel` protocol.

    It looks at a crop around the box (early fusion: image and prompts enter together), so there
    is no image embedding to cache; one pass answers one prompt.
    """

    spec = ModelSpec(
        id="embedded",
        title="Maskwright embedded",
        kind=ModelKind.PROMPTABLE,
        prompt_kinds=frozenset(PromptKind),
    )

    def __init__(self, network: Network, size: int, device: str) -> None:
        self._network = network
        self._size = size
        self._device = device

    @property
    def device(self) -> str:
        return self._device

    def prepare(self, views: Sequence[SliceView], cache: EmbeddingCache, ctx: JobContext) -> None:
        """Do nothing: the network has no separate image encoder."""

    def predict(self, view: SliceView, prompts: SlicePrompts, cache: EmbeddingCache) -> SliceMask:
        zoom = self._first_zoom(view, prompts)
        probability, score, touches_rim = self._run(view, prompts, zoom)
        if touches_rim and prompts.box_rc is None:
            wider = zoom.enlarged(ENLARGE)
            if wider != zoom:
                probability, score, _ = self._run(view, prompts, wider)
        elif prompts.box_rc is None and zoom == zoom_to_slice(
            view.spacing_rc, view.shape_rc, self._size
        ):
            # A click alone is answered on the whole slice first, then again closer up.
            found = box_around(probability > 0.5, margin=0.0)
            if found is not None:
                closer = zoom_to_box(
                    found, view.spacing_rc, view.shape_rc, self._size, factor=CONTEXT
                )
                probability, score, _ = self._run(view, prompts, closer)
        return SliceMask(probability, score)

    def _first_zoom(self, view: SliceView, prompts: SlicePrompts) -> Zoom:
        box = prompts.box_rc
        for mask in (prompts.previous, prompts.neighbour):
            if box is None and mask is not None:
                box = box_around(mask > 0.5, margin=0.1)
        if box is None:
            return zoom_to_slice(view.spacing_rc, view.shape_rc, self._size)
        return zoom_to_box(box, view.spacing_rc, view.shape_rc, self._size, factor=CONTEXT)

    def _run(
        self, view: SliceView, prompts: SlicePrompts, zoom: Zoom
    ) -> tuple[np.ndarray, float, bool]:
        slices = [view.neighbour(-1), view.pixels, view.neighbour(1)]
        windowed = [None if s is None else apply_window(s, view.window) for s in slices]
        logits, quality = self._network(network_input(windowed, zoom, prompts))
        inside = logits[0, 0] > 0
        rim = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
        probability = zoom.paste_probability(logits[0, 0])
        score = float(1.0 / (1.0 + np.exp(-float(quality.reshape(-1)[0]))))
        return probability, score, bool(rim.any())


def build(installed: InstalledModel, device: Device, cache_dir: Path | None) -> EmbeddedModel:
    """Return the embedded model, on the OpenVINO graph on a CPU, on PyTorch on a GPU.

    Raises
    ------
    WeightsError
        Its files are missing or damaged.
    """
    size = int(str(installed.details.get("input_size", 192)))
    if device.kind == "cpu":
        graph = installed.path.with_suffix(".xml")
        network = open_graph(graph, cache_dir=cache_dir)
        return EmbeddedModel(network, size, f"OpenVINO {cpu_precision()} on {device.name}")
    from models.weights import load_prompt_unet

    network = wrap_module(load_prompt_unet(installed), device)
    return EmbeddedModel(network, size, f"PyTorch fp16 on {device.name}")


MODEL_FORMATS.register(ModelFormat(FORMAT_ID, build))
