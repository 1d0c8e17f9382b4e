"""From a slice and prompts to what the embedded network sees, and back. numpy only.

The network looks at a square crop, `Zoom`, in millimetres of the slice. Voxel *i* covers
[i - 1/2, i + 1/2); network pixel *j* of ``size`` covers the j-th of ``size`` equal parts of the
crop's side. Training samples its crops by the same formulas.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from app.core.volume import Modality
from models.base import SlicePrompts

BoxRC = tuple[float, float, float, float]

CT_WINDOW = (-160.0, 240.0)  # soft tissue: width 400, level 40
BONE_SHARE = 0.05
WIDER_FOR_BONE = 2.5
CLICK_RADIUS_PX = 3.0
SCRIBBLE_RADIUS_PX = 1.5
# A crop is never smaller than this many voxels: a handful of them shows nothing of the context.
MIN_SIDE_VOXELS = 32


def intensity_window(voxels: np.ndarray, modality: Modality) -> tuple[float, float]:
    """Return the intensities that become 0 and 1 for a network, for a whole volume.

    CT: soft tissue, W400 L40. Others: percentiles 0.5 and 99.5 of the voxels above the lowest
    value (as MedSAM's preprocessing does for values above 0), from a coarse sample.
    """
    if modality is Modality.CT:
        return CT_WINDOW
    step = max(1, round((voxels.size / 500_000) ** (1 / 3)))
    sample = voxels[::step, ::step, ::step].astype(np.float32).ravel()
    sample = sample[np.isfinite(sample)]
    above = sample[sample > max(0.0, float(sample.min()))] if sample.size else sample
    if above.size == 0:
        above = sample if sample.size else np.zeros(1, np.float32)
    low, high = (float(v) for v in np.percentile(above, (0.5, 99.5)))
    if not high > low and sample.size:
        low, high = float(sample.min()), float(sample.max())
    return (low, high) if high > low else (low, low + 1.0)


def apply_window(pixels: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Return intensities mapped to [0, 1] float32: ``window[0]`` to 0, ``window[1]`` to 1."""
    low, high = window
    scaled = (pixels.astype(np.float32) - np.float32(low)) * np.float32(1.0 / (high - low))
    return np.clip(scaled, 0.0, 1.0, out=scaled)


def window_for_bone(pixels: np.ndarray, window: tuple[float, float]) -> tuple[float, float]:
    """Return a window in which what is asked for is not white on white.

    Parameters
    ----------
    pixels : array
        Raw CT intensities of what is asked for: of a box, say.
    window : tuple of 2 float

    Returns
    -------
    tuple of 2 float
        The window; with `WIDER_FOR_BONE` times its width where more than `BONE_SHARE` of the pixels
        lie above it. Both were chosen on training patients that were set aside.
    """
    low, high = window
    if pixels.size == 0 or np.count_nonzero(pixels > high) <= BONE_SHARE * pixels.size:
        return window
    return low, low + WIDER_FOR_BONE * (high - low)


@dataclass(frozen=True)
class Zoom:
    """A square crop of a slice and the network's grid in it.

    Attributes
    ----------
    centre_rc : tuple of 2 float
        In voxel indices of the slice.
    side_mm : float
    spacing_rc : tuple of 2 float
        mm per voxel.
    shape_rc : tuple of 2 int
        Of the slice.
    size : int
        Network pixels per side.
    """

    centre_rc: tuple[float, float]
    side_mm: float
    spacing_rc: tuple[float, float]
    shape_rc: tuple[int, int]
    size: int

    def enlarged(self, factor: float) -> Zoom:
        """Return a crop with the same centre and a longer side, at most the whole slice."""
        whole = zoom_to_slice(self.spacing_rc, self.shape_rc, self.size)
        if self.side_mm * factor >= whole.side_mm:
            return whole
        return replace(self, side_mm=self.side_mm * factor)

    @property
    def step_rc(self) -> tuple[float, float]:
        """Voxels per network pixel along rows and columns."""
        mm = self.side_mm / self.size
        return mm / self.spacing_rc[0], mm / self.spacing_rc[1]

    def to_network(self, points_rc: np.ndarray) -> np.ndarray:
        """Return network pixel coordinates (..., 2) of voxel indices (..., 2)."""
        offset = np.asarray(points_rc, float) - self.centre_rc
        return offset / self.step_rc + (self.size - 1) / 2

    def to_slice(self, points: np.ndarray) -> np.ndarray:
        """Return voxel indices (..., 2) of network pixel coordinates (..., 2)."""
        return (np.asarray(points, float) - (self.size - 1) / 2) * self.step_rc + self.centre_rc

    def sample(self, image: np.ndarray) -> np.ndarray:
        """Return a (H, W) slice on the network's grid, (size, size) float32; outside is 0.

        Where a network pixel spans several voxels they are averaged first.
        """
        rows, columns = self._axes()
        work = image.astype(np.float32, copy=False)
        origin = [0.0, 0.0]
        factors = [max(1, int(s)) for s in self.step_rc]
        if max(factors) > 1:
            work, origin = _block_mean(work, factors)
        rows = (rows - origin[0]) / factors[0]
        columns = (columns - origin[1]) / factors[1]
        return _bilinear(_bilinear(work, rows, 0), columns, 1)

    def paste_probability(self, logits: np.ndarray) -> np.ndarray:
        """Return the probability (H, W) float32 of a (size, size) logit map; outside is 0."""
        inside_r = self._covered(0)
        inside_c = self._covered(1)
        full = np.zeros(self.shape_rc, np.float32)
        if inside_r.size == 0 or inside_c.size == 0:
            return full
        rows = (inside_r - self.centre_rc[0]) / self.step_rc[0] + (self.size - 1) / 2
        columns = (inside_c - self.centre_rc[1]) / self.step_rc[1] + (self.size - 1) / 2
        block = _bilinear(
            _bilinear(logits.astype(np.float32), np.clip(rows, 0, self.size - 1), 0),
            np.clip(columns, 0, self.size - 1),
            1,
        )
        where = (slice(inside_r[0], inside_r[-1] + 1), slice(inside_c[0], inside_c[-1] + 1))
        full[where] = 1.0 / (1.0 + np.exp(-np.clip(block, -30, 30)))
        return full

    def _axes(self) -> tuple[np.ndarray, np.ndarray]:
        offsets = np.arange(self.size) - (self.size - 1) / 2
        return (
            self.centre_rc[0] + offsets * self.step_rc[0],
            self.centre_rc[1] + offsets * self.step_rc[1],
        )

    def _covered(self, axis: int) -> np.ndarray:
        half = self.size / 2 * self.step_rc[axis]
        low = int(np.ceil(self.centre_rc[axis] - half))
        high = int(np.floor(self.centre_rc[axis] + half))
        return np.arange(max(0, low), min(self.shape_rc[axis] - 1, high) + 1)


def zoom_to_box(
    box_rc: BoxRC,
    spacing_rc: tuple[float, float],
    shape_rc: tuple[int, int],
    size: int,
    *,
    factor: float = 1.75,
) -> Zoom:
    """Return the crop whose side is ``factor`` times the longer side of a half-open box."""
    r0, c0, r1, c1 = box_rc
    longest = max((r1 - r0) * spacing_rc[0], (c1 - c0) * spacing_rc[1])
    least = MIN_SIDE_VOXELS * float(np.sqrt(spacing_rc[0] * spacing_rc[1]))
    centre = ((r0 + r1 - 1) / 2, (c0 + c1 - 1) / 2)
    return Zoom(centre, max(factor * longest, least), spacing_rc, shape_rc, size)


def zoom_to_slice(spacing_rc: tuple[float, float], shape_rc: tuple[int, int], size: int) -> Zoom:
    """Return the crop that holds a whole slice."""
    side = max(shape_rc[0] * spacing_rc[0], shape_rc[1] * spacing_rc[1])
    centre = ((shape_rc[0] - 1) / 2, (shape_rc[1] - 1) / 2)
    return Zoom(centre, side, spacing_rc, shape_rc, size)


def network_input(slices: list[np.ndarray | None], zoom: Zoom, prompts: SlicePrompts) -> np.ndarray:
    """Return the network's input (1, 8, size, size) float32.

    Parameters
    ----------
    slices : list of 3
        The slice before, the slice and the slice after as (H, W) in [0, 1]; None where there is
        none, which shows the slice itself again.
    zoom : Zoom
    prompts : SlicePrompts
    """
    size = zoom.size
    planes = np.zeros((1, 8, size, size), np.float32)
    centre = slices[1]
    assert centre is not None
    planes[0, 1] = zoom.sample(centre)
    for channel in (0, 2):
        neighbour = slices[channel]
        planes[0, channel] = planes[0, 1] if neighbour is None else zoom.sample(neighbour)
    if prompts.box_rc is not None:
        r0, c0, r1, c1 = prompts.box_rc
        corners = zoom.to_network(np.array([[r0 - 0.5, c0 - 0.5], [r1 - 0.5, c1 - 0.5]])) + 0.5
        planes[0, 3] = filled_box(tuple(corners.ravel()), size)
    for channel, points in ((4, prompts.positive_rc), (5, prompts.negative_rc)):
        if points:
            draw_disks(planes[0, channel], zoom.to_network(np.array(points)), CLICK_RADIUS_PX)
    for stroke in prompts.strokes:
        along = _densify(zoom.to_network(np.array(stroke.points_rc)))
        draw_disks(planes[0, 4 if stroke.positive else 5], along, SCRIBBLE_RADIUS_PX)
    if prompts.previous is not None:
        planes[0, 6] = zoom.sample(prompts.previous)
    if prompts.neighbour is not None:
        planes[0, 7] = zoom.sample(prompts.neighbour)
    return planes


def filled_box(edges: tuple[float, ...], size: int) -> np.ndarray:
    """Return the share of each pixel that a box covers, (size, size) float32.

    ``edges`` are (r0, c0, r1, c1) in pixel edges: pixel *j* spans [j, j + 1).
    """
    pixel = np.arange(size)
    r0, c0, r1, c1 = edges
    rows = np.clip(np.minimum(pixel + 1, r1) - np.maximum(pixel, r0), 0, 1)
    columns = np.clip(np.minimum(pixel + 1, c1) - np.maximum(pixel, c0), 0, 1)
    return np.outer(rows, columns).astype(np.float32)


def draw_disks(plane: np.ndarray, points: np.ndarray, radius: float) -> None:
    """Set the pixels within ``radius`` of any point (n, 2) to 1, in place."""
    reach = int(np.ceil(radius))
    for row, column in points:
        r, c = round(float(row)), round(float(column))
        r0, r1 = max(0, r - reach), min(plane.shape[0], r + reach + 1)
        c0, c1 = max(0, c - reach), min(plane.shape[1], c + reach + 1)
        if r0 >= r1 or c0 >= c1:
            continue
        rr, cc = np.ogrid[r0:r1, c0:c1]
        plane[r0:r1, c0:c1][(rr - row) ** 2 + (cc - column) ** 2 <= radius**2] = 1.0


def _densify(points: np.ndarray) -> np.ndarray:
    """Return points no more than one pixel apart along a polyline."""
    parts = [points[:1]]
    for a, b in itertools.pairwise(points):
        n = max(1, int(np.ceil(np.abs(b - a).max())))
        parts.append(a + (b - a) * (np.arange(1, n + 1) / n)[:, None])
    return np.concatenate(parts)


def _block_mean(image: np.ndarray, factors: list[int]) -> tuple[np.ndarray, list[float]]:
    """Return means of whole blocks, and the index of the first block's centre."""
    fr, fc = factors
    rows, columns = -(-image.shape[0] // fr), -(-image.shape[1] // fc)
    padded = np.pad(
        image, ((0, rows * fr - image.shape[0]), (0, columns * fc - image.shape[1])), "edge"
    )
    mean = padded.reshape(rows, fr, columns, fc).mean(axis=(1, 3))
    return mean, [(fr - 1) / 2, (fc - 1) / 2]


def _bilinear(image: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
    """Return a 2-D image interpolated linearly at positions along one axis; outside is 0."""
    n = image.shape[axis]
    low = np.floor(at).astype(int)
    weight = (at - low).astype(np.float32)
    shape = (-1, 1) if axis == 0 else (1, -1)
    total: np.ndarray | None = None
    for index, w in ((low, 1 - weight), (low + 1, weight)):
        valid = (index >= 0) & (index < n)
        part = image.take(np.clip(index, 0, n - 1), axis=axis)
        part = part * (w * valid).reshape(shape).astype(np.float32)
        total = part if total is None else total + part
    assert total is not None
    return total
