"""Voxels of files that hold one block of numbers: NIfTI, NRRD and MetaImage.

A header says where the block lies and what it means (`GridHeader`). Everything that can be
refused is refused from the header and the size of the file, before memory is taken. The block is
then read slice by slice straight into the canonical array, so that reading costs the volume once.
"""

from __future__ import annotations

import bz2
import math
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from app.core.errors import ReadError
from app.core.geometry import Geometry
from app.core.tasks import JobContext, NullContext
from app.core.volume import Modality, Volume, guess_modality
from app.io.itk_bridge import canonical_geometry, file_geometry, to_file_array

MAX_AXIS = 1 << 16
# A volume that is larger than this cannot be worked on: labels and a copy must fit beside it.
MAX_BYTES = 16 << 30
# Deflate cannot make 1 byte of file into more than this many (RFC 1951: 258 bytes from 2 bits).
_MAX_DEFLATE = 1040
# bzip2 packs at most 45,899,235 equal bytes into 45 (its manual, section on performance).
_MAX_BZIP2 = 1_100_000
MIN_SPACING_MM, MAX_SPACING_MM = 1e-5, 1e4

PLACEHOLDER_NOTE = (
    "The file gives 1 mm voxels at the origin, which often stands for an unknown size: "
    "lengths and volumes may not be real, and left and right cannot be relied on."
)


# Gets the bytes that voxels will take, before they are taken.
Room = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class GridHeader:
    """What a file says about its voxels.

    Attributes
    ----------
    path : Path
        The file with the voxels; not always the file with the header.
    shape_ijk : tuple of 3 int
        First index fastest.
    affine_ijk : (4, 4) float64
        ``point_lps = affine_ijk @ (i, j, k, 1)``, mm.
    dtype : numpy dtype
        With byte order.
    offset : int
        Bytes before the voxels.
    compression : str
        "" , "deflate" (gzip or zlib) or "bzip2"; the offset counts from where it starts, except
        for ``is_all_compressed``.
    is_all_compressed : bool
        The header is inside the compressed stream, and ``offset`` counts in it.
    slope, intercept : float
        ``intensity = stored * slope + intercept``.
    """

    path: Path
    shape_ijk: tuple[int, int, int]
    affine_ijk: np.ndarray
    dtype: np.dtype
    offset: int = 0
    compression: str = ""
    is_all_compressed: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    modality: Modality | None = None
    notes: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        i, j, k = self.shape_ijk
        return i * j * k * self.dtype.itemsize


def check_size(shape_ijk: Sequence[int], itemsize: int) -> None:
    """Refuse a size that no scan has, or that does not fit into this machine.

    Raises
    ------
    ReadError
    """
    size = " x ".join(str(n) for n in shape_ijk)
    if any(n < 1 for n in shape_ijk):
        raise ReadError(f"The file says that its image is {size} voxels; it holds nothing.")
    n_bytes = itemsize
    for n in shape_ijk:
        n_bytes *= int(n)
    if max(shape_ijk) > MAX_AXIS:
        # Shortened: a damaged header may give hundreds of digits.
        raise ReadError(
            f"The file says that its image is {size[:60]} voxels; no scan is that large, so the "
            "file is damaged."
        )
    if n_bytes > min(MAX_BYTES, _physical_memory()):
        raise ReadError(
            f"The file says that its image is {size} voxels ({n_bytes / 1e9:.1f} GB), "
            "more than this machine can hold. If that is its real size, crop or resample it "
            "first; otherwise the file is damaged."
        )


def _physical_memory() -> int:
    """Return the bytes of memory of this machine; a generous guess where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return MAX_BYTES


def check_spacing(spacing_mm: Sequence[float]) -> None:
    """Refuse voxel sizes that are no lengths.

    Raises
    ------
    ReadError
    """
    if not all(MIN_SPACING_MM <= s <= MAX_SPACING_MM for s in spacing_mm):
        raise ReadError(
            "The file gives voxels of "
            + " x ".join(f"{s:g}" for s in spacing_mm)
            + " mm; it cannot be placed in space."
        )


def header_geometry(header: GridHeader) -> tuple[Geometry, str]:
    """Return the canonical grid that a header describes, and its source orientation.

    Raises
    ------
    ReadError, GeometryError
        The size is absurd, or the axes are sheared, singular or no numbers.
    """
    check_size(header.shape_ijk, header.dtype.itemsize)
    grid = file_geometry(header.shape_ijk, header.affine_ijk)
    check_spacing(grid.spacing_zyx[::-1])
    return canonical_geometry(grid)


def is_placeholder(affine_ijk: np.ndarray) -> bool:
    """Return whether a grid is what writers put where they know nothing: 1 mm, straight, at 0."""
    steps = np.abs(affine_ijk[:3, :3])
    return bool(np.array_equal(steps, np.eye(3)) and not affine_ijk[:3, 3].any())


def read_grid(
    header: GridHeader, name: str, ctx: JobContext | None = None, room: Room | None = None
) -> Volume:
    """Return the volume that a header describes; ``room`` hears first how large it is.

    Raises
    ------
    ReadError
        The file is too short or damaged, or a voxel is not a finite number.
    GeometryError
        The grid is impossible.
    """
    geometry, orientation = header_geometry(header)
    _check_length(header)
    if room is not None:
        dtype = intensity_dtype(header.dtype, header.slope, header.intercept)
        room(math.prod(geometry.shape_zyx) * dtype.itemsize)
    voxels = _read_voxels(header, geometry, orientation, ctx or NullContext())
    notes = header.notes
    if is_placeholder(header.affine_ijk):
        notes = (*notes, PLACEHOLDER_NOTE)
    return Volume(
        voxels,
        geometry,
        header.modality or guess_modality(voxels),
        source_orientation=orientation,
        name=name,
        notes=notes,
    )


def narrowed(voxels: np.ndarray) -> np.ndarray:
    """Return integer voxels in 16 bits if they fit, else as they are."""
    if voxels.dtype.kind not in "iu" or voxels.dtype.itemsize <= 2:
        return voxels
    low, high = int(voxels.min()), int(voxels.max())
    for small in (np.int16, np.uint16):
        if np.iinfo(small).min <= low and high <= np.iinfo(small).max:
            return voxels.astype(small)
    return voxels


def converted(stored: np.ndarray, slope: float, intercept: float, dtype: np.dtype) -> np.ndarray:
    """Return one slice of stored values as intensities of ``dtype``.

    Raises
    ------
    ReadError
        A value is not finite, or needs more than 32 bits.
    """
    if slope == 1.0 and intercept == 0.0:
        values = stored
    elif dtype.kind == "f":
        values = stored.astype(np.float64) * slope + intercept
    else:
        values = stored.astype(np.int64) * int(slope) + int(intercept)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            values = values.astype(dtype, copy=False)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            bad = int(values.size - np.isfinite(values).sum())
            raise ReadError(
                f"{bad} voxels of a slice are not finite numbers (NaN or infinite); "
                "replace them, for example by the background value, and open it again."
            )
    elif values.size and values.dtype.itemsize > dtype.itemsize:
        limits = np.iinfo(dtype)
        if int(values.min()) < limits.min or int(values.max()) > limits.max:
            raise ReadError(
                f"The voxels reach from {int(values.min())} to {int(values.max())}; "
                "values of more than 32 bits cannot be opened."
            )
    return values


def intensity_dtype(stored: np.dtype, slope: float, intercept: float) -> np.dtype:
    """Return the type that holds all intensities: whole numbers stay whole.

    >>> intensity_dtype(np.dtype("int16"), 1.0, -1024.0)
    dtype('int32')
    >>> intensity_dtype(np.dtype("uint8"), 1.0, 0.0)
    dtype('uint8')
    >>> intensity_dtype(np.dtype("float64"), 1.0, 0.0)
    dtype('float32')
    """
    if stored.kind == "f":
        return np.dtype(np.float32)
    if slope == 1.0 and intercept == 0.0:
        if stored.itemsize == 8:
            return np.dtype(np.int32)
        return stored.newbyteorder("=")
    is_whole = float(slope).is_integer() and float(intercept).is_integer()
    # Larger factors come from damaged headers, and would leave 64 bits on the way.
    if is_whole and stored.itemsize <= 4 and abs(slope) <= 1 << 16 and abs(intercept) <= 1 << 31:
        return np.dtype(np.int32)
    return np.dtype(np.float32)


# -- reading ------------------------------------------------------------------------------------


class _Stream(Protocol):
    def read(self, n_bytes: int, /) -> bytes: ...


class Unpacker:
    """A compressed stream, read forward. Several gzip members in a row count as one stream."""

    def __init__(self, raw: BinaryIO, compression: str) -> None:
        self._raw = raw
        self._is_bzip2 = compression == "bzip2"
        self._unpack = self._start()
        self._pending = b""

    def _start(self) -> Any:  # the two decompressors share no public base
        # 32 + 15: gzip or zlib, told apart by their first bytes.
        return bz2.BZ2Decompressor() if self._is_bzip2 else zlib.decompressobj(32 + 15)

    @property
    def is_complete(self) -> bool:
        """Whether the stream was read to its end, and its check sum was right."""
        return bool(self._unpack.eof)

    def read(self, n_bytes: int, /) -> bytes:
        """Return up to ``n_bytes``; fewer only at the end of the stream."""
        parts, missing = [], n_bytes
        while missing > 0:
            if self._unpack.eof:
                rest = self._unpack.unused_data or self._raw.read(1 << 16)
                if not rest.strip(b"\0"):
                    break
                self._unpack, self._pending = self._start(), rest
            part = self._step(missing)
            if part is None:
                break
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _step(self, n_bytes: int) -> bytes | None:
        """Return some bytes, perhaps none yet; None where the file ends early."""
        if self._is_bzip2:
            feed = self._pending
            if not feed and self._unpack.needs_input:
                feed = self._raw.read(1 << 18)
                if not feed:
                    return None
            self._pending = b""
            return self._unpack.decompress(feed, n_bytes)
        feed = self._pending or self._unpack.unconsumed_tail or self._raw.read(1 << 18)
        if not feed:
            tail = self._unpack.decompress(b"", n_bytes)
            return tail or None
        self._pending = b""
        return self._unpack.decompress(feed, n_bytes)


def open_stream(raw: BinaryIO, compression: str) -> _Stream:
    """Return a stream of unpacked bytes from where ``raw`` stands."""
    return Unpacker(raw, compression) if compression else raw


def _check_length(header: GridHeader) -> None:
    on_disk = os.path.getsize(header.path)
    needed = header.nbytes
    if not header.compression:
        present = on_disk - header.offset
    elif header.compression == "bzip2":
        present = on_disk * _MAX_BZIP2
    else:
        present = on_disk * _MAX_DEFLATE
    if present < needed:
        size = " x ".join(str(n) for n in header.shape_ijk)
        raise ReadError(
            f"The file is incomplete: {size} voxels need {needed} bytes, and the file is "
            f"{on_disk} bytes long. Copy or export it again."
        )


def _read_voxels(
    header: GridHeader, geometry: Geometry, orientation: str, ctx: JobContext
) -> np.ndarray:
    dtype = intensity_dtype(header.dtype, header.slope, header.intercept)
    voxels = np.empty(geometry.shape_zyx, dtype)
    slices_kji = to_file_array(voxels, orientation)
    n_i, n_j, n_k = header.shape_ijk
    n_bytes = n_i * n_j * header.dtype.itemsize
    try:
        with open(header.path, "rb") as raw:
            if not header.is_all_compressed:
                raw.seek(header.offset)
            stream = open_stream(raw, header.compression)
            if header.is_all_compressed:
                stream.read(header.offset)
            for k in range(n_k):
                ctx.report(k / n_k, "Reading")
                block = stream.read(n_bytes)
                if len(block) < n_bytes:
                    raise ReadError(
                        f"The file is incomplete: it ends in slice {k + 1} of {n_k}. "
                        "Copy or export it again."
                    )
                stored = np.frombuffer(block, header.dtype).reshape(n_j, n_i)
                slices_kji[k] = converted(stored, header.slope, header.intercept, dtype)
            # The check sum stands at the end of the stream; reading on verifies it.
            if isinstance(stream, Unpacker) and not stream.read(1) and not stream.is_complete:
                raise ReadError("The file is incomplete: its end is missing. Copy it again.")
    except (zlib.error, EOFError, ValueError) as error:
        raise ReadError("The compressed voxels are damaged. Copy or export it again.") from error
    return narrowed(voxels)
