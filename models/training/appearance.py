"""How training images look: windows, contrast, noise, blur, and colours for label maps."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

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


def augmented(images: Tensor, is_hu: Tensor, generator: torch.Generator) -> Tensor:
    """Return (B, D, N, N) crops in [0, 1] with another look, the slices of each changed alike.

    Parameters
    ----------
    images : (B, D, N, N) float32
        Where ``is_hu``, Hounsfield units above -1024, so that what lies outside the scan is air;
        else values in [0, 255].
    is_hu : (B,) bool
    generator : Generator
        On the device of the tensors.
    """
    device, n = images.device, len(images)

    def chance(share: float) -> Tensor:
        return torch.rand(n, 1, 1, 1, device=device, generator=generator) < share

    def uniform(low: float, high: float) -> Tensor:
        drawn = torch.rand(n, 1, 1, 1, device=device, generator=generator)
        return low + (high - low) * drawn

    def normal(sd: float, shape: tuple[int, ...] = (n, 1, 1, 1)) -> Tensor:
        return sd * torch.randn(shape, device=device, generator=generator)

    zero = torch.zeros(n, 1, 1, 1, device=device)
    windows = torch.tensor(CT_WINDOWS, dtype=torch.float32, device=device)
    drawn = torch.randint(len(windows), (n,), device=device, generator=generator)
    level, width = windows[drawn].T[:, :, None, None, None]
    is_moved = chance(0.6)
    level = level + torch.where(is_moved, normal(0.15) * width, zero)
    width = width * torch.where(is_moved, normal(0.25), zero).exp()
    in_window = (images - 1024.0 - (level - width / 2)) / width
    low, high = uniform(-0.05, 0.1), uniform(0.7, 1.1)
    plain = images / 255.0
    plain = torch.where(chance(0.5), (plain - low) / (high - low), plain)
    x = torch.where(is_hu[:, None, None, None], in_window, plain).clamp(0, 1)
    x = torch.where(chance(0.3), x ** normal(0.35).exp(), x)
    turned = (x - 0.5) * uniform(0.7, 1.25) + 0.5 + uniform(-0.1, 0.1)
    x = torch.where(chance(0.4), turned, x)
    x = torch.where(chance(0.12), 1 - x, x)
    field = functional.interpolate(
        normal(0.25, (n, 1, 4, 4)).exp(), x.shape[-2:], mode="bilinear", align_corners=True
    )
    x = torch.where(chance(0.15), x * field, x)
    x = torch.where(chance(0.2), _blurred(x, uniform(0.3, 1.3)), x)
    noise = normal(1.0, tuple(x.shape)) * uniform(0.01, 0.08)
    noise = torch.where(chance(0.4), 2 * _blurred(noise, zero + 0.8), noise)
    return torch.where(chance(0.35), x + noise, x).clamp(0, 1)


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


def _blurred(x: Tensor, sigma: Tensor) -> Tensor:
    """Return (B, D, N, N) slices after a Gaussian of ``sigma`` (B, 1, 1, 1) pixels, up to 1.3."""
    steps = torch.arange(-4, 5, device=x.device)
    kernel = torch.exp(-0.5 * (steps / sigma[:, :, :, 0]) ** 2)  # (B, 1, 9)
    kernel = (kernel / kernel.sum(-1, keepdim=True))[:, :, :, None]
    by_slice = functional.pad(x.transpose(0, 1), (4, 4, 4, 4), mode="replicate")
    rows = functional.conv2d(by_slice, kernel, groups=len(x))
    both = functional.conv2d(rows, kernel.transpose(2, 3), groups=len(x))
    return both.transpose(0, 1)
