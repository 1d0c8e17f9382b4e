"""Trains the promptable network: batches of examples, corrections, the loss.

One process draws examples (several where a GPU learns), another gives them their look and learns
from them: what is done to a whole batch is done on the device that learns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import IterableDataset, get_worker_info

from models.networks.prompt_unet import prompt_unet
from models.training.appearance import augmented
from models.training.corrections import add_corrections
from models.training.pack import PackedCase
from models.training.recipe import Recipe, stage_at
from models.training.run import RunSettings, TrainingRun
from models.training.sampling import Example, Sampler
from models.training.superpixels import Superpixels
from models.training.tuning import TuneSet

N_RECENT = 2000

# Planes (B, 8, N, N), targets (B, N, N), and which images are Hounsfield units (B,).
Batch = tuple[Tensor, Tensor, Tensor]


class ExampleStream(IterableDataset):
    """Batches of examples without end, whose images have not got their look; the stage may change
    while it runs."""

    def __init__(
        self, cases: list[PackedCase], superpixels: list[Superpixels], recipe: Recipe, seed: int
    ) -> None:
        self._cases = cases
        self._superpixels = superpixels
        self._recipe = recipe
        self._seed = seed
        # Shared with the drawing process.
        self.stage = torch.tensor([0]).share_memory_()

    def __iter__(self) -> Iterator[Batch]:
        torch.set_num_threads(1)
        recipe = self._recipe
        worker = get_worker_info()
        seed = self._seed + (0 if worker is None else worker.id)
        rng = np.random.default_rng(seed)
        sampler = Sampler(self._cases, self._superpixels, recipe.sizes[0], seed)
        recent: list[Example] = []
        while True:
            stage = int(self.stage[0])
            n = recipe.batches[stage]
            if sampler.size != recipe.sizes[stage]:
                sampler.size = recipe.sizes[stage]
                recent.clear()
            n_fresh = max(round(n * recipe.fresh_share), min(n, 8 * n - len(recent)))
            fresh = [sampler.draw() for _ in range(n_fresh)]
            again = [turned(recent[i], rng) for i in rng.integers(len(recent), size=n - n_fresh)]
            recent = (recent + fresh)[-N_RECENT:]
            examples = fresh + again
            planes = np.stack([e.planes for e in examples])
            targets = np.stack([e.target for e in examples])
            is_hu = torch.tensor([e.is_hu for e in examples])
            yield torch.from_numpy(planes), torch.from_numpy(targets), is_hu


def turned(example: Example, rng: np.random.Generator) -> Example:
    """Return an example after one of the eight symmetries of the square."""
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    planes, target = np.rot90(example.planes, turns, (1, 2)), np.rot90(example.target, turns)
    if mirrored:
        planes, target = planes[..., ::-1], target[..., ::-1]
    return Example(planes, target, example.is_hu)


def prompt_loss(logits: Tensor, quality: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss and the mean Dice of the thresholded masks.

    Soft Dice with squared denominators plus cross-entropy, as MedSAM is trained with; the
    quality head learns the Dice of the thresholded mask by cross-entropy.

    Parameters
    ----------
    logits : (B, 1, H, W)
    quality : (B,)
    target : (B, H, W) in {0, 1}
    """
    logits = logits[:, 0].float()  # (B, H, W)
    probability = logits.sigmoid()
    entropy = functional.binary_cross_entropy_with_logits(logits, target)
    overlap = (probability * target).sum((1, 2))
    squares = (probability**2).sum((1, 2)) + (target**2).sum((1, 2))
    soft_dice = (2 * overlap + 1) / (squares + 1)
    with torch.no_grad():
        mask = (logits > 0).float()
        size = mask.sum((1, 2)) + target.sum((1, 2))
        dice = (2 * (mask * target).sum((1, 2)) + 1) / (size + 1)
    quality_loss = functional.binary_cross_entropy_with_logits(quality.float(), dice)
    return entropy + (1 - soft_dice).mean() + 0.1 * quality_loss, dice.mean()


class PromptTraining(TrainingRun):
    """A training run of the promptable network.

    Parameters
    ----------
    recipe : Recipe
    cases, superpixels : list
    settings : RunSettings
    """

    def __init__(
        self,
        recipe: Recipe,
        cases: list[PackedCase],
        superpixels: list[Superpixels],
        settings: RunSettings,
    ) -> None:
        super().__init__(lambda: _new_network(recipe.network), recipe, settings)
        self._recipe = recipe
        self._loss = self.compiled(prompt_loss)
        self._cases = cases
        self._superpixels = superpixels
        self._rng = np.random.default_rng(recipe.seed)
        self._generator = torch.Generator(settings.device).manual_seed(recipe.seed)
        self._stream: ExampleStream | None = None
        self._stage = 0
        self._tune = TuneSet(cases)

    def stream(self) -> ExampleStream:
        seed = self._recipe.seed + 1000 + self.progress.step
        self._stream = ExampleStream(self._cases, self._superpixels, self._recipe, seed)
        return self._stream

    def set_share(self, share: float) -> None:
        self._stage = stage_at(self._recipe, share)
        if self._stream is not None:
            self._stream.stage[0] = self._stage

    def learn(self, batch: Batch) -> tuple[Tensor, float, int]:
        planes, target, is_hu = (part.to(self.device, non_blocking=True) for part in batch)
        planes[:, :3] = augmented(planes[:, :3], is_hu, self._generator)
        planes = planes.to(memory_format=torch.channels_last)
        if self._rng.random() < self._recipe.correct_share:
            planes = self._corrected(planes, target)
        with self.autocast():
            logits, quality = self.network(planes)
        loss, dice = self._loss(logits, quality, target)
        return loss, float(dice), len(target)

    def tune(self) -> tuple[float, str]:
        size = self._recipe.sizes[self._stage]
        dice, ellipse = self._tune.dice(self._predict, size)
        return dice, f"tune Dice {dice:.4f} (inscribed ellipse {ellipse:.4f}) at {size} pixels"

    def about(self) -> dict[str, Any]:
        """Return what has to be known to run a checkpoint without its recipe."""
        recipe = self._recipe
        entry = {
            "network": recipe.network,
            "input_size": recipe.sizes[-1],
            "left_out": recipe.leave_out,
        }
        return {"about": json.dumps(entry)}

    def _corrected(self, planes: Tensor, target: Tensor) -> Tensor:
        """Return the batch with its first answers as previous masks and clicks where they err."""
        with torch.no_grad(), self.autocast():
            logits, _ = self.network(planes)
        probability = logits[:, 0].float().sigmoid()
        changed, draw = planes.clone(), self._generator
        is_asked = torch.rand(len(planes), device=self.device, generator=draw) < 0.85
        add_corrections(changed, target, probability, draw, is_asked)
        changed[:, 6] = torch.where(is_asked[:, None, None], probability, planes[:, 6])
        return changed

    def _predict(self, planes: np.ndarray) -> np.ndarray:
        with self.autocast():
            images = torch.from_numpy(planes).to(self.device, memory_format=torch.channels_last)
            logits, _ = self.average(images)
        return logits[:, 0].float().cpu().numpy()


def _new_network(size: str) -> nn.Module:
    return prompt_unet(size).to(memory_format=torch.channels_last)
