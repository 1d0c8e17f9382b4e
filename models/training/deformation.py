"""Random changes of shape for training volumes: turned, stretched, and bent by B-splines.

V-Net's training bends its volumes with a grid of 2 x 2 x 2 control points (Milletari et al., 3DV
2016, section 4); a grid of 4 x 4 x 4 and small turns and stretches are added here. All of it is one
resampling step, on whatever device the volumes are.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_N_CONTROLS = 4


def random_matrix(
    rng: np.random.Generator, rotation: float, stretch: float, *, is_planar: bool
) -> np.ndarray:
    """Return a (3, 3) matrix in mm, axes z, y, x: a turn of up to ``rotation`` degrees per axis,
    and a stretch by up to ``exp(stretch)`` common to all axes, a third of it to each of its own.
    """
    angles = np.radians(rng.uniform(-rotation, rotation, 3))
    if is_planar:
        angles[1:] = 0
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        c, s = math.cos(angle), math.sin(angle)
        turn = np.eye(3)
        a, b = (i for i in range(3) if i != axis)
        turn[a, a], turn[a, b], turn[b, a], turn[b, b] = c, -s, s, c
        matrix = turn @ matrix
    scales = np.exp(rng.uniform(-stretch, stretch) + rng.uniform(-stretch, stretch, 3) / 3)
    if is_planar:
        scales[0] = 1.0
    return matrix @ np.diag(scales)


def random_bend(rng: np.random.Generator, sd_mm: float, *, is_planar: bool) -> np.ndarray:
    """Return (3, 4, 4, 4) displacements of control points in mm, axes z, y, x."""
    bend = rng.normal(0, sd_mm, (3, *(_N_CONTROLS,) * 3))
    if is_planar:
        bend[0] = 0
        bend[1:] = bend[1:, :1]
    return bend


def deformed(
    image: Tensor,
    labels: Tensor,
    tile_zyx: tuple[int, int, int],
    *,
    centre_zyx: np.ndarray,
    matrix: np.ndarray,
    bend_mm: np.ndarray,
    spacing_zyx: tuple[float, float, float],
    tile_spacing_zyx: tuple[float, float, float] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return a tile of an image and its labels after a deformation.

    Parameters
    ----------
    image : (D, H, W) float
    labels : (D, H, W) uint8
    tile_zyx : tuple of 3 int
        Size of the result.
    centre_zyx : (3,) float
        Where the middle of the tile lies in the image, in voxels.
    matrix : (3, 3) float
        From mm in the tile to mm in the image, about the middle.
    bend_mm : (3, 4, 4, 4) float
        Displacements of the control points of a cubic B-spline over the tile.
    spacing_zyx : tuple of 3 float
    tile_spacing_zyx : tuple of 3 float, optional
        Of the result; the image's by default.

    Returns
    -------
    (D', H', W') float
        Linear interpolation; outside the image is 0.
    (D', H', W') uint8
        Nearest neighbour; outside is 0.
    """
    device = image.device
    spacing = torch.tensor(spacing_zyx, dtype=torch.float32, device=device)
    steps = [
        (torch.arange(n, device=device, dtype=torch.float32) - (n - 1) / 2) * mm
        for n, mm in zip(tile_zyx, tile_spacing_zyx or spacing_zyx, strict=True)
    ]
    turned = torch.as_tensor(matrix, dtype=torch.float32, device=device)
    controls = torch.as_tensor(bend_mm, dtype=torch.float32, device=device)
    bases = [_basis(n).to(device) for n in tile_zyx]
    bent = torch.einsum("kabc,za,yb,xc->kzyx", controls, *bases)  # (3, D', H', W')
    at = (
        turned[:, 0, None, None, None] * steps[0][:, None, None]
        + turned[:, 1, None, None, None] * steps[1][None, :, None]
        + turned[:, 2, None, None, None] * steps[2][None, None, :]
        + bent
    )
    centre = torch.as_tensor(centre_zyx, dtype=torch.float32, device=device)
    index = at / spacing[:, None, None, None] + centre[:, None, None, None]
    # grid_sample counts from -1 to 1 between the outer edges of the voxels, and in x, y, z.
    sizes = torch.tensor(image.shape, dtype=torch.float32, device=device)[:, None, None, None]
    grid = ((2 * index + 1) / sizes - 1).permute(1, 2, 3, 0).flip(-1)[None]
    picture, values = (
        functional.grid_sample(x[None, None].float(), grid, mode, "zeros", align_corners=False)
        for x, mode in ((image, "bilinear"), (labels, "nearest"))
    )
    return picture[0, 0], values[0, 0].to(torch.uint8)


@cache
def _basis(n: int) -> Tensor:
    """Return (n, 4): uniform cubic B-splines over n samples, whose outer two lie at the ends."""
    at = torch.linspace(0, 1, n) if n > 1 else torch.tensor([0.5])
    u = at[:, None] * (_N_CONTROLS - 1) - torch.arange(_N_CONTROLS)[None]
    d = u.abs()
    near = 2 / 3 - d**2 + d**3 / 2
    far = (2 - d).clamp(min=0) ** 3 / 6
    return torch.where(d < 1, near, far)
