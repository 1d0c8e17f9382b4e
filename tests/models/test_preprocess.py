"""The crop that the embedded network sees: where its pixels lie, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.volume import Modality
from models.base import SlicePrompts, Stroke
from models.preprocess import (
    CT_WINDOW,
    MIN_SIDE_VOXELS,
    apply_window,
    filled_box,
    intensity_window,
    network_input,
    window_for_bone,
    zoom_to_box,
    zoom_to_slice,
)

SHAPE = (90, 70)
SPACING = (2.0, 0.8)


def ramp() -> np.ndarray:
    """Return row + 1000 * column at every pixel."""
    rows, columns = np.indices(SHAPE)
    return (rows + 1000.0 * columns).astype(np.float32)


@given(
    top=st.integers(0, 60),
    left=st.integers(0, 40),
    height=st.integers(3, 28),
    width=st.integers(3, 28),
    size=st.sampled_from([32, 64, 160]),
)
def test_network_pixels_lie_where_the_zoom_says(top, left, height, width, size):
    zoom = zoom_to_box((top, left, top + height, left + width), SPACING, SHAPE, size)
    points = np.array([[0.0, 0.0], [size - 1, 3.0], [size / 2, size / 3]])
    np.testing.assert_allclose(zoom.to_network(zoom.to_slice(points)), points, atol=1e-9)
    sampled = zoom.sample(ramp())
    for row, column in ((size // 2, size // 2), (size // 3, size * 2 // 3)):
        at = zoom.to_slice(np.array([row, column], float))
        inside = all(2 <= v <= n - 3 for v, n in zip(at, SHAPE, strict=True))
        if inside:
            # A ramp averages to its value in the middle, however many voxels a pixel spans.
            assert sampled[row, column] == pytest.approx(at[0] + 1000 * at[1], rel=1e-3)


def test_the_crop_is_square_in_millimetres_and_centred_on_the_box():
    zoom = zoom_to_box((10, 20, 30, 60), SPACING, SHAPE, 64)
    # 20 rows of 2 mm are longer than 40 columns of 0.8 mm.
    assert zoom.side_mm == pytest.approx(1.75 * 40)
    middle = zoom.to_network(np.array([19.5, 39.5]))
    np.testing.assert_allclose(middle, [31.5, 31.5])
    tiny = zoom_to_box((10, 20, 12, 22), (1.0, 1.0), SHAPE, 64)
    assert tiny.side_mm == MIN_SIDE_VOXELS


def test_outside_the_slice_is_nothing():
    zoom = zoom_to_box((0, 0, 20, 20), (1.0, 1.0), SHAPE, 64)
    sampled = zoom.sample(np.ones(SHAPE, np.float32))
    assert sampled[0].max() == 0
    assert sampled[40, 40] == 1


@pytest.mark.parametrize("size", [64, 128])
def test_a_pasted_answer_lies_where_its_object_was_seen(size):
    mask = np.zeros(SHAPE, np.float32)
    mask[30:52, 22:47] = 1
    zoom = zoom_to_box((28, 20, 55, 50), SPACING, SHAPE, size)
    logits = (zoom.sample(mask) - 0.5) * 20
    pasted = zoom.paste_probability(logits) > 0.5
    wrong = pasted != (mask > 0.5)
    assert wrong.sum() <= 0.03 * mask.sum()
    assert pasted[40, 35]
    assert not zoom.paste_probability(logits)[:5].any()


def test_the_whole_slice_fits():
    zoom = zoom_to_slice(SPACING, SHAPE, 96)
    corners = zoom.to_network(np.array([[-0.5, -0.5], [SHAPE[0] - 0.5, SHAPE[1] - 0.5]]))
    assert corners.min() >= -0.5 - 1e-6
    assert corners.max() <= 95.5 + 1e-6


def test_a_box_covers_its_share_of_each_pixel():
    plane = filled_box((1.25, 2.0, 3.0, 4.5), 6)
    assert plane.sum() == pytest.approx(1.75 * 2.5)
    assert plane[1, 2] == pytest.approx(0.75)
    assert plane[2, 4] == pytest.approx(0.5)
    assert plane[3].max() == 0


def test_prompts_go_to_their_channels():
    prompts = SlicePrompts(
        box_rc=(20, 20, 60, 50),
        positive_rc=((30.0, 30.0),),
        negative_rc=((50.0, 40.0),),
        strokes=(Stroke(((35.0, 25.0), (35.0, 45.0)), 1.0, positive=True),),
        previous=np.ones(SHAPE, np.float32),
        neighbour=None,
    )
    zoom = zoom_to_box((20, 20, 60, 50), (1.0, 1.0), SHAPE, 64)
    image = np.full(SHAPE, 0.25, np.float32)
    planes = network_input([None, image, image * 2], zoom, prompts)[0]
    assert planes.shape == (8, 64, 64)
    np.testing.assert_array_equal(planes[0], planes[1])
    assert planes[2].max() == pytest.approx(2 * planes[1].max())
    assert planes[3].sum() == pytest.approx(40 * 30 / zoom.step_rc[0] ** 2, rel=1e-3)
    for channel, at in ((4, (30, 30)), (5, (50, 40)), (4, (35, 36))):
        row, column = np.round(zoom.to_network(np.array(at, float))).astype(int)
        assert planes[channel, row, column] == 1
    assert planes[5].sum() < planes[4].sum()
    assert planes[6].max() == 1
    assert planes[7].max() == 0


def test_ct_has_its_window_and_mr_its_percentiles():
    rng = np.random.default_rng(0)
    voxels = rng.normal(300, 50, (20, 40, 40)).astype(np.float32)
    voxels[:, :15] = 0
    voxels[3, 30, 30] = 50_000
    assert intensity_window(voxels, Modality.CT) == CT_WINDOW
    low, high = intensity_window(voxels, Modality.MR)
    assert 120 < low < 220
    assert 380 < high < 500
    shown = apply_window(np.array([low, high, 0, 50_000]), (low, high))
    np.testing.assert_allclose(shown, [0, 1, 0, 1], atol=1e-5)


@pytest.mark.parametrize(("share", "top"), [(0.0, 240.0), (0.04, 240.0), (0.06, 840.0)])
def test_the_window_opens_where_what_is_asked_for_is_white(share, top):
    pixels = np.zeros(100)
    pixels[: round(100 * share)] = 700
    assert window_for_bone(pixels, CT_WINDOW) == (-160.0, top)
    # Bytes that were windowed before end where the window ends: nothing is hidden above.
    assert window_for_bone(np.full(9, 240.0), CT_WINDOW) == CT_WINDOW
    assert window_for_bone(np.zeros(0), CT_WINDOW) == CT_WINDOW


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0])
def test_a_constant_volume_has_a_window_that_can_be_divided_by(value):
    low, high = intensity_window(np.full((4, 5, 6), value, np.float32), Modality.MR)
    assert high > low
