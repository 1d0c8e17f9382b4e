"""NRRD and MetaImage: what of their headers is needed, and data that lie beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from app.core.errors import ReadError
from app.core.volume import Modality
from app.io.itk_bridge import from_source_index, to_file_array
from app.io.reader import read_volume
from tests.io.files import VOXELS

NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 6 5 4\n"
    "space directions: (2,0,0) (0,2,0) (0,0,3)\nkinds: domain domain domain\nendian: little\n"
    "encoding: raw\nspace origin: (1,2,3)\n\n"
)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("space: left-posterior-superior\n", "", "no “space”"),
        ("space directions: (2,0,0) (0,2,0) (0,0,3)\n", "spacings: 2 2 3\n", "no “space direct"),
        ("endian: little\n", "", "byte order"),
        ("encoding: raw", "encoding: hex", "stored as “hex”"),
        ("type: short", "type: block", "type “block”"),
        ("sizes: 6 5 4", "sizes: 6 5", "3 axes, but 2 sizes"),
        ("sizes: 6 5 4", "sizes: 6 5 x", "lacks a readable “sizes”"),
        ("sizes: 6 5 4", "sizes: 6 5 40", "need 2400 bytes"),
        ("sizes: 6 5 4", "sizes: 6 5 " + "9" * 400, "no scan is that large"),
        ("(2,0,0)", "(2,0)", "three numbers each"),
        ("(2,0,0)", "none", "2 axes in space"),
        ("(2,0,0)", "(2,1,0)", "not at right angles"),
        ("kinds: domain domain domain", "kinds: RGB-color domain domain", "colour"),
        ("encoding: raw", "encoding: raw\ndata file: gone.raw", "not beside the header"),
        ("encoding: raw", "encoding: raw\nbyte skip: x", "lacks a readable “byte skip”"),
        ("\n\n", "\n", "does not end"),
    ],
)
def test_nrrd_refusals(tmp_path: Path, old: str, new: str, words: str):
    path = tmp_path / "a.nrrd"
    text = NRRD.replace(old, new)
    assert text != NRRD
    path.write_bytes(text.encode() + (b"" if "not end" in words else VOXELS.tobytes()))
    with pytest.raises(ReadError) as caught:
        read_volume(path)
    assert words in str(caught.value)


def test_nrrd_four_axes(tmp_path: Path):
    text = NRRD.replace("dimension: 3", "dimension: 4").replace("sizes: ", "sizes: {} ")
    text = text.replace("directions: ", "directions: none ").replace("kinds: ", "kinds: list ")
    path = tmp_path / "a.nrrd"
    path.write_bytes(text.format(1).encode() + VOXELS.tobytes())
    assert np.array_equal(read_volume(path).voxels, VOXELS)
    path.write_bytes(text.format(3).encode() + VOXELS.tobytes() * 3)
    with pytest.raises(ReadError, match="its size is 3 x 6 x 5 x 4"):
        read_volume(path)


def test_nrrd_spaces_and_detached_data(tmp_path: Path):
    path = tmp_path / "a.nhdr"
    text = NRRD.replace("left-posterior-superior", "right-anterior-superior")
    (tmp_path / "a.raw").write_bytes(b"junk\n" + VOXELS.tobytes())
    path.write_text(text.replace("encoding: raw", "encoding: raw\ndata file: a.raw\nline skip: 1"))
    volume = read_volume(path)
    assert volume.source_orientation == "RAS"
    assert np.array_equal(to_file_array(volume.voxels, "RAS"), VOXELS)
    image = sitk.ReadImage(str(path))
    assert np.allclose(
        volume.geometry.index_to_lps(from_source_index(volume, (0, 0, 0))), image.GetOrigin()
    )


MHA = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
    "CompressedData = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 1 2 3\n"
    "ElementSpacing = 2 2 3\nDimSize = 6 5 4\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("ElementSpacing = 2 2 3\n", "", "no size of voxels"),
        ("TransformMatrix = 1 0 0 0 1 0 0 0 1\n", "", "no directions"),
        ("Offset = 1 2 3\n", "", "no origin"),
        ("NDims = 3", "NDims = 4", "readable “DimSize”"),
        ("DimSize = 6 5 4", "DimSize = 6 5 4.5", "size of 6 5 4.5 voxels"),
        ("DimSize = 6 5 4", "DimSize = 6 5 40", "need 2400 bytes"),
        ("DimSize = 6 5 4", "DimSize = 6 5 1e30", "no scan is that large"),
        ("MET_SHORT", "MET_ARRAY", "“MET_ARRAY”"),
        ("ElementType", "ElementNumberOfChannels = 3\nElementType", "3 values for each voxel"),
        ("BinaryData = True", "BinaryData = False", "as text"),
        ("= LOCAL", "= LIST", "several files"),
        ("= LOCAL", "= gone.raw", "not beside the header"),
        ("1 0 0 0 1 0 0 0 1", "0 0 0 0 1 0 0 0 1", "do not span space"),
        ("CompressedData = False", "CompressedData = True", "damaged|incomplete"),
    ],
)
def test_meta_image_refusals(tmp_path: Path, old: str, new: str, words: str):
    path = tmp_path / "a.mha"
    text = MHA.replace(old, new)
    assert text != MHA
    path.write_bytes(text.encode() + VOXELS.tobytes())
    with pytest.raises(ReadError) as caught:
        read_volume(path)
    assert any(w in str(caught.value) for w in words.split("|"))


def test_meta_image_with_data_beside_it_and_a_modality(tmp_path: Path):
    (tmp_path / "a.raw").write_bytes(b"junk" + VOXELS.astype(">i2").tobytes())
    text = MHA.replace("LOCAL", "a.raw").replace("MSB = False", "MSB = True")
    text = text.replace("ElementType", "HeaderSize = -1\nModality = MET_MOD_CT\nElementType")
    (tmp_path / "a.mhd").write_text(text)
    volume = read_volume(tmp_path / "a.mhd")
    assert np.array_equal(volume.voxels, VOXELS)
    assert volume.modality is Modality.CT
