"""Whole scans by hand-made networks whose answers are known, and by tiny random ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from app.core.errors import Cancelled, ModelUnavailableError, WeightsError
from app.core.geometry import Geometry, Region
from app.core.tasks import NullContext
from app.core.volume import Modality, Volume
from models.automatic.checks import doubts
from models.automatic.rules import apply_rules, structures
from models.automatic.segmenter import AutomaticSegmenter, load_segmenter
from models.automatic.spec import automatic_spec
from models.base import InstalledModel, ModelKind
from models.runtime import Device
from tests.models.automatic.networks import AIR, FIRST, SECOND, bands, install, spec_for

SHAPE = (40, 36, 44)
CPU = Device("cpu", "test", "test")


def phantom(spacing: float = 1.0) -> Volume:
    voxels = np.full(SHAPE, AIR, np.int16)
    voxels[4:22, 6:20, 8:30] = FIRST
    voxels[10:14, 10:14, 15:19] = AIR  # a cavity
    voxels[28:36, 22:32, 30:40] = SECOND
    voxels[2:4, 30:33, 2:5] = SECOND  # a crumb
    affine = np.diag([spacing, spacing, spacing, 1.0])[:, [2, 1, 0, 3]]
    return Volume(voxels, Geometry(SHAPE, affine), Modality.CT)


def truth(volume: Volume) -> np.ndarray:
    return 3 * (volume.voxels == FIRST) + 7 * (volume.voxels == SECOND)


def test_on_its_own_grid_every_voxel_gets_the_label_of_its_value():
    spec, volume = spec_for(spacing=(1.0, 1.0, 1.0)), phantom()
    network, shapes = bands(spec)
    result = AutomaticSegmenter(spec, network, "").segment(volume, NullContext())
    np.testing.assert_array_equal(result.labels, truth(volume))
    assert result.covered == Region.whole(SHAPE)
    assert result.is_complete
    assert {s[2:] for s in shapes} == {(16, 16, 16)}
    n_ml = np.count_nonzero(truth(volume) == 3) / 1000
    assert [s.name for s in result.structures] == ["organ 3", "organ 7"]
    assert result.structures[0].volume_ml == pytest.approx(n_ml)
    assert 0.9 < result.structures[0].confidence <= 1.0
    assert len(result.structures[1].pieces) == 2
    large, crumb = result.structures[1].pieces
    assert large.region == Region((28, 22, 30), (36, 32, 40))
    assert crumb.region == Region((2, 30, 2), (4, 33, 5))


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (1.6, 0.8, 1.3)])
def test_on_another_grid_only_borders_differ(spacing):
    spec, volume = spec_for(spacing=spacing), phantom()
    network, _ = bands(spec)
    labels = AutomaticSegmenter(spec, network, "").segment(volume, NullContext()).labels
    away = away_from_borders(volume)
    np.testing.assert_array_equal(labels[away], truth(volume)[away])


def away_from_borders(volume: Volume) -> np.ndarray:
    """Return where no other value is within two voxels; borders are blurred, and so misread."""
    values = volume.voxels
    near = ndimage.maximum_filter(values, 5) - ndimage.minimum_filter(values, 5) > 0
    assert {3, 7} <= set(truth(volume)[~near].tolist())
    return ~near


@pytest.mark.parametrize("family", ["vnet", "transunet"])
def test_a_network_that_knows_mirror_images_is_asked_about_both(family):
    tile = (16, 16, 16) if family == "vnet" else (1, 16, 16)
    spec = replace(spec_for(family, spacing=(1.0, 1.0, 1.0), tile=tile), mirror_pairs=((3, 7),))
    voxels = np.full((16, 16, 16), AIR, np.int16)
    voxels[4:12, 6:10, 2:5] = voxels[4:12, 6:10, 10:14] = FIRST
    volume = Volume(voxels, Geometry((16, 16, 16), np.eye(4)[:, [2, 1, 0, 3]]), Modality.CT)

    def one_sided(inputs, check=None):
        """Sure of the first half, where 3 lies; what it says of the second half is too weak."""
        is_organ = inputs[:, 0] > inputs.min() + 0.1
        is_first = np.arange(inputs.shape[-1]) < inputs.shape[-1] // 2
        first, second = 20 * (is_organ & is_first), 8 * (is_organ & ~is_first)
        return (np.stack([np.full(first.shape, 10), first, second], 1).astype(np.float32),)

    labels = AutomaticSegmenter(spec, one_sided, "").segment(volume, NullContext()).labels
    wanted = np.zeros_like(labels)
    wanted[4:12, 6:10, 2:5], wanted[4:12, 6:10, 10:14] = 3, 7
    np.testing.assert_array_equal(labels, wanted)
    alone = AutomaticSegmenter(replace(spec, mirror_pairs=None), one_sided, "")
    assert set(np.unique(alone.segment(volume, NullContext()).labels)) == {0, 3}


@pytest.mark.parametrize("spacing", [(9.0, 1.0, 1.0), None])
def test_a_network_of_slices_gets_slices(spacing):
    spec, volume = spec_for("transunet", spacing=spacing, tile=(1, 32, 32)), phantom()
    network, shapes = bands(spec)
    segmenter = AutomaticSegmenter(spec, network, "", batch=4)
    labels = segmenter.segment(volume, NullContext()).labels
    assert max(s[0] for s in shapes) == 4
    assert {s[1:] for s in shapes} == {(1, 32, 32)}
    if spacing is None:
        assert sum(s[0] for s in shapes) == SHAPE[0]
        away = away_from_borders(volume)
        np.testing.assert_array_equal(labels[away], truth(volume)[away])
    else:
        np.testing.assert_array_equal(labels, truth(volume))


def test_a_region_is_what_the_whole_scan_gives_there():
    spec, volume = spec_for(spacing=(1.5, 1.4, 1.3)), phantom()
    network, shapes = bands(spec, sharpness=8)
    segmenter = AutomaticSegmenter(spec, network, "")
    whole = segmenter.segment(volume, NullContext())
    n_whole = len(shapes)
    roi = Region((5, 5, 5), (15, 20, 18))
    part = segmenter.segment(volume, NullContext(), roi=roi)
    assert len(shapes) - n_whole < n_whole / 2
    expected = np.zeros_like(whole.labels)
    expected[roi.slices] = whole.labels[roi.slices]
    np.testing.assert_array_equal(part.labels, expected)
    assert part.covered == roi
    assert part.mvoxels < whole.mvoxels


def test_blocks_arrive_in_order_and_make_the_whole():
    spec, volume = spec_for(), phantom()
    network, shapes = bands(spec)
    blocks: list = []
    n_runs: list[int] = []

    def on_block(block):
        blocks.append(block)
        n_runs.append(len(shapes))

    result = AutomaticSegmenter(spec, network, "").segment(volume, NullContext(), on_block=on_block)
    assert n_runs[0] < len(shapes), "the first block came before the last window"
    starts = [block.start for block in blocks]
    stops = [block.start + len(block.labels) for block in blocks]
    assert starts == [0, *stops[:-1]]
    np.testing.assert_array_equal(np.concatenate([b.labels for b in blocks]), result.labels)


def test_stopped_it_keeps_what_is_done():
    spec, volume = spec_for(spacing=(1.0, 1.0, 1.0)), phantom()
    network, shapes = bands(spec)
    segmenter = AutomaticSegmenter(spec, network, "")
    result = segmenter.segment(volume, NullContext(), should_stop=lambda: len(shapes) > 10)
    assert not result.is_complete
    assert result.covered is not None
    done = result.covered.stop_zyx[0]
    assert 0 < done < SHAPE[0]
    np.testing.assert_array_equal(result.labels[:done], truth(volume)[:done])
    assert not result.labels[done:].any()


def test_cancelled_it_ends_between_windows():
    spec, volume = spec_for(), phantom()
    network, shapes = bands(spec)

    class Cancelling(NullContext):
        def check(self) -> None:
            if len(shapes) == 3:
                raise Cancelled

    with pytest.raises(Cancelled):
        AutomaticSegmenter(spec, network, "").segment(volume, Cancelling())
    assert len(shapes) == 3


def test_rules_of_labels():
    spec = spec_for(spacing=(1.0, 1.0, 1.0), n_components=1, fill_holes=True)
    volume = phantom()
    network, _ = bands(spec)
    result = AutomaticSegmenter(spec, network, "").segment(volume, NullContext())
    expected = truth(volume).copy()
    expected[10:14, 10:14, 15:19] = 3
    expected[2:4, 30:33, 2:5] = 0
    np.testing.assert_array_equal(result.labels, expected)


def test_small_pieces_are_dropped_and_other_labels_fill_nothing():
    spec = spec_for(min_ml=0.05, fill_holes=True)
    channels = np.zeros((20, 20, 20), np.uint8)
    channels[2:12, 2:12, 2:12] = 1
    channels[5:9, 5:9, 5:9] = 2  # 64 voxels inside a cavity of the first
    channels[15:18, 15:18, 15:18] = 2  # 27 voxels
    apply_rules(channels, spec, 0.001)
    assert np.count_nonzero(channels == 2) == 64
    assert np.count_nonzero(channels == 1) == 1000 - 64
    found = structures(channels, np.full(channels.shape, 255, np.uint8), spec, 0.001)
    assert [s.volume_ml for s in found] == pytest.approx([0.936, 0.064])


def test_in_a_stack_components_stay_and_holes_are_looked_for_on_slices():
    spec = spec_for(n_components=1, fill_holes=True)
    channels = np.zeros((3, 12, 12), np.uint8)
    channels[:, 1:6, 1:6] = 1
    channels[0, 3, 3] = 0
    channels[2, 8:10, 8:10] = 1
    apply_rules(channels, spec, 0.001, is_stack=True)
    assert channels[0, 3, 3] == 1
    assert np.count_nonzero(channels[2]) == 25 + 4


@pytest.mark.parametrize(("family", "tile"), [("vnet", (16, 16, 16)), ("transunet", (1, 32, 32))])
def test_a_random_network_is_the_same_in_pytorch_and_openvino(family, tile, tmp_path):
    torch = pytest.importorskip("torch")
    from models.automatic.network import load_module, run_module

    spec = spec_for(family, tile=tile)
    model = install(tmp_path, spec)
    module = load_module(model.path, spec)
    sides = tile if family == "vnet" else tile[1:]
    tiles = np.random.default_rng(0).random((1, 1, *sides), np.float32)
    network, words, _ = run_module(lambda: module, spec, CPU, name="tiny", cache_dir=tmp_path)
    assert "OpenVINO" in words
    (found,) = network(tiles)
    with torch.inference_mode():
        expected = module(torch.from_numpy(tiles)).numpy()
    # The CPU may compute in bfloat16, with eight bits.
    scale = float(np.abs(expected).max())
    assert float(np.abs(found - expected).max()) < 0.05 * scale
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999


def test_a_kept_graph_is_opened_without_the_weights(tmp_path, monkeypatch):
    model = install(tmp_path, spec_for())
    cache = tmp_path / "graphs"
    first = load_segmenter(model, CPU, cache).segment(phantom(2.0), NullContext())

    def never(*args):
        raise AssertionError("the network was made again")

    monkeypatch.setattr("models.automatic.network.load_module", never)
    again = load_segmenter(model, CPU, cache).segment(phantom(2.0), NullContext())
    np.testing.assert_array_equal(first.labels, again.labels)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    from models.automatic.network import load_module

    model = install(tmp_path, spec_for())
    with pytest.raises(WeightsError, match="do not fit"):
        load_module(model.path, spec_for(values=(1, 2, 3)))
    model.path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="damaged"):
        load_module(model.path, spec_for())


def test_a_checkpoint_without_a_description_says_so(tmp_path):
    model = InstalledModel(
        "v", "V-Net", ModelKind.AUTOMATIC, "vnet", tmp_path, "", 0, "", "imported"
    )
    with pytest.raises(ModelUnavailableError, match="V-Net"):
        automatic_spec(model)


def test_what_does_not_suit_is_said_in_sentences():
    spec = spec_for()
    assert doubts(phantom(2.0), spec) == ()
    mr = Volume(phantom().voxels, phantom(2.0).geometry, Modality.MR)
    (sentence,) = doubts(mr, spec)
    assert "MR" in sentence
    assert "CT of the phantom" in sentence
    unknown = Volume(phantom().voxels, phantom(2.0).geometry, Modality.OTHER)
    assert len(doubts(unknown, spec)) == 1
    # Sides of 800, 720 and 880 mm; the model knows up to 400.
    assert len(doubts(phantom(20.0), spec)) == 3
    tiny = phantom(0.1)
    assert len(doubts(tiny, spec)) == 3
    assert doubts(tiny, spec, Region((0, 0, 0), (5, 5, 5))) == ()
