"""Compiled training: the same steps, sooner, and none where nothing can compile."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import IterableDataset

from models.training import run
from models.training.automatic_training import partial_loss
from models.training.recipe import Recipe
from models.training.run import COMPILE_FROM_S, RunSettings, TrainingRun, can_compile


def tiny_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(1, 8, 3, padding=1), nn.BatchNorm3d(8), nn.PReLU(8), nn.Conv3d(8, 3, 1)
    )


class TinyRun(TrainingRun):
    """Learns one batch."""

    def __init__(self, out, budget_s: float) -> None:
        super().__init__(tiny_network, Recipe(), RunSettings(out, "cpu", budget_s, print))
        self._loss = self.compiled(partial_loss)

    def stream(self) -> IterableDataset:
        raise NotImplementedError

    def learn(self, batch):
        images, labels, known = batch
        with self.autocast():
            logits = self.network(images)
        loss, dice = self._loss(logits, labels, known)
        return loss, float(dice), len(images)

    def tune(self):
        raise NotImplementedError

    def set_share(self, share: float) -> None:
        pass


def a_batch():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (1, 16, 16, 16), generator=generator)
    images = labels[:, None] / 2 + 0.1 * torch.rand(1, 1, 16, 16, 16, generator=generator)
    return images, labels, torch.tensor([[True, True, False]])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what the compiler says about itself
def test_a_compiled_run_has_the_loss_the_gradients_and_the_names_of_a_plain_one(
    tmp_path, monkeypatch
):
    from torch._inductor import config

    monkeypatch.setattr(config, "compile_threads", 1)  # or its threads outlive the test
    if not can_compile("cpu"):
        pytest.skip("no compiler on this machine")
    plain, compiled = (TinyRun(tmp_path, s) for s in (COMPILE_FROM_S - 1, COMPILE_FROM_S))
    assert plain.compiled(partial_loss) is partial_loss
    assert compiled.compiled(partial_loss) is not partial_loss
    found = []
    for training in (plain, compiled):
        loss, dice, n_images = training.learn(a_batch())
        loss.backward()
        grads = [p.grad.flatten() for p in training.network.parameters() if p.grad is not None]
        found.append((loss.item(), dice, n_images, torch.cat(grads)))
    (loss, dice, n_images, gradient), other = found
    assert other[0] == pytest.approx(loss, rel=0.01)
    assert other[1] == pytest.approx(dice, abs=0.02)
    assert other[2] == n_images
    # Both are rounded to bfloat16, at other places.
    assert float(nn.functional.cosine_similarity(gradient, other[3], dim=0)) > 0.98
    assert list(compiled.network.state_dict()) == list(plain.network.state_dict())


def test_a_machine_without_a_compiler_trains_all_the_same(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(run.torch, "compile", refuse)
    training = TinyRun(tmp_path, COMPILE_FROM_S)
    loss, _, _ = training.learn(a_batch())
    assert loss.item() > 0
