"""Files to volumes: NIfTI, NRRD, MetaImage, DICOM files and folders.

Whatever cannot be read or placed in space is refused with a sentence that gives the numbers;
nothing but `ReadError` and `GeometryError` leaves this module for bad files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from app.core.errors import AppError, GeometryError, OtherGridError, ReadError
from app.core.geometry import Geometry
from app.core.labels import LabelTable
from app.core.series import SeriesInfo
from app.core.tasks import JobContext, NullContext
from app.core.volume import Volume
from app.io.dicom_header import dicom_files, is_dicom, read_slices
from app.io.dicom_pixels import read_series
from app.io.dicom_seg import is_segmentation, read_seg
from app.io.dicom_series import Series, choose, group_series
from app.io.grid_file import (
    PLACEHOLDER_NOTE,
    GridHeader,
    Room,
    header_geometry,
    is_placeholder,
    read_grid,
)
from app.io.label_grids import labels_on
from app.io.label_sidecar import read_sidecar, sidecar_path
from app.io.meta_header import read_meta_header
from app.io.nifti_header import read_nifti_header
from app.io.nrrd_header import read_nrrd_header
from app.io.rtstruct import is_structure_set, read_structures

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm")
_READERS = {
    ".nii": ("NIfTI", read_nifti_header),
    ".nii.gz": ("NIfTI", read_nifti_header),
    ".nrrd": ("NRRD", read_nrrd_header),
    ".nhdr": ("NRRD", read_nrrd_header),
    ".mha": ("MetaImage", read_meta_header),
    ".mhd": ("MetaImage", read_meta_header),
}


def read_volume(
    path: Path | str,
    *,
    series_uid: str | None = None,
    resample: bool = False,
    room: Room | None = None,
    ctx: JobContext | None = None,
) -> Volume:
    """Return the scan of a file, or of one series of a DICOM folder.

    Parameters
    ----------
    path : Path
    series_uid : str, optional
        `SeriesInfo.uid` of the wanted series; needed where a folder holds several.
    resample : bool
        Put tilted or unevenly spaced slices on a regular grid instead of refusing them.
    room : callable, optional
        Gets the bytes that the voxels will take before they are taken; what it raises ends this.
    ctx : JobContext, optional

    Returns
    -------
    Volume
        In canonical orientation; what was noticed is in its ``notes``.

    Raises
    ------
    ReadError
        It cannot be read, or not be placed in space. `SeriesChoiceError` lists several series.
    """
    path, ctx = Path(path), ctx or NullContext()
    try:
        header = _grid_header(path)
        if header is not None:
            return read_grid(header, stem(path), ctx, room)
        found = choose(_dicom_series(path, ctx), series_uid, resample=resample)
        return read_series(found, stem(path), ctx, room)
    except GeometryError as error:
        raise ReadError(str(error)) from error
    except OSError as error:
        raise _plain(error) from error


def scan(path: Path | str, *, ctx: JobContext | None = None) -> tuple[SeriesInfo, ...]:
    """Return what a file or folder holds, without reading voxels; those that open come first.

    Raises
    ------
    ReadError
        Nothing there is an image.
    """
    path, ctx = Path(path), ctx or NullContext()
    try:
        header = _grid_header(path)
        if header is not None:
            return (_grid_info(header, path),)
        return tuple(s.info for s in _dicom_series(path, ctx))
    except GeometryError as error:
        raise ReadError(str(error)) from error
    except OSError as error:
        raise _plain(error) from error


def read_labels(path: Path | str, like: Geometry, *, ctx: JobContext | None = None) -> np.ndarray:
    """Return the label values of a file on the grid of an open scan.

    Parameters
    ----------
    path : Path
    like : Geometry
        Canonical grid that the labels must have; the file may count its axes in another order.

    Returns
    -------
    (z, y, x) uint8, or uint16 if values exceed 255

    Raises
    ------
    ReadError
        The file cannot be read, or its values are no labels.
    OtherGridError
        Its grid is another one; the sentence says what differs.
    GeometryError
        Its grid is another one, and could not even be resampled.
    """
    return _labels_and_names(Path(path), like, ctx)[0]


def read_named_labels(
    path: Path | str, like: Geometry, *, resample: bool = False, ctx: JobContext | None = None
) -> tuple[np.ndarray, LabelTable]:
    """Return what `read_labels` returns, and the names that the file or its sidecar gives.

    The table is empty where neither names anything; it need not name every value. With
    ``resample`` labels of another grid are brought onto this one, see `labels_on`.
    """
    path = Path(path)
    labels, table = _labels_and_names(path, like, ctx, resample=resample)
    names = sidecar_path(path)
    if table is None:
        table = read_sidecar(names) if names.is_file() else LabelTable()
    return labels, table


def as_labels(voxels: np.ndarray) -> np.ndarray:
    """Return whole values from 0 to 65535 as uint8 or uint16.

    Raises
    ------
    ReadError
        A value is negative, larger, or no whole number.
    """
    low, high = float(voxels.min()), float(voxels.max())
    if low < 0 or high > 65535:
        raise ReadError(
            f"The values reach from {low:g} to {high:g}; labels are whole numbers from 0 to 65535."
        )
    if voxels.dtype.kind == "f" and not np.array_equal(voxels, np.rint(voxels)):
        odd = voxels[voxels != np.rint(voxels)][0]
        raise ReadError(
            f"The file holds values between labels, such as {odd:g}; labels are whole numbers. "
            "It is an image, or a label map that was resampled with interpolation."
        )
    return voxels.astype(np.uint8 if high <= 255 else np.uint16)


def grid_difference(grid: Geometry, other: Geometry) -> str:
    """Return in words how two canonical grids differ; empty if they are the same.

    A hundredth of a voxel is allowed: files round positions.
    """
    if grid.shape_zyx != other.shape_zyx:
        return f"{_size(grid.shape_zyx)} voxels instead of {_size(other.shape_zyx)}"
    if grid.same_grid(other, atol_mm=max(1e-3, 0.01 * min(other.spacing_zyx))):
        return ""
    if not np.allclose(grid.spacing_zyx, other.spacing_zyx, rtol=1e-3):
        return f"voxels of {_mm(grid.spacing_zyx)} instead of {_mm(other.spacing_zyx)} mm"
    turned = (grid.affine[:3, :3] / grid.spacing_zyx).T @ (other.affine[:3, :3] / other.spacing_zyx)
    angle = float(np.degrees(np.arccos(np.clip((np.trace(turned) - 1) / 2, -1, 1))))
    if angle > 0.05:
        return f"turned by {angle:.1f} degrees"
    shift = np.linalg.norm(grid.affine[:3, 3] - other.affine[:3, 3])
    return f"shifted by {shift:.2f} mm"


def stem(path: Path) -> str:
    """Return the name of a file or folder without the suffixes that are known here."""
    suffix = _suffix(path)
    return path.name[: -len(suffix)] if suffix else path.name


# -- inside -------------------------------------------------------------------------------------


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return next((s for s in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(s)), "")


def _grid_header(path: Path) -> GridHeader | None:
    """Return the header of a NIfTI, NRRD or MetaImage file; None for what may be DICOM."""
    if path.is_dir():
        return None
    if not path.exists():
        raise ReadError(f"“{path.name}” does not exist.")
    if not path.is_file():
        raise ReadError(f"“{path.name}” is not a file.")
    if path.stat().st_size == 0:
        raise ReadError(f"“{path.name}” is empty (0 bytes).")
    suffix = _suffix(path)
    if suffix in _READERS:
        return _READERS[suffix][1](path)
    if suffix != ".dcm" and not is_dicom(path):
        raise ReadError(
            f"“{path.name}” is in no format that can be opened; NIfTI, NRRD, MetaImage and DICOM "
            "can."
        )
    return None


def _labels_and_names(
    path: Path, like: Geometry, ctx: JobContext | None, *, resample: bool = False
) -> tuple[np.ndarray, LabelTable | None]:
    if _is_dicom_file(path):
        if is_segmentation(path):
            return read_seg(path, like, resample=resample)
        if is_structure_set(path):
            return read_structures(path, like, resample=resample)
    volume = read_volume(path, ctx=ctx)
    difference = grid_difference(volume.geometry, like)
    labels = as_labels(volume.voxels)
    if not difference:
        return labels, None
    if not resample:
        raise OtherGridError(f"The labels are not on the grid of the scan: {difference}.")
    return labels_on(labels, volume.geometry, like, ctx), None


def _is_dicom_file(path: Path) -> bool:
    try:
        return path.is_file() and is_dicom(path)
    except OSError as error:
        raise _plain(error) from error


def _grid_info(header: GridHeader, path: Path) -> SeriesInfo:
    _, orientation = header_geometry(header)
    warnings = header.notes
    if is_placeholder(header.affine_ijk):
        warnings = (*warnings, PLACEHOLDER_NOTE)
    spacing = np.linalg.norm(header.affine_ijk[:3, :3], axis=0)
    return SeriesInfo(
        uid="",
        description=stem(path),
        modality=header.modality.value if header.modality else "",
        size_xyz=header.shape_ijk,
        spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        orientation=orientation,
        transfer_syntax=_READERS[_suffix(path)][0],
        warnings=warnings,
    )


def _dicom_series(path: Path, ctx: JobContext) -> list[Series]:
    paths = list(dicom_files(path)) if path.is_dir() else [path]
    if not paths:
        images = sorted(p.name for p in path.iterdir() if _suffix(p) in _READERS)
        if images:
            raise ReadError(
                f"The folder holds no DICOM images, but {len(images)} other images; open one of "
                f"them, for example “{images[0]}”."
            )
        raise ReadError(f"The folder “{path.name}” holds no images.")
    slices, refused = read_slices(paths, ctx)
    return group_series(slices, refused)


def _size(shape_zyx: tuple[int, int, int]) -> str:
    return " x ".join(str(n) for n in reversed(shape_zyx))


def _mm(spacing_zyx: tuple[float, float, float]) -> str:
    return " x ".join(f"{s:.4g}" for s in reversed(spacing_zyx))


def _plain(error: OSError) -> AppError:
    if isinstance(error, AppError):
        return error
    reason = error.strerror or "it cannot be read"
    return ReadError(f"The file cannot be read: {reason}.")
