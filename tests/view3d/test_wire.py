"""Messages arrive whole, whatever the pieces in which they come."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from app.view3d.wire import Decoder, Packet, encode

SENT = [
    Packet("ready", {"opengl": "llvmpipe (µ)", "is_software": True}),
    Packet(
        "surface",
        {"label": 3},
        {"filled": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "affine": np.eye(4)},
    ),
    Packet("volume", {}, {"values": np.array([[-5, 7]], np.int16), "none": np.zeros((0, 3), "f4")}),
]


@pytest.mark.parametrize("piece", [1, 7, 64, 10_000])
def test_messages_come_back_from_pieces_of_any_size(piece):
    stream = b"".join(map(encode, SENT))
    decoder, got = Decoder(), []
    for start in range(0, len(stream), piece):
        got += decoder.feed(stream[start : start + piece])
    assert [(p.kind, dict(p.facts)) for p in got] == [(p.kind, dict(p.facts)) for p in SENT]
    for ours, theirs in zip(SENT, got, strict=True):
        assert ours.arrays.keys() == theirs.arrays.keys()
        for name, array in ours.arrays.items():
            assert theirs.arrays[name].dtype == array.dtype
            assert np.array_equal(theirs.arrays[name], array)


def test_arrays_may_be_views_of_others():
    turned = np.arange(12, dtype=np.int16).reshape(3, 4)[::-1, ::2]
    (got,) = Decoder().feed(encode(Packet("x", {}, {"a": turned})))
    assert np.array_equal(got.arrays["a"], turned)


@pytest.mark.parametrize(
    "listed", [[["a", "u1", [5]]], [["a", "O8", [1]]], [["a", "u1", [3]], ["b", "u1", [0]]]]
)
def test_what_does_not_add_up_is_refused(listed):
    header = json.dumps(["x", {}, listed]).encode()
    stream = struct.pack("<II", len(header), 4) + header + b"1234"
    with pytest.raises(ValueError, match=r"sent|long|buffer"):
        list(Decoder().feed(stream))


def test_noise_is_refused_at_once():
    with pytest.raises(ValueError, match="not one of ours"):
        list(Decoder().feed(b"MESA: error: no driver found here"))


def test_objects_are_never_sent():
    with pytest.raises(TypeError):
        encode(Packet("x", {}, {"a": np.array([{}], object)}))
