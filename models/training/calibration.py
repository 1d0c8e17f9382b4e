"""The last touches on a trained network: where its masks end, and what its scores mean.

Both are found on the patients that are set aside (`TuneSet`) and put into the network's own last
layers, so that nobody who runs it has to know them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import optimize

from models.agreement import dice
from models.networks.prompt_unet import PromptUNet
from models.training.tuning import Structure, TuneSet, mean_of_sets

SHIFTS = np.arange(-1.5, 1.01, 0.25)


@dataclass(frozen=True)
class Calibration:
    """What was found.

    Attributes
    ----------
    shift : float
        Added to the mask logits.
    scale, offset : float
        Quality logits q become ``scale * q + offset``.
    dice_before, dice_after, ellipse : float
        On the patients that are set aside.
    """

    shift: float
    scale: float
    offset: float
    dice_before: float
    dice_after: float
    ellipse: float


def calibrate(network: PromptUNet, tune: TuneSet, size: int) -> Calibration:
    """Set the network's last biases by the patients that are set aside; return what was found.

    The shift is the one of `SHIFTS` with the best mean Dice. The quality score is made to mean
    Dice by Platt scaling (Platt, 1999) with the Dice itself as the soft target.
    """
    rows: list[tuple[Structure, tuple[float, ...]]] = []
    qualities: list[float] = []
    network.eval()
    for structures, planes, targets, ellipses in tune.batches(size):
        with torch.inference_mode():
            logits, quality = network(torch.from_numpy(planes))
        qualities += quality.tolist()
        for structure, answer, target, ellipse in zip(
            structures, logits[:, 0].numpy(), targets, ellipses, strict=True
        ):
            by_shift = [dice(answer > -shift, target) for shift in SHIFTS]
            rows.append((structure, (*by_shift, dice(ellipse, target))))
    means = mean_of_sets(rows)
    best = int(means[:-1].argmax())
    reached = np.array([values[best] for _, values in rows])
    raw = np.array(qualities)
    scale, offset = _platt(raw, reached)
    last_mask, last_quality = network.fine_out[-1], network.quality[-1]
    with torch.no_grad():
        last_mask.bias.add_(float(SHIFTS[best]))
        last_quality.weight.mul_(scale)
        last_quality.bias.mul_(scale).add_(offset)
    unshifted = int(np.flatnonzero(SHIFTS == 0)[0])
    return Calibration(
        shift=float(SHIFTS[best]),
        scale=scale,
        offset=offset,
        dice_before=float(means[unshifted]),
        dice_after=float(means[best]),
        ellipse=float(means[-1]),
    )


def _platt(logits: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    def loss(parameters: np.ndarray) -> float:
        z = parameters[0] * logits + parameters[1]
        return float(np.mean(np.logaddexp(0, z) - targets * z))

    found = optimize.minimize(loss, np.array([1.0, 0.0]), method="BFGS")
    return float(found.x[0]), float(found.x[1])
