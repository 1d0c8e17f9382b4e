"""How training images look: windows, contrast, noise, blur, and colours for label maps."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# (level, width) that readers use, for random CT windows round them.
CT_WINDOWS = (
    (40, 400),
    (40, 400),
    (40, 400),
    (50, 250),
    (40, 80),
    (400, 1800),
    (-600, 1500),
    (0, 1000),
)


def augment(images: np.ndarray, is_hu: bool, rng: np.random.Generator) -> np.ndarray:
    """Return (D, N, N) crops in [0, 1], the slices changed alike."""
    x = images
    if is_hu:
        level, width = map(float, CT_WINDOWS[rng.integers(len(CT_WINDOWS))])
        if rng.random() < 0.6:
            level, width = level + rng.normal(0, 0.15 * width), width * np.exp(rng.normal(0, 0.25))
        # The crop counts from -1024 HU, so that what lies outside the scan is air.
        x = (x - 1024.0 - (level - width / 2)) / width
    else:
        x = x / 255.0 if x.max() > 1.5 else x
        if rng.random() < 0.5:
            low, high = rng.uniform(-0.05, 0.1), rng.uniform(0.7, 1.1)
            x = (x - low) / (high - low)
    x = np.clip(x, 0, 1)
    if rng.random() < 0.3:
        x = x ** np.exp(rng.normal(0, 0.35))
    if rng.random() < 0.4:
        x = (x - 0.5) * rng.uniform(0.7, 1.25) + 0.5 + rng.uniform(-0.1, 0.1)
    if rng.random() < 0.12:
        x = 1 - x
    if rng.random() < 0.15:
        x = x * _smooth_field(rng, x.shape[-1])
    if rng.random() < 0.2:
        sigma = rng.uniform(0.3, 1.3)
        x = np.stack([ndimage.gaussian_filter(s, sigma) for s in x])
    if rng.random() < 0.35:
        noise = rng.standard_normal(x.shape, dtype=np.float32) * rng.uniform(0.01, 0.08)
        if rng.random() < 0.4:
            noise = np.stack([ndimage.gaussian_filter(s, 0.8) for s in noise]) * 2
        x = x + noise
    return np.clip(x, 0, 1).astype(np.float32)


def paint_labels(maps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (D, H, W) intensities in [0, 255] for label maps (D, H, W).

    A Gaussian per label with random mean and spread, as SynthSeg does (Billot et al., 2023,
    section 3.1), then texture, blur and a smooth bias field.
    """
    n = int(maps.max()) + 1
    means = rng.uniform(25, 225, n)
    if rng.random() < 0.3:
        # Low contrast: all tissues close to one another.
        centre = rng.uniform(60, 190)
        means = centre + (means - 125) * rng.uniform(0.15, 0.5)
    spreads = rng.uniform(1, 20, n)
    x = means[maps] + spreads[maps] * rng.standard_normal(maps.shape)
    if rng.random() < 0.5:
        grain = ndimage.gaussian_filter(rng.standard_normal(maps.shape), (0.5, 2, 2))
        x = x + grain / max(grain.std(), 1e-6) * rng.uniform(2, 15)
    sigma = rng.uniform(0.3, 1.4)
    x = np.stack([ndimage.gaussian_filter(s, sigma) for s in x])
    return np.clip(x, 0, 255).astype(np.float32)


def _smooth_field(rng: np.random.Generator, size: int) -> np.ndarray:
    coarse = np.exp(rng.normal(0, 0.25, (4, 4)))
    return ndimage.zoom(coarse, size / 4, order=1)[:size, :size].astype(np.float32)
