"""What the prompts say about intensities: maps computed from the network's own input.

A small network needs many images to learn that a box is to be compared with its surroundings.
Told so by these maps, it starts there: how well each pixel agrees with the middle of the box
rather than with the ring about it (the data term of GrabCut, Rother et al., ACM TOG 2004, section
3, with one histogram instead of a mixture), and with clicks and earlier masks.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

N_MAPS = 8
_N_BINS = 16
# Of the squared distance from the middle of the prompted region in its own standard deviations;
# the ellipse inscribed in a box lies at 4.
_RING_AT, _RING_WIDTH = 2.3, 0.35


def prompt_statistics(planes: Tensor) -> Tensor:
    """Return maps of agreement with the prompts.

    Parameters
    ----------
    planes : (B, 8, H, W) float32
        The network's input, channels as in `models.networks.prompt_unet`.

    Returns
    -------
    (B, 8, H, W) float32
        Nearness to the middle of the prompted region; standardised difference from its intensity,
        signed and absolute; log-likelihood ratio of inside to surroundings by normal distributions
        and by histograms; the same by histograms of an earlier or a neighbour's mask; difference
        from the intensity under positive and under negative clicks. Maps whose prompt is absent
        are 0 (without any prompt they describe the middle of the crop).
    """
    image = planes[:, 1]
    prompted = torch.amax(planes[:, (3, 4, 6, 7)], 1)  # (B, H, W)
    squared = _squared_distance(prompted)
    core = torch.exp(-squared) + 1e-6
    distance = torch.sqrt(squared + 1e-6)
    ring = torch.exp(-0.5 * (distance - _RING_AT) ** 2 / _RING_WIDTH**2) + 1e-6
    mask = torch.amax(planes[:, (6, 7)], 1)
    near_mask = (1 - mask) * torch.exp(-squared / 6) + 1e-6

    inside, inside_var = _moments(image, core)
    outside, outside_var = _moments(image, ring)
    spread = torch.sqrt(inside_var + outside_var + 1e-3)
    difference = ((image - inside) / spread).clamp(-4, 4)
    inside_var, outside_var = inside_var + 1e-3, outside_var + 1e-3
    normal = 0.5 * (
        (image - outside) ** 2 / outside_var
        - (image - inside) ** 2 / inside_var
        + torch.log(outside_var / inside_var)
    )
    by_box, by_mask = _histogram_ratios(image, core, ring, mask + 1e-6, near_mask)
    return torch.stack(
        [
            torch.exp(-squared / 3),
            difference,
            difference.abs(),
            normal.clamp(-4, 4),
            by_box,
            by_mask * (mask.sum((1, 2), keepdim=True) > 4).float(),
            _difference_from_clicks(image, planes[:, 4]),
            _difference_from_clicks(image, planes[:, 5]),
        ],
        1,
    )


def _squared_distance(weights: Tensor) -> Tensor:
    """Return (B, H, W): squared distance from the weights' centre in standard deviations."""
    height, width = weights.shape[-2:]
    rows = torch.linspace(-1, 1, height, device=weights.device)[None, :, None]
    columns = torch.linspace(-1, 1, width, device=weights.device)[None, None, :]
    total = weights.sum((1, 2), keepdim=True) + 1e-3
    squared = torch.zeros_like(weights)
    for at in (rows, columns):
        centre = (weights * at).sum((1, 2), keepdim=True) / total
        variance = (weights * (at - centre) ** 2).sum((1, 2), keepdim=True) / total + 1e-4
        squared = squared + (at - centre) ** 2 / variance
    return squared


def _moments(image: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted mean and variance (B, 1, 1) of (B, H, W) images."""
    total = weights.sum((1, 2), keepdim=True)
    mean = (weights * image).sum((1, 2), keepdim=True) / total
    return mean, (weights * (image - mean) ** 2).sum((1, 2), keepdim=True) / total


def _histogram_ratios(
    image: Tensor, core: Tensor, ring: Tensor, mask: Tensor, near_mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Return log(core / ring) and log(mask / near_mask) of each pixel's intensity, (B, H, W)."""
    grey = (image * _N_BINS).clamp(0.5, _N_BINS - 0.5)
    bins = (torch.arange(_N_BINS, device=image.device) + 0.5)[None, :, None, None]
    shares = torch.relu(1 - (grey[:, None] - bins).abs())  # (B, bins, H, W), sums to 1
    regions = torch.stack([core, ring, mask, near_mask], 1)
    histograms = torch.einsum("bkhw,bqhw->bqk", shares, regions)
    histograms = histograms / histograms.sum(2, keepdim=True)
    logs = torch.log(functional.avg_pool1d(histograms, 3, 1, 1) + 0.01)
    ratios = torch.stack([logs[:, 0] - logs[:, 1], logs[:, 2] - logs[:, 3]], 1)
    maps = torch.einsum("bkhw,bqk->bqhw", shares, ratios)
    return maps[:, 0], maps[:, 1]


def _difference_from_clicks(image: Tensor, clicks: Tensor) -> Tensor:
    total = clicks.sum((1, 2), keepdim=True)
    mean = (clicks * image).sum((1, 2), keepdim=True) / (total + 1e-3)
    return (image - mean).abs() * (total > 1).float()
