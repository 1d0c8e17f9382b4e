"""Files to read: images by SimpleITK or byte by byte, DICOM series by pydicom."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

from tests.phantoms import ramp

# A small scan in the file's own (k, j, i) order.
VOXELS = ramp((4, 5, 6))


def write_image(path: Path, voxels_kji: np.ndarray, affine_ijk: np.ndarray) -> Path:
    """Write an array in the file's own (k, j, i) order, with an LPS affine for (i, j, k)."""
    image = sitk.GetImageFromArray(voxels_kji)
    spacing = np.linalg.norm(affine_ijk[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine_ijk[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine_ijk[:3, 3].tolist())
    sitk.WriteImage(image, str(path))
    return path


def nifti_bytes(voxels_kji: np.ndarray, **fields: Any) -> bytes:
    """Return a NIfTI-1 file; ``fields`` replace (offset, struct format, values) by name."""
    codes = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "i8": 1024}
    header = bytearray(352)

    def put(offset: int, form: str, *values: Any) -> None:
        struct.pack_into("<" + form, header, offset, *values)

    put(0, "i", 348)
    put(40, "8h", 3, *voxels_kji.shape[::-1], 1, 1, 1, 1)
    put(70, "2h", codes[voxels_kji.dtype.str[1:]], voxels_kji.itemsize * 8)
    put(76, "8f", 1, 2, 2, 3, 0, 0, 0, 0)
    put(108, "3f", 352, 0, 0)
    put(123, "B", 2)
    put(252, "2h", 0, 1)
    put(280, "12f", -2, 0, 0, 10, 0, -2, 0, 20, 0, 0, 3, 30)
    put(344, "4s", b"n+1\0")
    for offset, form, values in fields.values():
        put(offset, form, *values)
    return bytes(header) + voxels_kji.tobytes()


def nifti(tmp_path: Path, voxels: np.ndarray = VOXELS, name: str = "a.nii", **fields) -> Path:
    """Write a NIfTI-1 file as `nifti_bytes` makes it."""
    path = tmp_path / name
    path.write_bytes(nifti_bytes(voxels, **fields))
    return path


DIM, DATATYPE, UNITS = 40, 70, 123
QFORM_CODE, SFORM_CODE, QUATERN, SROW, SCALING, VOX_OFFSET = 252, 254, 256, 280, 112, 108


def dicom_slice(number: int = 0, **more: Any) -> pydicom.Dataset:
    """Return one axial CT slice of 8 rows and 10 columns, 2.5 mm above the one before."""
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = generate_uid(
        entropy_srcs=[str(number), str(sorted(more.items(), key=str))]
    )
    dataset.SeriesInstanceUID = "1.2.3"
    dataset.Modality = "CT"
    dataset.SeriesDescription = "test"
    dataset.PatientName = "Secret^Name"
    dataset.InstanceNumber = number + 1
    dataset.Rows, dataset.Columns = 8, 10
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelSpacing = [0.5, 0.75]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [-10, -20, 2.5 * number]
    dataset.SliceThickness = 5
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    for name, value in more.items():
        if value is None:
            del dataset[name]
        else:
            setattr(dataset, name, value)
    if "PixelData" not in dataset:
        dataset.PixelData = stored_pixels(number).astype("<u2").tobytes()
    return dataset


def stored_pixels(number: int) -> np.ndarray:
    """Return the (8, 10) stored values of `dicom_slice`."""
    return np.arange(80).reshape(8, 10) * 10 + number


def write_dicom(folder: Path, datasets: Sequence[pydicom.Dataset], first: int = 0) -> Path:
    """Write datasets in an order of names that is not their order in space."""
    folder.mkdir(exist_ok=True)
    for n, dataset in enumerate(datasets, first):
        dataset.save_as(folder / f"{(n * 7) % 100:02d}-{n}", enforce_file_format=True)
    return folder


def series(folder: Path, n: int = 5, **more) -> Path:
    """Write a series of n slices, each changed in the same way."""
    return write_dicom(folder, [dicom_slice(k, **more) for k in range(n)])


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
