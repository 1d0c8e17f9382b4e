"""What is done to each structure after the network: largest components, cavities, small pieces."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from app.core.geometry import Region
from models.automatic.result import MAX_PIECES, Piece, Structure
from models.automatic.spec import AutomaticLabel, AutomaticSpec


def apply_rules(
    channels: np.ndarray, spec: AutomaticSpec, voxel_ml: float, *, is_stack: bool = False
) -> None:
    """Change output channels (z, y, x) in place by the rules of each label.

    Components touch by faces. A cavity is filled only where nothing else is.

    Parameters
    ----------
    channels : (z, y, x) uint8
    spec : AutomaticSpec
    voxel_ml : float
    is_stack : bool
        The slices are not neighbours in the patient: cavities are looked for on each slice, and
        nothing is said about components.
    """
    boxes = ndimage.find_objects(channels, len(spec.labels))
    for channel, (label, box) in enumerate(zip(spec.labels, boxes, strict=True), start=1):
        if box is None:
            continue
        block = channels[box]
        mask = block == channel
        kept = mask if is_stack else _kept(mask, label, voxel_ml)
        block[mask & ~kept] = 0
        if label.fill_holes:
            shape = ndimage.generate_binary_structure(3, 1)
            if is_stack:
                shape[0] = shape[2] = False
            block[ndimage.binary_fill_holes(kept, shape) & (block == 0)] = channel


def structures(
    channels: np.ndarray, certainty: np.ndarray, spec: AutomaticSpec, voxel_ml: float
) -> tuple[Structure, ...]:
    """Return what was found, by value; see `Structure`."""
    found = []
    boxes = ndimage.find_objects(channels, len(spec.labels))
    for channel, (label, box) in enumerate(zip(spec.labels, boxes, strict=True), start=1):
        if box is None:
            continue
        mask = channels[box] == channel
        sure = certainty[box][mask]
        # What the rules filled was never most probable; it says nothing about certainty.
        known = sure[sure > 0]
        found.append(
            Structure(
                label.value,
                label.name,
                float(np.count_nonzero(mask)) * voxel_ml,
                float(known.mean()) / 255 if known.size else 0.0,
                _pieces(mask, [part.start for part in box], voxel_ml),
            )
        )
    return tuple(sorted(found, key=lambda s: s.value))


def _kept(mask: np.ndarray, label: AutomaticLabel, voxel_ml: float) -> np.ndarray:
    if label.n_components < 1 and label.min_ml <= 0:
        return mask
    parts, n = ndimage.label(mask)
    sizes = np.bincount(parts.ravel(), minlength=n + 1)
    sizes[0] = 0
    keep = sizes * voxel_ml >= label.min_ml
    keep[0] = False
    if label.n_components > 0:
        largest = np.argsort(sizes, kind="stable")[::-1][: label.n_components]
        keep &= np.isin(np.arange(n + 1), largest)
    kept: np.ndarray = keep[parts]
    return kept


def _pieces(mask: np.ndarray, offset: list[int], voxel_ml: float) -> tuple[Piece, ...]:
    parts, n = ndimage.label(mask)
    sizes = np.bincount(parts.ravel(), minlength=n + 1)[1:]
    boxes = ndimage.find_objects(parts)
    out = []
    for number in np.argsort(sizes, kind="stable")[::-1][:MAX_PIECES]:
        box = boxes[number]
        own = parts[box] == number + 1
        start = tuple(part.start + o for part, o in zip(box, offset, strict=True))
        stop = tuple(part.stop + o for part, o in zip(box, offset, strict=True))
        z, y, x = _middle(own)
        out.append(
            Piece(
                Region(start, stop),
                (start[0] + z, start[1] + y, start[2] + x),
                float(sizes[number]) * voxel_ml,
            )
        )
    return tuple(out)


def _middle(mask: np.ndarray) -> tuple[int, int, int]:
    """Return the voxel of a mask, on its largest axial slice, that is nearest to the middle."""
    z = int(mask.sum(axis=(1, 2)).argmax())
    rows, columns = np.nonzero(mask[z])
    nearest = int(((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2).argmin())
    return z, int(rows[nearest]), int(columns[nearest])
