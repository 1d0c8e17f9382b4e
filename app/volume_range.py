"""How sure a volume is: the model's answers to boxes drawn a little differently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from app.core.errors import PromptError
from app.core.geometry import Region
from app.core.prompts import BoxPrompt, Prompt
from app.core.tasks import JobContext
from models.base import SegmentationResult
from models.engine import SegmentationRequest

N_BOXES = 20
JITTER = 0.05


@dataclass(frozen=True)
class VolumeRange:
    """Volumes of one object in ml: their mean and the range that holds 95 % of them."""

    mean_ml: float
    low_ml: float
    high_ml: float
    n_boxes: int

    @property
    def sentence(self) -> str:
        """What the user is told."""
        return (
            f"Volume {self.mean_ml:.2f} ml; 95 % of {self.n_boxes} boxes that are drawn a little "
            f"differently give {self.low_ml:.2f} to {self.high_ml:.2f} ml."
        )


def volume_range(
    request: SegmentationRequest,
    run: Callable[[SegmentationRequest, JobContext], SegmentationResult],
    ctx: JobContext,
    n_boxes: int = N_BOXES,
    jitter: float = JITTER,
) -> VolumeRange:
    """Return the range of an object's volumes when each side of its boxes moves a little.

    Every side moves by up to ``jitter`` of the box's length, evenly distributed, as people draw
    boxes. The same request gives the same range.

    Raises
    ------
    PromptError
        The object has no box.
    """
    if not any(isinstance(p, BoxPrompt) for p in request.prompts):
        raise PromptError("The range needs an object that was made with a box.")
    rng = np.random.default_rng(0)
    volumes = []
    for n in range(n_boxes):
        ctx.report(n / n_boxes, f"box {n + 1} of {n_boxes}")
        shape = request.volume.voxels.shape
        prompts = tuple(_jittered(p, shape, jitter, rng) for p in request.prompts)
        result = run(replace(request, prompts=prompts), _Quiet(ctx))
        n_voxels = 0 if result.mask is None else int(np.count_nonzero(result.mask))
        volumes.append(n_voxels * request.volume.geometry.voxel_volume_ml)
    low, high = np.percentile(volumes, (2.5, 97.5))
    return VolumeRange(float(np.mean(volumes)), float(low), float(high), n_boxes)


def _jittered(
    prompt: Prompt, shape_zyx: tuple[int, ...], jitter: float, rng: np.random.Generator
) -> Prompt:
    if not isinstance(prompt, BoxPrompt):
        return prompt
    # Here, because it would add to every start of the program.
    from app.evaluation.simulate import jittered_box

    rows, columns = (n for a, n in enumerate(shape_zyx) if a != prompt.axis)
    r0, c0, r1, c1 = jittered_box(prompt.box_rc, (rows, columns), jitter, rng)
    start, stop = [r0, c0], [r1, c1]
    start.insert(prompt.axis, prompt.region.start_zyx[prompt.axis])
    stop.insert(prompt.axis, prompt.region.stop_zyx[prompt.axis])
    region = Region((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    return replace(prompt, region=region)


class _Quiet:
    """Passes on that a job is cancelled, but not its progress."""

    def __init__(self, ctx: JobContext) -> None:
        self._ctx = ctx

    def report(self, fraction: float, text: str = "") -> None:
        """Only ask whether to go on."""
        self._ctx.check()

    def check(self) -> None:
        """Ask whether to go on."""
        self._ctx.check()
