"""From the masks of a few slices to a first mask of the whole object: a small 3-D network.

Carried from slice to slice, errors add up, since each slice knows only the one before. Here a
V-Net sees the whole range at once, at low resolution: the image, the masks of the key slices with
the boxes that they answer, and how likely each intensity is inside them. What it finds is no result
yet; it guides the network of slices, which draws the outline at full resolution. Neither torch nor
OpenVINO is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from models.base import BoxRC, KeySlice
from models.preprocess import apply_window, filled_box
from models.prompted_object import box_around
from models.runtime import Network

# Planes, rows and columns of the network's grid.
GRID = (32, 64, 64)
N_CHANNELS = 4
# The range takes this many planes; the rest shows what lies beyond its ends.
PLANES_IN_RANGE = 26
# The grid is this many times as wide as the widest key mask, and not much narrower than long.
CONTEXT = 2.4
WIDTH_PER_LENGTH = 0.6
MIN_SIDE_PX = 12
_N_BINS = 16


@dataclass(frozen=True)
class GuideGrid:
    """Where the network's voxels lie in a volume whose first axis counts slices.

    Attributes
    ----------
    origin, step : tuple of 3 float
        Network voxel *k* has its centre at ``origin + k * step``, in voxels of the volume.
    """

    origin: tuple[float, float, float]
    step: tuple[float, float, float]

    @classmethod
    def around(
        cls,
        keys: Mapping[int, KeySlice],
        start: int,
        stop: int,
        spacing: tuple[float, float, float],
    ) -> GuideGrid:
        """Return the grid for key slices, not all empty, and a half-open range of slices."""
        found = [key.box_rc or box_around(key.mask, margin=0.0) for key in keys.values()]
        boxes = [box for box in found if box is not None]
        low = np.min([box[:2] for box in boxes], axis=0)
        high = np.max([box[2:] for box in boxes], axis=0)
        in_plane = np.array(spacing[1:])
        length = (stop - start) * spacing[0]
        side = max(
            CONTEXT * float(((high - low) * in_plane).max()),
            WIDTH_PER_LENGTH * length,
            MIN_SIDE_PX * float(in_plane.max()),
        )
        middle = (low + high) / 2 - 0.5  # of voxel centres
        across = side / GRID[1] / in_plane
        along = (stop - start) / PLANES_IN_RANGE
        origin = (
            (start + stop - 1) / 2 - along * (GRID[0] - 1) / 2,
            *(middle - across * (GRID[1] - 1) / 2),
        )
        return cls(
            (float(origin[0]), float(origin[1]), float(origin[2])),
            (along, float(across[0]), float(across[1])),
        )

    def sample(self, voxels: np.ndarray, window: tuple[float, float]) -> np.ndarray:
        """Return (planes, rows, columns) float32 in [0, 1] of (z, H, W) voxels; 0 outside."""
        block, matrices = voxels, []
        for axis, n in enumerate(voxels.shape):
            matrix = _weights(n, self.origin[axis], self.step[axis], GRID[axis])
            used = np.flatnonzero(matrix.any(axis=0))
            if used.size == 0:
                return np.zeros(GRID, np.float32)
            inside = slice(int(used[0]), int(used[-1]) + 1)
            block = block[(slice(None),) * axis + (inside,)]
            matrices.append(matrix[:, inside])
        return _contracted(apply_window(block, window), matrices)

    def sample_mask(self, mask: np.ndarray) -> np.ndarray:
        """Return (rows, columns) float32 in [0, 1] of a slice's mask or probability (H, W)."""
        matrices = [
            _weights(n, self.origin[axis], self.step[axis], GRID[axis])
            for axis, n in enumerate(mask.shape, start=1)
        ]
        return _contracted(mask.astype(np.float32), matrices)

    def sample_box(self, box_rc: BoxRC) -> np.ndarray:
        """Return (rows, columns) float32: the share of each network voxel that a box covers."""
        corners = [
            (value - 0.5 - self.origin[axis]) / self.step[axis] + 0.5
            for value, axis in zip(box_rc, (1, 2, 1, 2), strict=True)
        ]
        return filled_box(tuple(corners), GRID[1])

    def planes_of(self, index: int) -> np.ndarray:
        """Return (planes,) bool: which planes show slice ``index``; at least the nearest."""
        at = self.origin[0] + self.step[0] * np.arange(GRID[0])
        shown = np.abs(at - index) <= 0.5
        shown[np.argmin(np.abs(at - index))] = True
        return shown

    def paste(self, tile: np.ndarray, index: int, shape: tuple[int, int]) -> np.ndarray:
        """Return a tile's values on slice ``index`` as (H, W) float32; 0 beyond the grid."""
        plane = np.clip((index - self.origin[0]) / self.step[0], 0, GRID[0] - 1)
        low = min(int(plane), GRID[0] - 2)
        share = np.float32(plane - low)
        values = (1 - share) * tile[low] + share * tile[low + 1]
        matrices = [
            _weights(GRID[a], -self.origin[a] / self.step[a], 1 / self.step[a], n)
            for a, n in enumerate(shape, start=1)
        ]
        return _contracted(values, matrices)


def guide_channels(
    image: np.ndarray,
    keys: np.ndarray,
    boxes: np.ndarray,
    is_key: np.ndarray,
    in_range: np.ndarray,
) -> np.ndarray:
    """Return the network's input.

    Parameters
    ----------
    image : (D, H, W) float32 in [0, 1]
    keys : (D, H, W) float32 in [0, 1]
        Probabilities on the key planes; elsewhere 0.
    boxes : (D, H, W) float32 in [0, 1]
        Filled boxes on the key planes that were answers to a box alone; elsewhere 0.
    is_key, in_range : (D,) bool

    Returns
    -------
    (4, D, H, W) float32
        Image; key masks; range, and within it the mask of the nearest key plane, or the box of
        a key plane that was answered to one, which says what its mask is worth; log-likelihood
        ratio of each intensity inside the key masks to that about them.
    """
    planes = np.flatnonzero(is_key)
    nearest = planes[np.abs(np.arange(len(is_key))[:, None] - planes[None]).argmin(axis=1)]
    extruded = keys[nearest]
    is_answer = boxes.any(axis=(1, 2))
    extruded[is_answer] = boxes[is_answer]
    extruded = 0.5 * in_range[:, None, None] * (1 + extruded)
    return np.stack([image, keys, extruded, _likelihood(image, keys, planes)]).astype(np.float32)


class VolumeGuide:
    """The 3-D network with its preparation.

    Parameters
    ----------
    network : Network
        From (1, 4, 32, 64, 64) to logits (1, 1, 32, 64, 64).
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    def probabilities(
        self,
        voxels: np.ndarray,
        spacing: tuple[float, float, float],
        window: tuple[float, float],
        keys: Mapping[int, KeySlice],
        start: int,
        stop: int,
    ) -> dict[int, np.ndarray]:
        """Return (H, W) float32 probabilities of the slices of a range.

        Parameters
        ----------
        voxels : (z, H, W)
            Raw intensities; the first axis counts slices.
        spacing : tuple of 3 float
            In mm, same order.
        window : tuple of 2 float
        keys : mapping of slice index to KeySlice
            Not all of them empty.
        start, stop : int
            Half-open range.
        """
        grid = GuideGrid.around(keys, start, stop, spacing)
        key_tile, box_tile = np.zeros(GRID, np.float32), np.zeros(GRID, np.float32)
        is_key = np.zeros(GRID[0], bool)
        for index, key in keys.items():
            shown = grid.planes_of(index)
            key_tile[shown] = grid.sample_mask(key.probability)
            box_tile[shown] = 0.0 if key.box_rc is None else grid.sample_box(key.box_rc)
            is_key |= shown
        at = grid.origin[0] + grid.step[0] * np.arange(GRID[0])
        in_range = (at >= start - 0.5) & (at <= stop - 0.5)
        image = grid.sample(voxels, window)
        (logits, *_) = self._network(
            guide_channels(image, key_tile, box_tile, is_key, in_range)[None]
        )
        share = 1.0 / (1.0 + np.exp(-logits[0, 0].astype(np.float32)))
        shape = (voxels.shape[1], voxels.shape[2])
        return {index: grid.paste(share, index, shape) for index in range(start, stop)}


def _likelihood(image: np.ndarray, keys: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Return (D, H, W) log-likelihood ratios in [-1, 1], by histograms of the key planes."""
    inside = keys[planes] > 0.5
    reach = max(2, round(0.35 * float(np.sqrt(max(inside.sum(), 1) / len(planes) / np.pi))))
    disk = np.hypot(*np.indices((2 * reach + 1,) * 2) - reach) <= reach
    about = ndimage.binary_dilation(inside, disk[None]) & ~inside
    bins = (np.arange(_N_BINS) + 0.5) / _N_BINS
    logs = []
    for region in (inside, about):
        counts, _ = np.histogram(image[planes][region], _N_BINS, (0.0, 1.0))
        smooth = np.convolve(counts / max(1, counts.sum()), np.ones(3) / 3, "same")
        logs.append(np.log(smooth + 0.01))
    return np.clip(np.interp(image, bins, logs[0] - logs[1]) / 4, -1, 1)


def _weights(n: int, origin: float, step: float, n_out: int) -> np.ndarray:
    """Return (n_out, n) float32 weights that sample n points at ``origin + k * step``.

    Linear interpolation; where points are skipped, a triangle as wide as the step, against
    aliasing. Beyond the ends there is nothing.
    """
    at = origin + step * np.arange(n_out)
    width = max(1.0, step)
    weights = np.clip(1 - np.abs(at[:, None] - np.arange(n)[None]) / width, 0, None)
    total = weights.sum(axis=1, keepdims=True)
    # Half a step over the edge still counts as the edge.
    is_inside = (at > -0.5 * width - 0.5) & (at < n - 0.5 + 0.5 * width)
    return np.where(is_inside[:, None], weights / np.maximum(total, 1e-6), 0).astype(np.float32)


def _contracted(values: np.ndarray, matrices: list[np.ndarray]) -> np.ndarray:
    out = values.astype(np.float32)
    for axis, matrix in enumerate(matrices):
        out = np.moveaxis(np.tensordot(matrix, out, (1, axis)), 0, axis)
    return np.ascontiguousarray(out)
