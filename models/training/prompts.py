"""Prompts as people give them: boxes, clicks, strokes, and masks that are nearly right."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from models.preprocess import CLICK_RADIUS_PX, SCRIBBLE_RADIUS_PX, draw_disks, filled_box


def jittered(
    low: np.ndarray, high: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return a box's corners as a person might have drawn them.

    One in ten is exact; 45 % are off by up to 5 % of the side, 35 % by more, mostly outwards, and
    one in ten is sloppy. People also cut into the object, so every jitter goes both ways.
    """
    side = high - low
    how = rng.random()
    if how < 0.10:
        return low, high
    if how < 0.55:
        outwards = rng.uniform(-0.05, 0.05, (2, 2))
    elif how < 0.90:
        outwards = np.clip(rng.normal(0, 0.08, (2, 2)), -0.1, 0.25)
    else:
        outwards = rng.uniform(-0.15, 0.3, (2, 2))
    return low - outwards[0] * side, high + outwards[1] * side


def add_first_clicks(planes: np.ndarray, target: np.ndarray, rng: np.random.Generator) -> None:
    """Add one to three clicks or strokes inside and up to two beside the target, in place."""
    inside = target > 0.5
    for _ in range(rng.integers(1, 4)):
        _click_inside(planes[4], inside, rng, is_stroke=rng.random() < 0.3)
    near = ndimage.binary_dilation(inside, iterations=12) & ~inside
    for _ in range(rng.integers(0, 3)):
        if near.any():
            _click_inside(planes[5], near, rng, is_stroke=rng.random() < 0.2)


def corrupted(mask: np.ndarray, rng: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """Return a mask as another pass might have left it: grown, shrunk, shifted, with holes."""
    out = mask > 0.5
    how = rng.random()
    n = int(rng.integers(1, 2 + round(2 * strength)))
    if how < 0.25:
        out = ndimage.binary_dilation(out, iterations=n)
    elif how < 0.5:
        shrunk = ndimage.binary_erosion(out, iterations=n)
        out = shrunk if shrunk.any() else out
    if rng.random() < 0.3:
        reach = round(2 * strength) + 1
        out = np.roll(out, tuple(rng.integers(-reach, reach + 1, 2)), (0, 1))
    if strength > 1 or rng.random() < 0.2:
        for _ in range(int(rng.integers(0, 3))):
            points = np.argwhere(out)
            if len(points):
                row, column = points[rng.integers(len(points))]
                radius = int(rng.integers(2, 6 + round(3 * strength)))
                rows, columns = np.ogrid[: out.shape[0], : out.shape[1]]
                disk = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
                out = out & ~disk if rng.random() < 0.6 else out | disk
    return out.astype(np.float32)


def drifted(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a mask that has grown, shrunk or moved as a whole, as carried masks do in time.

    The image then has to tell where the object ends: a copy of the mask would be wrong.
    """
    inside = mask > 0.5
    if not inside.any():
        return inside.astype(np.float32)
    distance = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    radius = math.sqrt(float(inside.sum()) / math.pi)
    moved = distance <= radius * rng.uniform(-0.3, 0.35)
    if not moved.any():
        moved = distance <= float(distance.min()) / 2
    shift = np.round(rng.normal(0, 0.08, 2) * radius).astype(int)
    return np.roll(moved, tuple(shift), (0, 1)).astype(np.float32)


def box_of(mask: np.ndarray, margin: float) -> np.ndarray:
    """Return the filled bounding box of a mask, wider by a share of its sides; 0 if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return np.zeros_like(mask)
    edges = []
    for hit in (rows, columns):
        low, high = float(hit[0]), float(hit[-1] + 1)
        edges.append((low - margin * (high - low), high + margin * (high - low)))
    (r0, r1), (c0, c1) = edges
    return filled_box((r0, c0, r1, c1), len(mask))


def _click_inside(
    plane: np.ndarray, mask: np.ndarray, rng: np.random.Generator, *, is_stroke: bool
) -> None:
    points = np.argwhere(mask)
    at = points[rng.integers(len(points))].astype(float)
    if not is_stroke:
        draw_disks(plane, at[None], CLICK_RADIUS_PX)
        return
    path, heading = [at], rng.uniform(0, 2 * math.pi)
    for _ in range(int(rng.integers(8, 40))):
        heading += rng.normal(0, 0.3)
        step = path[-1] + (math.cos(heading), math.sin(heading))
        row, column = round(float(step[0])), round(float(step[1]))
        inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
        if not inside or not mask[row, column]:
            heading += math.pi / 2
            continue
        path.append(step)
    draw_disks(plane, np.array(path), SCRIBBLE_RADIUS_PX)
