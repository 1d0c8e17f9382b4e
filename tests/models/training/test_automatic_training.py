"""Training of V-Net and TransUNet: geometry by moving voxels, the loss against plain formulas."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from app.core.errors import ReadError, UsageError, WeightsError
from models.automatic.peers import load_checkpoint
from models.automatic.spec import AutomaticSpec
from models.runtime import Device
from models.training.aside import patients_aside
from models.training.automatic_export import export_automatic
from models.training.automatic_recipe import AutomaticRecipe
from models.training.automatic_sampling import TileStream, prepared, split_cases
from models.training.automatic_training import new_network, partial_loss
from models.training.pack import load_cases, pack
from models.training.recipe import read_recipe
from models.training.train import train
from resources import resource_path
from tests.models.training.scans import ball, noisy, write_scan

RECIPES = [
    path.stem
    for path in resource_path("recipes").glob("*.toml")
    if path.stem.startswith(("vnet", "transunet"))
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Eight scans with two balls: the label's value follows the patient's side, not the array's."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for n in range(8):
        labels = np.zeros((32, 30, 28), np.uint8)
        for value, x in ((1, 9), (2, 22)):
            centre = (x, 15 + rng.uniform(-2, 2), 14 + rng.uniform(-2, 2))
            labels[ball(labels.shape, centre, 5)] = value
        image = noisy(labels, rng)
        # The first axis grows to the right in half of the files, to the left in the others.
        x = 1.0 if n % 2 else -1.0
        if n % 2 == 0:
            labels = labels[::-1]
            image = image[::-1]
        write_scan(root, f"{n:03d}", image, labels, (x, 1.0, 1.5))
    return root


@pytest.fixture(scope="module")
def cases(data, tmp_path_factory):
    packs = pack(data, tmp_path_factory.mktemp("packs"), lambda line: None)
    return [case for path in packs for case in load_cases(path)]


def recipe_text(family: str) -> str:
    arguments = {
        "vnet": 'n_classes = 3\nwidth = 4\nkernel = 3\nnorm = "sample"',
        "transunet": (
            "n_classes = 3\nimage_size = 32\nin_channels = 1\nwidth = 16\nunits = [1, 1, 1]\n"
            "hidden = 64\ndepth = 1\nn_first = 32\ndecoder_channels = [32, 16, 16, 16]"
        ),
    }[family]
    tile = "[32, 32, 32]" if family == "vnet" else "[1, 32, 32]"
    return f"""
task = "automatic"
id = "tiny"
title = "Tiny"
dataset = "msd_hippocampus"
batch = 2
learning_rate = 0.003

[model]
family = "{family}"
modality = "MR"
spacing_zyx = [1.5, 1.0, 1.0]
tile_zyx = {tile}

[model.arguments]
{arguments}

[model.intensity]
kind = "percentiles"
knots = [0.5, 99.5]
scaled = [0.0, 1.0]

[[model.labels]]
value = 1
name = "left ball"

[[model.labels]]
value = 2
name = "right ball"
"""


def tiny(tmp_path, family="vnet", **changes) -> AutomaticRecipe:
    path = tmp_path / "tiny.toml"
    path.write_text(recipe_text(family))
    recipe = read_recipe(path)
    assert isinstance(recipe, AutomaticRecipe)
    return AutomaticRecipe(**{**vars(recipe), **changes})


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipes_that_ship_name_networks_that_fit_their_labels(name):
    recipe = read_recipe(resource_path(f"recipes/{name}.toml"))
    assert isinstance(recipe, AutomaticRecipe)
    spec = recipe.model
    network = new_network(spec)
    assert spec.arguments["n_classes"] == len(spec.labels) + 1
    tile = (1, 1, *spec.tile_zyx) if spec.is_volumetric else (1, 1, *spec.tile_zyx[1:])
    # The network accepts its tile; a small corner of it is enough for V-Net.
    x = torch.zeros(tile)[..., :32, :32] if spec.is_volumetric else torch.zeros(tile)
    x = x[:, :, :32] if spec.is_volumetric else x
    with torch.inference_mode():
        assert network.eval()(x).shape[1] == len(spec.labels) + 1
    # Half precision: two bytes per parameter.
    assert 2 * sum(p.numel() for p in network.parameters()) < 35e6


def test_a_recipe_with_an_unknown_entry_is_refused(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(recipe_text("vnet").replace("batch = 2", "bach = 2"))
    with pytest.raises(UsageError, match="bach"):
        read_recipe(path)


def test_a_recipe_differs_from_its_base_in_what_it_says(tmp_path):
    (tmp_path / "base.toml").write_text(recipe_text("transunet"))
    path = tmp_path / "r.toml"
    path.write_text(
        'base = "base.toml"\nseed = 9\n[model]\ntile_zyx = [1, 64, 64]\n'
        "[model.arguments]\nimage_size = 64\n"
    )
    base, recipe = read_recipe(tmp_path / "base.toml"), read_recipe(path)
    arguments = {**base.model.arguments, "image_size": 64}
    model = replace(base.model, tile_zyx=(1, 64, 64), arguments=arguments)
    assert recipe == replace(base, seed=9, model=model)


@pytest.mark.parametrize("name", ["r.toml", "../base.toml", "other.toml"])
def test_a_base_that_is_none_is_refused(tmp_path, name):
    (tmp_path / "r.toml").write_text(f'base = "{name}"\n')
    with pytest.raises(UsageError if name != "other.toml" else ReadError, match="recipe"):
        read_recipe(tmp_path / "r.toml")


def test_scans_lie_in_patient_axes_whatever_the_file_order(cases, tmp_path):
    for case in cases:
        scan = prepared(case, tiny(tmp_path).model)
        # NIfTI's x grows to the right, columns to the left: the first ball is the left one.
        columns = [np.argwhere(scan.labels.numpy() == v)[:, 2].mean() for v in (1, 2)]
        assert columns[0] > columns[1], case.name


def test_what_is_set_aside_is_not_learnt(cases, tmp_path):
    learnt, aside = split_cases(cases, tiny(tmp_path))
    # What evaluation finds by the names alone.
    assert {c.name for c in aside} == patients_aside("msd_hippocampus", [c.name for c in cases])
    assert len(aside) == 1
    assert {c.name for c in learnt} == {c.name for c in cases} - {c.name for c in aside}


def test_mirroring_exchanges_the_labels_of_the_sides(cases, tmp_path):
    recipe = tiny(tmp_path, rotation=0.0, stretch=0.0, bend_mm=0.0)
    recipe = replace(recipe, model=replace(recipe.model, mirror_pairs=((1, 2),)))
    scans = [prepared(case, recipe.model) for case in cases]
    stream = iter(TileStream(scans, recipe, seed=3))
    seen = 0
    for _ in range(12):
        for labels in next(stream)[1].numpy():
            if (labels == 1).any() and (labels == 2).any():
                columns = [np.argwhere(labels == v)[:, 2].mean() for v in (1, 2)]
                assert columns[0] > columns[1]
                seen += 1
    assert seen > 12


def test_the_loss_of_complete_labels_is_half_entropy_half_soft_dice_of_the_batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 4, 5, 6, generator=generator)
    target = torch.randint(0, 2, (2, 4, 5, 6), generator=generator)
    target[1] += 1  # the first image shows structure 1 alone, the second 1 and 2, neither 3
    loss, _ = partial_loss(logits, target, torch.ones(2, 4, dtype=torch.bool))
    share = logits.softmax(1)
    dice = []
    for c in (1, 2):
        p, g = share[:, c], (target == c).float()
        dice.append((2 * (p * g).sum() + 1) / ((p * p).sum() + (g * g).sum() + 1))
    expected = 0.5 * functional.cross_entropy(logits, target) + 0.5 * (1 - torch.stack(dice).mean())
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_a_structure_that_few_slices_show_is_drawn_often(cases, tmp_path):
    recipe = tiny(tmp_path, "transunet")
    scans = [prepared(case, recipe.model) for case in cases]
    for number, scan in enumerate(scans):
        scan.labels[scan.labels == 2] = 0
        if number == 0:
            scan.labels[3, 6:18, 6:18] = 2
    stream = iter(TileStream(scans, recipe, seed=3))
    drawn = [next(stream)[1] for _ in range(60)]
    shown = np.mean([(image == 2).any() for batch in drawn for image in batch.numpy()])
    assert shown > 0.15  # of all slices it is on one in fifty or fewer


def test_an_organ_without_labels_is_neither_wanted_nor_forbidden():
    target = torch.zeros(1, 4, 4, 4, dtype=torch.long)
    target[0, :2] = 1
    known = torch.tensor([[True, True, False]])
    sure = torch.full((1, 3, 4, 4, 4), -9.0)
    sure[0, 1, :2] = 9.0
    as_background, as_unknown = sure.clone(), sure.clone()
    as_background[0, 0, 2:] = 9.0
    as_unknown[0, 2, 2:] = 9.0
    losses = [float(partial_loss(x, target, known)[0]) for x in (as_background, as_unknown)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert losses[0] < 1e-3
    # Where it has labels, the same answer is wrong.
    assert float(partial_loss(as_unknown, target, torch.ones(1, 3, dtype=torch.bool))[0]) > 1


def test_a_batch_without_structures_teaches_that_there_are_none():
    target = torch.zeros(2, 4, 4, 4, dtype=torch.long)
    sure = torch.full((2, 3, 4, 4, 4), -9.0)
    sure[:, 0] = 9.0
    wrong = sure.flip(1)
    known = torch.ones(2, 3, dtype=torch.bool)
    (low, alike), (high, unlike) = (partial_loss(x, target, known) for x in (sure, wrong))
    assert low < 1e-3
    assert high > 5
    assert (float(alike), float(unlike)) == (1.0, 0.0)


@pytest.mark.parametrize("is_turned_over", [False, True])
def test_slices_are_turned_over_if_the_recipe_says_so(cases, tmp_path, is_turned_over):
    still = {"rotation": 0.0, "stretch": 0.0, "bend_mm": 0.0}
    recipe = tiny(tmp_path, "transunet", is_turned_over=is_turned_over, **still)
    scan = prepared(cases[0], recipe.model)
    half = scan.labels.clone()
    half[:, half.shape[1] // 2 :] = 0
    half[:, : half.shape[1] // 2] = 1
    stream = iter(TileStream([replace(scan, labels=half)], recipe, seed=3))
    drawn = [tile for _ in range(8) for tile in next(stream)[1]]
    tops = {int(tile[len(tile) // 4, tile.shape[1] // 2]) for tile in drawn}
    assert tops == ({0, 1} if is_turned_over else {1})


@pytest.mark.slow
@pytest.mark.parametrize("family", ["vnet", "transunet"])
def test_a_short_run_learns_resumes_and_exports(data, tmp_path, family):
    path = tmp_path / "tiny.toml"
    path.write_text(recipe_text(family))
    lines: list[str] = []
    run = {"data": data, "out": tmp_path / "run", "device": "cpu", "report": lines.append}
    checkpoint = train(path, time_budget_s=4.0, resume=False, **run)
    first = torch.load(checkpoint, weights_only=True)
    train(path, time_budget_s=first["spent"] + 2.0, resume=True, **run)
    second = torch.load(checkpoint, weights_only=True)
    assert second["step"] > first["step"] > 2
    assert any(line.startswith("tune Dice") and "left ball" in line for line in lines)

    weights = export_automatic(checkpoint, tmp_path / "weights", {"x": 1})
    export_automatic(checkpoint, tmp_path / "weights", {"x": 2})
    entries = json.loads((tmp_path / "weights" / "manifest.json").read_text())["models"]
    assert [e["x"] for e in entries] == [2]
    network = new_network(AutomaticSpec.from_json(entries[0]["automatic"]))
    network.load_state_dict({n: t.float() for n, t in load_file(weights).items()})
    stored = second["ema"]
    name = next(n for n in stored if n.endswith("weight"))
    np.testing.assert_allclose(network.state_dict()[name], stored[name], atol=2e-3)

    # One step of another run changes what it began with, but not by much.
    again = train(
        path, start_from=weights, time_budget_s=1e-3, resume=False, **{**run, "out": tmp_path / "b"}
    )
    begun = torch.load(again, weights_only=True)
    assert begun["step"] == 1
    np.testing.assert_allclose(begun["net"][name], stored[name], atol=5e-3)
    other = resource_path("weights") / "embedded_prompt_unet.safetensors"
    with pytest.raises(WeightsError, match="recipe's network"):
        train(path, start_from=other, time_budget_s=1e-3, resume=False, **run)


def test_a_run_on_larger_slices_begins_with_weights_of_smaller_ones(data, tmp_path):
    small = new_network(tiny(tmp_path, "transunet").model)
    with torch.no_grad():
        small.transformer.embeddings.position_embeddings.copy_(torch.randn(1, 4, 64))
    save_file({n: t.half() for n, t in small.state_dict().items()}, tmp_path / "small.safetensors")
    path = tmp_path / "large.toml"
    text = recipe_text("transunet").replace("image_size = 32", "image_size = 48")
    path.write_text(text.replace("[1, 32, 32]", "[1, 48, 48]"))
    checkpoint = train(
        path,
        data=data,
        out=tmp_path / "run",
        device="cpu",
        time_budget_s=1e-3,
        resume=False,
        report=lambda line: None,
        start_from=tmp_path / "small.safetensors",
    )
    begun = torch.load(checkpoint, weights_only=True)["net"]
    name = "transformer.embeddings.position_embeddings"
    corners = small.state_dict()[name].reshape(2, 2, 64)
    grid = begun[name].reshape(3, 3, 64)
    np.testing.assert_allclose(grid[::2, ::2], corners, atol=5e-3)  # after one small step
    np.testing.assert_allclose(grid[1, 1], corners.mean((0, 1)), atol=5e-3)


@pytest.mark.parametrize("family", ["vnet", "transunet"])
def test_weights_for_other_structures_keep_all_but_their_last_layer(data, tmp_path, family):
    arguments = {**tiny(tmp_path, family).model.arguments, "n_classes": 5}
    other = new_network(replace(tiny(tmp_path, family).model, arguments=arguments)).state_dict()
    save_file(other, tmp_path / "other.safetensors")
    path = tmp_path / "tiny.toml"
    path.write_text(recipe_text(family).replace("0.003", "1e-9"))
    run = {"data": data, "out": tmp_path / "run", "device": "cpu", "report": print}
    checkpoint = train(
        path, time_budget_s=1e-3, resume=False, start_from=tmp_path / "other.safetensors", **run
    )
    begun = torch.load(checkpoint, weights_only=True)["net"]
    new = [name for name, values in begun.items() if values.shape != other[name].shape]
    assert 1 <= len(new) <= 2
    assert all(len(begun[name]) == 3 and len(other[name]) == 5 for name in new)
    kept = [n for n in begun if n not in new and "running" not in n and "num_batches" not in n]
    assert len(kept) > 20
    assert all(torch.allclose(begun[name], other[name], atol=1e-6) for name in kept)
    wrong = {n: v.repeat(2, *(1,) * (v.ndim - 1)) for n, v in other.items() if v.ndim}
    save_file(wrong, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="other"):
        train(
            path, time_budget_s=1e-3, resume=False, start_from=tmp_path / "other.safetensors", **run
        )


@pytest.mark.slow
@pytest.mark.parametrize("family", ["vnet", "transunet"])
def test_a_network_of_monai_learns_in_the_place_of_ours(data, tmp_path, family):
    pytest.importorskip("monai")
    path = tmp_path / "tiny.toml"
    path.write_text(recipe_text(family))
    words = {"data": data, "device": "cpu", "resume": False, "report": lambda line: None}
    run = {**words, "out": tmp_path / "run", "time_budget_s": 1.0}
    checkpoint = train(path, peer="monai_basic_unet", **run)
    name, segmenter = load_checkpoint(checkpoint, Device("cpu", "test", "test"))
    assert name == "MONAI BasicUNet (tiny)"
    assert segmenter.spec.family == family
    with pytest.raises(UsageError, match="nnunet"):
        train(path, peer="nnunet", **run)
    with pytest.raises(UsageError, match="no automatic model"):
        train(resource_path("recipes") / "volume_guide.toml", peer="monai_vnet", **run)
