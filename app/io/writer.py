"""Voxels to files on the grid and in the axis order of the opened file.

SimpleITK writes; the program's own reader reads the new file back and compares every voxel and
the grid before the file takes its name. SimpleITK keeps positions in LPS and turns them into
NIfTI's RAS+ itself, with qform and sform set to the same position.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from app.core.errors import AppError, ExportError
from app.core.tasks import JobContext, NullContext
from app.core.volume import Volume
from app.io.atomic import replacing
from app.io.itk_bridge import to_image
from app.io.reader import grid_difference, read_volume

WRITABLE = (".nii.gz", ".nii", ".nrrd", ".mha")

_NIFTI_NOTE = 79


def writable_suffix(path: Path, suffixes: tuple[str, ...] = WRITABLE) -> str:
    """Return the suffix that decides the format.

    Raises
    ------
    ExportError
        It is none of ``suffixes``.
    """
    name = path.name.lower()
    for suffix in sorted(suffixes, key=len, reverse=True):
        if name.endswith(suffix) and len(name) > len(suffix):
            return suffix
    raise ExportError(
        f"“{path.name}” cannot be saved: give it a name that ends with " + ", ".join(suffixes) + "."
    )


def write_voxels(
    path: Path | str, voxels: np.ndarray, volume: Volume, ctx: JobContext | None = None
) -> None:
    """Write voxels on the grid of a volume to NIfTI, NRRD or MetaImage, by the suffix.

    Parameters
    ----------
    path : Path
    voxels : (z, y, x) array
        Intensities or labels in canonical orientation; the type is kept.
    volume : Volume
        Gives the grid and the axis order of the file.

    Raises
    ------
    ExportError
        It cannot be written, or does not read back the same. Nothing is left behind.
    """
    path, ctx = Path(path), ctx or NullContext()
    suffix = writable_suffix(path)
    with replacing(path, suffix) as temporary:
        _write(temporary, voxels, volume, path, ctx)


def write_volume(path: Path | str, volume: Volume, ctx: JobContext | None = None) -> None:
    """Write a volume's own intensities; see `write_voxels`."""
    write_voxels(path, volume.voxels, volume, ctx)


def _write(
    temporary: Path, voxels: np.ndarray, volume: Volume, path: Path, ctx: JobContext
) -> None:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    ctx.report(0.0, "Writing")
    image = to_image(voxels, volume)
    if volume.notes:
        # NIfTI has room for the beginning alone (`descrip`).
        notes = " ".join(volume.notes).encode("ascii", "replace").decode()
        is_nifti = temporary.name.lower().endswith((".nii", ".nii.gz"))
        image.SetMetaData("ITK_FileNotes", notes[:_NIFTI_NOTE] if is_nifti else notes)
    try:
        sitk.WriteImage(image, str(temporary), useCompression=True)
    except RuntimeError as error:
        is_full = shutil.disk_usage(temporary.parent).free < voxels.nbytes
        reason = "the disk is full" if is_full else "the drive does not take the file"
        raise ExportError(f"“{path.name}” cannot be saved: {reason}.") from error
    del image
    ctx.report(0.5, "Checking")
    try:
        written = read_volume(temporary)
    except AppError as error:
        raise ExportError(
            f"“{path.name}” was written, but cannot be read again ({error}); nothing was saved."
        ) from error
    difference = grid_difference(written.geometry, volume.geometry)
    if written.source_orientation != volume.source_orientation:
        difference = (
            f"axes towards {written.source_orientation} instead of {volume.source_orientation}"
        )
    if not difference and not np.array_equal(written.voxels, voxels):
        n_wrong = int(np.count_nonzero(written.voxels != voxels))
        difference = f"{n_wrong} voxels differ"
    if difference:
        raise ExportError(
            f"“{path.name}” does not read back as it was written ({difference}); nothing was saved."
        )
