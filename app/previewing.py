"""Masks that are shown but not in the document: of a box that is dragged, of slices as they come.

The newest wins: each box cancels the one before it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.core.events import Event
from app.core.prompts import BoxPrompt, slice_region
from app.core.tasks import JobHandle, Runner
from app.core.volume import Volume
from models.base import SegmentationResult
from models.engine import InferenceEngine, SegmentationRequest

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Preview:
    """A mask (H, W) bool on one slice, to be drawn in the colour of a label."""

    axis: int
    index: int
    mask: np.ndarray
    label_id: int


class Previewing:
    """Shows at most one preview.

    Events
    ------
    changed : Preview or None
    """

    def __init__(self, runner: Runner, engine: InferenceEngine) -> None:
        self.changed: Event[Preview | None] = Event()
        self._runner = runner
        self._engine = engine
        self._shown: Preview | None = None
        self._handle: JobHandle | None = None

    def show(self, preview: Preview | None) -> None:
        """Show a preview instead of the present one; None hides it."""
        if preview is not self._shown:
            self._shown = preview
            self.changed.emit(preview)

    def show_box(
        self,
        volume: Volume,
        model_id: str,
        window: tuple[float, float],
        *,
        slice_of: tuple[int, int],
        box_rc: tuple[int, int, int, int],
        label_id: int,
        is_current: Callable[[], bool],
    ) -> None:
        """Show the mask of a box on slice (axis, index) once it is there.

        ``is_current`` is asked before it is shown: the scan may have been closed meanwhile.
        """
        axis, index = slice_of
        region = slice_region(axis, index, box_rc).clipped_to(volume.voxels.shape)
        if region is None:
            return
        request = SegmentationRequest(volume, model_id, (BoxPrompt(region, axis),), window)

        def done(result: SegmentationResult) -> None:
            if not is_current():
                return
            shape = tuple(n for a, n in enumerate(volume.voxels.shape) if a != axis)
            mask = np.zeros(shape, bool)
            if result.region is not None and result.mask is not None:
                where = [s for a, s in enumerate(result.region.slices) if a != axis]
                mask[where[0], where[1]] = np.take(result.mask, 0, axis=axis)
            self.show(Preview(axis, index, mask, label_id))

        self._handle = self._runner.submit(
            lambda ctx: self._engine.run(request, ctx),
            key="preview",
            done=done,
            failed=lambda error, trace: logger.info("No preview: %s", error),
        )

    def hide(self) -> None:
        """Cancel what runs and show nothing."""
        if self._handle is not None:
            self._handle.cancel()
        self.show(None)
