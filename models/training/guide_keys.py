"""Key masks for the guide's training as the network of slices gives them.

In use the guide never gets a perfect key mask: the network of slices made it from a box. A guide
that learnt from perfect masks, or from masks that were grown or shrunk by chance, believes in every
outline; one that learnt from real answers takes from them what they are worth.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from models.base import SlicePrompts
from models.preprocess import network_input, zoom_to_box
from models.prompt_model import CONTEXT
from models.prompted_object import box_around

SIZE = 128
# The patients are those that the network of slices learnt from, where it errs less than in use:
# one box in four is drawn with less care to make up for it.
JITTERS, JITTER_SHARES = (0.05, 0.12), (0.75, 0.25)


class KeyMasks:
    """Asks the network of slices for masks.

    Parameters
    ----------
    network : nn.Module
        `models.networks.prompt_unet.PromptUNet`, on the CPU, in eval mode.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def answer(self, plane: np.ndarray, target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the mask that a box round a target gets.

        Parameters
        ----------
        plane : (H, W) float32 in [0, 1]
        target : (H, W) float32, not empty
        rng : Generator
            Of the box, which is as careless as people's.

        Returns
        -------
        (H, W) float32 in {0, 1}
        """
        tight = box_around(target > 0.5, margin=0.0)
        assert tight is not None
        r0, c0, r1, c1 = tight
        jitter = rng.choice(JITTERS, p=JITTER_SHARES)
        off = rng.uniform(-jitter, jitter, 4) * [r1 - r0, c1 - c0, r1 - r0, c1 - c0]
        box = (r0 + off[0], c0 + off[1], r1 + off[2], c1 + off[3])
        zoom = zoom_to_box(box, (1.0, 1.0), plane.shape, SIZE, factor=CONTEXT)
        planes = network_input([None, plane, None], zoom, SlicePrompts(box_rc=box))
        with torch.inference_mode():
            logits, _ = self._network(torch.from_numpy(planes))
        probability = zoom.paste_probability(logits[0, 0].numpy())
        return (probability > 0.5).astype(np.float32)
