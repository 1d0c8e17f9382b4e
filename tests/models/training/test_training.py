"""Training: what is drawn, and that a short run learns, stops, resumes and can be exported."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from app.core.errors import ReadError, UsageError, WeightsError
from models.networks.prompt_unet import prompt_unet
from models.runtime import open_graph
from models.training.export import export, exported_model
from models.training.pack import load_cases, load_packs, pack, patient_of, tune_patients
from models.training.prompt_training import PromptTraining, prompt_loss, turned
from models.training.prompts import box_of, corrupted, drifted, jittered
from models.training.recipe import Recipe, read_recipe, stage_at
from models.training.sampling import Example, Sampler, mask_bounds, one_piece, resample
from models.training.train import train
from models.training.tuning import TuneSet
from resources import resource_path
from tests.models.training.scans import ball, noisy, write_scan


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder in the layout of the real one: MR balls, eight training cases, two dev."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("dev", 2)):
        for n in range(count):
            labels = ball((24, 28, 26), rng.uniform(10, 15, 3), rng.uniform(5, 8))
            image = noisy(labels, rng)
            write_scan(root, f"{part}_{n:03d}", image, labels, (1.0, 1.0, 1.5), part)
    return root


@pytest.fixture(scope="module")
def cases(data, tmp_path_factory):
    packs = pack(data, tmp_path_factory.mktemp("packs"), lambda line: None)
    return [case for path in packs for case in load_cases(path)]


def test_packs_are_small_and_keep_parts_labels_and_spacing(cases):
    assert sum(case.is_dev for case in cases) == 2
    assert len(cases) == 10
    case = cases[0]
    assert case.image.dtype == np.uint8
    assert case.labels.shape == case.image.shape
    assert sorted(case.spacing_zyx) == [1.0, 1.0, 1.5]
    inside = case.image[case.labels > 0].astype(float).mean()
    assert inside > case.image[case.labels == 0].astype(float).mean() + 50


def test_neither_dev_nor_tune_cases_are_drawn(cases):
    held = tune_patients(cases)
    assert held
    sampler = Sampler(cases, [], 32, seed=0)
    drawn = {
        (case.dataset, patient_of(case))
        for structures in sampler.index.values()
        for of_case in structures.values()
        for slices in of_case
        for case, _, _ in slices
    }
    assert drawn
    assert not drawn & held
    assert not drawn & {(c.dataset, patient_of(c)) for c in cases if c.is_dev}


def test_examples_have_targets_near_their_prompts(cases):
    sampler = Sampler(cases, [], 64, seed=1)
    outside = []
    for _ in range(60):
        example = sampler.draw()
        assert example.planes.shape == (8, 64, 64)
        assert example.planes.min() >= 0
        # The images have not got their look yet.
        assert 1 < example.planes[:3].max() <= 255
        assert example.planes[3:].max() <= 1
        assert not example.is_hu
        box = example.planes[3] > 0
        if box.any() and example.target.any():
            outside.append(example.target[~box].sum() / example.target.sum())
    assert np.mean(outside) < 0.1


def test_seeds_repeat_themselves(cases):
    first, again = (Sampler(cases, [], 32, seed=5) for _ in range(2))
    for _ in range(5):
        np.testing.assert_array_equal(first.draw().planes, again.draw().planes)


def test_crops_follow_the_zoom_of_use():
    from models.preprocess import zoom_to_box

    rng = np.random.default_rng(0)
    image = rng.random((60, 50)).astype(np.float32)
    box = (12, 10, 40, 33)
    spacing = (1.5, 0.7)
    zoom = zoom_to_box(box, spacing, image.shape, 64)
    centre = np.array(zoom.centre_rc) * spacing
    stack = np.repeat(image[None], 6, axis=0)
    crop = resample(stack, np.diag(spacing), centre, zoom.side_mm, 64)[0]
    np.testing.assert_allclose(crop, zoom.sample(image), atol=2e-3)


def test_bounds_are_those_of_whole_voxels():
    mask = np.zeros((20, 20))
    mask[4:9, 6:7] = 1
    low, high = mask_bounds(mask, np.diag([2.0, 3.0]))
    np.testing.assert_allclose(low, [7, 16.5])
    np.testing.assert_allclose(high, [17, 19.5])
    assert mask_bounds(np.zeros((5, 5)), np.eye(2)) is None


def test_one_piece_takes_its_continuation_along_and_nothing_else():
    rng = np.random.default_rng(0)
    masks = np.zeros((3, 30, 30), bool)
    masks[:, 2:8, 2:8] = True
    masks[:2, 15:25, 15:25] = True
    masks[1, 28, 28] = True
    areas = set()
    for _ in range(40):
        piece = one_piece(masks, rng)
        areas.add(tuple(piece.sum(axis=(1, 2))))
    assert areas == {(36, 36, 36), (100, 100, 0)}
    speck = np.zeros((3, 9, 9), bool)
    speck[:, 4, 4] = True
    np.testing.assert_array_equal(one_piece(speck, rng), speck)


def test_boxes_are_jittered_both_ways():
    rng = np.random.default_rng(0)
    low, high = np.array([10.0, 10.0]), np.array([30.0, 50.0])
    moved = np.array([np.concatenate(jittered(low, high, rng)) for _ in range(300)])
    assert (moved[:, 0] < 10).any()
    assert (moved[:, 0] > 10).any()
    assert (moved == [10, 10, 30, 50]).all(axis=1).any()
    assert np.abs(moved[:, 0] - 10).max() <= 0.3 * 20


def test_corrupted_masks_stay_related():
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 40), np.float32)
    mask[10:30, 12:28] = 1
    overlaps = []
    for _ in range(50):
        other = corrupted(mask, rng)
        overlaps.append(2 * (other * mask).sum() / (other.sum() + mask.sum()))
    assert min(overlaps) > 0.5
    assert min(overlaps) < 0.95


def test_drifted_masks_are_too_large_or_too_small_but_still_there():
    rng = np.random.default_rng(0)
    mask = np.zeros((60, 60), np.float32)
    mask[20:40, 22:38] = 1
    areas = [drifted(mask, rng).sum() / mask.sum() for _ in range(100)]
    assert min(areas) < 0.7
    assert max(areas) > 1.4
    assert min(areas) > 0.1
    assert drifted(np.zeros((9, 9)), rng).max() == 0


def test_the_box_of_a_mask():
    mask = np.zeros((20, 20), np.float32)
    mask[4:8, 6:16] = 1
    assert box_of(mask, 0.0).sum() == 40
    assert box_of(mask, 0.25).sum() == pytest.approx(6 * 15)


def test_turning_moves_image_and_target_alike():
    rng = np.random.default_rng(0)
    target = rng.random((16, 16)).astype(np.float32)
    example = Example(np.repeat(target[None], 8, axis=0), target, is_hu=False)
    seen = set()
    for _ in range(60):
        other = turned(example, rng)
        np.testing.assert_array_equal(other.planes[3], other.target)
        seen.add(other.target.tobytes())
    assert len(seen) == 8


def test_the_loss_prefers_the_truth():
    target = torch.zeros(2, 16, 16)
    target[:, 4:10, 4:12] = 1
    right, wrong = (target[:, None] - 0.5) * 20, (0.5 - target[:, None]) * 20
    sure, unsure = torch.full((2,), 4.0), torch.full((2,), -4.0)
    loss, dice = prompt_loss(right, sure, target)
    assert dice == pytest.approx(1)
    assert loss < prompt_loss(right, unsure, target)[0] < prompt_loss(wrong, unsure, target)[0]


def test_stages_follow_their_shares():
    recipe = Recipe(sizes=(32, 64, 96), shares=(0.5, 0.25, 0.25), batches=(8, 4, 2))
    assert [stage_at(recipe, s) for s in (0, 0.49, 0.5, 0.74, 0.75, 1.0)] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("learning_rat = 1.0", "learning_rat"),
        ('network = "L"', "XS, S or M"),
        ("sizes = [50]\nshares = [1.0]\nbatches = [4]", "multiples of 32"),
        ("sizes = [64]", "share"),
        ('minutes = "long"', "minutes"),
        ('task = "classify"', "classify"),
    ],
)
def test_a_recipe_with_a_mistake_is_refused_by_name(tmp_path, text, says):
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        read_recipe(path)


@pytest.mark.parametrize("name", ["prompt_unet_s", "prompt_unet_m_gpu", "prompt_unet_smoke"])
def test_the_recipes_that_ship_can_be_read(name):
    recipe = read_recipe(resource_path(f"recipes/{name}.toml"))
    assert sum(recipe.shares) == pytest.approx(1)


@pytest.mark.slow
def test_a_short_run_trains_resumes_and_exports(data, tmp_path):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        'network = "XS"\nsizes = [32, 64]\nshares = [0.5, 0.5]\nbatches = [8, 4]\n'
        "n_superpixels = 4\nlearning_rate = 0.003\n"
    )
    out, lines = tmp_path / "run", []
    run = {"data": data, "out": out, "device": "cpu", "report": lines.append}
    with pytest.raises(WeightsError, match="without --resume"):
        train(recipe, time_budget_s=1.0, resume=True, **run)
    checkpoint = train(recipe, time_budget_s=6.0, resume=False, **run)
    first = torch.load(checkpoint, weights_only=True)
    assert first["step"] > 3
    train(recipe, time_budget_s=first["spent"] + 3.0, resume=True, **run)
    second = torch.load(checkpoint, weights_only=True)
    assert second["step"] > first["step"]
    assert any("tune Dice" in line for line in lines)
    assert (out / "log.png").stat().st_size > 1000
    with (out / "log.csv").open() as file:
        assert [row["tune_dice"] for row in csv.DictReader(file) if row["tune_dice"]]

    tune = TuneSet(load_packs(out / "packs"))
    manifest = export(
        checkpoint,
        tmp_path / "weights",
        network_size="XS",
        input_size=64,
        details={"x": 1},
        tune=tune,
    )
    entry = json.loads(manifest.read_text())["models"][0]
    assert entry["x"] == 1
    found = entry["calibration"]
    assert found["dice_after"] >= found["dice_before"]
    network = prompt_unet("XS")
    stored = load_file(tmp_path / "weights" / "embedded_prompt_unet.safetensors")
    network.load_state_dict({n: t.float() for n, t in stored.items()})
    planes = torch.rand(1, 8, 64, 64)
    with torch.inference_mode():
        expected = network.eval()(planes)[0].numpy()
    graph = open_graph(tmp_path / "weights" / "embedded_prompt_unet.xml", precision="f32")
    np.testing.assert_allclose(graph(planes.numpy())[0], expected, rtol=1e-3, atol=2e-3)
    # Only the last layers were touched, by what was found.
    moved = stored["fine_out.1.bias"].float() - second["ema"]["fine_out.1.bias"]
    assert moved.item() == pytest.approx(found["shift"], abs=2e-3)


def test_a_folder_without_scans_is_refused(tmp_path):
    recipe = resource_path("recipes/prompt_unet_smoke.toml")
    with pytest.raises(ReadError, match="neither labelled scans"):
        train(
            recipe,
            data=tmp_path,
            out=tmp_path / "out",
            device="cpu",
            time_budget_s=1.0,
            resume=False,
            report=lambda line: None,
        )


@pytest.mark.parametrize("where", ["recipe", "option"])
def test_a_data_set_that_is_left_out_must_exist(data, tmp_path, where):
    recipe = tmp_path / "r.toml"
    entry = 'leave_out = ["sunnybrok_lv2d"]\n' if where == "recipe" else ""
    recipe.write_text(f"{entry}n_superpixels = 2\n")
    with pytest.raises(UsageError, match="sunnybrok_lv2d"):
        train(
            recipe,
            data=data,
            out=tmp_path / "out",
            device="cpu",
            time_budget_s=1.0,
            resume=False,
            report=lambda line: None,
            leave_out=() if where == "recipe" else ("sunnybrok_lv2d",),
        )


def test_what_is_left_out_is_not_learnt_and_the_checkpoint_says_so(data, tmp_path, monkeypatch):
    two = tmp_path / "data"
    shutil.copytree(data / "msd_hippocampus", two / "msd_hippocampus")
    shutil.copytree(data / "msd_hippocampus", two / "blocks")
    learnt = []
    monkeypatch.setattr(PromptTraining, "run", lambda self: learnt.extend(self._cases))
    recipe = tmp_path / "r.toml"
    recipe.write_text('network = "XS"\nsizes = [32]\nshares = [1.0]\nbatches = [4]\n')
    words = {"data": two, "out": tmp_path / "out", "device": "cpu", "report": lambda line: None}
    train(recipe, time_budget_s=1.0, resume=False, leave_out=("blocks",), **words)
    assert {case.dataset for case in learnt} == {"msd_hippocampus"}
    monkeypatch.undo()
    checkpoint = train(recipe, time_budget_s=1e-3, resume=False, leave_out=("blocks",), **words)
    made = exported_model(checkpoint, tmp_path / "made")
    assert made.details["left_out"] == ["blocks"]
    assert (made.details["size"], made.details["input_size"]) == ("XS", 32)
    other = resource_path("recipes/vnet_hippocampus.toml")
    with pytest.raises(UsageError, match="--leave-out"):
        train(other, time_budget_s=1e-3, resume=False, leave_out=("blocks",), **words)
    checkpoint.write_bytes(b"no checkpoint")
    with pytest.raises(WeightsError, match=r"last\.pt"):
        exported_model(checkpoint, tmp_path / "made")


def test_weights_of_an_earlier_checkpoint_are_mixed_in(tmp_path):
    paths = []
    for value in (1.0, 2.0):
        network = prompt_unet("XS")
        with torch.no_grad():
            network.fine_out[1].bias.fill_(value)
        paths.append(tmp_path / f"{value}.pt")
        torch.save({"ema": network.state_dict()}, paths[-1])
    words = {"network_size": "XS", "input_size": 32, "details": {}}
    export(paths[0], tmp_path / "weights", **words, mixed_with=(paths[1], 0.25))
    stored = load_file(tmp_path / "weights" / "embedded_prompt_unet.safetensors")
    assert stored["fine_out.1.bias"].item() == pytest.approx(1.25)
