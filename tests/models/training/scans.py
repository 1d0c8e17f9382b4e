"""Scans of bright balls on disk, in the layout of the data folder that trainings read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np


def ball(shape: tuple[int, int, int], centre: Sequence[float], radius: float) -> np.ndarray:
    """Return which voxels lie less than a radius of voxels from a centre."""
    grid = np.indices(shape).transpose(1, 2, 3, 0)
    return ((grid - centre) ** 2).sum(-1) < radius**2


def noisy(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an MR of labels: 300, in them 700, and noise."""
    return np.where(labels > 0, 700, 300) + rng.normal(0, 30, labels.shape)


def write_scan(
    root: Path,
    name: str,
    image: np.ndarray,
    labels: np.ndarray,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    part: str = "train",
) -> None:
    """Write a scan and its labels as a case of the hippocampus.

    The spacing is that of the file's axes, which grow to the right, to the front and up; an axis
    of a negative spacing grows the other way.
    """
    folder = root / "msd_hippocampus" / part
    folder.mkdir(parents=True, exist_ok=True)
    affine = np.diag([*spacing, 1.0])
    for kind, voxels in (("img", image.astype(np.int16)), ("seg", labels.astype(np.uint8))):
        path = folder / f"hippocampus_{name}_{kind}.nii.gz"
        nib.save(nib.Nifti1Image(voxels, affine), path)
