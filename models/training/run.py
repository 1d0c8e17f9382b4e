"""What every training run shares: time, averaged weights, checkpoints, a log and its picture.

Runs wherever torch and numpy run. What is learnt is said by a subclass.
"""

from __future__ import annotations

import csv
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from app.core.errors import WeightsError
from models.training.plot import plot_log

CHECKPOINT_EVERY_S = 120
LOG_EVERY_S = 30
TUNE_EVERY_S = 480
WARM_UP_STEPS = 100
# Compiling takes up to three minutes, more than a short run would win.
COMPILE_FROM_S = 1800

Report = Callable[[str], None]
Function = TypeVar("Function", bound=Callable[..., Any])


def can_compile(device: str) -> bool:
    """Return whether `torch.compile` works here: it needs a compiler that many machines lack."""
    try:
        torch.compile(torch.neg)(torch.ones(2, device=device))
    except RuntimeError:
        return False
    return True


class LearningRecipe(Protocol):
    """What every recipe says of how fast weights change.

    Attributes
    ----------
    learning_rate : float
        Falls to nothing over the run, as half a cosine.
    weight_decay, clip : float
    ema : float
        Of the averaged weights, which are those for use.
    seed : int
    """

    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def clip(self) -> float: ...
    @property
    def ema(self) -> float: ...
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True)
class RunSettings:
    """Where a run happens, and for how long.

    Attributes
    ----------
    out : Path
        Gets ``last.pt``, ``log.csv`` and ``log.png``.
    device : "cpu" or "cuda"
    budget_s : float
    report : callable
        Gets one line per interval.
    """

    out: Path
    device: str
    budget_s: float
    report: Report


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint."""

    step: int = 0
    seconds: float = 0.0
    sums: list[tuple[float, float]] = field(default_factory=list)


class TrainingRun(ABC):
    """One training run.

    Where it is long and a compiler at hand, the network is compiled.

    Parameters
    ----------
    new_network : callable
        Returns the network, freshly initialised.
    recipe : LearningRecipe
    settings : RunSettings
    """

    def __init__(
        self, new_network: Callable[[], nn.Module], recipe: LearningRecipe, settings: RunSettings
    ) -> None:
        device = settings.device
        torch.manual_seed(recipe.seed)
        self.progress = Progress()
        self.network = new_network().to(device)
        self.average = new_network().to(device).eval()
        self.average.load_state_dict(self.network.state_dict())
        self.device = device
        self._is_compiled = settings.budget_s >= COMPILE_FROM_S and can_compile(device)
        if self._is_compiled:
            # In place, so that the names of the weights stay as they are.
            self.network.compile(dynamic=False)
        self._learning = recipe
        self._out = settings.out
        self._budget_s = settings.budget_s
        self._report = settings.report
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )

    # -- what a subclass says ------------------------------------------------------------------

    @abstractmethod
    def stream(self) -> IterableDataset:
        """Return an endless stream of batches, drawn in other processes."""

    @abstractmethod
    def learn(self, batch: Any) -> tuple[Tensor, float, int]:
        """Return a batch's loss, its Dice, and how many images it held."""

    @abstractmethod
    def tune(self) -> tuple[float, str]:
        """Return the Dice of the averaged weights on patients set aside, and a line about it."""

    @abstractmethod
    def set_share(self, share: float) -> None:
        """Prepare for the next step; ``share`` of the time in [0, 1] is spent."""

    def about(self) -> dict[str, Any]:
        """Return what belongs into a checkpoint besides weights."""
        return {}

    def fitted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return weights to begin with, changed as far as this network needs it."""
        return state

    # -- the run -------------------------------------------------------------------------------

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
            stored = torch.load(self.checkpoint_path, map_location=self.device, weights_only=True)
            self.network.load_state_dict(stored["net"])
            self.average.load_state_dict(stored["ema"])
            self._optimiser.load_state_dict(stored["opt"])
        except (OSError, KeyError, RuntimeError) as error:
            raise WeightsError(
                f"There is no checkpoint of this recipe in {self._out}; start without --resume."
            ) from error
        self.progress.step, self.progress.seconds = int(stored["step"]), float(stored["spent"])

    def start_from(self, path: Path) -> None:
        """Begin with the weights of an earlier training in place of random ones.

        Parameters
        ----------
        path : Path
            A `.safetensors` file, such as those that ship, or a training checkpoint, whose
            averaged weights are taken.

        Raises
        ------
        WeightsError
            It cannot be read, or holds another network.
        """
        try:
            if path.suffix == ".safetensors":
                state = load_file(path, device=self.device)
            else:
                state = torch.load(path, map_location=self.device, weights_only=True)["ema"]
            state = self.fitted(state)
            for network in (self.network, self.average):
                network.load_state_dict(state)
        except (OSError, KeyError, RuntimeError, SafetensorError, UnpicklingError) as error:
            raise WeightsError(
                f"“{path}” does not hold weights of the recipe's network; name a .safetensors file "
                "or a last.pt of the same size."
            ) from error

    def run(self) -> Path:
        """Train until the time is spent; return the checkpoint."""
        progress = self.progress
        batches = self._batches()
        began = time.monotonic() - progress.seconds
        saved = logged = tuned = time.monotonic()
        seen = 0
        while progress.seconds < self._budget_s:
            share = progress.seconds / self._budget_s
            self.set_share(share)
            seen += self._step(next(batches), share)
            now = time.monotonic()
            progress.seconds = now - began
            if now - logged >= LOG_EVERY_S:
                self._log(seen / (now - logged))
                logged, seen = now, 0
            if now - tuned >= TUNE_EVERY_S:
                self._tell_tune()
                tuned = time.monotonic()
            if now - saved >= CHECKPOINT_EVERY_S:
                self._save()
                saved = time.monotonic()
        del batches
        self._save()
        self._tell_tune()
        return self.checkpoint_path

    def compiled(self, function: Function) -> Function:
        """Return a function of tensors, faster where the run is long and a compiler at hand."""
        return torch.compile(function, dynamic=False) if self._is_compiled else function

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device, torch.bfloat16)

    # -- inside --------------------------------------------------------------------------------

    def _batches(self) -> Iterator[Any]:
        # A CPU that learns has no more than one core to spare for drawing.
        n_workers = 1 if self.device == "cpu" else max(1, (os.cpu_count() or 2) - 2)
        return iter(
            DataLoader(
                self.stream(),
                batch_size=None,
                num_workers=n_workers,
                prefetch_factor=4,
                pin_memory=self.device != "cpu",
            )
        )

    def _step(self, batch: Any, share: float) -> int:
        learning = self._learning
        warm_up = min(1.0, (self.progress.step + 1) / WARM_UP_STEPS)
        rate = learning.learning_rate * warm_up * 0.5 * (1 + math.cos(math.pi * share))
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self.network.train()
        loss, dice, n_images = self.learn(batch)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), learning.clip)
        self.progress.step += 1
        if not bool(torch.isfinite(norm)):
            # One batch that overflows would spoil every weight for good.
            self._report(f"step {self.progress.step}: not a number; this batch is left out")
            return n_images
        self._optimiser.step()
        self._update_average()
        self.progress.sums.append((float(loss.detach()), dice))
        return n_images

    def _update_average(self) -> None:
        decay = min(self._learning.ema, (self.progress.step + 1) / (self.progress.step + 10))
        average, now = self.average.state_dict(), self.network.state_dict()
        names = [name for name, value in average.items() if value.is_floating_point()]
        with torch.no_grad():
            torch._foreach_lerp_([average[n] for n in names], [now[n] for n in names], 1 - decay)

    def _log(self, images_per_s: float) -> None:
        progress = self.progress
        loss, dice = np.mean(progress.sums, axis=0) if progress.sums else (math.nan, math.nan)
        progress.sums.clear()
        self._write_row(f"{loss:.5f}", f"{dice:.5f}", "")
        self._report(
            f"{progress.seconds:6.0f} s  step {progress.step}  loss {loss:.4f}  dice {dice:.4f}  "
            f"{images_per_s:.1f} images/s"
        )

    def _tell_tune(self) -> None:
        with torch.inference_mode():
            dice, line = self.tune()
        path = self._write_row("", "", f"{dice:.5f}")
        self._report(line)
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

    def _save(self) -> None:
        part = self._out / "last.pt.part"
        stored = {
            "net": self.network.state_dict(),
            "ema": self.average.state_dict(),
            "opt": self._optimiser.state_dict(),
            "step": self.progress.step,
            "spent": self.progress.seconds,
            "seed": self._learning.seed,
        }
        torch.save({**stored, **self.about()}, part)
        os.replace(part, self.checkpoint_path)
