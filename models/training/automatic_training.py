"""Trains V-Net and TransUNet on whole volumes or slices with every structure at once."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.automatic.spec import AutomaticSpec
from models.automatic.windows import slide
from models.networks.transunet import TransUNet
from models.networks.vnet import VNet
from models.training.automatic_recipe import AutomaticRecipe
from models.training.automatic_sampling import (
    PreparedScan,
    TileStream,
    prepared,
    split_cases,
)
from models.training.pack import PackedCase
from models.training.run import RunSettings, TrainingRun


def new_network(spec: AutomaticSpec) -> nn.Module:
    """Return the network that a description names, freshly initialised."""
    if spec.family == "vnet":
        return VNet(**spec.arguments)
    return TransUNet(**spec.arguments)


def partial_loss(logits: Tensor, target: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return half cross-entropy plus half soft Dice, and the mean Dice of the known structures
    (1 where there is none).

    Dice has squared denominators (Milletari et al., 3DV 2016, section 3); the halves are those of
    TransUNet (Chen et al., 2021, section 4.2). Dice is that of the whole batch, and of the
    structures that are in it: image by image, a structure that most images do not show is learnt
    to be nowhere. What a case has no labels for counts as background there: its probability is
    added to the background's (marginal loss, Shi et al., MedIA 2021).

    Parameters
    ----------
    logits : (B, C, ...)
    target : (B, ...) integer
        Output channels.
    known : (B, C) bool
    """
    logits = logits.float()
    space = tuple(range(2, logits.ndim))
    shape = (*known.shape, *(1,) * len(space))
    unknown = ~known.reshape(shape)
    logs = functional.log_softmax(logits, dim=1)
    background = torch.cat([logs[:, :1], logs.masked_fill(~unknown, -math.inf)], 1)
    merged = torch.logsumexp(background, dim=1, keepdim=True)
    logs = torch.cat([merged, logs[:, 1:]], 1)  # (B, C, ...)
    wanted = target.long()
    entropy = -logs.gather(1, wanted[:, None]).mean()
    hot = functional.one_hot(wanted, logits.shape[1]).movedim(-1, 1).to(logs.dtype)
    share = logs.exp()
    of_known = known.reshape(shape)
    share, hot = share * of_known, hot * of_known
    whole = (0, *space)
    overlap, size = (share * hot).sum(whole), hot.sum(whole)
    soft = (2 * overlap + 1) / ((share**2).sum(whole) + size + 1)
    # The background is nearly everything: its Dice teaches nothing.
    counted = (size > 0)[1:].float()
    loss = 0.5 * entropy + 0.5 * ((1 - soft[1:]) * counted).sum() / counted.sum().clamp(min=1)
    with torch.no_grad():
        scores = class_dice(logits.argmax(1), wanted, logits.shape[1])[:, 1:]
        present = known[:, 1:] & ~torch.isnan(scores)
        mean = torch.where(present, scores, 0.0).sum() / present.sum()
    return loss, torch.nan_to_num(mean, nan=1.0)


def class_dice(found: Tensor, wanted: Tensor, n_classes: int) -> Tensor:
    """Return (B, C) Dice per class; NaN where neither has a voxel of it."""
    out = []
    for channel in range(n_classes):
        a, b = (found == channel).flatten(1), (wanted == channel).flatten(1)
        both = (a & b).sum(1).float()
        size = (a.sum(1) + b.sum(1)).float()
        out.append(torch.where(size > 0, 2 * both / size, torch.nan))
    return torch.stack(out, 1)


class AutomaticTraining(TrainingRun):
    """A training run of an automatic network.

    Parameters
    ----------
    recipe : AutomaticRecipe
    cases : list of PackedCase
    settings : RunSettings
    network : callable
        Makes it: `new_network`, or a peer for the same data to compare with.
    """

    def __init__(
        self,
        recipe: AutomaticRecipe,
        cases: list[PackedCase],
        settings: RunSettings,
        *,
        network: Callable[[], nn.Module],
    ) -> None:
        super().__init__(network, recipe, settings)
        self._recipe = recipe
        self._loss = self.compiled(partial_loss)
        learnt, aside = split_cases(cases, recipe)
        self._scans = [prepared(case, recipe.model) for case in learnt]
        self._aside = [prepared(case, recipe.model) for case in aside]

    def stream(self) -> TileStream:
        seed = self._recipe.seed + 1000 + self.progress.step
        return TileStream(self._scans, self._recipe, seed)

    def set_share(self, share: float) -> None:
        """Nothing depends on the time here."""

    def learn(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, float, int]:
        images, labels, known = (part.to(self.device, non_blocking=True) for part in batch)
        with self.autocast():
            logits = self.network(_channels_last(images))
        loss, dice = self._loss(logits, labels, known)
        return loss, float(dice), len(images)

    def tune(self) -> tuple[float, str]:
        spec = self._recipe.model
        scores: list[list[float]] = [[] for _ in spec.labels]
        for scan in self._aside:
            found = torch.from_numpy(self.labelled(scan))[None]
            dice = class_dice(found, scan.labels[None].long(), len(spec.labels) + 1)[0, 1:]
            for i, value in enumerate(dice.tolist()):
                if scan.is_known[i + 1] and not math.isnan(value):
                    scores[i].append(value)
        means = [float(np.mean(s)) if s else math.nan for s in scores]
        line = ", ".join(
            f"{label.name} {mean:.3f}" for label, mean in zip(spec.labels, means, strict=True)
        )
        return float(np.nanmean(means)), f"tune Dice {np.nanmean(means):.4f}: {line}"

    def labelled(self, scan: PreparedScan) -> np.ndarray:
        """Return (D, H, W) output channels of a scan, tile by tile as in use."""
        spec = self._recipe.model

        def predict(tiles: np.ndarray) -> np.ndarray:
            images = torch.from_numpy(tiles if spec.is_volumetric else tiles[:, :, 0])
            with torch.inference_mode(), self.autocast():
                logits = self.average(_channels_last(images.to(self.device)))
            found: np.ndarray = logits.float().cpu().numpy()
            return found if spec.is_volumetric else found[:, :, None]

        out = np.zeros(tuple(scan.image.shape), np.uint8)
        for one in slide(scan.image.numpy(), spec.tile_zyx, len(spec.labels) + 1, predict):
            out[one.index] = one.probability.argmax(0)
        return out

    def about(self) -> dict[str, Any]:
        """Return the description, so that a checkpoint can be run without its recipe."""
        recipe = self._recipe
        entry = {"id": recipe.id, "title": recipe.title, "automatic": recipe.model.to_json()}
        return {"about": json.dumps(entry)}

    def fitted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return weights that suit this network: position embeddings stretched to the slices' size
        (see `TransUNet`), and a last layer of its own where the weights are for other structures.
        """
        from models.published.imagenet_npz import stretch_positions

        own, out = self.network.state_dict(), dict(state)
        for name, values in state.items():
            if name.endswith("position_embeddings") and name in own:
                stretched = stretch_positions(values.float().cpu().numpy(), own[name].shape[1])
                out[name] = torch.from_numpy(np.ascontiguousarray(stretched))
            elif name in own and own[name].shape != values.shape:
                is_last = own[name].shape[0] == len(self._recipe.model.labels) + 1
                if is_last and own[name].shape[1:] == values.shape[1:]:
                    out[name] = own[name]
        return out


def _channels_last(images: Tensor) -> Tensor:
    last = torch.channels_last if images.ndim == 4 else torch.channels_last_3d
    return images.to(memory_format=last)
