"""The embedded model as it ships: the graph is the network, and it answers as promised."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from app.core.errors import WeightsError
from app.core.geometry import Geometry
from app.core.volume import Modality, Volume
from models.base import SliceMask, SlicePrompts, SliceView
from models.cache import EmbeddingCache
from models.networks.prompt_unet import SIZES, prompt_unet
from models.prompt_model import EmbeddedModel, build, fill_doubtful_holes
from models.runtime import choose_device, open_graph
from models.weights import list_models, load_prompt_unet, verify_model
from resources import resource_path


@pytest.fixture(scope="module")
def installed():
    return list_models()["embedded"]


@pytest.fixture(scope="module")
def model(installed) -> EmbeddedModel:
    return build(installed, choose_device("cpu"), None)


def example(size: int) -> np.ndarray:
    """Return planes with noise, a box, clicks and a mask."""
    rng = np.random.default_rng(3)
    planes = np.zeros((1, 8, size, size), np.float32)
    planes[0, :3] = rng.random((3, size, size))
    planes[0, 3, size // 4 : -size // 4, size // 3 : -size // 5] = 1
    planes[0, 4, size // 2 - 3 : size // 2 + 3, size // 2 - 3 : size // 2 + 3] = 1
    planes[0, 7, size // 3 : -size // 3, size // 3 : -size // 3] = 1
    return planes


def test_the_shipped_graph_is_the_shipped_network(installed):
    size = int(installed.details["input_size"])
    planes = example(size)
    graph = open_graph(installed.path.with_suffix(".xml"), precision="f32")
    with torch.inference_mode():
        logits, quality = load_prompt_unet(installed)(torch.from_numpy(planes))
    answer = graph(planes)
    np.testing.assert_allclose(answer[0], logits.numpy(), rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(answer[1], quality.numpy(), rtol=1e-3, atol=2e-3)


def test_half_precision_changes_next_to_no_voxel(installed):
    planes = example(int(installed.details["input_size"]))
    path = installed.path.with_suffix(".xml")
    exact, quick = open_graph(path, precision="f32")(planes)[0], open_graph(path)(planes)[0]
    assert ((exact > 0) != (quick > 0)).mean() < 0.01


def test_what_ships_is_small_intact_and_described(installed):
    verify_model(installed)
    parameters = sum(p.numel() for p in load_prompt_unet(installed).parameters())
    assert parameters <= 12_000_000
    assert installed.n_bytes <= 25_000_000
    assert installed.licence == "Apache-2.0"
    assert installed.details["training_data"]
    assert installed.details["metrics"]
    assert resource_path("weights/embedded_prompt_unet.md").exists()


def view_of_disk(shape=(5, 120, 100), spacing=(3.0, 0.8, 1.1)) -> tuple[SliceView, np.ndarray]:
    rng = np.random.default_rng(0)
    rows, columns = np.indices(shape[1:])
    disk = ((rows - 60) * spacing[1]) ** 2 + ((columns - 45) * spacing[2]) ** 2 < 18**2
    voxels = (np.where(disk, 140, 60) + rng.normal(0, 8, shape)).astype(np.float32)
    affine = np.diag([*spacing, 1.0])[[2, 1, 0, 3]]
    volume = Volume(voxels, Geometry(shape, affine), Modality.MR, name="disk")
    return SliceView(volume, 0, 2, (0.0, 200.0)), disk


def dice(answer: SliceMask, truth: np.ndarray) -> float:
    return 2 * (answer.mask & truth).sum() / (answer.mask.sum() + truth.sum())


def test_a_box_round_a_plain_disk_gives_the_disk(model):
    view, disk = view_of_disk()
    rows, columns = np.nonzero(disk)
    box = (rows.min() - 1, columns.min() - 1, rows.max() + 2, columns.max() + 2)
    answer = model.predict(view, SlicePrompts(box_rc=box), EmbeddingCache(1 << 20))
    assert dice(answer, disk) > 0.97
    assert 0.4 < answer.score <= 1


@pytest.mark.parametrize("contrast", [-60.0, 30.0, 88.0, 176.0])
@pytest.mark.parametrize("noise", [0.0, 13.0])
def test_plain_ellipses_are_found_whatever_their_contrast_and_noise(model, contrast, noise):
    rng = np.random.default_rng(1)
    rows, columns = np.indices((100, 120))
    for radius in (9, 14, 22):
        truth = ((rows - 52) / (0.7 * radius)) ** 2 + ((columns - 57) / radius) ** 2 < 1
        ground = 40 - contrast / 2
        voxels = ground + contrast * truth + noise * rng.standard_normal((3, 100, 120))
        voxels = np.clip(voxels, 0, 220)
        affine = np.eye(4)[[2, 1, 0, 3]]
        volume = Volume(
            voxels.astype(np.float32), Geometry((3, 100, 120), affine), Modality.MR, name="plain"
        )
        inside = np.argwhere(truth)
        low, high = inside.min(axis=0), inside.max(axis=0) + 1
        prompts = SlicePrompts(box_rc=(low[0], low[1], high[0], high[1]))
        view = SliceView(volume, 0, 1, (0.0, 220.0))
        answer = model.predict(view, prompts, EmbeddingCache(1 << 20))
        assert dice(answer, truth) > 0.95


@pytest.mark.parametrize("quality", [4.0, 0.0])
def test_the_ellipse_in_a_box_has_a_say_only_where_the_network_is_unsure(quality):
    def nothing(planes):
        size = planes.shape[-1]
        return np.full((1, 1, size, size), -1, np.float32), np.full(1, quality, np.float32)

    view, _ = view_of_disk()
    unsure = EmbeddedModel(nothing, 64, "")
    box = (30.0, 20.0, 70.0, 60.0)
    answer = unsure.predict(view, SlicePrompts(box_rc=box), EmbeddingCache(1 << 20))
    rows, columns = np.indices(view.shape_rc)
    ellipse = ((rows - 49.5) / 20) ** 2 + ((columns - 39.5) / 20) ** 2 < 1
    if quality == 4.0:
        assert not answer.mask.any()
    else:
        assert answer.mask[50, 40]
        assert not (answer.mask & ~ellipse).any()
    # What a click says is more than a guess about shapes.
    clicked = SlicePrompts(box_rc=box, positive_rc=((50.0, 40.0),))
    assert not unsure.predict(view, clicked, EmbeddingCache(1 << 20)).mask.any()


def test_a_carried_mask_that_was_too_large_shrinks_to_the_object(model):
    view, disk = view_of_disk()
    rows, columns = np.indices(disk.shape)
    distance = np.hypot((rows - 60) * view.spacing_rc[0], (columns - 45) * view.spacing_rc[1])
    neighbour = (distance < 23).astype(np.float32)
    answer = model.predict(view, SlicePrompts(neighbour=neighbour), EmbeddingCache(1 << 20))
    assert dice(answer, disk) > dice(SliceMask(neighbour, 1.0), disk) + 0.04


def test_bone_is_told_from_brighter_bone_though_both_are_white(model):
    rows, columns = np.indices((100, 100))
    bone = np.hypot(rows - 50, columns - 45) < 18
    denser = np.hypot(rows - 50, columns - 70) < 14
    voxels = np.full((3, 100, 100), 30, np.int16)
    voxels[:, bone] = 380
    voxels[:, denser] = 1100
    truth = bone & ~denser
    geometry = Geometry(voxels.shape, np.diag([1.0, 1.0, 1.0, 1.0]))
    answers = {}
    for modality in (Modality.CT, Modality.MR):
        view = SliceView(Volume(voxels, geometry, modality=modality), 0, 1, (-160.0, 240.0))
        prompts = SlicePrompts(box_rc=(32, 27, 68, 60))
        answers[modality] = model.predict(view, prompts, EmbeddingCache(1 << 20))
    assert dice(answers[Modality.CT], truth) > 0.93
    # Seen through the same window without a wider one, both are one.
    assert dice(answers[Modality.CT], truth) > dice(answers[Modality.MR], truth) + 0.02


def test_the_same_prompt_gives_the_same_mask(model):
    view, _ = view_of_disk()
    prompts = SlicePrompts(box_rc=(30, 20, 90, 70))
    first = model.predict(view, prompts, EmbeddingCache(1 << 20))
    model.predict(view, SlicePrompts(box_rc=(3, 2, 60, 40)), EmbeddingCache(1 << 20))
    again = model.predict(view, prompts, EmbeddingCache(1 << 20))
    np.testing.assert_array_equal(first.probability, again.probability)


def test_a_box_at_the_rim_of_the_slice_is_answered(model):
    view, _ = view_of_disk()
    answer = model.predict(view, SlicePrompts(box_rc=(0, 0, 120, 100)), EmbeddingCache(1 << 20))
    assert answer.probability.shape == (120, 100)
    assert np.isfinite(answer.probability).all()


def test_holes_by_a_hair_are_filled_and_sure_ones_stay():
    probability = np.zeros((40, 40), np.float32)
    probability[5:35, 5:35] = 0.9
    probability[8:14, 8:14] = 0.45
    probability[20:30, 20:30] = 0.05
    filled = fill_doubtful_holes(probability) > 0.5
    assert filled[8:14, 8:14].all()
    assert not filled[20:30, 20:30].any()
    assert filled.sum() == 900 - 100
    assert not fill_doubtful_holes(np.zeros((5, 5), np.float32)).any()


@pytest.mark.parametrize("size", SIZES)
def test_every_size_takes_what_the_doubling_allows(size):
    network = prompt_unet(size).eval()
    with torch.inference_mode():
        logits, quality = network(torch.rand(2, 8, 64, 96))
    assert logits.shape == (2, 1, 64, 96)
    assert quality.shape == (2,)


def test_a_damaged_graph_is_refused_in_words(installed, tmp_path):
    bad = tmp_path / "graph.xml"
    bad.write_text("<net/>")
    with pytest.raises(WeightsError, match=r"graph\.xml"):
        open_graph(bad)


def test_the_manifest_has_one_version(installed):
    stored = json.loads(resource_path("weights/manifest.json").read_text(encoding="utf-8"))
    assert stored["version"] == 1
