"""From voxels to pixels: window/level and the label overlay. numpy only."""

from __future__ import annotations

import numpy as np

from app.core.labels import LabelTable

OUTLINE_ALPHA = 235


def windowed(pixels: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Return a slice as grey values, uint8 (H, W): ``window[0]`` black, ``window[1]`` white."""
    low, high = window
    scale = np.float32(255.0 / max(high - low, 1e-6))
    grey = (pixels.astype(np.float32) - np.float32(low)) * scale
    return np.clip(grey, 0, 255, out=grey).astype(np.uint8)


def colour_table(
    table: LabelTable, opacity: float, n_values: int, *, fill: bool = True
) -> np.ndarray:
    """Return RGBA per label value, uint8 (n_values, 4); invisible labels are clear."""
    colours = np.zeros((n_values, 4), np.uint8)
    for info in table:
        if info.visible and info.id < n_values:
            alpha = round(255 * opacity * info.opacity) if fill else 0
            colours[info.id] = (*info.colour, alpha)
    return colours


def overlay(
    labels: np.ndarray, table: LabelTable, opacity: float, *, has_outline: bool
) -> np.ndarray:
    """Return the coloured labels of a slice, RGBA uint8 (H, W, 4), outlines on top."""
    n_values = int(labels.max()) + 1
    colours = colour_table(table, opacity, n_values)
    image = colours[labels]
    if has_outline and n_values > 1:
        edge = outline(labels)
        image[..., 3][edge & (image[..., 3] > 0)] = OUTLINE_ALPHA
    return image


def outline(labels: np.ndarray) -> np.ndarray:
    """Return which labelled pixels have a neighbour of another value, bool (H, W)."""
    edge = np.zeros(labels.shape, bool)
    down = labels[1:] != labels[:-1]
    right = labels[:, 1:] != labels[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge & (labels > 0)
