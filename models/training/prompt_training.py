"""Trains the promptable network: batches, losses, averaged weights, checkpoints.

Runs wherever torch and numpy run. One process draws examples, this one learns from them.
"""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from app.core.errors import WeightsError
from models.networks.prompt_unet import prompt_unet
from models.training.pack import PackedCase
from models.training.plot import plot_log
from models.training.prompts import add_corrections
from models.training.recipe import Recipe, stage_at
from models.training.sampling import Example, Sampler
from models.training.superpixels import Superpixels
from models.training.tuning import TuneSet

CHECKPOINT_EVERY_S = 120
LOG_EVERY_S = 30
TUNE_EVERY_S = 480
WARM_UP_STEPS = 100
N_RECENT = 2000

Report = Callable[[str], None]


class ExampleStream(IterableDataset):
    """Batches of examples without end; the stage may change while it runs."""

    def __init__(
        self, cases: list[PackedCase], superpixels: list[Superpixels], recipe: Recipe, seed: int
    ) -> None:
        self._cases = cases
        self._superpixels = superpixels
        self._recipe = recipe
        self._seed = seed
        # Shared with the drawing process.
        self.stage = torch.tensor([0]).share_memory_()

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        torch.set_num_threads(1)
        recipe = self._recipe
        rng = np.random.default_rng(self._seed)
        sampler = Sampler(self._cases, self._superpixels, recipe.sizes[0], self._seed)
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
            yield torch.from_numpy(planes), torch.from_numpy(targets)


def turned(example: Example, rng: np.random.Generator) -> Example:
    """Return an example after one of the eight symmetries of the square."""
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    planes, target = np.rot90(example.planes, turns, (1, 2)), np.rot90(example.target, turns)
    if mirrored:
        planes, target = planes[..., ::-1], target[..., ::-1]
    return Example(planes, target)


def prompt_loss(logits: Tensor, quality: Tensor, target: Tensor) -> tuple[Tensor, float]:
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
    return entropy + (1 - soft_dice).mean() + 0.1 * quality_loss, float(dice.mean())


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint."""

    step: int = 0
    seconds: float = 0.0
    sums: list[tuple[float, float]] = field(default_factory=list)


class PromptTraining:
    """One training run.

    Parameters
    ----------
    recipe : Recipe
    cases, superpixels : list
    out : Path
        Gets ``last.pt``, ``log.csv`` and ``log.png``.
    device : "cpu" or "cuda"
    budget_s : float
    report : callable
        Gets one line per interval.
    """

    def __init__(
        self,
        recipe: Recipe,
        cases: list[PackedCase],
        superpixels: list[Superpixels],
        *,
        out: Path,
        device: str,
        budget_s: float,
        report: Report,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.progress = Progress()
        self._recipe = recipe
        self._cases = cases
        self._superpixels = superpixels
        self._out = out
        self._device = device
        self._budget_s = budget_s
        self._report = report
        self._rng = np.random.default_rng(recipe.seed)
        self._network = self._new_network()
        self._average = self._new_network().eval()
        self._average.load_state_dict(self._network.state_dict())
        self._optimiser = torch.optim.AdamW(
            self._network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self._tune = TuneSet(cases)

    @property
    def checkpoint_path(self) -> Path:
        return self._out / "last.pt"

    def resume(self) -> None:
        """Go on from the last checkpoint.

        Raises
        ------
        WeightsError
            There is none, or it is of another network.
        """
        try:
            stored = torch.load(self.checkpoint_path, map_location=self._device, weights_only=True)
            self._network.load_state_dict(stored["net"])
            self._average.load_state_dict(stored["ema"])
            self._optimiser.load_state_dict(stored["opt"])
        except (OSError, KeyError, RuntimeError) as error:
            raise WeightsError(
                f"There is no checkpoint of this recipe in {self._out}; start without --resume."
            ) from error
        self.progress.step, self.progress.seconds = int(stored["step"]), float(stored["spent"])

    def run(self) -> Path:
        """Train until the time is spent; return the checkpoint."""
        recipe, progress = self._recipe, self.progress
        stream = ExampleStream(
            self._cases, self._superpixels, recipe, seed=recipe.seed + 1000 + progress.step
        )
        batches = iter(DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=4))
        began = time.monotonic() - progress.seconds
        saved = logged = tuned = time.monotonic()
        seen = 0
        while progress.seconds < self._budget_s:
            share = progress.seconds / self._budget_s
            stage = stage_at(recipe, share)
            stream.stage[0] = stage
            planes, target = next(batches)
            self._step(planes, target, share)
            seen += len(target)
            now = time.monotonic()
            progress.seconds = now - began
            if now - logged >= LOG_EVERY_S:
                self._log(seen / (now - logged))
                logged, seen = now, 0
            if now - tuned >= TUNE_EVERY_S:
                self._tell_tune(recipe.sizes[stage])
                tuned = time.monotonic()
            if now - saved >= CHECKPOINT_EVERY_S:
                self._save()
                saved = time.monotonic()
        del batches
        self._save()
        self._tell_tune(recipe.sizes[-1])
        return self.checkpoint_path

    # -- one step ------------------------------------------------------------------------------

    def _step(self, planes: Tensor, target: Tensor, share: float) -> None:
        recipe = self._recipe
        warm_up = min(1.0, (self.progress.step + 1) / WARM_UP_STEPS)
        rate = recipe.learning_rate * warm_up * 0.5 * (1 + math.cos(math.pi * share))
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._network.train()
        if self._rng.random() < recipe.correct_share:
            planes = self._corrected(planes, target)
        planes, target = self._on_device(planes), target.to(self._device)
        with self._autocast():
            logits, quality = self._network(planes)
        loss, dice = prompt_loss(logits, quality, target)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), recipe.clip)
        self._optimiser.step()
        self._update_average()
        self.progress.step += 1
        self.progress.sums.append((float(loss.detach()), dice))

    def _corrected(self, planes: Tensor, target: Tensor) -> Tensor:
        """Return the batch with its first answers as previous masks and clicks where they err."""
        with torch.no_grad(), self._autocast():
            logits, _ = self._network(self._on_device(planes))
        probability = logits[:, 0].float().sigmoid().cpu().numpy()
        changed, wanted = planes.numpy().copy(), target.numpy()
        for i in range(len(changed)):
            if self._rng.random() < 0.85:
                add_corrections(changed[i], wanted[i], probability[i], self._rng)
                changed[i, 6] = probability[i]
        return torch.from_numpy(changed)

    def _update_average(self) -> None:
        decay = min(self._recipe.ema, (self.progress.step + 1) / (self.progress.step + 10))
        average, now = self._average.state_dict(), self._network.state_dict()
        names = [name for name, value in average.items() if value.is_floating_point()]
        with torch.no_grad():
            torch._foreach_lerp_([average[n] for n in names], [now[n] for n in names], 1 - decay)

    # -- bookkeeping ---------------------------------------------------------------------------

    def _log(self, images_per_s: float) -> None:
        progress = self.progress
        loss, dice = np.mean(progress.sums, axis=0)
        progress.sums.clear()
        self._write_row(f"{loss:.5f}", f"{dice:.5f}", "")
        self._report(
            f"{progress.seconds:6.0f} s  step {progress.step}  loss {loss:.4f}  dice {dice:.4f}  "
            f"{images_per_s:.1f} images/s"
        )

    def _tell_tune(self, size: int) -> None:
        dice, ellipse = self._tune.dice(self._predict, size)
        path = self._write_row("", "", f"{dice:.5f}")
        self._report(f"tune Dice {dice:.4f} (inscribed ellipse {ellipse:.4f}) at {size} pixels")
        plot_log(path, self._out / "log.png")

    def _write_row(self, loss: str, dice: str, tune_dice: str) -> Path:
        path = self._out / "log.csv"
        is_new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(("seconds", "step", "loss", "dice", "tune_dice"))
            progress = self.progress
            writer.writerow((round(progress.seconds), progress.step, loss, dice, tune_dice))
        return path

    def _predict(self, planes: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), self._autocast():
            logits, _ = self._average(self._on_device(torch.from_numpy(planes)))
        return logits[:, 0].float().cpu().numpy()

    def _save(self) -> None:
        part = self._out / "last.pt.part"
        torch.save(
            {
                "net": self._network.state_dict(),
                "ema": self._average.state_dict(),
                "opt": self._optimiser.state_dict(),
                "step": self.progress.step,
                "spent": self.progress.seconds,
                "seed": self._recipe.seed,
            },
            part,
        )
        os.replace(part, self.checkpoint_path)

    def _new_network(self) -> nn.Module:
        network = prompt_unet(self._recipe.network).to(self._device)
        return network.to(memory_format=torch.channels_last)

    def _on_device(self, planes: Tensor) -> Tensor:
        return planes.to(self._device, memory_format=torch.channels_last)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device, torch.bfloat16)
