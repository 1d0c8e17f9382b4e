"""Corrective clicks for a whole batch at once, on whatever device it lies."""

from __future__ import annotations

import torch
from torch import Tensor

from models.preprocess import CLICK_RADIUS_PX

_MOST_CLICKS = 3
_LEAST_AREA = 4
# How far from its middle a part of an error reaches, in pixels.
_REACH = 32


def add_corrections(
    planes: Tensor,
    target: Tensor,
    probability: Tensor,
    generator: torch.Generator,
    is_asked: Tensor | None = None,
) -> None:
    """Add one to three corrective clicks where previous masks are wrong, in place.

    Half of them go to the deepest error, the others to one drawn by area; half to its deepest
    point, the others to one drawn by depth squared (as in nnInteractive, arXiv 2503.08373). Errors
    of fewer than four pixels, and those that a click lies on, are let be.

    Parameters
    ----------
    planes : (B, 8, N, N) float32
        Channels 4 and 5 are the positive and the negative clicks.
    target : (B, N, N) in {0, 1}
    probability : (B, N, N) in [0, 1]
        The previous masks.
    generator : Generator
        On the device of the tensors.
    is_asked : (B,) bool, optional
        Which examples get any.
    """
    device, n = planes.device, len(planes)

    def chance() -> Tensor:
        return torch.rand(n, device=device, generator=generator)

    n_clicks = 1 + (chance() * _MOST_CLICKS).long()
    if is_asked is not None:
        n_clicks = n_clicks * is_asked
    for step in range(_MOST_CLICKS):
        wrong = (probability > 0.5) != (target > 0.5)
        wrong &= (planes[:, 4] < 0.5) & (planes[:, 5] < 0.5)
        depth = depth_in(wrong)
        seed = torch.where(chance() < 0.5, depth.flatten(1).argmax(1), _drawn(wrong, generator))
        part = _part_round(seed, wrong)
        inner = depth * part
        middle = inner.flatten(1).argmax(1)
        at = torch.where(chance() < 0.5, middle, _drawn(inner**2, generator))
        is_click = (step < n_clicks) & (part.flatten(1).sum(1) >= _LEAST_AREA)
        disk = _disk(at, wrong.shape[-1]) & is_click[:, None, None]
        is_missing = (target.flatten(1).gather(1, at[:, None]) > 0.5)[:, :, None]
        planes[:, 4].masked_fill_(disk & is_missing, 1.0)
        planes[:, 5].masked_fill_(disk & ~is_missing, 1.0)


def depth_in(mask: Tensor) -> Tensor:
    """Return (B, N, N) float: how deep in a mask each pixel lies, 1 at its rim and 0 outside.

    The distance is octagonal: one step by sides, one by sides and corners, in turn. Beyond the
    picture is outside.

    Parameters
    ----------
    mask : (B, N, N) bool
    """
    left, depth = mask, mask.float()
    for step in range(mask.shape[-1]):
        outside = ~left
        outside[:, [0, -1]] = True
        outside[:, :, [0, -1]] = True
        left = left & ~_widened(outside, has_corners=step % 2 == 1)
        if not left.any():
            break
        depth += left
    return depth


def _widened(mask: Tensor, *, has_corners: bool) -> Tensor:
    """Return a mask (B, N, N) bool and what touches it by a side, or by a side or a corner."""
    out = mask.clone()
    out[:, 1:] |= mask[:, :-1]
    out[:, :-1] |= mask[:, 1:]
    across = out.clone() if has_corners else mask
    out[:, :, 1:] |= across[:, :, :-1]
    out[:, :, :-1] |= across[:, :, 1:]
    return out


def _drawn(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Return (B,) flat places drawn by weights (B, N, N); anywhere where there are none."""
    return torch.multinomial(weights.flatten(1).float() + 1e-9, 1, generator=generator)[:, 0]


def _part_round(seed: Tensor, wrong: Tensor) -> Tensor:
    """Return (B, N, N) bool: what of an error hangs together with a place in it, near that."""
    part = torch.zeros_like(wrong)
    part.flatten(1).scatter_(1, seed[:, None], value=True)
    part &= wrong
    for _ in range(_REACH):
        part = _widened(part, has_corners=True) & wrong
    return part


def _disk(at: Tensor, size: int) -> Tensor:
    """Return (B, size, size) bool: the clicks at flat places."""
    steps = torch.arange(size, device=at.device)
    rows, columns = at[:, None, None] // size, at[:, None, None] % size
    squares = (steps[None, :, None] - rows) ** 2 + (steps[None, None] - columns) ** 2
    return squares <= CLICK_RADIUS_PX**2
