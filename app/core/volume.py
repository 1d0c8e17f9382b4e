"""The scan itself: intensities that never change after loading."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import numpy as np

from app.core.errors import GeometryError
from app.core.geometry import Geometry

# Arrays are kept so that axes grow to these patient directions; files may count otherwise.
CANONICAL = "SPL"

# A scan of which at least this share lies below this many units can only be in Hounsfield units.
_AIR_HU = -500
_AIR_SHARE = 0.02
# A crop without air: most of it is soft tissue or fat, and this share can only be fat.
_TISSUE_HU = (-200, 300)
_FAT_HU = -30
_FAT_SHARE = 0.03


class Modality(Enum):
    """What made the intensities; decides the windows that are offered."""

    CT = "CT"
    MR = "MR"
    OTHER = "other"


@dataclass(frozen=True, eq=False)
class Volume:
    """Intensities of one scan in canonical orientation (axes grow to S, P, L).

    Attributes
    ----------
    voxels : (z, y, x) array, native dtype, read-only
    geometry : Geometry
    modality : Modality
    source_orientation : str
        Where the axes (x, y, z) of the opened file grow to, e.g. "LPS"; exports restore it.
    name : str
        Shown to the user; the file's or folder's name without suffixes.
    uid : str
        Identifies the loaded volume within this run of the program.
    notes : tuple of str
        Sentences about how it was read, e.g. that it was resampled.
    source_paths : tuple of Path
        DICOM files in the order of the file's last axis, so that an export can refer to them;
        one file for all frames. Empty for other formats and for resampled series.
    header_path : Path, optional
        A DICOM file of the scan, whose header says whose it is. Nothing else asks for that.
    """

    voxels: np.ndarray
    geometry: Geometry
    modality: Modality = Modality.OTHER
    source_orientation: str = "LPS"
    name: str = ""
    uid: str = field(default_factory=lambda: uuid.uuid4().hex)
    notes: tuple[str, ...] = ()
    source_paths: tuple[Path, ...] = ()
    header_path: Path | None = None

    def __post_init__(self) -> None:
        if self.voxels.shape != self.geometry.shape_zyx:
            raise GeometryError(
                f"The voxels are {self.voxels.shape}, the grid is {self.geometry.shape_zyx}."
            )
        view = self.voxels.view()
        view.setflags(write=False)
        object.__setattr__(self, "voxels", view)

    @property
    def nbytes(self) -> int:
        return int(self.voxels.nbytes)

    def slice_at(self, axis: int, index: int) -> np.ndarray:
        """Return one slice as a read-only 2-D view."""
        return take_slice(self.voxels, axis, index)


def take_slice(voxels: np.ndarray, axis: int, index: int) -> np.ndarray:
    """Return a 2-D view of a 3-D array: the remaining axes stay in array order."""
    where: list[slice | int] = [slice(None)] * 3
    where[axis] = index
    return voxels[tuple(where)]


def percentile_window(voxels: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Return the window from one percentile of a scan's values to another, never an empty one."""
    # Every n-th voxel is enough for a display and takes no time.
    step = max(1, round((voxels.size / 200_000) ** (1 / 3)))
    bottom, top = np.percentile(voxels[::step, ::step, ::step], (low, high))
    return float(bottom), max(float(top), float(bottom) + 1e-3)


def guess_modality(voxels: np.ndarray) -> Modality:
    """Return CT if the values can only be Hounsfield units, else MR.

    Used for formats that do not name the modality. A CT holds air well below -500 HU outside or
    inside the body; where it is cropped to tissue, most of its whole numbers lie around water and
    some are fat. Magnitude MR has no such negative values. A coarse sample decides.
    """
    step = max(1, round((voxels.size / 200_000) ** (1 / 3)))
    sample = voxels[::step, ::step, ::step]
    if float(np.mean(sample < _AIR_HU)) >= _AIR_SHARE:
        return Modality.CT
    is_tissue = float(np.mean((sample > _TISSUE_HU[0]) & (sample < _TISSUE_HU[1]))) >= 0.5
    has_fat = float(np.mean(sample < _FAT_HU)) >= _FAT_SHARE
    if is_tissue and has_fat and np.array_equal(sample, np.rint(sample)):
        return Modality.CT
    return Modality.MR
