"""MetaImage headers (.mha, .mhd).

Fields and their meaning: the MetaIO documentation of the Insight Toolkit,
itk.org/Wiki/ITK/MetaIO/Documentation. Positions are LPS, as the toolkit writes them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from app.core.errors import ReadError
from app.core.volume import Modality
from app.io.grid_file import GridHeader
from app.io.nrrd_header import MAX_HEADER_BYTES

_DTYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2",
    "MET_INT": "i4", "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_MODALITIES = {"MET_MOD_CT": Modality.CT, "MET_MOD_MR": Modality.MR}


def read_meta_header(path: Path) -> GridHeader:
    """Return what a MetaImage file says about its voxels.

    Raises
    ------
    ReadError
        It is no MetaImage, is not one grey volume, or does not say where its voxels lie.
    """
    fields, offset = _fields(path)
    n_axes = int(_numbers(fields, "NDims", 1)[0])
    listed = _numbers(fields, "DimSize", max(n_axes, 1))
    if not all(float(n).is_integer() for n in listed):
        raise ReadError(f"The header gives a size of {fields['DimSize'][:60]} voxels.")
    sizes = [int(n) for n in listed]
    plain = " x ".join(map(str, sizes))
    if fields.get("ElementNumberOfChannels", "1") != "1":
        raise ReadError(
            f"The file holds {fields['ElementNumberOfChannels']} values for each voxel ({plain}); "
            "only grey values can be opened."
        )
    if n_axes != 3:
        raise ReadError(
            f"The file has {n_axes} axes ({plain}); a volume with three is needed. Save the one "
            "volume that you need as a file of its own."
        )
    kind = fields.get("ElementType", "")
    if kind not in _DTYPES:
        raise ReadError(f"The file holds voxels of the type “{kind}”, which cannot be opened.")
    order = ">" if _is_true(fields, "BinaryDataByteOrderMSB", "ElementByteOrderMSB") else "<"
    if not _is_true(fields, "BinaryData", default=True):
        raise ReadError("The voxels are stored as text; save the file with binary data.")
    dtype = np.dtype(order + _DTYPES[kind])
    data_path, offset = _data_file(path, fields, offset)
    compression = "deflate" if _is_true(fields, "CompressedData") else ""
    if fields.get("HeaderSize", "0") != "0":
        offset = _header_size(data_path, fields, sizes, dtype)
    return GridHeader(
        data_path, (sizes[0], sizes[1], sizes[2]), _affine(fields), dtype, offset, compression,
        modality=_MODALITIES.get(fields.get("Modality", "")),
    )  # fmt: skip


def _fields(path: Path) -> tuple[dict[str, str], int]:
    fields: dict[str, str] = {}
    with open(path, "rb") as file:
        while file.tell() < MAX_HEADER_BYTES:
            line = file.readline(MAX_HEADER_BYTES)
            name, equals, value = line.decode("utf-8", "replace").partition("=")
            if not line or not equals:
                break
            fields[name.strip()] = value.strip()
            if name.strip() == "ElementDataFile":
                return fields, file.tell()
    raise ReadError("This is not a MetaImage file, or its header is damaged.")


def _numbers(fields: dict[str, str], name: str, count: int) -> list[float]:
    try:
        values = [float(v) for v in fields.get(name, "").split()]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        raise ReadError(f"The header of the MetaImage file lacks a readable “{name}”.")
    return values


def _is_true(fields: dict[str, str], *names: str, default: bool = False) -> bool:
    text = next((fields[n] for n in names if n in fields), str(default))
    return text[:1].lower() in ("t", "1", "y")


def _affine(fields: dict[str, str]) -> np.ndarray:
    spacing = next((n for n in ("ElementSpacing", "ElementSize") if n in fields), None)
    matrix = next((n for n in ("TransformMatrix", "Rotation", "Orientation") if n in fields), None)
    origin = next((n for n in ("Offset", "Position", "Origin") if n in fields), None)
    missing = [
        what
        for what, name in (("size of voxels", spacing), ("directions", matrix), ("origin", origin))
        if name is None
    ]
    if spacing is None or matrix is None or origin is None:
        raise ReadError(
            f"The file does not say where its voxels lie: its header gives no "
            f"{' and no '.join(missing)}. Save it again with its geometry."
        )
    affine = np.eye(4)
    # The matrix lists, axis after axis, the direction of that axis: columns of the affine.
    directions = np.array(_numbers(fields, matrix, 9)).reshape(3, 3).T
    affine[:3, :3] = directions * np.array(_numbers(fields, spacing, 3))
    affine[:3, 3] = _numbers(fields, origin, 3)
    return affine


def _data_file(path: Path, fields: dict[str, str], offset: int) -> tuple[Path, int]:
    name = fields["ElementDataFile"]
    if name.upper() == "LOCAL":
        return path, offset
    if name.upper().startswith("LIST") or "%" in name:
        raise ReadError("The voxels are spread over several files; save it as one .mha file.")
    data_path = path.parent / name
    if not name or not data_path.is_file():
        raise ReadError(f"The file with the voxels, “{name}”, is not beside the header.")
    return data_path, 0


def _header_size(path: Path, fields: dict[str, str], sizes: list[int], dtype: np.dtype) -> int:
    n_bytes = int(_numbers(fields, "HeaderSize", 1)[0])
    if n_bytes >= 0:
        return n_bytes
    needed = dtype.itemsize
    for n in sizes:
        needed *= n
    return max(0, path.stat().st_size - needed)
