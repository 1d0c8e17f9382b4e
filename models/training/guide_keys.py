"""Key masks for the guide's training as the embedded model gives them.

In use the guide never gets a perfect key mask: the model made it from a box. A guide that learnt
from perfect masks, or from masks that were grown or shrunk by chance, believes in every outline;
one that learnt from real answers takes from them what they are worth.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from app.core.geometry import Geometry
from app.core.volume import Volume
from models.base import KeySlice, SlicePrompts, SliceView
from models.cache import EmbeddingCache
from models.prompt_model import EmbeddedModel
from models.prompted_object import box_around

# The patients are those that the network of slices learnt from, where it errs less than in use:
# one box in four is drawn with less care to make up for it.
JITTERS, JITTER_SHARES = (0.05, 0.12), (0.75, 0.25)


class KeyMasks:
    """Asks the embedded model for masks.

    Parameters
    ----------
    network : nn.Module
        `models.networks.prompt_unet.PromptUNet`, on the CPU, in eval mode.
    size : int
        Pixels per side that it is used at.
    """

    def __init__(self, network: nn.Module, size: int) -> None:
        self._network = network
        self._model = EmbeddedModel(self._run, size, "")

    def answer(self, plane: np.ndarray, target: np.ndarray, rng: np.random.Generator) -> KeySlice:
        """Return a box round a target and what the model answers.

        Parameters
        ----------
        plane : (H, W) float32 in [0, 1]
        target : (H, W) float32, not empty
        rng : Generator
            Of the box, which is as careless as people's.
        """
        tight = box_around(target > 0.5, margin=0.0)
        assert tight is not None
        r0, c0, r1, c1 = tight
        jitter = rng.choice(JITTERS, p=JITTER_SHARES)
        off = rng.uniform(-jitter, jitter, 4) * [r1 - r0, c1 - c0, r1 - r0, c1 - c0]
        box = (r0 + off[0], c0 + off[1], r1 + off[2], c1 + off[3])
        volume = Volume(plane[None], Geometry((1, *plane.shape), np.eye(4)))
        view = SliceView(volume, 0, 0, (0.0, 1.0))
        answer = self._model.predict(view, SlicePrompts(box_rc=box), EmbeddingCache(0))
        return KeySlice(answer.probability, box)

    def _run(self, planes: np.ndarray) -> tuple[np.ndarray, ...]:
        # Rounded, an answer is as good an example and comes sooner.
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            logits, quality = self._network(torch.from_numpy(planes))
        return logits.float().numpy(), quality.float().numpy()
