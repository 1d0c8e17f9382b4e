"""What happens before and after MedSAM and LiteMedSAM: numpy arrays in, numpy arrays out.

The two differ in nearly every step, and both differ from SAM. MedSAM (J. Ma et al., Nature
Communications 15:654, and its inference script): both sides become 1024, whatever their ratio; no
padding; no ImageNet mean; sigmoid before resizing. LiteMedSAM: the longer side becomes 256, padded
with zeros at the bottom and right; boxes are cut to whole pixels; the padding is cropped from the
logits before they are resized; sigmoid last.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import ndimage

MEDSAM_SIDE = 1024
LITE_SIDE = 256


def grey_levels(
    pixels: np.ndarray,
    window: tuple[float, float],
    volume_range: tuple[float, float],
    *,
    keep_zero: bool = False,
) -> np.ndarray:
    """Return intensities as grey levels.

    Parameters
    ----------
    pixels : array of numbers
    window : tuple of 2 float
        Intensities are clipped to it.
    volume_range : tuple of 2 float
        Least and greatest intensity of the whole volume. After clipping, the references stretch
        what the volume holds, not the window, to 0 and 255.
    keep_zero : bool
        Whether the intensity 0 (the background of all modalities but CT) becomes 0.

    Returns
    -------
    uint8, same shape
        0 to 255, cut off to whole numbers as the references do.
    """
    low, high = (float(np.clip(v, *window)) for v in volume_range)
    clipped = np.clip(pixels.astype(np.float64), low, high)
    levels = (clipped - low) / max(high - low, 1e-8) * 255.0
    if keep_zero:
        levels[pixels == 0] = 0.0
    return levels.astype(np.uint8)


# -- MedSAM ------------------------------------------------------------------------------------


def medsam_input(levels: np.ndarray) -> np.ndarray:
    """Return the image encoder's input.

    Parameters
    ----------
    levels : (H, W) uint8

    Returns
    -------
    (1, 3, 1024, 1024) float32 in [0, 1]
        Stretched by the slice's own extremes after resizing.
    """
    resized = resize_cubic(levels, (MEDSAM_SIDE, MEDSAM_SIDE)).astype(np.uint8)
    return _three_channels(_stretch(resized))


def medsam_box(
    box_xyxy: tuple[float, float, float, float], shape_rc: tuple[int, int]
) -> np.ndarray:
    """Return a box (1, 4) float32 in the encoder's pixels; each axis has its own scale."""
    height, width = shape_rc
    scale = np.array([width, height, width, height], dtype=np.float64) / MEDSAM_SIDE
    return (np.asarray(box_xyxy, dtype=np.float64) / scale).astype(np.float32)[None]


def medsam_probability(logits: np.ndarray, shape_rc: tuple[int, int]) -> np.ndarray:
    """Return probabilities (H, W) float32 of low-resolution logits (256, 256)."""
    return resize_bilinear(_sigmoid(logits), shape_rc)


# -- LiteMedSAM --------------------------------------------------------------------------------


def lite_shape(shape_rc: tuple[int, int]) -> tuple[int, int]:
    """Return the size of a slice once its longer side is 256."""
    scale = LITE_SIDE / max(shape_rc)
    height, width = (max(1, int(n * scale + 0.5)) for n in shape_rc)
    return height, width


def lite_input(levels: np.ndarray) -> np.ndarray:
    """Return the image encoder's input.

    Parameters
    ----------
    levels : (H, W) uint8

    Returns
    -------
    (1, 3, 256, 256) float32 in [0, 1]
        Stretched by the slice's own extremes, then padded with zeros.
    """
    height, width = lite_shape(levels.shape)
    padded = np.zeros((LITE_SIDE, LITE_SIDE), np.float32)
    padded[:height, :width] = _stretch(resize_area(levels, (height, width)))
    return _three_channels(padded)


def lite_box(box_xyxy: tuple[float, float, float, float], shape_rc: tuple[int, int]) -> np.ndarray:
    """Return a box (1, 4) float32 in the encoder's pixels, cut to whole ones."""
    scale = LITE_SIDE / max(shape_rc)
    return np.array([[int(v * scale) for v in box_xyxy]], dtype=np.float32)


def lite_probability(logits: np.ndarray, shape_rc: tuple[int, int]) -> np.ndarray:
    """Return probabilities (H, W) float32 of logits (256, 256) of the padded slice."""
    height, width = lite_shape(shape_rc)
    return _sigmoid(resize_bilinear(logits[:height, :width], shape_rc))


# -- resampling --------------------------------------------------------------------------------


def resize_cubic(image: np.ndarray, shape_rc: tuple[int, int]) -> np.ndarray:
    """Return an image of another size, float64: cubic, smoothed first where it shrinks.

    As scikit-image's ``resize(image, shape, order=3, anti_aliasing=True, preserve_range=True)``.
    """
    source = image.astype(np.float64)
    factors = np.divide(image.shape, shape_rc)
    sigma = np.maximum(0.0, (factors - 1.0) / 2.0)
    smooth = ndimage.gaussian_filter(source, sigma, mode="mirror") if sigma.any() else source
    resized = ndimage.zoom(smooth, 1.0 / factors, order=3, mode="mirror", grid_mode=True)
    return np.clip(resized, source.min(), source.max())


def resize_area(image: np.ndarray, shape_rc: tuple[int, int]) -> np.ndarray:
    """Return an image of another size, uint8: the mean over the area of each new pixel.

    As OpenCV's ``INTER_AREA`` for whole grey levels, up to one level where it rounds otherwise.
    """
    rows = _area_weights(image.shape[0], shape_rc[0])
    columns = _area_weights(image.shape[1], shape_rc[1])
    means = rows @ image.astype(np.float64) @ columns.T
    if image.shape == (2 * shape_rc[0], 2 * shape_rc[1]):
        means = np.floor(means + 0.5)  # OpenCV halves with whole numbers, and rounds halves up
    return np.rint(means).astype(np.uint8)


def resize_bilinear(image: np.ndarray, shape_rc: tuple[int, int]) -> np.ndarray:
    """Return an image of another size, float32: linear between pixel centres, edges repeated.

    As torch's ``interpolate(mode="bilinear", align_corners=False)``.
    """
    rows = _linear_weights(image.shape[0], shape_rc[0])
    columns = _linear_weights(image.shape[1], shape_rc[1])
    return rows @ image.astype(np.float32, copy=False) @ columns.T


@functools.lru_cache(maxsize=8)
def _linear_weights(n_in: int, n_out: int) -> np.ndarray:
    """Return the (n_out, n_in) float32 matrix of linear interpolation along one axis."""
    # In float32 as torch does; in float64 the shares differ by up to 1e-4.
    centres = np.arange(n_out, dtype=np.float32) + np.float32(0.5)
    at = np.maximum(centres * np.float32(n_in / n_out) - np.float32(0.5), 0)
    low = np.minimum(at.astype(int), n_in - 1)
    high = np.minimum(low + 1, n_in - 1)
    share = (at - low).astype(np.float32)
    weights = np.zeros((n_out, n_in), np.float32)
    np.add.at(weights, (np.arange(n_out), low), 1 - share)
    np.add.at(weights, (np.arange(n_out), high), share)
    return weights


@functools.lru_cache(maxsize=8)
def _area_weights(n_in: int, n_out: int) -> np.ndarray:
    """Return the (n_out, n_in) float64 matrix of averaging along one axis."""
    scale = n_in / n_out
    edges = np.arange(n_out + 1) * scale
    if scale >= 1:
        cells = np.arange(n_in)
        overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
        return np.clip(overlap, 0, None) / scale
    # A new pixel inside an old one takes its value; one across a border takes both, by share.
    low = np.minimum((edges[:-1] + 1e-9).astype(int), n_in - 1)
    high = np.minimum(low + 1, n_in - 1)
    share = np.clip((edges[1:] - (low + 1)) / scale, 0, None)
    weights = np.zeros((n_out, n_in))
    np.add.at(weights, (np.arange(n_out), low), 1 - share)
    np.add.at(weights, (np.arange(n_out), high), share)
    return weights


def _stretch(image: np.ndarray) -> np.ndarray:
    low, high = float(image.min()), float(image.max())
    return ((image - low) / max(high - low, 1e-8)).astype(np.float32)


def _three_channels(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[None, None], 3, axis=1)  # (1, 3, H, W)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    # The hyperbolic tangent neither over- nor underflows.
    return 0.5 * (1.0 + np.tanh(0.5 * x))
