"""Masks and values of changed voxels as compressed bytes, and what of a file may pass for such."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from app.core.errors import GeometryError
from app.core.geometry import Region, Triple

Parts = tuple[bytes, bytes, bytes]

# Of a change as bytes: bounds of its region, bytes per value, lengths of mask, old and new values.
_HEAD = struct.Struct("<6IB3Q")


def pack_mask(mask: np.ndarray) -> bytes:
    """Return a mask as bytes, one bit per voxel, compressed."""
    return zlib.compress(np.packbits(mask).tobytes(), 1)


def unpack_mask(packed: bytes, shape_zyx: Triple) -> np.ndarray:
    """Return the mask of a shape that `pack_mask` packed, bool."""
    bits = np.frombuffer(zlib.decompress(packed), np.uint8)
    flat = np.unpackbits(bits, count=shape_zyx[0] * shape_zyx[1] * shape_zyx[2]).view(bool)
    return flat.reshape(shape_zyx)


def pack_values(values: np.ndarray) -> bytes:
    """Return values (n,) as bytes, compressed."""
    # Most edits write one value over one value: keep just that.
    if values.size and (values == values[0]).all():
        return values[:1].tobytes()
    return zlib.compress(values.tobytes(), 1)


def unpack_values(packed: bytes, dtype: str, count: int) -> np.ndarray:
    """Return the values (count,) that `pack_values` packed."""
    size = np.dtype(dtype).itemsize
    if len(packed) == size:
        return np.full(count, np.frombuffer(packed, dtype)[0])
    return np.frombuffer(zlib.decompress(packed), dtype)


# -- in files, where nothing is trusted ------------------------------------------------------------


def joined(region: Region, n_value_bytes: int, parts: Parts) -> bytes:
    """Return a packed mask, its old and its new values as one string of bytes with a head."""
    sizes = map(len, parts)
    head = _HEAD.pack(*region.start_zyx, *region.stop_zyx, n_value_bytes, *sizes)
    return head + b"".join(parts)


def parted(content: bytes) -> tuple[Region, int, Parts]:
    """Return what `joined` was given; what the parts hold is not looked at.

    Raises
    ------
    GeometryError
        The head makes no sense or does not fit the length.
    """
    try:
        *bounds, n_value_bytes, n_mask, n_old, n_new = _HEAD.unpack_from(content)
    except struct.error as error:
        raise GeometryError("A stored change of voxels is damaged.") from error
    region = Region((bounds[0], bounds[1], bounds[2]), (bounds[3], bounds[4], bounds[5]))
    at = _HEAD.size
    if n_value_bytes not in (1, 2) or len(content) != at + n_mask + n_old + n_new:
        raise GeometryError("A stored change of voxels has the wrong length.")
    mask, old, new = (
        content[at : at + n_mask],
        content[at + n_mask : at + n_mask + n_old],
        content[at + n_mask + n_old :],
    )
    return region, n_value_bytes, (mask, old, new)


def n_marked(packed: bytes, n_voxels: int) -> int:
    """Return how many voxels of a region of this size a packed mask marks.

    Raises
    ------
    GeometryError
        It is no mask of such a region.
    """
    bits = _inflate(packed, (n_voxels + 7) // 8)
    if n_voxels % 8 and bits[-1] & (0xFF >> n_voxels % 8):
        raise GeometryError("A stored change of voxels marks voxels outside its region.")
    return int.from_bytes(bits, "little").bit_count()


def check_values(packed: bytes, n_value_bytes: int, count: int) -> None:
    """Refuse bytes that are not so many packed values.

    Raises
    ------
    GeometryError
    """
    if len(packed) != n_value_bytes:
        _inflate(packed, count * n_value_bytes)


def _inflate(packed: bytes, n_bytes: int) -> bytes:
    """Return exactly so many bytes, or raise; a bomb is not unpacked further."""
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(packed, n_bytes + 1)
    except zlib.error as error:
        raise GeometryError("A stored change of voxels is damaged.") from error
    if len(content) != n_bytes or not stream.eof:
        raise GeometryError("A stored change of voxels has the wrong length.")
    return content
