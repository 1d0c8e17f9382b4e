"""What can be had from a box without having learnt anything: the bar that a model has to clear.

Everything works in two and in three dimensions. A box is (r0, c0, r1, c1) or
(z0, r0, c0, z1, r1, c1), half-open.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.linalg import cg, spsolve

# The random walker sees the box with this much around it, at most this many voxels a side.
_CONTEXT = 1.5
_MAX_SIDE = {2: 96, 3: 32}
# Of the inscribed ellipse: what surely belongs to the object.
_SEED = 0.4
# Grady's free parameter, for intensities scaled so that the largest step is 1.
_BETA = 130.0


def filled_box(shape: Sequence[int], box: Sequence[int]) -> np.ndarray:
    """Return the box itself as a mask, bool of the given shape."""
    mask = np.zeros(tuple(shape), bool)
    start, stop = _ends(box)
    mask[tuple(slice(max(0, a), b) for a, b in zip(start, stop, strict=True))] = True
    return mask


def inscribed_ellipse(shape: Sequence[int], box: Sequence[int], scale: float = 1.0) -> np.ndarray:
    """Return the largest upright ellipse (ellipsoid) in a box, bool; ``scale`` shrinks it.

    Voxels whose centre lies inside; the one in the middle always does.
    """
    start, stop = _ends(box)
    squared = np.zeros((1,) * len(start))
    middle = []
    for axis, (low, high) in enumerate(zip(start, stop, strict=True)):
        away = (np.arange(shape[axis]) - (low + high - 1) / 2) / (scale * (high - low) / 2)
        squared = squared + (away**2).reshape([-1 if a == axis else 1 for a in range(len(start))])
        middle.append(min(max(0, (low + high - 1) // 2), shape[axis] - 1))
    mask: np.ndarray = squared <= 1
    mask[tuple(middle)] = True
    return mask


def random_walker(voxels: np.ndarray, box: Sequence[int]) -> np.ndarray:
    """Return the mask of a random walker seeded from a box.

    Seeds: the ellipse in the middle of the box is the object, all outside the box is not. Solved
    on a crop of 1.5 times the box, reduced to at most 96 pixels a side (32 voxels in 3-D).

    Parameters
    ----------
    voxels : (H, W) or (z, y, x) float
        Intensities in [0, 1].
    box : sequence of int

    Returns
    -------
    bool, shape of ``voxels``
    """
    start, stop = _ends(box)
    crop = []
    for low, high, size in zip(start, stop, voxels.shape, strict=True):
        more = max(3, round((_CONTEXT - 1) / 2 * (high - low)))
        crop.append(slice(max(0, low - more), min(size, high + more)))
    patch = np.asarray(voxels[tuple(crop)], np.float64)
    steps = [max(1.0, n / _MAX_SIDE[voxels.ndim]) for n in patch.shape]
    blurred = ndimage.gaussian_filter(patch, [s / 2 if s > 1 else 0.0 for s in steps])
    small = _resized(
        blurred, [max(1, round(n / s)) for n, s in zip(patch.shape, steps, strict=True)]
    )
    scale = [s / p for s, p in zip(small.shape, patch.shape, strict=True)]
    inner = [
        round((end - part.start) * f)
        for ends in (start, stop)
        for end, part, f in zip(ends, crop, scale, strict=True)
    ]
    inside = filled_box(small.shape, inner)
    seeds = np.where(inside, 0, 2)
    seeds[inscribed_ellipse(small.shape, inner, _SEED) & inside] = 1
    mask = np.zeros(voxels.shape, bool)
    mask[tuple(crop)] = _resized(walk(small, seeds), patch.shape) > 0.5
    return mask


def walk(voxels: np.ndarray, seeds: np.ndarray, beta: float = _BETA) -> np.ndarray:
    """Return the probability that a walker from each voxel meets an object seed first.

    Grady, "Random walks for image segmentation", IEEE TPAMI 28 (2006), section 3: the
    combinatorial Dirichlet problem on the grid of direct neighbours, with edge weights
    exp(-beta * difference ** 2).

    Parameters
    ----------
    voxels : (H, W) or (z, y, x) float
    seeds : int, same shape
        1 object, 2 background, 0 to be found.
    beta : float
        Differences are scaled so that the largest is 1.

    Returns
    -------
    float64, same shape
        1 at object seeds, 0 at background seeds.
    """
    index = np.arange(voxels.size).reshape(voxels.shape)
    lows, highs = [], []
    for axis, size in enumerate(voxels.shape):
        lows.append(np.take(index, range(size - 1), axis=axis).ravel())
        highs.append(np.take(index, range(1, size), axis=axis).ravel())
    low, high = np.concatenate(lows), np.concatenate(highs)
    flat = voxels.ravel()
    difference = np.abs(flat[low] - flat[high])
    largest = float(difference.max(initial=0.0))
    if largest > 0:
        difference = difference / largest
    # The small constant keeps the system regular where an edge is sharp.
    weights = np.exp(-beta * difference**2) + 1e-6
    graph = sparse.coo_array((weights, (low, high)), shape=(flat.size, flat.size)).tocsr()
    graph = graph + graph.T
    degree = graph.sum(axis=1)
    free = seeds.ravel() == 0
    probability = (seeds.ravel() == 1).astype(np.float64)
    if free.any() and not free.all():
        # For a free voxel: degree * p - sum of weight * p of its neighbours = 0.
        rows = graph[free]
        system = (sparse.diags_array(degree[free]) - rows[:, free]).tocsc()
        known = rows[:, ~free] @ probability[~free]
        probability[free] = _solved(system, known, degree[free], voxels.ndim)
    return probability.reshape(voxels.shape)


# -- inside -------------------------------------------------------------------------------------


def _solved(
    system: sparse.csc_array, known: np.ndarray, degree: np.ndarray, n_axes: int
) -> np.ndarray:
    if n_axes == 2:
        return spsolve(system, known)
    # In 3-D a direct solution fills the memory; conjugate gradients, as Grady proposes.
    scale = 1 / np.sqrt(degree)
    left = sparse.diags_array(scale)
    answer, _ = cg(left @ system @ left, scale * known, rtol=1e-4, maxiter=500)
    return scale * answer


def _ends(box: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    half = len(box) // 2
    return box[:half], box[half:]


def _resized(voxels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return the array on a grid of another shape that covers the same space, linearly."""
    if voxels.shape == tuple(shape):
        return voxels
    factors = [n / m for n, m in zip(shape, voxels.shape, strict=True)]
    return ndimage.zoom(voxels, factors, order=1, mode="nearest", grid_mode=True)
