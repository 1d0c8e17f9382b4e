"""From prompts to one object's mask, with a model whose answer is known: a threshold in the box."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.core.errors import Cancelled, PromptError
from app.core.geometry import Geometry, Region
from app.core.prompts import BoxPrompt, PointPrompt, PromptKind, slice_region
from app.core.tasks import NullContext
from app.core.volume import Volume
from models.base import ModelKind, ModelSpec, SliceMask, SlicePrompts, SliceView
from models.cache import EmbeddingCache
from models.prompted_object import box_around
from models.propagation import PromptedSegmenter, StopRules

WINDOW = (0.0, 1.0)


class ThresholdModel:
    """Says that bright pixels in the box are the object. Records what it was asked."""

    spec = ModelSpec("threshold", "Threshold", ModelKind.PROMPTABLE, frozenset(PromptKind))
    device = "test"

    def __init__(self) -> None:
        self.asked: list[tuple[int, SlicePrompts]] = []

    def prepare(self, views, cache: EmbeddingCache, ctx) -> None:
        """Nothing to prepare."""

    def guide(self, view, keys, start, stop):
        return {}

    def predict(self, view: SliceView, prompts: SlicePrompts, cache: EmbeddingCache) -> SliceMask:
        self.asked.append((view.index, prompts))
        inside = np.zeros(view.shape_rc, np.float32)
        r0, c0, r1, c1 = (round(v) for v in prompts.box_rc or (0, 0, *view.shape_rc))
        inside[r0:r1, c0:c1] = 1
        return SliceMask(inside * (view.pixels > 0.5), 0.9)


def volume_of(voxels: np.ndarray) -> Volume:
    return Volume(voxels.astype(np.float32), Geometry(voxels.shape, np.eye(4)))


def tube(shape=(20, 24, 28), start=5, stop=15) -> np.ndarray:
    voxels = np.zeros(shape)
    voxels[start:stop, 8:14, 9:17] = 1
    return voxels


def run(voxels, *prompts, rules=None, ctx=None, **options):
    model = ThresholdModel()
    segmenter = PromptedSegmenter(model, rules)
    result = segmenter.segment(
        volume_of(voxels), prompts, WINDOW, EmbeddingCache(1000), ctx or NullContext(), **options
    )
    full = np.zeros(voxels.shape, bool)
    if result.region is not None:
        full[result.region.slices] = result.mask
    return full, result, model


def box_on(index, axis=0, box_rc=(6, 7, 16, 19), **options):
    return BoxPrompt(slice_region(axis, index, box_rc), axis, **options)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_on_any_axis_marks_its_own_slice_only(axis):
    voxels = np.random.default_rng(axis).random((9, 10, 11))
    box_rc = (2, 3, 7, 8)
    full, result, _ = run(voxels, box_on(4, axis, box_rc))
    expected = np.zeros(voxels.shape, bool)
    region = slice_region(axis, 4, box_rc)
    expected[region.slices] = (voxels > 0.5)[region.slices]
    np.testing.assert_array_equal(full, expected)
    assert result.covered == Region.whole(voxels.shape).with_axis(axis, 4, 5)


def test_carrying_goes_both_ways_and_ends_where_the_object_ends():
    full, result, _ = run(tube(), box_on(10, through=(0, 20)))
    np.testing.assert_array_equal(full, tube() > 0)
    assert set(result.scores) == set(range(5, 15))


def test_carrying_stays_in_its_range():
    full, _, _ = run(tube(), box_on(10, through=(8, 12)))
    assert np.flatnonzero(full.any(axis=(1, 2))).tolist() == [8, 9, 10, 11]


def test_each_slice_is_guided_by_the_mask_before_it():
    _, _, model = run(tube(), box_on(10, through=(9, 13)))
    guided = {index: prompts.neighbour for index, prompts in model.asked}
    assert guided[10] is None
    for index in (9, 11, 12):
        np.testing.assert_array_equal(guided[index] > 0, tube()[10] > 0)


def test_a_gap_of_one_empty_slice_is_crossed_two_are_not():
    voxels = tube(start=5, stop=18)
    voxels[12] = 0
    full, _, _ = run(voxels, box_on(10, through=(0, 20)))
    assert full[13].any()
    voxels[13] = 0
    full, _, _ = run(voxels, box_on(10, through=(0, 20)))
    assert not full[11:][1:].any()


def test_a_jump_of_the_area_stops_and_says_so():
    voxels = tube(start=5, stop=18)
    voxels[13:, 4:20, 4:24] = 1
    rules = StopRules(max_area_ratio=1.5)
    # The next box follows the mask with 10 % margin, so the jump shows as growth inside it.
    full, result, _ = run(voxels, box_on(10, through=(0, 20)), rules=rules)
    assert not full[13:].any()
    assert "slice 14" in result.stopped[0]
    assert "area" in result.stopped[0]


def test_an_unsure_model_stops():
    class Unsure(ThresholdModel):
        def guide(self, view, keys, start, stop):
            return {}

        def predict(self, view, prompts, cache):
            sure = super().predict(view, prompts, cache)
            return SliceMask(sure.probability, 0.1 if view.index > 11 else 0.9)

    segmenter = PromptedSegmenter(Unsure())
    result = segmenter.segment(
        volume_of(tube()),
        (box_on(10, through=(0, 20)),),
        WINDOW,
        EmbeddingCache(1000),
        NullContext(),
    )
    assert max(result.scores) == 11
    assert "not confident" in result.stopped[0]


def test_two_key_slices_meet_in_the_middle_and_flipping_changes_nothing():
    rng = np.random.default_rng(1)
    voxels = tube() * (0.6 + 0.4 * rng.random((20, 24, 28)))
    prompts = (box_on(6, through=(5, 15)), box_on(13, through=(5, 15)))
    full, _, _ = run(voxels, *prompts)
    mirrored = (box_on(19 - 6, through=(5, 15)), box_on(19 - 13, through=(5, 15)))
    flipped, _, _ = run(voxels[::-1].copy(), *mirrored)
    np.testing.assert_array_equal(full, flipped[::-1])
    assert full[5:15].any(axis=(1, 2)).all()


def test_a_3d_box_bounds_the_object():
    voxels = np.ones((12, 20, 22))
    region = Region((3, 4, 5), (9, 14, 15))
    full, _, _ = run(voxels, BoxPrompt(region, axis=0))
    expected = np.zeros(voxels.shape, bool)
    expected[region.slices] = True
    np.testing.assert_array_equal(full, expected)


def test_a_click_in_the_range_reaches_the_model_with_the_carried_mask():
    point = PointPrompt((12.0, 10.0, 11.0), positive=False)
    _, _, model = run(tube(), box_on(10, through=(5, 15)), point)
    before, corrected = (p for index, p in model.asked if index == 12)
    assert before.negative_rc == ()
    assert corrected.negative_rc == ((10.0, 11.0),)
    assert corrected.neighbour is not None
    np.testing.assert_array_equal(corrected.previous > 0.5, tube()[12] > 0)


def test_a_correction_runs_again_only_what_depends_on_it():
    model = ThresholdModel()
    segmenter = PromptedSegmenter(model)
    volume, box = volume_of(tube()), box_on(10, through=(5, 15))

    def segment(*prompts):
        model.asked.clear()
        segmenter.segment(volume, prompts, WINDOW, EmbeddingCache(1000), NullContext())
        return [index for index, _ in model.asked]

    assert segment(box) == [10, *range(9, 4, -1), *range(11, 15)]
    assert segment(box) == []
    # This model ignores clicks, so the corrected slice gives its neighbours the same guide.
    assert segment(box, PointPrompt((13.0, 10.0, 11.0))) == [13]


def test_stopping_keeps_what_is_done_and_cancelling_keeps_nothing():
    done: list[int] = []
    full, _, _ = run(
        tube(),
        box_on(10, through=(0, 20)),
        on_slice=lambda index, _: done.append(index),
        should_stop=lambda: len(done) >= 1,
    )
    assert full.any()

    class CancelSoon(NullContext):
        n = 0

        def report(self, fraction, text=""):
            self.n += 1
            if self.n > 3:
                raise Cancelled

    with pytest.raises(Cancelled):
        run(tube(), box_on(10, through=(0, 20)), ctx=CancelSoon())


def test_progress_grows_and_stays_below_one():
    class Progress(NullContext):
        def __init__(self):
            self.fractions = []

        def report(self, fraction, text=""):
            self.fractions.append(fraction)

    ctx = Progress()
    run(tube(), box_on(10, through=(5, 15)), ctx=ctx)
    assert ctx.fractions == sorted(ctx.fractions)
    assert ctx.fractions[-1] <= 1.0
    assert ctx.fractions[-1] > 0.5


def test_a_slice_is_told_when_the_mask_reaches_it_not_when_the_pass_is_over():
    told: list[tuple[int, int]] = []

    class Count(NullContext):
        n = 0

        def report(self, fraction, text=""):
            self.n += 1

    ctx = Count()
    run(
        tube(),
        box_on(10, through=(5, 15)),
        ctx=ctx,
        on_slice=lambda index, _: told.append((index, ctx.n)),
    )
    # One question per slice, and after each of them its answer.
    told_after = dict(reversed(told))
    assert sorted(told_after) == list(range(5, 15))
    assert sorted(told_after.values()) == list(range(1, 11))


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        ((), "draw a box"),
        ((box_on(30),), "leaves the image"),
        ((box_on(5, through=(0, 99)),), "slice range"),
        ((box_on(5), box_on(5, axis=1)), "one plane"),
        ((PointPrompt((0.0, 99.0, 0.0)),), "outside"),
    ],
)
def test_prompts_that_make_no_sense_are_refused_in_words(prompts, words):
    with pytest.raises(PromptError, match=words):
        run(tube(), *prompts)


def test_box_around_is_tight_without_a_margin_and_clipped_with_one():
    mask = np.zeros((10, 12), bool)
    mask[0:4, 5:11] = True
    assert box_around(mask, margin=0.0) == (0, 5, 4, 11)
    assert box_around(mask, margin=0.5) == (0, 2, 6, 12)
    assert box_around(np.zeros((3, 3), bool), margin=0.1) is None


def test_between_two_boxes_the_mask_stays_in_the_box_between_them():
    voxels = np.zeros((12, 40, 60))
    voxels[:, 10:20, :] = 1  # a bar across: only boxes tell where the object ends
    first, last = box_on(2, box_rc=(8, 4, 22, 14)), box_on(8, box_rc=(8, 34, 22, 54))
    full, _, _ = run(voxels, replace(first, through=(2, 9)), last)
    for index in range(3, 8):
        share = (index - 2) / 6
        low, high = 4 + share * 30, 14 + share * 40
        columns = np.flatnonzero(full[index].any(axis=0))
        room = 0.15 * (high - low) + 1
        assert low - room <= columns[0] <= low + 1
        assert high - 1 <= columns[-1] + 1 <= high + room


def test_agreement_is_known_where_two_passes_meet_and_only_there():
    prompts = (box_on(6, through=(5, 15)), box_on(12))
    _, result, _ = run(tube(), *prompts)
    assert set(result.agreement) == set(range(7, 12))
    # Both passes see the same bright pixels.
    assert all(value == 1 for value in result.agreement.values())
