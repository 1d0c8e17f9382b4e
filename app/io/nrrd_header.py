"""NRRD headers, attached (.nrrd) and detached (.nhdr).

Fields and their meaning: "Definition of NRRD File Format", teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from app.core.errors import ReadError
from app.io.grid_file import GridHeader

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long",
           "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}  # fmt: skip
_DTYPES = {name: code for code, names in _TYPES.items() for name in names}
_ENCODINGS = {"raw": "", "gzip": "deflate", "gz": "deflate", "bzip2": "bzip2", "bz2": "bzip2"}
# Signs that turn each space into left, posterior, superior.
_SPACES = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}
_SYNONYMS = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}
_COLOUR_KINDS = ("rgb-color", "rgba-color", "hsv-color", "xyz-color")
MAX_HEADER_BYTES = 1 << 20


def read_nrrd_header(path: Path) -> GridHeader:
    """Return what an NRRD file says about its voxels.

    Raises
    ------
    ReadError
        It is no NRRD file, is not one grey volume, or does not say where its voxels lie.
    """
    fields, offset = _fields(path)
    n_axes = _integers(fields, "dimension")[0]
    sizes = _integers(fields, "sizes")
    if len(sizes) != n_axes:
        raise ReadError(f"The header is damaged: {n_axes} axes, but {len(sizes)} sizes.")
    steps, kept = _steps(fields, sizes)
    shape = tuple(sizes[a] for a in kept)
    dtype = _dtype(fields)
    signs = _SPACES.get(fields.get("space", "").lower())
    if signs is None:
        raise ReadError(
            "The file does not say how it lies in the patient (its header has no “space”). "
            "Save it again with its geometry."
        )
    affine = np.eye(4)
    affine[:3, :3] = np.array(steps).T
    affine[:3, 3] = _vectors(fields.get("space origin", ""), "space origin")[0] or (0, 0, 0)
    affine[:3] *= np.array(signs)[:, None]
    encoding = fields.get("encoding", "").lower()
    if encoding not in _ENCODINGS:
        raise ReadError(
            f"The voxels are stored as “{encoding}”; save the file as raw or gzip NRRD."
        )
    data_path, offset = _data_file(path, fields, offset)
    offset = _skip(data_path, fields, offset, shape, dtype, _ENCODINGS[encoding])
    notes: tuple[str, ...] = ()
    if "space origin" not in fields:
        notes = ("The file does not give its origin; 0, 0, 0 is used.",)
    return GridHeader(
        data_path, (shape[0], shape[1], shape[2]), affine, dtype, offset, _ENCODINGS[encoding],
        notes=notes,
    )  # fmt: skip


def _fields(path: Path) -> tuple[dict[str, str], int]:
    with open(path, "rb") as file:
        block = file.read(MAX_HEADER_BYTES)
    if not re.match(rb"NRRD000\d\r?\n", block):
        raise ReadError("This is not an NRRD file, or its header is damaged.")
    end = re.search(rb"\r?\n\r?\n", block)
    head = block[: end.start()] if end else block
    fields: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").splitlines()[1:]:
        # "key:=value" pairs are free text and no fields.
        name, colon, value = line.partition(": ")
        if colon and not line.startswith("#") and ":=" not in line.split(" ", 1)[0]:
            fields[_SYNONYMS.get(name.strip().lower(), name.strip().lower())] = value.strip()
    if end is None and "data file" not in fields:
        raise ReadError("The header of the NRRD file does not end; the file is damaged.")
    return fields, end.end() if end else len(block)


def _integers(fields: dict[str, str], name: str) -> list[int]:
    try:
        values = [int(v) for v in fields.get(name, "").split()]
    except ValueError:
        values = []
    if not values:
        raise ReadError(f"The header of the NRRD file lacks a readable “{name}”.")
    return values


def _vectors(text: str, name: str) -> list[tuple[float, ...] | None]:
    """Return vectors of three numbers, None for "none"."""
    found: list[tuple[float, ...] | None] = []
    for match in re.finditer(r"none|\(([^)]*)\)", text):
        if match.group(1) is None:
            found.append(None)
            continue
        try:
            vector = tuple(float(v) for v in match.group(1).split(","))
        except ValueError:
            vector = ()
        if len(vector) != 3:
            raise ReadError(f"The header has “{name}: {text[:80]}”; three numbers each are needed.")
        found.append(vector)
    return found or [None]


def _steps(fields: dict[str, str], sizes: list[int]) -> tuple[list[tuple[float, ...]], list[int]]:
    """Return the step of each spatial axis in the file's space, and which axes these are."""
    n_axes = len(sizes)
    plain = " x ".join(map(str, sizes))
    kinds = fields.get("kinds", "").lower().split()
    if any(k in _COLOUR_KINDS for k in kinds):
        raise ReadError(f"The file holds colour ({plain}); only grey values can be opened.")
    if n_axes > 3 and any(n > 1 for n in _beyond_three(fields, sizes)):
        raise ReadError(
            f"The file holds several volumes or several values for each voxel: its size is "
            f"{plain}. Save the one volume that you need as a file of its own."
        )
    if "space directions" not in fields:
        raise ReadError(
            "The file does not say how it lies in the patient (its header has no “space "
            "directions”). Save it again with its geometry."
        )
    vectors = _vectors(fields["space directions"], "space directions")
    if len(vectors) != n_axes:
        raise ReadError(f"The header is damaged: {n_axes} axes, but {len(vectors)} directions.")
    kept = [a for a, v in enumerate(vectors) if v is not None]
    if len(kept) != 3:
        raise ReadError(
            f"The file has {len(kept)} axes in space ({plain}); a volume with three is needed."
        )
    return [v for v in vectors if v is not None], kept


def _beyond_three(fields: dict[str, str], sizes: list[int]) -> list[int]:
    vectors = _vectors(fields.get("space directions", ""), "space directions")
    if len(vectors) == len(sizes):
        spare = [n for n, v in zip(sizes, vectors, strict=True) if v is None]
        return spare or sizes[3:]
    return sizes[3:]


def _dtype(fields: dict[str, str]) -> np.dtype:
    kind = fields.get("type", "").lower()
    if kind not in _DTYPES:
        raise ReadError(f"The file holds voxels of the type “{kind}”, which cannot be opened.")
    dtype = np.dtype(_DTYPES[kind])
    if dtype.itemsize == 1:
        return dtype
    endian = fields.get("endian", "").lower()
    if endian not in ("little", "big"):
        raise ReadError("The header of the NRRD file does not give the byte order (“endian”).")
    return dtype.newbyteorder("<" if endian == "little" else ">")


def _data_file(path: Path, fields: dict[str, str], offset: int) -> tuple[Path, int]:
    name = fields.get("data file")
    if name is None:
        return path, offset
    if name.upper().startswith("LIST") or "%" in name:
        raise ReadError("The voxels are spread over several files; save it as one .nrrd file.")
    data_path = path.parent / name
    if not data_path.is_file():
        raise ReadError(f"The file with the voxels, “{name}”, is not beside the header.")
    return data_path, 0


def _skip(
    path: Path, fields: dict[str, str], offset: int, shape: tuple[int, ...], dtype: np.dtype,
    compression: str,
) -> int:  # fmt: skip
    lines = _integers({"line skip": "0", **fields}, "line skip")[0]
    n_bytes = _integers({"byte skip": "0", **fields}, "byte skip")[0]
    if lines < 0 or n_bytes < -1 or (compression and (lines or n_bytes)):
        raise ReadError("The header asks to skip a part of the voxels that cannot be skipped.")
    if n_bytes == -1:
        needed = dtype.itemsize
        for n in shape:
            needed *= n
        return max(0, path.stat().st_size - needed)
    if lines:
        with open(path, "rb") as file:
            file.seek(offset)
            for _ in range(min(lines, 10_000)):
                file.readline(MAX_HEADER_BYTES)
            offset = file.tell()
    return offset + n_bytes
