"""Single files that are refused, and with which words: NIfTI, gzip, and what is no image."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from app.core.errors import ReadError
from app.io import grid_file
from app.io.itk_bridge import to_file_array
from app.io.reader import read_volume, scan
from tests.io.files import (
    DATATYPE,
    DIM,
    SCALING,
    SFORM_CODE,
    SROW,
    VOX_OFFSET,
    VOXELS,
    nifti,
    nifti_bytes,
)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dim": (DIM, "8h", (4, 6, 5, 2, 2, 1, 1, 1))}, "holds 2 volumes (it is 4-D): its size"),
        ({"dim": (DIM, "8h", (5, 6, 5, 2, 1, 2, 1, 1))}, "several values for each voxel"),
        ({"dim": (DIM, "8h", (3, 6, 0, 4, 1, 1, 1, 1))}, "6 x 0 x 4 voxels"),
        ({"dim": (DIM, "8h", (3, 6, -5, 4, 1, 1, 1, 1))}, "6 x -5 x 4 voxels"),
        ({"dim": (DIM, "8h", (3, 32767, 32767, 32767, 1, 1, 1, 1))}, "70362.3 GB"),
        ({"dim": (DIM, "8h", (3, 600, 500, 4, 1, 1, 1, 1))}, "need 2400000 bytes"),
        ({"dim": (DIM, "8h", (9, 6, 5, 4, 1, 1, 1, 1))}, "it gives 9 axes"),
        ({"type": (DATATYPE, "h", (128,))}, "colour (RGB)"),
        ({"type": (DATATYPE, "h", (32,))}, "complex"),
        ({"type": (DATATYPE, "h", (99,))}, "code 99"),
        ({"code": (SFORM_CODE, "h", (0,))}, "both its qform and its sform code are 0"),
        ({"srow": (SROW, "12f", (0,) * 12)}, "do not span space"),
        ({"srow": (SROW, "12f", (np.nan,) * 12)}, "not given as finite numbers"),
        ({"srow": (SROW, "12f", (2, 0.1, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0))}, "off by 2.86 degrees"),
        ({"srow": (SROW, "12f", (1e9, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0))}, "1e+09 x 2 x 3 mm"),
        ({"scl": (SCALING, "2f", (np.inf, 0))}, "scaling of the intensities is infinite"),
        ({"offset": (VOX_OFFSET, "f", (17,))}, "start at byte 17"),
        ({"magic": (344, "4s", (b"ni1\0",))}, "separate .img file"),
        ({"magic": (344, "4s", (b"\0\0\0\0",))}, "Analyze"),
    ],
)
def test_nifti_refusals(tmp_path: Path, fields: dict, words: str):
    path = nifti(tmp_path, **fields)
    packed = tmp_path / "a.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for each in (path, packed):
        with pytest.raises(ReadError) as caught:
            read_volume(each)
        assert words in str(caught.value)


def test_a_stream_that_ends_early_is_refused(tmp_path: Path):
    many = np.zeros((40, 30, 30), "i2")
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(nifti_bytes(many, d=(DIM, "8h", (3, 30, 30, 60, 1, 1, 1, 1)))))
    with pytest.raises(ReadError, match="ends in slice 41 of 60"):
        read_volume(path)


def test_truncated_and_damaged_gzip(tmp_path: Path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 999, (20, 30, 30)).astype("i2")
    whole = gzip.compress(nifti_bytes(noise))
    path = tmp_path / "a.nii.gz"
    for cut in (0, 3, 30, 400, len(whole) // 2, len(whole) - 9):
        path.write_bytes(whole[:cut])
        with pytest.raises(ReadError):
            read_volume(path)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0x10
    path.write_bytes(flipped)
    with pytest.raises(ReadError, match=r"damaged|incomplete"):
        read_volume(path)
    # Several gzip members one after the other are one stream.
    parts = nifti_bytes(noise)
    path.write_bytes(gzip.compress(parts[:1000]) + gzip.compress(parts[1000:]))
    assert np.array_equal(to_file_array(read_volume(path).voxels, "LPS"), noise)


def test_what_is_no_image(tmp_path: Path):
    for name, content, words in (
        ("a.nii", b"hello, this is a text and not an image at all\n" * 20, "not a NIfTI file"),
        ("b.nrrd", b"hello\n", "not an NRRD file"),
        ("c.mha", b"hello\n", "not a MetaImage file"),
        ("d.nii.gz", b"", "empty (0 bytes)"),
        ("e.txt", b"hello\n" * 40, "in no format that can be opened"),
        ("f.dcm", b"hello\n" * 40, ""),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ReadError) as caught:
            read_volume(path)
        assert words in str(caught.value)
    with pytest.raises(ReadError, match="does not exist"):
        read_volume(tmp_path / "none.nii")
    with pytest.raises(ReadError, match="no DICOM images, but 4 other images"):
        read_volume(tmp_path)
    (tmp_path / "sub").mkdir()
    with pytest.raises(ReadError, match="holds no images"):
        scan(tmp_path / "sub")


def test_dimensions_are_refused_before_memory_is_taken(tmp_path: Path, monkeypatch):
    def no_memory(*_args, **_kwargs):
        raise AssertionError("allocated")

    monkeypatch.setattr(grid_file.np, "empty", no_memory)
    path = tmp_path / "a.nii.gz"
    claim = (DIM, "8h", (3, 2000, 2000, 500, 1, 1, 1, 1))
    path.write_bytes(gzip.compress(nifti_bytes(VOXELS, claim=claim)))
    with pytest.raises(ReadError, match="incomplete"):
        read_volume(path)
