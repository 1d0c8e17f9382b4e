"""DICOM: single images that are refused, and that nothing but the sentence is said."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless, UltrasoundMultiFrameImageStorage

from app.io.reader import read_volume, scan
from tests.io.conftest import refusal
from tests.io.files import dicom_slice, series, write_dicom


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "in colour (RGB, 3 values"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "in colour (PALETTE COLOR"),
        ({"ImagePositionPatient": None}, "gives no position"),
        ({"ImageOrientationPatient": None, "PixelSpacing": None},
         "no orientation and no pixel size"),
        ({"PixelSpacing": [0, 1]}, "pixel size of 0 x 1 mm"),
        ({"ImageOrientationPatient": [1, 0, 0, 0.5, 1, 0]}, "not at right angles"),
        ({"BitsAllocated": 1}, "stores 1 bits"),
        ({"NumberOfFrames": 3, "SOPClassUID": UltrasoundMultiFrameImageStorage},
         "Ultrasound Multi-frame Image Storage of 3 frames and does not say where"),
        ({"PixelData": b"12"}, "160 bytes of pixels are needed, 2 are there"),
        ({"Rows": 5000, "Columns": 5000}, "50000000 bytes of pixels are needed"),
        ({"BitsStored": 17}, "17 of 16 bits"),
    ],
)  # fmt: skip
def test_image_refusals(tmp_path: Path, more: dict, words: str):
    assert words in refusal(series(tmp_path / "s", 2, **more))


def test_headers_without_pixels_and_cut_files(tmp_path: Path):
    dataset = dicom_slice(0)
    del dataset.PixelData
    assert "no pixels" in refusal(write_dicom(tmp_path / "s", [dataset]))
    folder = series(tmp_path / "t", 1)
    (path,) = folder.iterdir()
    content = path.read_bytes()
    for cut in (140, 300, 500, len(content) - 20):
        path.write_bytes(content[:cut])
        assert refusal(folder)


def test_nothing_reaches_the_terminal(tmp_path: Path, capfd):
    with pydicom.config.disable_value_validation():
        folder = series(tmp_path / "s", 2, PatientAge="not an age", Modality="lower case")
    for path in folder.iterdir():
        # A slice thickness that is no number: not needed, so not missed.
        content = path.read_bytes()
        assert content.count(b"DS\x04\x005.0 ") == 1
        path.write_bytes(content.replace(b"DS\x04\x005.0 ", b"DS\x04\x00x.0 "))
    assert len(read_volume(folder).voxels) == 2
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-30])
    scan(folder)
    assert refusal(folder)
    dataset = dicom_slice(0)
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.PixelData = pydicom.encaps.encapsulate([b"\x00" * 100])
    dataset["PixelData"].is_undefined_length = True
    assert "damaged" in refusal(write_dicom(tmp_path / "t", [dataset]))
    assert capfd.readouterr() == ("", "")
