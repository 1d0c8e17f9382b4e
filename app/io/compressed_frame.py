"""Sizes inside compressed frames, looked at before a decoder takes memory for them.

A damaged or hostile frame can claim any size, whatever the DICOM header around it says, and the
decoders believe it.

Markers: ITU-T T.81 annex B (JPEG), T.87 annex C (JPEG-LS), T.800 annex A (JPEG 2000).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from app.core.errors import ReadError

_J2K_START = b"\xff\x4f\xff\x51"
# Start of frame: 0xC0 to 0xCF without the tables DHT, JPG and DAC; 0xF7 in JPEG-LS.
_FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_MAX_TILES = 4096
_MAX_LAYERS = 256
_DAMAGED = "The compressed pixels of a DICOM slice are damaged. Copy or export the series again."


@dataclass(frozen=True)
class FrameSize:
    """What a compressed frame says about itself."""

    columns: int
    rows: int
    n_components: int
    bits: int


def check_frame(frame: bytes, rows: int, columns: int, bits_allocated: int) -> None:
    """Refuse a JPEG, JPEG-LS or JPEG 2000 frame that is not one grey image of the given size.

    Raises
    ------
    ReadError
    """
    try:
        start = frame.find(_J2K_START, 0, 4096)
        if start >= 0:
            size = _jpeg_2000(frame, start)
        elif frame[:2] == b"\xff\xd8":
            size = _jpeg(frame)
        else:
            raise ReadError(_DAMAGED)
    except struct.error as error:
        raise ReadError(_DAMAGED) from error
    # Decoders write as many bits as the frame says, into memory for as many as the header says.
    if not 1 <= size.bits <= bits_allocated:
        raise ReadError(_DAMAGED)
    if (size.columns, size.rows, size.n_components) != (columns, rows, 1):
        raise ReadError(
            f"The compressed pixels of a DICOM slice are {size.columns} x {size.rows} with "
            f"{size.n_components} values each, and its header says {columns} x {rows} with one. "
            "Copy or export the series again."
        )


def _jpeg_2000(frame: bytes, start: int) -> FrameSize:
    sizes = struct.unpack_from(">8IHB", frame, start + 8)
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top, n_components = sizes[:9]
    if not (tile_width and tile_height and tile_left <= left < right and tile_top <= top < bottom):
        raise ReadError(_DAMAGED)
    n_tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    if n_tiles > _MAX_TILES:
        raise ReadError(_DAMAGED)
    _check_coding(frame, start)
    # The highest bit says whether values are signed.
    return FrameSize(right - left, bottom - top, n_components, (sizes[9] & 0x7F) + 1)


def _check_coding(frame: bytes, start: int) -> None:
    """Refuse numbers of layers that no scan has: each costs memory for every code block."""
    at = start + 2
    while True:
        marker, length = struct.unpack_from(">HH", frame, at)
        if marker == 0xFF90:  # the first tile starts: the main header is over
            raise ReadError(_DAMAGED)
        if marker == 0xFF52:  # how all tiles are coded
            n_layers = struct.unpack_from(">H", frame, at + 6)[0]
            if not 1 <= n_layers <= _MAX_LAYERS:
                raise ReadError(_DAMAGED)
            return
        at += 2 + max(length, 2)


def _jpeg(frame: bytes) -> FrameSize:
    at = 2
    while True:
        marker, length = struct.unpack_from(">HH", frame, at)
        if marker >> 8 != 0xFF or marker == 0xFFDA:
            raise ReadError(_DAMAGED)
        if marker == 0xFFFF:  # fill bytes may stand before a marker
            at += 1
            continue
        if marker & 0xFF in _FRAME_MARKERS:
            bits, rows, columns, n_components = struct.unpack_from(">BHHB", frame, at + 4)
            return FrameSize(columns, rows, n_components, bits)
        at += 2 + max(length, 2)
