"""DICOM: which slices belong together, whether they make a grid, and their numbers."""

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
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    RTStructureSetStorage,
    UltrasoundMultiFrameImageStorage,
)

from app.core.errors import ReadError
from app.core.volume import Modality
from app.io.dicom_series import SeriesChoiceError
from app.io.reader import read_volume, scan
from tests.io.files import dicom_slice, stored_pixels, write_dicom


def series(folder: Path, n: int = 5, **more) -> Path:
    return write_dicom(folder, [dicom_slice(k, **more) for k in range(n)])


def refusal(path: Path) -> str:
    with pytest.raises(ReadError) as caught:
        read_volume(path)
    return str(caught.value)


def test_a_series_is_ordered_by_position(tmp_path: Path):
    volume = read_volume(series(tmp_path / "s"))
    assert volume.voxels.dtype == np.int16
    assert volume.modality is Modality.CT
    assert volume.source_orientation == "LPS"
    # Distances come from the positions, not from the thickness of 5 mm.
    assert volume.geometry.spacing_zyx == (2.5, 0.5, 0.75)
    assert volume.geometry.index_to_lps((2, 3, 4)).tolist() == [-7.0, -18.5, 5.0]
    expected = np.stack([stored_pixels(k) for k in range(5)]) - 1024
    assert np.array_equal(volume.voxels, expected)


def test_slices_stored_from_head_to_feet_and_turned(tmp_path: Path):
    # Coronal slices: rows run down, columns to the left, slices from back to front.
    datasets = [
        dicom_slice(k, ImageOrientationPatient=[1, 0, 0, 0, 0, -1],
                    ImagePositionPatient=[-10, 50 - 2.0 * k, 30])
        for k in range(4)
    ]  # fmt: skip
    volume = read_volume(write_dicom(tmp_path / "s", datasets))
    image = sitk.ReadImage(_by_gdcm(tmp_path / "s"))
    for index in ((0, 0, 0), (3, 2, 5), (7, 3, 9)):
        point = volume.geometry.index_to_lps(index)
        ijk = image.TransformPhysicalPointToIndex(point.tolist())
        assert image[ijk] == volume.voxels[index]


def _by_gdcm(folder: Path) -> tuple[str, ...]:
    return sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))


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


def compressed(dataset: pydicom.Dataset, compressor: str, folder: Path) -> pydicom.Dataset:
    """Return the dataset with its pixels compressed by GDCM."""
    image = sitk.GetImageFromArray(dataset.pixel_array[None])
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(folder / "compressed.dcm"))
    writer.SetImageIO("GDCMImageIO")
    writer.SetUseCompression(True)
    writer.SetCompressor(compressor)
    writer.Execute(image)
    other = pydicom.dcmread(folder / "compressed.dcm")
    for name in ("PixelData", "BitsStored", "HighBit"):
        dataset[name] = other[name]
    dataset.file_meta.TransferSyntaxUID = other.file_meta.TransferSyntaxUID
    return dataset


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


def test_enhanced_frames_are_rescaled_by_their_own_groups(tmp_path: Path):
    dataset = enhanced()
    for k, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        rescale = pydicom.Dataset()
        rescale.RescaleSlope, rescale.RescaleIntercept = k + 1, -10
        frame.PixelValueTransformationSequence = [rescale]
    folder = write_dicom(tmp_path / "s", [dataset])
    axial = read_volume(folder, series_uid=scan(folder)[1].uid)
    for z, k in enumerate((1, 3, 5)):
        assert np.array_equal(axial.voxels[z], stored_pixels(k) * (k + 1) - 10)


def test_a_single_file_and_a_file_without_preamble(tmp_path: Path):
    folder = series(tmp_path / "s", 1)
    (path,) = folder.iterdir()
    volume = read_volume(path)
    # A lone slice has no neighbours: its thickness is all there is.
    assert volume.geometry.spacing_zyx == (5.0, 0.5, 0.75)
    bare = tmp_path / "bare"
    content = path.read_bytes()
    start = content.index(b"\x08\x00")
    dataset = pydicom.dcmread(path)
    assert start > 132
    pydicom.dcmwrite(bare, _without_meta(dataset), implicit_vr=True, little_endian=True)
    assert np.array_equal(read_volume(bare).voxels, volume.voxels)


def _without_meta(dataset: pydicom.Dataset) -> pydicom.Dataset:
    plain = pydicom.Dataset(dataset)
    plain.file_meta = pydicom.dataset.FileMetaDataset()
    return plain


# -- several series -----------------------------------------------------------------------------


def test_series_are_told_apart_and_offered(tmp_path: Path):
    folder = series(tmp_path / "s", 5)
    other = [dicom_slice(k, SeriesInstanceUID="9.9", SeriesDescription="thin") for k in range(7)]
    write_dicom(folder, other, 5)
    scout = dicom_slice(
        50, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
    )  # fmt: skip
    report = dicom_slice(51, SOPClassUID=RTStructureSetStorage, Rows=None, SeriesInstanceUID="7.7")
    write_dicom(folder, [scout, report], 12)
    (folder / "notes.txt").write_text("not an image")
    found = scan(folder)
    assert [(s.uid, s.n_files, s.is_openable) for s in found] == [
        ("9.9", 7, True), ("1.2.3", 5, True), ("1.2.3#2", 1, True), ("7.7", 1, False),
    ]  # fmt: skip
    assert found[2].is_localizer
    assert "RT Structure Set Storage, which holds no image" in found[3].reason
    with pytest.raises(SeriesChoiceError, match="2 series here; choose one"):
        read_volume(folder)
    assert read_volume(folder, series_uid="9.9").voxels.shape[0] == 7
    assert read_volume(folder, series_uid="1.2.3#2").voxels.shape == (8, 10, 1)
    assert refusal_of(folder, "7.7").startswith("The file is a RT Structure Set")
    assert refusal_of(folder, "5.5") == "There is no series 5.5 here."
    assert not any("Secret" in str(s) for s in found)


def refusal_of(folder: Path, uid: str) -> str:
    with pytest.raises(ReadError) as caught:
        read_volume(folder, series_uid=uid)
    return str(caught.value)


def test_a_scout_beside_one_series_does_not_ask(tmp_path: Path):
    folder = series(tmp_path / "s", 5)
    write_dicom(folder, [dicom_slice(50, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])], 12)
    assert read_volume(folder).voxels.shape == (5, 8, 10)


def test_time_points_at_the_same_places_are_told_apart(tmp_path: Path):
    datasets = [
        dicom_slice(k, TemporalPositionIdentifier=t, RescaleIntercept=1000 * t)
        for t in (1, 2) for k in range(4)
    ]  # fmt: skip
    found = scan(write_dicom(tmp_path / "s", datasets))
    assert [s.description for s in found] == ["test (time point 1)", "test (time point 2)"]
    second = read_volume(tmp_path / "s", series_uid=found[1].uid)
    assert second.voxels.min() == 2000


def test_copies_are_left_out_and_other_duplicates_refused(tmp_path: Path):
    folder = series(tmp_path / "s", 5)
    write_dicom(folder, [dicom_slice(2)], 50)
    volume = read_volume(folder)
    assert volume.voxels.shape[0] == 5
    assert volume.notes == ("1 copy of a slice was left out.",)
    write_dicom(folder, [dicom_slice(3, SOPInstanceUID="5.6")], 51)
    assert "1 of the 6 images lie at the place of another one" in refusal(folder)


# -- no regular grid ----------------------------------------------------------------------------


def test_missing_slice(tmp_path: Path):
    folder = write_dicom(tmp_path / "s", [dicom_slice(k) for k in (0, 1, 2, 4, 5, 6)])
    text = refusal(folder)
    assert "5.00 mm between slices 3 and 4" in text
    assert "1 slice seems to be missing" in text
    (info,) = scan(folder)
    assert (info.is_openable, info.reason) == (False, text)


def test_uneven_slices(tmp_path: Path):
    places = (0, 2.5, 5, 9, 11.5)
    datasets = [dicom_slice(k, ImagePositionPatient=[0, 0, z]) for k, z in enumerate(places)]
    text = refusal(write_dicom(tmp_path / "s", datasets))
    assert "2.50 mm between slices 1 and 2, 4.00 mm between slices 3 and 4" in text


def test_rounded_positions_are_even(tmp_path: Path):
    places = [round(0.6251 * k, 2) for k in range(30)]
    datasets = [dicom_slice(k, ImagePositionPatient=[0, 0, z]) for k, z in enumerate(places)]
    volume = read_volume(write_dicom(tmp_path / "s", datasets))
    assert volume.geometry.spacing_zyx[0] == pytest.approx(0.625, abs=1e-3)
    assert volume.notes == ()


def test_tilt(tmp_path: Path):
    shift = 2.5 * np.tan(np.radians(12))
    datasets = [dicom_slice(k, ImagePositionPatient=[0, shift * k, 2.5 * k]) for k in range(6)]
    text = refusal(write_dicom(tmp_path / "s", datasets))
    assert "tilted (gantry tilt) by 12.0 degrees" in text


def test_a_drift_of_rounding_is_no_tilt(tmp_path: Path):
    datasets = [dicom_slice(k, ImagePositionPatient=[0, 0.004 * k, 2.5 * k]) for k in range(6)]
    assert read_volume(write_dicom(tmp_path / "s", datasets)).voxels.shape[0] == 6


def test_tilted_and_uneven_scanner_series_is_refused_with_its_numbers(shared_data: Path):
    folder = shared_data / "dicom" / "ct_ge_tilt_uneven"
    (info,) = scan(folder)
    assert not info.is_openable
    assert info.size_xyz == (512, 512, 28)
    text = refusal(folder)
    for number in ("18.5 degrees", "1.08 mm between slices 14 and 15", "7.00 mm", "4.00 mm"):
        assert number in text


# -- refusals of single images ------------------------------------------------------------------


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


# -- compressed and enhanced scanner files ------------------------------------------------------


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


def test_enhanced_time_points_are_told_apart(shared_data: Path):
    folder = shared_data / "dicom" / "mr_enhanced_siemens_xa"
    found = scan(folder)
    assert [s.description[-14:] for s in found] == [f"(time point {t})" for t in (1, 2, 3, 4)]
    with pytest.raises(SeriesChoiceError, match="4 series"):
        read_volume(folder)
    third = read_volume(folder, series_uid=found[2].uid)
    pixels = pydicom.dcmread(folder / "6_3.dcm").pixel_array
    assert np.array_equal(third.voxels, pixels)
    assert third.geometry.spacing_zyx == pytest.approx((2.4, 3.375, 3.375), abs=1e-4)
    assert third.modality is Modality.MR


def enhanced(**more) -> pydicom.Dataset:
    """Return an enhanced MR of 2 stacks of 3 slices, frames interleaved."""
    dataset = dicom_slice(0, SOPClassUID=EnhancedMRImageStorage, Modality="MR", NumberOfFrames=6)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        del dataset[name]
    dataset.PixelData = b"".join(stored_pixels(k).astype("<u2").tobytes() for k in range(6))
    measures, plane = pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing = [0.5, 0.75]
    shared = pydicom.Dataset()
    shared.PixelMeasuresSequence = [measures]
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k in range(6):
        frame, plane, turn = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
        plane.ImagePositionPatient = [0, 0, 3.0 * (k // 2)]
        turn.ImageOrientationPatient = [1, 0, 0, 0, 1, 0] if k % 2 else [0, 1, 0, 0, 0, -1]
        if k % 2 == 0:
            plane.ImagePositionPatient = [4.0 * (k // 2), 0, 0]
        frame.PlanePositionSequence, frame.PlaneOrientationSequence = [plane], [turn]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    for name, value in more.items():
        setattr(dataset, name, value)
    return dataset


def test_stacks_of_one_enhanced_file_are_told_apart(tmp_path: Path):
    folder = write_dicom(tmp_path / "s", [enhanced()])
    found = scan(folder)
    assert [(s.size_xyz[2], s.spacing_mm[2]) for s in found] == [(3, 4.0), (3, 3.0)]
    axial = read_volume(folder, series_uid=found[1].uid)
    # No rescale in the groups: values as stored.
    assert np.array_equal(axial.voxels[2], stored_pixels(5))


def test_enhanced_file_that_contradicts_itself(tmp_path: Path):
    folder = write_dicom(tmp_path / "s", [enhanced(NumberOfFrames=5)])
    assert "says that it holds 5 frames, but describes 6" in refusal(folder)


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
