"""NIfTI-1 and NIfTI-2 headers, single file (.nii, .nii.gz).

Layout and meaning of the fields: nifti1.h and nifti2.h of the NIfTI Data Format Working Group.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from app.core.errors import ReadError
from app.io.grid_file import GridHeader, check_size, open_stream

_DTYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8",
    256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_OTHER_TYPES = {
    1: "one bit",
    32: "complex numbers",
    128: "colour (RGB)",
    1536: "128-bit numbers",
    1792: "complex numbers",
    2048: "complex numbers",
    2304: "colour (RGBA)",
}
# xyzt_units, lowest three bits: what one unit is in mm. 0 is "unknown", taken as mm by all tools.
_UNIT_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# How far the two positions of one file may lie apart: half a per cent of a voxel and header
# rounding are no disagreement.
_AGREE_MM = 0.01


def read_nifti_header(path: Path) -> GridHeader:
    """Return what a NIfTI file says about its voxels.

    Raises
    ------
    ReadError
        It is no NIfTI file, has more than three axes, colour, or no position in space.
    """
    with open(path, "rb") as raw:
        start = raw.read(2)
        raw.seek(0)
        compression = "deflate" if start == b"\x1f\x8b" else ""
        try:
            block = open_stream(raw, compression).read(540)
        except zlib.error as error:
            raise ReadError("The compressed file is damaged. Copy or export it again.") from error
    fields = _fields(block)
    shape = _shape(fields["dim"])
    code = fields["datatype"]
    if code not in _DTYPES:
        what = _OTHER_TYPES.get(code, f"an unknown kind of voxels (code {code})")
        raise ReadError(f"The file holds {what}; only grey values can be opened.")
    dtype = np.dtype(fields["order"] + _DTYPES[code])
    check_size(shape, dtype.itemsize)
    offset = fields["vox_offset"] or fields["sizeof_hdr"] + 4
    if not (np.isfinite(offset) and fields["sizeof_hdr"] <= offset <= 1 << 31):
        raise ReadError(f"The header is damaged: its voxels are said to start at byte {offset:g}.")
    affine, notes = _affine(fields, shape)
    slope, intercept = fields["scl"]
    if slope == 0 or np.isnan(slope):
        slope, intercept = 1.0, 0.0
    intercept = 0.0 if np.isnan(intercept) else intercept
    if not (np.isfinite(slope) and np.isfinite(intercept)):
        raise ReadError("The header is damaged: the scaling of the intensities is infinite.")
    return GridHeader(
        path, shape, affine, dtype, int(offset), compression, bool(compression),
        float(slope), float(intercept), notes=tuple(notes),
    )  # fmt: skip


def _fields(block: bytes) -> dict:
    for order in "<>":
        size = struct.unpack(order + "i", block[:4])[0] if len(block) >= 4 else 0
        if size == 348 and len(block) >= 348:
            return _nifti1(block, order)
        if size == 540 and len(block) >= 540:
            return _nifti2(block, order)
    raise ReadError("This is not a NIfTI file, or its header is damaged.")


def _nifti1(block: bytes, order: str) -> dict:
    if block[344:348] not in (b"n+1\0", b"ni1\0"):
        raise ReadError(
            "The file has the header of the older Analyze format, which does not say where left "
            "and right are. Convert it to NIfTI from its source."
        )
    if block[344:348] == b"ni1\0":
        raise ReadError("The voxels are in a separate .img file; save it as one .nii file.")

    def get(form: str, at: int) -> tuple:
        return struct.unpack_from(order + form, block, at)

    return {
        "order": order,
        "sizeof_hdr": 348,
        "dim": get("8h", 40),
        "datatype": get("h", 70)[0],
        "pixdim": get("8f", 76),
        "vox_offset": get("f", 108)[0],
        "scl": get("2f", 112),
        "units": block[123],
        "qform_code": get("h", 252)[0],
        "sform_code": get("h", 254)[0],
        "quatern": get("3f", 256),
        "qoffset": get("3f", 268),
        "srow": get("12f", 280),
    }


def _nifti2(block: bytes, order: str) -> dict:
    if block[4:8] != b"n+2\0":
        raise ReadError("This is not a NIfTI file of one part, or its header is damaged.")

    def get(form: str, at: int) -> tuple:
        return struct.unpack_from(order + form, block, at)

    return {
        "order": order,
        "sizeof_hdr": 540,
        "datatype": get("h", 12)[0],
        "dim": get("8q", 16),
        "pixdim": get("8d", 104),
        "vox_offset": float(get("q", 168)[0]),
        "scl": get("2d", 176),
        "qform_code": get("i", 344)[0],
        "sform_code": get("i", 348)[0],
        "quatern": get("3d", 352),
        "qoffset": get("3d", 376),
        "srow": get("12d", 400),
        "units": get("i", 500)[0],
    }


def _shape(dim: tuple) -> tuple[int, int, int]:
    n_axes = dim[0]
    if not 1 <= n_axes <= 7:
        raise ReadError(f"The header is damaged: it gives {n_axes} axes.")
    sizes = [int(n) for n in dim[1 : n_axes + 1]]
    plain = " x ".join(map(str, sizes))
    extra = [n for n in sizes[3:] if n > 1]
    if extra:
        what = (
            f"{extra[0]} volumes (it is 4-D)" if sizes[3] > 1 else "several values for each voxel"
        )
        raise ReadError(
            f"The file holds {what}: its size is {plain}. Save the one volume that you need as a "
            "file of its own."
        )
    sizes = [*sizes, 1, 1][:3]
    return sizes[0], sizes[1], sizes[2]


def _affine(fields: dict, shape: tuple[int, int, int]) -> tuple[np.ndarray, list[str]]:
    """Return the LPS affine for (i, j, k), and notes about how it was found."""
    notes: list[str] = []
    unit = _UNIT_MM.get(fields["units"] & 7)
    if unit is None:
        raise ReadError(f"The header is damaged: unknown unit of length ({fields['units'] & 7}).")
    sform = np.eye(4)
    sform[:3] = np.array(fields["srow"], np.float64).reshape(3, 4)
    has_sform = fields["sform_code"] > 0
    qform = _qform(fields) if fields["qform_code"] > 0 else None
    if has_sform and qform is not None and not _spans(sform, shape):
        notes.append("The sform of the file is empty; its qform gives the position.")
        has_sform = False
    if has_sform:
        affine = sform
        if qform is not None and _apart_mm(sform, qform, shape) > _AGREE_MM:
            notes.append(
                "The file gives two positions that differ by "
                f"{_apart_mm(sform, qform, shape):.2f} mm; its sform is used."
            )
    elif qform is not None:
        affine = qform
    else:
        raise ReadError(
            "The file does not say where its voxels lie: both its qform and its sform code are 0. "
            "Convert it again from its source, with the geometry kept."
        )
    affine = affine.copy()
    affine[:3] *= unit
    if unit != 1.0:
        notes.append(f"The file counts lengths in units of {unit:g} mm; they were converted.")
    if shape[2] == 1 and np.linalg.norm(affine[:3, 2]) < 1e-6 and np.isfinite(affine).all():
        # A single slice: its thickness does not move any voxel centre.
        normal = np.cross(affine[:3, 0], affine[:3, 1])
        length = float(np.linalg.norm(normal))
        if length > 0:
            affine[:3, 2] = normal / length
            notes.append("The file does not give the thickness of its one slice; 1 mm is used.")
    return _LPS_FROM_RAS @ affine, notes


def _qform(fields: dict) -> np.ndarray:
    b, c, d = (float(v) for v in fields["quatern"])
    a = np.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
    norm = np.sqrt(a * a + b * b + c * c + d * d)
    if not np.isfinite(norm) or norm == 0:
        return np.full((4, 4), np.nan)
    a, b, c, d = a / norm, b / norm, c / norm, d / norm
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * b * c - 2 * a * d, 2 * b * d + 2 * a * c],
            [2 * b * c + 2 * a * d, a * a + c * c - b * b - d * d, 2 * c * d - 2 * a * b],
            [2 * b * d - 2 * a * c, 2 * c * d + 2 * a * b, a * a + d * d - c * c - b * b],
        ]
    )
    pixdim = np.array(fields["pixdim"], np.float64)
    spacing = np.abs(pixdim[1:4])
    if pixdim[0] < 0:
        spacing[2] *= -1
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    affine[:3, 3] = fields["qoffset"]
    return affine


def _spans(affine: np.ndarray, shape: tuple[int, int, int]) -> bool:
    used = [a for a in range(3) if shape[a] > 1]
    return bool((np.linalg.norm(affine[:3, used], axis=0) > 1e-6).all())


def _apart_mm(first: np.ndarray, second: np.ndarray, shape: tuple[int, int, int]) -> float:
    """Return how far the two put any corner of the grid from each other."""
    corners = np.array([[(c >> a & 1) * (shape[a] - 1) for a in range(3)] for c in range(8)])
    difference = first - second
    apart = corners @ difference[:3, :3].T + difference[:3, 3]
    return float(np.nan_to_num(np.linalg.norm(apart, axis=1), nan=np.inf).max())
