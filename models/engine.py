"""Answers requests: picks and loads models, keeps embeddings. Lives on the worker thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.core.errors import ModelUnavailableError
from app.core.prompts import Prompt
from app.core.tasks import JobContext
from app.core.volume import Volume
from models.automatic.result import AutomaticRequest, AutomaticResult, OnBlock
from models.automatic.segmenter import AutomaticSegmenter, load_segmenter
from models.base import (
    MODEL_FORMATS,
    InstalledModel,
    ModelKind,
    SegmentationResult,
    SliceMask,
    SliceView,
)
from models.cache import EmbeddingCache
from models.propagation import PromptedSegmenter
from models.runtime import Device, choose_device

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "embedded"


@dataclass(frozen=True, eq=False)
class SegmentationRequest:
    """Everything an answer depends on; immutable, so it may cross threads.

    Attributes
    ----------
    volume : Volume
    model_id : str
    prompts : tuple of Prompt
        All of one object.
    window : tuple of 2 float
        Intensities that become 0 and 1 for the network.
    """

    volume: Volume
    model_id: str
    prompts: tuple[Prompt, ...]
    window: tuple[float, float]


class InferenceEngine:
    """Runs requests with installed models. Confined to one thread.

    Parameters
    ----------
    models : callable
        Returns the installed models by id; asked again after an import.
    device : str
        "auto", "cpu" or "cuda".
    cache : EmbeddingCache
    graph_cache_dir : Path, optional
        Where compiled graphs are kept between starts.
    """

    def __init__(
        self,
        models: Callable[[], Mapping[str, InstalledModel]],
        *,
        device: str = "auto",
        cache: EmbeddingCache | None = None,
        graph_cache_dir: Path | None = None,
    ) -> None:
        self.cache = cache or EmbeddingCache(512 << 20)
        self.seconds_loading = 0.0
        self._models = models
        self._wanted_device = device
        self._device: Device | None = None
        self._graph_cache_dir = graph_cache_dir
        self._segmenters: dict[str, PromptedSegmenter] = {}
        self._automatic: dict[str, AutomaticSegmenter] = {}

    @property
    def device(self) -> Device:
        """Where networks run; found out at first use."""
        if self._device is None:
            self._device = choose_device(self._wanted_device)
        return self._device

    def use_device(self, wanted: str) -> None:
        """Run on another device from now on; models are loaded again where they are needed.

        Raises
        ------
        ModelUnavailableError
            It is not there; everything stays as it was.
        """
        self._device = choose_device(wanted)
        self._wanted_device = wanted
        self._segmenters.clear()

    def load(self, model_id: str) -> PromptedSegmenter:
        """Return the ready segmenter of a promptable model, loading it the first time.

        Raises
        ------
        ModelUnavailableError
            It is not installed, not promptable, or this version cannot run its format.
        WeightsError
            Its file is damaged.
        """
        ready = self._segmenters.get(model_id)
        if ready is not None:
            return ready
        began = time.perf_counter()
        installed = self._installed(model_id)
        if installed.kind is not ModelKind.PROMPTABLE:
            raise ModelUnavailableError(
                f"“{installed.title}” segments whole volumes by itself and takes no prompts; "
                "run it in automatic mode."
            )
        format_ = MODEL_FORMATS.load().get(installed.format)
        if format_ is None:
            raise ModelUnavailableError(
                f"“{installed.title}” is stored as {installed.format}, which this version of "
                "Maskwright cannot run with prompts."
            )
        model = format_.build(installed, self.device, self._graph_cache_dir)
        segmenter = PromptedSegmenter(model)
        self._segmenters[model_id] = segmenter
        self.seconds_loading += time.perf_counter() - began
        logger.info("Loaded %s (%s)", model_id, model.device)
        return segmenter

    def load_automatic(self, model_id: str) -> AutomaticSegmenter:
        """Return an automatic model, loading it the first time.

        Raises
        ------
        ModelUnavailableError
            It is not installed, takes prompts, or came without a description.
        WeightsError
            Its file is damaged.
        """
        ready = self._automatic.get(model_id)
        if ready is not None:
            return ready
        began = time.perf_counter()
        installed = self._installed(model_id)
        if installed.kind is not ModelKind.AUTOMATIC:
            raise ModelUnavailableError(
                f"“{installed.title}” needs prompts; use `maskwright segment` with a prompts file."
            )
        segmenter = load_segmenter(installed, self.device, self._graph_cache_dir)
        self._automatic[model_id] = segmenter
        self.seconds_loading += time.perf_counter() - began
        logger.info("Loaded %s (%s)", model_id, segmenter.device)
        return segmenter

    def _installed(self, model_id: str) -> InstalledModel:
        models = self._models()
        if model_id not in models:
            known = ", ".join(sorted(models)) or "none"
            raise ModelUnavailableError(
                f"There is no model “{model_id}”. Installed models: {known}."
            )
        return models[model_id]

    def device_text(self, model_id: str) -> str:
        """Return where and how a model runs now, and why there; loads it the first time."""
        return f"{self.load(model_id).model.device} ({self.device.reason})"

    def unload(self, model_id: str) -> None:
        """Forget a loaded model, e.g. because its file was removed."""
        self._segmenters.pop(model_id, None)
        self._automatic.pop(model_id, None)

    def renew(self) -> None:
        """Let go of everything that a thread which is given up may still be using."""
        self._segmenters, self._automatic = {}, {}
        self.cache = self.cache.successor()

    def run(
        self,
        request: SegmentationRequest,
        ctx: JobContext,
        *,
        on_slice: Callable[[int, SliceMask], None] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> SegmentationResult:
        """Return the mask that the prompts ask for; see `PromptedSegmenter.segment`."""
        segmenter = self.load(request.model_id)
        ctx.check()
        return segmenter.segment(
            request.volume,
            request.prompts,
            request.window,
            self.cache,
            ctx,
            on_slice=on_slice,
            should_stop=should_stop,
        )

    def run_automatic(
        self,
        request: AutomaticRequest,
        ctx: JobContext,
        *,
        on_block: OnBlock | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> AutomaticResult:
        """Return the labels of a whole scan; see `AutomaticSegmenter.segment`."""
        ctx.report(0.0, "loading the model")
        segmenter = self.load_automatic(request.model_id)
        return segmenter.segment(
            request.volume, ctx, roi=request.roi, on_block=on_block, should_stop=should_stop
        )

    def prepare(self, model_id: str, views: Sequence[SliceView], ctx: JobContext) -> None:
        """Compute the embeddings of slices ahead of prompts, where the model has any."""
        segmenter = self.load(model_id)
        if segmenter.spec.has_encoder:
            segmenter.model.prepare(views, self.cache, ctx)
