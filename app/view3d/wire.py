"""Messages between the program and the process that draws: a header in JSON, then plain arrays.

Nothing in a message is ever run, and a message that does not add up is refused.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_SIZES = struct.Struct("<II")  # bytes of the header, bytes of the arrays
_MAX_HEADER = 1 << 20
_DTYPES = {"u1", "i2", "i4", "f4", "f8"}


@dataclass(frozen=True, eq=False)
class Packet:
    """One message.

    Attributes
    ----------
    kind : str
    facts : mapping
        Whatever JSON can hold.
    arrays : mapping of str to array
    """

    kind: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


def encode(packet: Packet) -> bytes:
    """Return a message as bytes."""
    listed, blocks = [], []
    for name, array in packet.arrays.items():
        dtype = array.dtype.str.lstrip("<|")
        if dtype not in _DTYPES:
            raise TypeError(f"Arrays of {array.dtype} are not sent.")
        listed.append([name, dtype, list(array.shape)])
        blocks.append(np.ascontiguousarray(array).tobytes())
    header = json.dumps([packet.kind, dict(packet.facts), listed]).encode()
    return b"".join([_SIZES.pack(len(header), sum(map(len, blocks))), header, *blocks])


class Decoder:
    """Puts messages together from the pieces in which they arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> Iterator[Packet]:
        """Yield every message that is complete now.

        Raises
        ------
        ValueError
            What arrived is not a message.
        """
        self._buffer += piece
        while len(self._buffer) >= _SIZES.size:
            n_header, n_arrays = _SIZES.unpack_from(self._buffer)
            if n_header > _MAX_HEADER:
                raise ValueError(f"A header of {n_header} bytes is not one of ours.")
            end = _SIZES.size + n_header + n_arrays
            if len(self._buffer) < end:
                return
            message = bytes(self._buffer[_SIZES.size : end])
            del self._buffer[:end]
            yield _decoded(message, n_header)


def _decoded(message: bytes, n_header: int) -> Packet:
    kind, facts, listed = json.loads(message[:n_header])
    arrays, start = {}, n_header
    for name, dtype, shape in listed:
        if dtype not in _DTYPES:
            raise ValueError(f"Arrays of {dtype} are not sent.")
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(message, np.dtype(f"<{dtype}"), count, start)
        arrays[name] = array.reshape(shape)
        start += array.nbytes
    if start != len(message):
        raise ValueError("The arrays of a message are not as long as its header says.")
    return Packet(kind, facts, arrays)
