"""MedSAM and LiteMedSAM behind the slice protocol: what is encoded when, and that masks agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from app.core.errors import Cancelled, PromptError
from app.core.geometry import Geometry
from app.core.prompts import AXIAL, PointPrompt
from app.core.tasks import NullContext
from app.core.volume import Modality, Volume
from models import medsam_processing as processing
from models.base import MODEL_FORMATS, InstalledModel, ModelKind, SlicePrompts, SliceView
from models.cache import EmbeddingCache
from models.converted import cpu_network
from models.medsam import BoxModel, assemble, build, expected_dice
from models.networks.sam import PromptableNetwork, sam_vit
from models.networks.tiny_vit import TinyViT
from models.propagation import PromptedSegmenter
from models.runtime import Device, compile_graph, wrap_module

CPU = Device("cpu", "test CPU", "for a test")
WINDOW = (-160.0, 240.0)
BOX = (12.0, 20.0, 40.0, 52.0)


def installed(format_: str, sha256: str = "5e" * 32) -> InstalledModel:
    return InstalledModel(
        format_, "A MedSAM", ModelKind.PROMPTABLE, format_, Path("a.pth"), sha256, 0, "", "imported"
    )


def lite_network() -> PromptableNetwork:
    """Return a small LiteMedSAM with seeded weights."""
    torch.manual_seed(3)
    encoder = TinyViT((8, 16, 16, 16), (1, 1, 1, 1), (2, 2, 2, 2), (7, 7, 14, 7))
    return PromptableNetwork(encoder, 256).eval()


def medsam_network() -> PromptableNetwork:
    """Return a small MedSAM with seeded weights; its position tables are not zero as at birth."""
    torch.manual_seed(4)
    network = sam_vit(hidden=32, depth=2, heads=2, global_layers=(1,)).eval()
    for name, parameter in network.image_encoder.named_parameters():
        if "pos" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return network


def refuse_to_load() -> PromptableNetwork:
    raise AssertionError("the weights were read again")


def volume_of(seed: int = 0, modality: Modality = Modality.CT) -> Volume:
    noise = np.random.default_rng(seed).normal(size=(4, 60, 80))
    voxels = (ndimage.gaussian_filter(noise, (0, 4, 4)) * 2000).astype(np.int16)
    return Volume(voxels, Geometry(voxels.shape, np.eye(4)), modality)


def view_of(volume: Volume, index: int = 1) -> SliceView:
    return SliceView(volume, AXIAL, index, WINDOW)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="module")
def lite(graphs) -> BoxModel:
    return assemble(lite_network, installed("lite_medsam"), CPU, graphs, precision="f32")


@pytest.fixture
def cache(tmp_path) -> EmbeddingCache:
    return EmbeddingCache(64 << 20, folder=tmp_path / "embeddings")


def levels_of(view: SliceView) -> np.ndarray:
    voxels = view.volume.voxels
    extremes = float(voxels.min()), float(voxels.max())
    return processing.grey_levels(view.pixels, view.window, extremes)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_lite_masks_are_pytorchs(lite, cache):
    view, network = view_of(volume_of()), lite_network()
    r0, c0, r1, c1 = BOX
    with torch.inference_mode():
        image = torch.from_numpy(processing.lite_input(levels_of(view)))
        box = torch.tensor([[int(v * 256 / 80) for v in (c0, r0, c1, r1)]]).float()
        logits = network(image, box)[:, :, :192]  # 60 of 80 rows
        wanted = torch.nn.functional.interpolate(logits, (60, 80), mode="bilinear")
    wanted = (wanted[0, 0] > 0).numpy()
    assert 0.01 < wanted.mean() < 0.99
    found = lite.predict(view, SlicePrompts(BOX), cache)
    assert lite.device == "OpenVINO f32 on test CPU"
    assert overlap(found.mask, wanted) >= 0.999
    assert found.probability.dtype == np.float32


@pytest.mark.slow
def test_medsam_masks_are_pytorchs(cache):
    network = medsam_network()
    card = installed("medsam_vit_b")
    model = assemble(lambda: network, card, CPU, None, precision="f32")
    view = view_of(volume_of())
    r0, c0, r1, c1 = BOX
    with torch.inference_mode():
        image = torch.from_numpy(processing.medsam_input(levels_of(view)))
        box = torch.tensor([[c0 / 80, r0 / 60, c1 / 80, r1 / 60]]) * 1024
        probability = torch.sigmoid(network(image, box))
        wanted = torch.nn.functional.interpolate(probability, (60, 80), mode="bilinear")
    wanted = (wanted[0, 0] > 0.5).numpy()
    assert 0.01 < wanted.mean() < 0.99
    found = model.predict(view, SlicePrompts(BOX), cache)
    assert model.device == "OpenVINO f32 on test CPU"
    assert overlap(found.mask, wanted) >= 0.999
    assert found.score == pytest.approx(expected_dice(found.probability))


def test_a_second_box_on_a_slice_encodes_nothing(lite, cache):
    view = view_of(volume_of())
    first = lite.predict(view, SlicePrompts(BOX), cache)
    second = lite.predict(view, SlicePrompts((30.0, 5.0, 55.0, 30.0)), cache)
    assert (cache.n_computed, cache.n_memory_hits) == (1, 1)
    assert not np.array_equal(first.probability, second.probability)


def test_after_a_restart_neither_slice_nor_weights_are_needed_again(lite, cache, graphs, tmp_path):
    card, volume = installed("lite_medsam"), volume_of()
    first = lite.predict(view_of(volume), SlicePrompts(BOX), cache)
    again = EmbeddingCache(64 << 20, folder=tmp_path / "embeddings")
    model = assemble(refuse_to_load, card, CPU, graphs, precision="f32")
    # The same scan, opened again: another uid.
    second = model.predict(view_of(replace(volume, uid="later")), SlicePrompts(BOX), again)
    assert (again.n_computed, again.n_disk_hits) == (0, 1)
    np.testing.assert_array_equal(first.probability, second.probability)


def test_another_window_range_or_kind_of_scan_is_encoded_anew(lite, cache):
    dull = replace(volume_of(), voxels=np.clip(volume_of().voxels, -50, 50))
    # The same slice in a scan of another range: the references stretch what the volume holds.
    brighter = dull.voxels.copy()
    brighter[3, 0, 0] = 200
    lite.prepare([view_of(dull)], cache, NullContext())
    for other in (
        replace(view_of(dull), window=(0.0, 100.0)),
        view_of(replace(dull, voxels=brighter)),
        view_of(replace(dull, modality=Modality.MR)),
    ):
        before = cache.n_computed
        lite.prepare([other], cache, NullContext())
        assert cache.n_computed == before + 1


def test_only_what_is_missing_is_prepared(lite, cache):
    views = [view_of(volume_of(), index) for index in range(3)]
    lite.prepare(views[:2], cache, NullContext())
    lite.prepare(views, cache, NullContext())
    assert cache.n_computed == 3
    assert cache.n_memory_hits == 0


def test_a_request_stops_an_encoding_that_runs(lite, cache):
    class Unwanted(NullContext):
        n_asked = 0

        def check(self) -> None:
            self.n_asked += 1
            if self.n_asked > 1:  # not before the encoder runs
                raise Cancelled

    with pytest.raises(Cancelled):
        lite.prepare([view_of(volume_of(seed=7))], cache, Unwanted())
    assert cache.n_computed == 0
    # What was stopped answers as ever.
    view = view_of(volume_of())
    stopped = lite.predict(view, SlicePrompts(BOX), cache).probability
    fresh = lite.predict(view, SlicePrompts(BOX), EmbeddingCache(64 << 20)).probability
    np.testing.assert_array_equal(stopped, fresh)


def test_points_and_no_box_are_refused(lite, cache):
    volume = volume_of()
    with pytest.raises(PromptError, match="boxes only"):
        lite.predict(view_of(volume), SlicePrompts(positive_rc=((3.0, 4.0),)), cache)
    point = PointPrompt((1.0, 30.0, 30.0), True, AXIAL, 1, 1)
    segmenter = PromptedSegmenter(lite)
    with pytest.raises(PromptError, match="takes no point prompts"):
        segmenter.segment(volume, (point,), WINDOW, cache, NullContext())
    assert cache.n_computed == 0


def test_formats_are_registered():
    formats = MODEL_FORMATS.load()
    assert formats["medsam_vit_b"].build is build
    assert formats["lite_medsam"].build is build


@pytest.mark.parametrize(
    ("probability", "expected"),
    [
        ([[1.0, 0.0]], 1.0),
        ([[0.5, 0.2]], 0.0),
        # 2 x 0.9 / (1 pixel + 0.9 + 0.1)
        ([[0.9, 0.1]], 0.9),
    ],
)
def test_expected_dice(probability, expected):
    assert expected_dice(np.array(probability, np.float32)) == pytest.approx(expected)


# -- conversion --------------------------------------------------------------------------------


class Doubling(torch.nn.Module):
    """Twice the input, and its sum."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x * self.factor, x.sum()


EXAMPLE = (np.ones((1, 3), np.float32),)


def converted(folder: Path | None, make=Doubling) -> tuple:
    return cpu_network(
        lambda: make().eval(), EXAMPLE, CPU, name="doubling", cache_dir=folder, precision="f32"
    )


def test_a_graph_is_converted_once(tmp_path):
    def refuse():
        raise AssertionError("converted again")

    network, words = converted(tmp_path)
    assert words == "OpenVINO f32 on test CPU"
    kept, _ = converted(tmp_path, make=refuse)
    for run in (network, kept):
        doubled, total = run(np.array([[1, 2, 3]], np.float32))
        np.testing.assert_array_equal(doubled, [[2, 4, 6]])
        assert total == 6


def test_a_damaged_graph_is_converted_again(tmp_path):
    converted(tmp_path)
    (graph,) = tmp_path.glob("*.xml")
    graph.write_text("<net")
    network, _ = converted(tmp_path)
    assert network(*EXAMPLE)[1] == 3


def test_what_cannot_be_converted_runs_on_pytorch(monkeypatch, tmp_path):
    def fail(*args):
        raise RuntimeError("no such operation")

    monkeypatch.setattr("models.converted.graph_of", fail)
    network, words = converted(tmp_path)
    assert words == "PyTorch float32 on test CPU"
    np.testing.assert_array_equal(network(*EXAMPLE)[0], [[2, 2, 2]])


@pytest.mark.parametrize(
    ("plain_s", "graph_s", "words"),
    [
        (1.0, (3.0, 0.9), "OpenVINO f32 on test CPU"),
        (1.0, (3.0, 1.1), "PyTorch float32 on test CPU, quicker here than OpenVINO"),
    ],
)
def test_what_was_quicker_is_used_and_not_timed_again(
    monkeypatch, tmp_path, plain_s, graph_s, words
):
    seconds = iter([plain_s, *graph_s])
    monkeypatch.setattr("models.converted._timed", lambda action: (action(), next(seconds)))
    for _ in range(2):
        network, found = converted(tmp_path)
        assert found == words
        np.testing.assert_array_equal(network(*EXAMPLE)[0], [[2, 2, 2]])


def test_a_folder_that_cannot_be_written_costs_no_result(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    network, _ = converted(blocked / "graphs")
    assert network(*EXAMPLE)[1] == 3


def test_an_interrupted_graph_runs_again(monkeypatch):
    # Asked at once: however quick the machine, the graph still runs then.
    monkeypatch.setattr("models.runtime._CHECK_MS", 0)

    class Slow(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for _ in range(200):
                x = torch.tanh(x @ x)
            return x

    from models.converted import convert

    example = np.eye(512, dtype=np.float32) / 2
    run = compile_graph(convert(Slow().eval(), (example,)), precision="f32")
    (wanted,) = run(example)

    def cancel() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        run(example, check=cancel)
    np.testing.assert_array_equal(run(example)[0], wanted)
    np.testing.assert_array_equal(run(example, check=lambda: None)[0], wanted)


# -- GPU ---------------------------------------------------------------------------------------


def test_weights_that_no_gpu_holds_run_on_the_cpu(caplog):
    class Huge(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = torch.nn.Parameter(torch.tensor(2.0))

        def to(self, *args, **words):
            if "cuda" in args:
                raise torch.cuda.OutOfMemoryError
            return super().to(*args, **words)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.factor

    moved: list[str] = []
    run = wrap_module(Huge(), Device("cuda", "GPU", ""), on_cpu=lambda: moved.append("cpu"))
    images = np.arange(3, dtype=np.float32)[:, None]
    with caplog.at_level("WARNING"):
        np.testing.assert_array_equal(run(images)[0], 2 * images)
        np.testing.assert_array_equal(run(images)[0], 2 * images)
    assert moved == ["cpu"]
    assert caplog.text.count("now runs on the CPU") == 1


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("format_", "make"), [("lite_medsam", lite_network), ("medsam_vit_b", medsam_network)]
)
def test_gpu_masks_are_the_cpus(format_, make, cache):
    gpu = Device("cuda", torch.cuda.get_device_name(0), "for a test")
    card = installed(format_)
    on_gpu = assemble(make, card, gpu, None)
    on_cpu = assemble(make, card, CPU, None, precision="f32")
    view = view_of(volume_of())
    masks = [model.predict(view, SlicePrompts(BOX), cache).mask for model in (on_gpu, on_cpu)]
    assert overlap(*masks) >= 0.97
    views = [view_of(volume_of(), index) for index in range(4)]
    on_gpu.prepare(views, cache, NullContext())
    # A batch gives what single slices give.
    key = on_gpu._key(views[2])
    together = cache.get_or_compute(key, lambda: pytest.fail("was not prepared"))
    alone = on_gpu._embedding(views[2]).astype(np.float32)
    assert np.linalg.norm(together - alone) <= 0.01 * np.linalg.norm(alone)


@pytest.mark.gpu
def test_a_full_gpu_takes_smaller_batches_then_leaves_it_to_the_cpu(caplog):
    class Hungry(torch.nn.Module):
        limit = 1

        def __init__(self) -> None:
            super().__init__()
            self.factor = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.is_cuda and len(x) > self.limit:
                raise torch.cuda.OutOfMemoryError
            return x * self.factor

    moved: list[str] = []
    module = Hungry()
    run = wrap_module(module, Device("cuda", "GPU", ""), on_cpu=lambda: moved.append("cpu"))
    images = np.arange(5, dtype=np.float32)[:, None]
    with caplog.at_level("WARNING"):
        np.testing.assert_array_equal(run(images)[0], 2 * images)
        assert not moved
        assert "in two parts" in caplog.text
        module.limit = 0
        np.testing.assert_array_equal(run(images)[0], 2 * images)
    assert moved == ["cpu"]
    assert "now runs on the CPU" in caplog.text
