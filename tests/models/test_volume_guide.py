"""The 3-D guide: where its voxels lie, what it is given, and how slices follow it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from app.core.geometry import Geometry
from app.core.prompts import BoxPrompt, PointPrompt, PromptKind, slice_region
from app.core.volume import Volume
from models.base import KeySlice, ModelKind, ModelSpec, SliceMask
from models.cache import EmbeddingCache
from models.propagation import PromptedSegmenter
from models.runtime import open_graph
from models.volume_guide import GRID, GuideGrid, VolumeGuide, guide_channels
from models.weights import MANIFEST, load_guide
from resources import resource_path


def ellipsoid(shape, centre, radii):
    grid = np.indices(shape).transpose(1, 2, 3, 0)
    return (((grid - centre) / radii) ** 2).sum(-1) <= 1


def key(mask, box=None):
    return KeySlice(mask.astype(np.float32), box)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_a_bright_voxel_is_found_where_the_grid_says():
    voxels = np.zeros((20, 60, 70), np.float32)
    voxels[7, 31, 44] = 1.0
    mask = np.zeros((60, 70), bool)
    mask[25:40, 35:50] = True
    grid = GuideGrid.around({8: key(mask)}, 2, 15, (3.0, 1.0, 1.0))
    tile = grid.sample(voxels, (0.0, 1.0))
    at = np.unravel_index(tile.argmax(), tile.shape)
    where = [o + s * k for o, s, k in zip(grid.origin, grid.step, at, strict=True)]
    assert np.abs(np.subtract(where, (7, 31, 44))).max() <= 0.5


def test_the_grid_is_square_in_millimetres_and_holds_range_and_context():
    mask = np.zeros((100, 100), bool)
    mask[40:60, 45:50] = True
    grid = GuideGrid.around({10: key(mask)}, 4, 18, (2.0, 0.5, 2.0))
    assert grid.step[1] * 0.5 == pytest.approx(grid.step[2] * 2.0)
    # 20 rows of 0.5 mm, 5 columns of 2 mm: both 10 mm; but the range is 28 mm long.
    assert grid.step[1] * 0.5 * GRID[1] == pytest.approx(max(2.4 * 10, 0.6 * 28))
    planes = grid.origin[0] + grid.step[0] * np.arange(GRID[0])
    assert ((planes >= 3.5) & (planes <= 17.5)).sum() == 26
    assert planes[0] < 3
    assert planes[-1] > 18


def test_what_is_sampled_is_pasted_back_where_it_was():
    shape = (18, 80, 60)
    mask = ellipsoid(shape, (9, 42, 25), (6, 16, 11))
    keys = {9: key(mask[9])}
    grid = GuideGrid.around(keys, 3, 16, (3.0, 1.0, 1.0))
    tile = grid.sample(mask.astype(np.float32), (0.0, 1.0))
    back = np.stack([grid.paste(tile, i, shape[1:]) > 0.5 for i in range(3, 16)])
    assert dice(back, mask[3:16]) > 0.95


def test_beyond_the_scan_there_is_nothing():
    voxels = np.ones((6, 40, 40), np.float32)
    mask = np.zeros((40, 40), bool)
    mask[:10, :10] = True
    grid = GuideGrid.around({0: key(mask)}, 0, 6, (1.0, 1.0, 1.0))
    tile = grid.sample(voxels, (0.0, 2.0))
    planes = grid.origin[0] + grid.step[0] * np.arange(GRID[0])
    rows = grid.origin[1] + grid.step[1] * np.arange(GRID[1])
    assert not tile[planes < -1].any()
    assert not tile[:, rows < -1].any()
    np.testing.assert_allclose(tile[np.ix_(*[(p > 0) & (p < 5) for p in (planes,)])].max(), 0.5)


def test_channels_say_range_key_and_likelihood():
    rng = np.random.default_rng(0)
    image = np.full(GRID, 0.3, np.float32) + rng.normal(0, 0.02, GRID).astype(np.float32)
    image[:, 20:40, 20:40] += 0.4
    keys = np.zeros(GRID, np.float32)
    is_key = np.zeros(GRID[0], bool)
    is_key[[10, 20]] = True
    keys[10, 20:40, 20:40] = 1
    keys[20, 24:36, 24:36] = 1
    in_range = np.zeros(GRID[0], bool)
    in_range[4:28] = True
    boxes = np.zeros(GRID, np.float32)
    boxes[20, 22:38, 22:38] = 1
    channels = guide_channels(image, keys, boxes, is_key, in_range)
    assert channels.shape == (4, *GRID)
    assert channels.dtype == np.float32
    assert channels[2, 8, 20, 20] == 1
    assert channels[2, 18, 20, 20] == 0.5
    assert not channels[2, 2].any()
    # A plane that was answered to a box shows the box there; the planes about it show its mask.
    assert channels[2, 20, 22, 22] == 1
    assert channels[2, 20, 21, 21] == 0.5
    assert channels[2, 21, 22, 22] == 0.5
    assert channels[2, 21, 24, 24] == 1
    # Intensities of the object are likely on every plane, those about it are not.
    assert channels[3, 0, 30, 30] > 0.1
    assert channels[3, 0, 5, 5] < 0


def test_a_network_that_repeats_its_key_gives_the_key_on_every_slice():
    def extrude(planes):
        return ((20 * (planes[:, 2:3] - 0.75)).astype(np.float32),)

    shape = (12, 50, 64)
    mask = ellipsoid(shape, (5, 20, 40), (4, 9, 12))
    keys = {5: key(mask[5])}
    guides = VolumeGuide(extrude).probabilities(
        np.zeros(shape, np.int16), (2.0, 1.0, 1.0), (0.0, 1.0), keys, 2, 9
    )
    assert sorted(guides) == list(range(2, 9))
    for guide in guides.values():
        assert guide.shape == shape[1:]
        assert dice(guide > 0.5, mask[5]) > 0.93


# -- following a guide ---------------------------------------------------------------------------


class FollowingModel:
    """Answers boxes with their ellipse, carried slices with their guide, clicks with a square."""

    def __init__(self, truth):
        self.spec = ModelSpec("f", "Following", ModelKind.PROMPTABLE, frozenset(PromptKind))
        self.truth = truth
        self.asked: list[tuple[int, ...]] = []
        self.boxes: list[dict[int, object]] = []

    def prepare(self, views, cache, ctx):
        """Nothing to prepare."""

    def guide(self, view, keys, start, stop):
        self.asked.append(tuple(sorted(keys)))
        self.boxes.append({index: key.box_rc for index, key in keys.items()})
        return {i: self.truth[i].astype(np.float32) for i in range(start, stop)}

    def predict(self, view, prompts, cache):
        if prompts.has_clicks:
            mask = np.zeros(view.shape_rc, np.float32)
            mask[10:20, 10:20] = 1
        elif prompts.neighbour is not None:
            mask = prompts.neighbour
        else:
            mask = self.truth[view.index].astype(np.float32)
        return SliceMask(mask, 0.9)


class Context:
    def check(self):
        """Go on."""

    def report(self, share, text=""):
        """Nobody reads it."""


@pytest.fixture
def followed():
    shape = (14, 40, 40)
    truth = ellipsoid(shape, (6, 20, 20), (4, 9, 9))
    volume = Volume(np.zeros(shape, np.int16), Geometry(shape, np.eye(4)))
    model = FollowingModel(truth)
    return model, volume, PromptedSegmenter(model)


def run(segmenter, volume, prompts):
    result = segmenter.segment(volume, prompts, (0.0, 1.0), EmbeddingCache(1 << 20), Context())
    block = np.zeros(volume.voxels.shape, bool)
    if result.region is not None:
        block[result.region.slices] = result.mask
    return block, result


def test_slices_follow_the_guide_and_end_where_it_ends(followed):
    model, volume, segmenter = followed
    box = BoxPrompt(slice_region(0, 6, (11, 11, 30, 30)), 0, through=(0, 14))
    block, result = run(segmenter, volume, (box,))
    # The tips of the ellipsoid are one pixel: too small to be called the object.
    expected = model.truth.copy()
    expected[expected.sum(axis=(1, 2)) < 4] = False
    np.testing.assert_array_equal(block, expected)
    assert model.asked == [(6,)]
    assert result.stopped == ()


def test_a_slice_on_which_guide_and_outline_part_is_less_sure(followed):
    model, volume, segmenter = followed
    box = BoxPrompt(slice_region(0, 6, (11, 11, 30, 30)), 0, through=(3, 10))
    honest = model.predict

    def predict(view, prompts, cache):
        answer = honest(view, prompts, cache)
        shift = 6 if view.index == 8 else 0
        return replace(answer, probability=np.roll(answer.probability, shift, axis=1))

    model.predict = predict
    _, result = run(segmenter, volume, (box,))
    assert result.scores[7] > 0.99
    assert result.scores[8] < 0.85
    assert result.scores[6] == 0.9  # the key slice: nothing but the network's own estimate


def test_a_corrected_slice_tells_the_guide_more(followed):
    model, volume, segmenter = followed
    box = BoxPrompt(slice_region(0, 6, (11, 11, 30, 30)), 0, through=(2, 11))
    click = PointPrompt((4.0, 15.0, 15.0))
    block, _ = run(segmenter, volume, (box, click))
    assert model.asked == [(6,), (4, 6)]
    assert block[4].sum() == 100
    assert block[4, 10:20, 10:20].all()


def test_the_guide_is_told_the_box_of_a_slice_until_it_is_corrected(followed):
    model, volume, segmenter = followed
    box = BoxPrompt(slice_region(0, 6, (11, 11, 30, 30)), 0, through=(2, 11))
    run(segmenter, volume, (box,))
    run(segmenter, volume, (box, PointPrompt((6.0, 15.0, 15.0))))
    assert model.boxes == [{6: (11, 11, 30, 30)}, {6: None}]


def test_a_box_lies_on_the_grid_where_its_mask_does():
    mask = np.zeros((70, 90), bool)
    mask[20:45, 33:61] = True
    grid = GuideGrid.around({4: key(mask)}, 0, 9, (2.0, 1.3, 0.8))
    filled, sampled = grid.sample_box((20, 33, 45, 61)), grid.sample_mask(mask)
    assert np.abs(filled - sampled).max() < 0.5
    assert filled.sum() == pytest.approx(sampled.sum(), rel=0.02)
    # Where the mask failed, the box tells where to look.
    by_box = GuideGrid.around({4: key(mask & False, (20, 33, 45, 61))}, 0, 9, (2.0, 1.3, 0.8))
    assert by_box == grid


@pytest.mark.skipif(
    "guide" not in json.loads(resource_path(MANIFEST).read_text("utf-8"))["models"][0],
    reason="no guide ships yet",
)
def test_the_shipped_graph_and_the_network_agree():
    folder = resource_path(MANIFEST).parent
    graph = open_graph(folder / "embedded_volume_guide.xml", precision="f32")
    network = load_guide(folder / "embedded_volume_guide.safetensors")
    planes = np.random.default_rng(0).random((1, 4, *GRID)).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(planes)).numpy()
    np.testing.assert_allclose(graph(planes)[0], expected, rtol=1e-3, atol=5e-3)
