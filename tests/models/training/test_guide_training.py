"""Training of the guide: where its key masks come from, and a short run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from models.networks.prompt_unet import prompt_unet
from models.networks.vnet import guide_vnet
from models.prompted_object import box_around
from models.training.export import export
from models.training.guide_export import export_guide
from models.training.guide_keys import JITTERS, KeyMasks
from models.training.guide_sampling import GuideSampler
from models.training.manifest import read_entries
from models.training.pack import load_cases, pack
from models.training.train import train
from models.weights import installed_model, list_models, load_prompt_unet, verify_model
from tests.models.training.scans import ball, noisy, write_scan


class BoxItself(nn.Module):
    """Answers with its box."""

    def forward(self, planes):
        return 20 * (planes[:, 3:4] - 0.5), torch.zeros(len(planes))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three scans with a ball of 8 voxels' radius, off the middle."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for n in range(3):
        labels = ball((36, 36, 36), (14, 18, 20), 8)
        write_scan(root, f"{n:03d}", noisy(labels, rng), labels)
    return root


def test_the_box_lies_round_the_target_as_carelessly_as_is_said():
    target = np.zeros((64, 64), np.float32)
    target[20:44, 12:40] = 1
    keys, rng = KeyMasks(BoxItself().eval(), 128), np.random.default_rng(1)
    off = []
    for _ in range(60):
        key = keys.answer(np.zeros((64, 64), np.float32), target, rng)
        box = box_around(key.mask, margin=0)
        assert box is not None
        # The network repeats the box: what is told of the box is where it was.
        assert np.abs(np.subtract(box, key.box_rc)).max() <= 1
        off.append(np.abs(np.subtract(box, (20, 12, 44, 40))) / (24, 28, 24, 28))
    # Masks end at whole pixels.
    assert np.max(off) <= max(JITTERS) + 0.5 / 24
    assert np.max(off) > min(JITTERS) + 0.5 / 24
    assert np.mean(off) < min(JITTERS)


def test_the_network_that_ships_answers_with_the_object():
    rows, columns = np.indices((64, 64))
    target = ((rows - 36) ** 2 / 14**2 + (columns - 28) ** 2 / 9**2 < 1).astype(np.float32)
    plane = (0.3 + 0.4 * target).astype(np.float32)
    keys = KeyMasks(load_prompt_unet(list_models()["embedded"]), 128)
    key = keys.answer(plane, target, np.random.default_rng(0))
    assert 2 * (key.mask * target).sum() / (key.mask.sum() + target.sum()) > 0.9
    again = keys.answer(plane, target, np.random.default_rng(0))
    np.testing.assert_array_equal(key.probability, again.probability)
    assert key.box_rc == again.box_rc


def test_key_masks_are_answers_of_the_network(data, tmp_path):
    cases = [case for path in pack(data, tmp_path, lambda line: None) for case in load_cases(path)]
    sampler = GuideSampler(cases, KeyMasks(BoxItself().eval(), 128), seed=0)
    n_boxes = 0
    for _ in range(12):
        planes, _ = sampler.draw_real()
        key = planes[1][planes[1].any(axis=(1, 2))][0] > 0.5
        box = box_around(key, margin=0)
        assert box is not None
        r0, c0, r1, c1 = map(int, box)
        n_boxes += bool(key[r0:r1, c0:c1].all())
    # A ball's cross-section is never a box.
    assert 2 <= n_boxes <= 11


@pytest.mark.slow
def test_a_short_run_of_the_guide_learns(data, tmp_path):
    path = tmp_path / "guide.toml"
    path.write_text('task = "guide"\nwidth = 4\nbatch = 1\n')
    lines: list[str] = []
    checkpoint = train(
        path,
        data=data,
        out=tmp_path / "run",
        device="cpu",
        time_budget_s=3.0,
        resume=False,
        report=lines.append,
    )
    stored = torch.load(checkpoint, weights_only=True)
    assert stored["step"] >= 1
    assert all(torch.isfinite(t).all() for t in stored["ema"].values() if t.is_floating_point())
    assert any(line.startswith("tune Dice") for line in lines)


# V-Net checks its sides, which a trace takes for constants.
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_the_guide_stays_when_the_network_of_slices_is_exported_again(tmp_path):
    slices, guide = tmp_path / "slices.pt", tmp_path / "guide.pt"
    torch.save({"ema": prompt_unet("XS").state_dict()}, slices)
    torch.save({"ema": guide_vnet(width=4).state_dict()}, guide)
    weights = tmp_path / "weights"
    words = {"network_size": "XS", "input_size": 32, "details": {}}
    export(slices, weights, **words)
    export_guide(guide, weights)
    (before,) = read_entries(weights / "manifest.json")
    torch.save({"ema": prompt_unet("XS").state_dict()}, slices)
    export(slices, weights, **words)
    (after,) = read_entries(weights / "manifest.json")
    assert after["guide"] == before["guide"]
    changed = {name for name, sha256 in after["graph"].items() if before["graph"][name] != sha256}
    assert set(after["graph"]) == set(before["graph"])
    assert {name.split(".")[0] for name in changed} == {"embedded_prompt_unet"}
    verify_model(installed_model(after, weights))
