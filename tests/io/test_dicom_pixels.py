"""DICOM: pixels as they were before they were packed, and the values that they stand for."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import (
    HEVCMP51,
    JPEG2000MC,
    MPEG4HP41,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from app.io.reader import read_volume, scan
from tests.io.conftest import refusal
from tests.io.files import compressed, dicom_slice, series, stored_pixels, write_dicom


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=["implicit", "big-endian", "deflated"],
)
def test_plain_transfer_syntaxes(tmp_path: Path, syntax):
    datasets = []
    for k in range(3):
        dataset = dicom_slice(k)
        if syntax is ExplicitVRBigEndian:
            dataset.PixelData = stored_pixels(k).astype(">u2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
        datasets.append(dataset)
    volume = read_volume(write_dicom(tmp_path / "s", datasets))
    assert np.array_equal(volume.voxels[2], stored_pixels(2) - 1024)


def test_rle(tmp_path: Path):
    datasets = [dicom_slice(k) for k in range(3)]
    for dataset in datasets:
        dataset.compress(RLELossless, generate_instance_uid=False)
    volume = read_volume(write_dicom(tmp_path / "s", datasets))
    assert np.array_equal(volume.voxels[1], stored_pixels(1) - 1024)
    assert "RLE" in scan(tmp_path / "s")[0].transfer_syntax


def test_jpeg_ls(tmp_path: Path):
    datasets = [dicom_slice(k) for k in range(3)]
    for dataset in datasets:
        dataset.compress(JPEGLSLossless, generate_instance_uid=False)
    folder = write_dicom(tmp_path / "s", datasets)
    assert "JPEG-LS" in scan(folder)[0].transfer_syntax
    assert np.array_equal(read_volume(folder).voxels[1], stored_pixels(1) - 1024)
    for dataset in datasets:
        dataset.Columns = 11
    folder = write_dicom(tmp_path / "t", datasets)
    assert "are 10 x 8 with 1 values each, and its header says 11 x 8" in refusal(folder)


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_jpeg(tmp_path: Path, compressor: str):
    datasets = [compressed(dicom_slice(k), compressor, tmp_path) for k in range(3)]
    folder = write_dicom(tmp_path / "s", datasets)
    assert compressor.replace("G2", "G 2") in scan(folder)[0].transfer_syntax
    assert np.array_equal(read_volume(folder).voxels[1], stored_pixels(1) - 1024)


def test_lossy_frames_are_read_as_they_were_packed(tmp_path: Path):
    smooth = (np.add.outer(np.arange(64), np.arange(48)) * 2).astype(np.uint8)
    more = {"Rows": 64, "Columns": 48, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    packed = io.BytesIO()
    PIL.Image.fromarray(smooth).save(packed, "JPEG", quality=95)
    baseline = dicom_slice(0, PixelData=smooth.tobytes(), **more)
    baseline.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    baseline.PixelData = pydicom.encaps.encapsulate([packed.getvalue()])
    baseline["PixelData"].is_undefined_length = True
    near = dicom_slice(0, PixelData=smooth.tobytes(), **more)
    near.compress(JPEGLSNearLossless, jls_error=2, generate_instance_uid=False)
    for name, dataset, error in (("baseline", baseline, 4), ("near", near, 2)):
        voxels = read_volume(write_dicom(tmp_path / name, [dataset])).voxels[0] + 1024
        assert np.abs(voxels.astype(int) - smooth).max() <= error


@pytest.mark.parametrize(
    "syntax",
    [HTJ2KLossless, MPEG4HP41, HEVCMP51, JPEG2000MC, "1.2.840.10008.1.2.1.98", "1.2.3.4.5"],
)
def test_pixels_that_cannot_be_unpacked_are_named(tmp_path: Path, syntax):
    dataset = dicom_slice(0)
    dataset.PixelData = pydicom.encaps.encapsulate([bytes(100)])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    folder = tmp_path / "s"
    folder.mkdir()
    pydicom.dcmwrite(
        folder / "a", dataset, implicit_vr=False, little_endian=True, enforce_file_format=True
    )
    text = refusal(folder)
    assert "which cannot be opened. Export the series again uncompressed" in text
    (info,) = scan(folder)
    assert (info.is_openable, info.reason) == (False, text)
    name = pydicom.uid.UID(syntax).name
    assert name in text


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_compressed_frames_of_another_size_are_refused_before_decoding(tmp_path, compressor):
    dataset = compressed(dicom_slice(0), compressor, tmp_path)
    deeper = bytes(dataset.PixelData).replace(b"\xff\xc3\x00\x0b\x10", b"\xff\xc3\x00\x0b\x7f")
    if compressor == "JPEG":
        # 127 bits: the decoder would write far beyond its memory.
        assert deeper != dataset.PixelData
        other = compressed(dicom_slice(0), compressor, tmp_path)
        other.PixelData = deeper
        assert "damaged" in refusal(write_dicom(tmp_path / "t", [other]))
    dataset.Rows = 9
    text = refusal(write_dicom(tmp_path / "s", [dataset]))
    assert "are 10 x 8 with 1 values each, and its header says 10 x 9" in text


def test_jpeg_2000_series_agrees_with_gdcm(shared_data: Path):
    folder = shared_data / "dicom" / "ct_jpeg2000"
    (info,) = scan(folder)
    assert "JPEG 2000" in info.transfer_syntax
    assert (info.size_xyz, info.spacing_mm) == ((512, 512, 20), (0.9765625, 0.9765625, 2.0))
    volume = read_volume(folder)
    assert volume.voxels.dtype == np.int16
    for path in sorted(folder.iterdir())[::9]:
        image = sitk.ReadImage(str(path), imageIO="GDCMImageIO")
        z = round(float(volume.geometry.lps_to_index(image.GetOrigin())[0]))
        assert np.array_equal(volume.voxels[z], sitk.GetArrayFromImage(image)[0])


def test_signed_values_with_spare_bits(tmp_path: Path):
    values = np.arange(-40, 40).reshape(8, 10)
    # Twelve bits are stored; the four above hold an overlay that is no part of the value.
    pixels = ((values & 0x0FFF) | 0x5000).astype("<u2").tobytes()
    folder = series(tmp_path / "s", 2, PixelRepresentation=1, PixelData=pixels, RescaleIntercept=0)
    assert np.array_equal(read_volume(folder).voxels[0], values)


def test_slopes_of_each_slice(tmp_path: Path):
    datasets = [dicom_slice(k, RescaleSlope=0.5 + k, RescaleIntercept=1) for k in range(3)]
    volume = read_volume(write_dicom(tmp_path / "s", datasets))
    assert volume.voxels.dtype == np.float32
    assert np.allclose(volume.voxels[2], stored_pixels(2) * 2.5 + 1)


def test_mr_is_rescaled_where_it_says_so_and_kept_as_stored_where_not(tmp_path: Path):
    plain = {"Modality": "MR", "RescaleSlope": None, "RescaleIntercept": None}
    volume = read_volume(write_dicom(tmp_path / "s", [dicom_slice(k, **plain) for k in range(3)]))
    assert np.array_equal(volume.voxels[1], stored_pixels(1))
    scaled = {"Modality": "MR", "RescaleSlope": 2, "RescaleIntercept": 5}
    volume = read_volume(write_dicom(tmp_path / "t", [dicom_slice(k, **scaled) for k in range(3)]))
    assert np.array_equal(volume.voxels[1], stored_pixels(1) * 2 + 5)
