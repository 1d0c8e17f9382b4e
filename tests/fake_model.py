"""A promptable model whose answers are known: bright pixels in the box, and what is clicked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

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
from models.cache import EmbeddingCache, EmbeddingKey, slice_digest

CLICK_RADIUS = 3


class BrightModel:
    """Says that pixels in the upper half of the window, inside the box, are the object.

    Has an image encoder of a kind, so that encoder calls and cache hits can be counted.
    """

    spec = ModelSpec(
        "embedded", "Bright", ModelKind.PROMPTABLE, frozenset(PromptKind), has_encoder=True
    )
    device = "test bench"

    def prepare(self, views: Sequence[SliceView], cache: EmbeddingCache, ctx: JobContext) -> None:
        for view in views:
            ctx.check()
            self._embedding(view, cache)

    def guide(self, view, keys, start, stop):
        return {}

    def predict(self, view: SliceView, prompts: SlicePrompts, cache: EmbeddingCache) -> SliceMask:
        bright = self._embedding(view, cache) > 0.5
        inside = np.zeros(view.shape_rc, bool)
        r0, c0, r1, c1 = (round(v) for v in prompts.box_rc or (0, 0, *view.shape_rc))
        inside[r0:r1, c0:c1] = True
        mask = bright & inside
        if prompts.previous is not None:
            mask = prompts.previous > 0.5
        rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
        for points, value in ((prompts.positive_rc, True), (prompts.negative_rc, False)):
            for row, column in points[-1:]:
                near = (rows - row) ** 2 + (columns - column) ** 2 <= CLICK_RADIUS**2
                mask = mask | (near & bright) if value else mask & ~near
        return SliceMask(mask.astype(np.float32), 0.75)

    def _embedding(self, view: SliceView, cache: EmbeddingCache) -> np.ndarray:
        low, high = view.window
        digest = slice_digest(view.volume, view.axis, view.index)
        key = EmbeddingKey(view.volume.uid, digest, "0" * 64, str(view.window))
        return cache.get_or_compute(
            key, lambda: ((view.pixels - low) / (high - low)).astype(np.float32)
        )


def bright_models(user_folder: Path | None = None) -> Mapping[str, InstalledModel]:
    """Return the list of installed models: the fake in the embedded one's place."""
    installed = InstalledModel(
        "embedded",
        "Bright",
        ModelKind.PROMPTABLE,
        "bright",
        Path("bright.bin"),
        "ab" * 32,
        1234,
        "Apache-2.0",
        "embedded",
    )
    return {installed.id: installed}


@pytest.fixture
def bright_model(monkeypatch: pytest.MonkeyPatch) -> BrightModel:
    """Put a `BrightModel` where the embedded model is."""
    model = BrightModel()
    MODEL_FORMATS.load()
    monkeypatch.setitem(
        MODEL_FORMATS._items, "bright", ModelFormat("bright", lambda *details: model)
    )
    monkeypatch.setattr("models.weights.list_models", bright_models)
    return model
