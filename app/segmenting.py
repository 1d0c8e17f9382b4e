"""From prompts to a label map, without a window: what `segment` and `evaluate` share.

Objects are run one after the other in the order of their first prompt and enter a `Document` by
the same commands as in the window, so that both write the same masks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from app.core.commands import ApplyPrediction, SetPrompts
from app.core.document import Document
from app.core.errors import ModelUnavailableError
from app.core.labels import DrawOver
from app.core.prompts import Prompt
from app.core.tasks import JobContext, NullContext
from app.core.volume import Volume
from app.io.prompts_file import PromptsFile
from models.base import InstalledModel, SegmentationResult
from models.cache import EmbeddingCache, EmbeddingKey
from models.engine import DEFAULT_MODEL, InferenceEngine, SegmentationRequest
from models.preprocess import intensity_window


class TimedCache(EmbeddingCache):
    """An embedding cache that knows how long the image encoder ran.

    Attributes
    ----------
    seconds_computing : float
    """

    def __init__(self, max_bytes: int, *, folder: Path | None = None) -> None:
        super().__init__(max_bytes, folder=folder)
        self.seconds_computing = 0.0

    def get_or_compute(self, key: EmbeddingKey, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the embedding; see `EmbeddingCache.get_or_compute`."""

        def timed() -> np.ndarray:
            began = time.perf_counter()
            try:
                return compute()
            finally:
                self.seconds_computing += time.perf_counter() - began

        return super().get_or_compute(key, timed)


@dataclass(frozen=True)
class Segmentation:
    """A label map and how it came about.

    Attributes
    ----------
    document : Document
        Holds volume, label map, labels and prompts.
    model_id : str
    device : str
        Where and how the model ran.
    window : tuple of 2 float
        Intensities that were 0 and 1 for the network.
    scores : mapping of object id to mapping of slice index to float
        The model's own estimate of its Dice.
    warnings : tuple of str
        Sentences: what was found empty, where carrying through ended.
    seconds : mapping of str to float
        "load", "encode" and "decode".
    """

    document: Document
    model_id: str
    device: str
    window: tuple[float, float]
    scores: Mapping[int, Mapping[int, float]]
    warnings: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def label_values(self) -> dict[str, int]:
        """Value by name; a name that several labels have carries its value."""
        table = self.document.label_table
        names = [info.name for info in table]
        return {
            info.name if names.count(info.name) == 1 else f"{info.name} ({info.id})": info.id
            for info in table
        }

    @property
    def volumes_ml(self) -> dict[str, float]:
        """Volume of each label in millilitres, by the names of `label_values`."""
        counts = np.bincount(self.document.labelmap.voxels.ravel())
        per_voxel = self.document.volume.geometry.voxel_volume_ml
        return {
            name: float(counts[value]) * per_voxel if value < counts.size else 0.0
            for name, value in self.label_values.items()
        }


def segment_prompts(
    engine: InferenceEngine,
    volume: Volume,
    asked: PromptsFile,
    *,
    model_id: str | None = None,
    models: Mapping[str, InstalledModel] | None = None,
    ctx: JobContext | None = None,
) -> Segmentation:
    """Return the label map that a prompts file asks for.

    Parameters
    ----------
    engine : InferenceEngine
    volume : Volume
    asked : PromptsFile
        Its own model and intensity window are used where it names them.
    model_id : str, optional
        Overrules the file's model; the embedded model where neither is given.
    models : mapping of id to InstalledModel, optional
        Lets a file that was made with another version of the model be told.
    ctx : JobContext, optional

    Raises
    ------
    PromptError, ModelUnavailableError, WeightsError, Cancelled
    """
    ctx = ctx or NullContext()
    wanted = model_id or asked.model_id or DEFAULT_MODEL
    warnings = _model_warnings(asked, wanted, models)
    window = asked.window or intensity_window(volume.voxels, volume.modality)
    document = Document(volume, label_table=asked.labels)
    loaded_before, encoded_before = engine.seconds_loading, _seconds_encoding(engine)
    model = engine.load(wanted).model
    loading = engine.seconds_loading - loaded_before
    began = time.perf_counter()
    scores: dict[int, Mapping[int, float]] = {}
    objects = list(asked.objects)
    for number, (object_id, prompts, draw_over) in enumerate(objects):
        part = _Part(ctx, number, len(objects))
        request = SegmentationRequest(volume, wanted, prompts, window)
        result = engine.run(request, part)
        info = asked.labels.get(prompts[0].label_id)
        name = info.name if info else f"label {prompts[0].label_id}"
        enter_result(document, f"Segment {name}", prompts, result, draw_over)
        scores[object_id] = dict(result.scores)
        warnings += [f"{name}: {sentence}" for sentence in result.stopped]
        if result.region is None:
            warnings.append(f"{name}: the model found nothing there; try a tighter box.")
    encoding = _seconds_encoding(engine) - encoded_before
    running = time.perf_counter() - began
    seconds = {"load": loading, "encode": encoding, "decode": running - encoding}
    return Segmentation(document, wanted, model.device, window, scores, tuple(warnings), seconds)


def enter_result(
    document: Document,
    step: str,
    prompts: tuple[Prompt, ...],
    result: SegmentationResult,
    draw_over: DrawOver,
) -> None:
    """Put one object's prompts and its mask into a document, as one undo step."""
    object_id = prompts[0].object_id
    others = tuple(p for p in document.prompts if p.object_id != object_id)
    with document.group(step):
        document.do(SetPrompts(step, (*others, *prompts)))
        document.do(
            ApplyPrediction(
                step,
                object_id=object_id,
                label_id=prompts[0].label_id,
                region=result.region,
                mask=result.mask,
                covered=result.covered,
                draw_over=draw_over,
            )
        )


class _Part:
    """The context of one object among several."""

    def __init__(self, ctx: JobContext, number: int, n_parts: int) -> None:
        self._ctx = ctx
        self._number = number
        self._n_parts = n_parts

    def report(self, fraction: float, text: str = "") -> None:
        self._ctx.report((self._number + fraction) / self._n_parts, text)

    def check(self) -> None:
        self._ctx.check()


def _seconds_encoding(engine: InferenceEngine) -> float:
    return engine.cache.seconds_computing if isinstance(engine.cache, TimedCache) else 0.0


def _model_warnings(
    asked: PromptsFile, wanted: str, models: Mapping[str, InstalledModel] | None
) -> list[str]:
    if not asked.model_id or models is None:
        return []
    if asked.model_id != wanted:
        return [f"The prompts were made with “{asked.model_id}”; “{wanted}” is used as asked."]
    installed = models.get(wanted)
    if installed is None:
        raise ModelUnavailableError(
            f"The prompts were made with the model “{wanted}”, which is not installed. Import it, "
            "or choose another one with --model."
        )
    if asked.model_sha256 and asked.model_sha256 != installed.sha256:
        return [
            f"The prompts were made with another version of “{installed.title}”; the mask may "
            "differ from the first one."
        ]
    return []
