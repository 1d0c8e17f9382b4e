"""Trains the 3-D guide: a narrow V-Net that turns key slices into a whole object."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.vnet import guide_vnet
from models.training.guide_keys import KeyMasks
from models.training.guide_recipe import GuideRecipe
from models.training.guide_sampling import GuideSampler, GuideStream
from models.training.pack import PackedCase, patient_of, tune_patients
from models.training.run import RunSettings, TrainingRun

N_TUNE = 48


def guide_loss(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return cross-entropy plus soft Dice with squared denominators, and each mask's Dice.

    Parameters
    ----------
    logits : (B, 1, D, H, W)
    target : (B, D, H, W) in {0, 1}
    """
    logits = logits[:, 0].float()
    share = logits.sigmoid()
    space = (1, 2, 3)
    entropy = functional.binary_cross_entropy_with_logits(logits, target)
    squares = (share**2).sum(space) + (target**2).sum(space)
    soft = (2 * (share * target).sum(space) + 1) / (squares + 1)
    with torch.no_grad():
        mask = (logits > 0).float()
        dice = (2 * (mask * target).sum(space) + 1) / (mask.sum(space) + target.sum(space) + 1)
    return entropy + (1 - soft).mean(), dice


class GuideTraining(TrainingRun):
    """A training run of the guide.

    Parameters
    ----------
    recipe : GuideRecipe
    cases : list of PackedCase
    keys : KeyMasks
        Of the network of slices that the guide will work with.
    settings : RunSettings
    """

    def __init__(
        self,
        recipe: GuideRecipe,
        cases: list[PackedCase],
        keys: KeyMasks,
        settings: RunSettings,
    ) -> None:
        super().__init__(lambda: _new_network(recipe.width), recipe, settings)
        self._recipe = recipe
        self._loss = self.compiled(guide_loss)
        self._keys = keys
        held = tune_patients(cases)
        own = [c for c in cases if not c.is_dev]
        self._cases = [c for c in own if (c.dataset, patient_of(c)) not in held]
        aside = [c for c in own if (c.dataset, patient_of(c)) in held]
        # Drawn once, as in training: to watch a run, not to tell how good the result is.
        sampler = GuideSampler(aside, keys, seed=5)
        self._tune_set = [sampler.draw_real() for _ in range(N_TUNE)] if sampler.has_cases else []

    def stream(self) -> GuideStream:
        seed = self._recipe.seed + 1000 + self.progress.step
        return GuideStream(self._cases, self._keys, self._recipe.batch, seed)

    def set_share(self, share: float) -> None:
        """Nothing depends on the time here."""

    def learn(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, float, int]:
        planes, target = (part.to(self.device, non_blocking=True) for part in batch)
        with self.autocast():
            logits = self.network(planes.to(memory_format=torch.channels_last_3d))
        loss, dice = self._loss(logits, target)
        return loss, float(dice.mean()), len(target)

    def tune(self) -> tuple[float, str]:
        scores = []
        for planes, target in self._tune_set:
            with self.autocast():
                logits = self.average(torch.from_numpy(planes)[None].to(self.device))
            _, dice = guide_loss(logits, torch.from_numpy(target)[None].to(self.device))
            scores.append(float(dice[0]))
        mean = float(np.mean(scores)) if scores else float("nan")
        return mean, f"tune Dice {mean:.4f} of {len(scores)} objects"


def _new_network(width: int) -> nn.Module:
    return guide_vnet(width=width).to(memory_format=torch.channels_last_3d)
