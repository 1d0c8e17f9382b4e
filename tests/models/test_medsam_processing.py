"""Pre- and post-processing against the references' own steps, and against the usual mistakes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import transform
from torch.nn import functional

from models import medsam_processing as processing

SHAPES = [(512, 512), (300, 512), (150, 97), (1200, 1030)]
# PyTorch counts places in float32, differently on each kind of processor: at a steep edge that is
# worth a hundred-thousandth. The mistakes that are looked for are a thousand times larger.
FLOAT32_PLACES = 5e-5


def slice_of(shape_rc: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Return a smooth uint8 image that uses neither 0 nor 255."""
    noise = np.random.default_rng(seed).normal(size=shape_rc)
    return np.clip(ndimage.gaussian_filter(noise, 3) * 500 + 120, 7, 240).astype(np.uint8)


def logits(seed: int = 0) -> np.ndarray:
    """Return (256, 256) float32 logits with sharp edges."""
    noise = np.random.default_rng(seed).normal(size=(256, 256))
    return (ndimage.gaussian_filter(noise, 4) * 200).astype(np.float32)


# -- grey levels -------------------------------------------------------------------------------


def test_grey_levels_stretch_what_the_volume_holds_not_the_window():
    volume = np.array([-1000.0, -100.0, 0.0, 140.0])
    levels = processing.grey_levels(volume, (-160.0, 240.0), (-1000.0, 140.0))
    # Clipped to -160 ... 140, the volume's own greatest; 240 is not reached.
    np.testing.assert_array_equal(levels, [0, int(60 / 300 * 255), int(160 / 300 * 255), 255])
    within_window = (np.clip(volume, -160, 240) + 160) / 400 * 255
    assert not np.array_equal(levels, within_window.astype(np.uint8))


def test_grey_levels_are_cut_off_not_rounded():
    assert processing.grey_levels(np.array([0.999]), (0.0, 255.0), (0.0, 255.0)) == 0


def test_background_stays_black_where_zero_means_background():
    pixels = np.array([[-5, 0, 10]], np.int16)
    assert processing.grey_levels(pixels, (-5, 10), (-5, 10))[0, 1] == 85
    assert processing.grey_levels(pixels, (-5, 10), (-5, 10), keep_zero=True)[0, 1] == 0


def test_a_constant_volume_is_black():
    assert not processing.grey_levels(np.full((2, 2), 7.0), (0.0, 100.0), (7.0, 7.0)).any()


# -- MedSAM ------------------------------------------------------------------------------------


def test_medsam_input_is_the_inference_scripts():
    levels = slice_of((300, 512))
    rgb = np.repeat(levels[:, :, None], 3, axis=-1)
    resized = transform.resize(
        rgb, (1024, 1024), order=3, preserve_range=True, anti_aliasing=True
    ).astype(np.uint8)
    scaled = (resized - resized.min()) / np.clip(resized.max() - resized.min(), 1e-8, None)
    wanted = torch.tensor(scaled).float().permute(2, 0, 1)[None]
    np.testing.assert_allclose(processing.medsam_input(levels), wanted.numpy(), atol=1e-6)


def test_medsam_input_is_neither_padded_nor_normalised_like_sams():
    tall = processing.medsam_input(slice_of((400, 200)))
    assert tall.shape == (1, 3, 1024, 1024)
    assert tall[0, 0, :, 600:].std() > 0.05  # SAM would leave zeros beyond column 512
    assert (tall.min(), tall.max()) == (0.0, 1.0)  # its mean and deviation would give -2 to 2
    assert np.array_equal(tall[:, 0], tall[:, 2])  # and differ between channels


def test_medsam_box_scales_each_axis_by_its_own_side():
    box = processing.medsam_box((10.0, 20.0, 100.5, 200.0), (400, 200))
    np.testing.assert_allclose(box, [[51.2, 51.2, 514.56, 512.0]], rtol=1e-6)
    assert box.dtype == np.float32


@pytest.mark.parametrize("shape", SHAPES)
def test_medsam_takes_the_sigmoid_before_it_resizes(shape):
    low = torch.from_numpy(logits())[None, None]
    resized = {"size": shape, "mode": "bilinear", "align_corners": False}
    wanted = functional.interpolate(torch.sigmoid(low), **resized)[0, 0].numpy()
    mistaken = torch.sigmoid(functional.interpolate(low, **resized))[0, 0].numpy()
    found = processing.medsam_probability(logits(), shape)
    np.testing.assert_allclose(found, wanted, atol=FLOAT32_PLACES)
    assert found.dtype == np.float32
    assert np.abs(wanted - mistaken).max() > 0.05
    assert ((wanted > 0.5) != (mistaken > 0.5)).any()


# -- LiteMedSAM --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((512, 512), (256, 256)),
        ((300, 512), (150, 256)),
        ((97, 150), (166, 256)),
        ((1, 900), (1, 256)),
    ],
)
def test_lite_size_keeps_the_ratio(shape, wanted):
    assert processing.lite_shape(shape) == wanted


@pytest.mark.parametrize("shape", SHAPES)
def test_lite_input_is_stretched_then_padded_at_the_bottom_and_right(shape):
    levels = slice_of(shape)
    height, width = processing.lite_shape(shape)
    resized = processing.resize_area(levels, (height, width))
    scaled = (resized - resized.min()) / np.clip(resized.max() - resized.min(), 1e-8, None)
    wanted = np.pad(scaled, ((0, 256 - height), (0, 256 - width)))
    found = processing.lite_input(levels)
    assert found.shape == (1, 3, 256, 256)
    for channel in found[0]:
        np.testing.assert_allclose(channel, wanted, atol=1e-6)
    if height < 256:
        # Padding before stretching would turn the padding's zeros into something else than the
        # darkest pixel; both are 0 here although no pixel of the slice is.
        assert resized.min() > 0
        assert found[0, 0, :height, :width].min() == 0.0


@pytest.mark.parametrize("shape", SHAPES)
def test_area_averaging_is_opencvs(shape):
    cv2 = pytest.importorskip("cv2")
    levels = slice_of(shape)
    height, width = processing.lite_shape(shape)
    wanted = cv2.resize(levels, (width, height), interpolation=cv2.INTER_AREA).astype(int)
    difference = np.abs(processing.resize_area(levels, (height, width)) - wanted)
    assert difference.max() <= 1
    # OpenCV enlarges with weights of eleven bits.
    assert (difference > 0).mean() < (0.1 if max(shape) < 256 else 1e-4)


def test_area_averaging_of_whole_blocks_is_their_mean():
    levels = slice_of((64, 96))
    means = levels.reshape(16, 4, 32, 3).mean(axis=(1, 3))
    found = processing.resize_area(levels, (16, 32))
    np.testing.assert_allclose(found, means, atol=0.5 + 1e-9)


def test_area_averaging_of_two_and_a_half_pixels_shares_the_middle_one():
    row = np.array([[0, 0, 250, 50, 50]], np.uint8)
    assert processing.resize_area(row, (1, 2)).tolist() == [[50, 90]]


@pytest.mark.parametrize("shape", SHAPES)
def test_cubic_resizing_is_scikit_images(shape):
    levels = slice_of(shape)
    for target in ((1024, 1024), (333, 512)):
        wanted = transform.resize(levels, target, order=3, preserve_range=True, anti_aliasing=True)
        np.testing.assert_allclose(processing.resize_cubic(levels, target), wanted, atol=1e-9)


def test_lite_box_is_cut_to_whole_pixels_with_one_scale():
    box = processing.lite_box((11.0, 21.0, 101.0, 199.0), (400, 200))
    # times 0.64: 7.04, 13.44, 64.64, 127.36
    np.testing.assert_array_equal(box, [[7, 13, 64, 127]])
    assert box.dtype == np.float32


@pytest.mark.parametrize("shape", [(300, 512), (150, 97), (1200, 1030)])
def test_lite_crops_then_resizes_logits_then_takes_the_sigmoid(shape):
    height, width = processing.lite_shape(shape)
    low = torch.from_numpy(logits())[None, None]
    resized = {"size": shape, "mode": "bilinear", "align_corners": False}
    cropped = low[..., :height, :width]
    wanted = torch.sigmoid(functional.interpolate(cropped, **resized))[0, 0].numpy()
    sigmoid_first = functional.interpolate(torch.sigmoid(cropped), **resized)[0, 0].numpy()
    square = {**resized, "size": (max(shape), max(shape))}
    crop_last = torch.sigmoid(functional.interpolate(low, **square))[0, 0].numpy()
    crop_last = crop_last[: shape[0], : shape[1]]
    found = processing.lite_probability(logits(), shape)
    np.testing.assert_allclose(found, wanted, atol=FLOAT32_PLACES)
    for mistaken in (sigmoid_first, crop_last):
        assert np.abs(wanted - mistaken).max() > 0.05


@pytest.mark.parametrize("shape", [(300, 512), (512, 300), (97, 150), (256, 256)])
def test_what_lite_puts_into_the_square_comes_back_in_place(shape):
    """A mask drawn by the encoder's own geometry returns to where the slice had it."""
    levels = np.full(shape, 20, np.uint8)
    r0, c0, r1, c1 = (int(f * n) for f, n in zip((0.2, 0.3, 0.7, 0.9), shape * 2, strict=True))
    levels[r0:r1, c0:c1] = 220
    square = processing.lite_input(levels)[0, 0]
    mask = processing.lite_probability(np.where(square > 0.5, 9.0, -9.0), shape) > 0.5
    truth = levels > 100
    overlap = (mask & truth).sum() / (mask | truth).sum()
    assert overlap > 0.95


def test_extreme_logits_are_certain():
    certain = np.full((256, 256), 1e4, np.float32)
    assert processing.medsam_probability(certain, (64, 64)).min() == 1.0
    assert processing.lite_probability(-certain, (64, 64)).max() == 0.0
