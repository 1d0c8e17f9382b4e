"""Pixels of DICOM slices: plain ones by numpy, compressed ones by GDCM inside SimpleITK."""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.core.errors import ReadError
from app.core.tasks import JobContext
from app.core.volume import Modality, Volume
from app.io.compressed_frame import check_frame
from app.io.dicom_dataset import load_dataset, parse_errors
from app.io.dicom_header import SliceHeader
from app.io.dicom_series import Series
from app.io.grid_file import Room, check_size, check_spacing, converted, intensity_dtype, narrowed
from app.io.itk_bridge import to_file_array
from app.io.resample import regular_grid, resampled

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

RLE_LOSSLESS = "1.2.840.10008.1.2.5"
_PLAIN = ("Implicit VR Little Endian", "Explicit VR Little Endian", "Explicit VR Big Endian")
# A compressed file of so many bytes, and this many times more, is no scan. An empty slice may be
# packed even tighter; it may take a few MB whatever its file says.
_MAX_RATIO = 1000
_BLANK_BYTES = 4 << 20
_MODALITIES = {"CT": Modality.CT, "MR": Modality.MR}


def read_series(series: Series, name: str, ctx: JobContext, room: Room | None = None) -> Volume:
    """Return the volume of a series that can be opened, on a regular grid if it has none.

    ``room`` hears first how large it is.

    Raises
    ------
    ReadError
        Pixels are missing, damaged or stored in a way that cannot be read.
    """
    if room is not None:
        room(math.prod(series.info.size_xyz) * volume_dtype(series.slices).itemsize)
    if series.geometry is None:
        return _read_resampled(series, name, ctx)
    check_size(series.info.size_xyz, 2)
    check_spacing(series.info.spacing_mm)
    _check_content(series.slices)
    voxels = np.empty(series.geometry.shape_zyx, volume_dtype(series.slices))
    slices_kji = to_file_array(voxels, series.source_orientation)
    reader = PixelReader()
    for k, item in enumerate(series.slices):
        ctx.report(k / len(series.slices), "Reading")
        slices_kji[k] = converted(reader.read(item), item.slope, item.intercept, voxels.dtype)
    return Volume(
        narrowed(voxels),
        series.geometry,
        _MODALITIES.get(series.info.modality, Modality.OTHER),
        source_orientation=series.source_orientation,
        name=name,
        notes=series.info.warnings,
        source_paths=tuple(dict.fromkeys(s.path for s in series.slices)),
        header_path=series.slices[0].path,
    )


def _read_resampled(series: Series, name: str, ctx: JobContext) -> Volume:
    _check_content(series.slices)
    grid = regular_grid(series)
    reader, dtype = PixelReader(), volume_dtype(series.slices)

    def read(item: SliceHeader) -> np.ndarray:
        return converted(reader.read(item), item.slope, item.intercept, dtype)

    return Volume(
        narrowed(resampled(series, grid, read, dtype, ctx)),
        grid.geometry,
        _MODALITIES.get(series.info.modality, Modality.OTHER),
        source_orientation=grid.source_orientation,
        name=name,
        notes=(grid.note,),
        header_path=series.slices[0].path,
    )


def _check_content(slices: tuple[SliceHeader, ...]) -> None:
    """Refuse files that are far too small for the pixels that they claim, before taking memory.

    Raises
    ------
    ReadError
    """
    claimed: dict[Path, int] = {}
    items = {item.path: item for item in slices}
    for item in slices:
        n_bytes = item.rows * item.columns * ((item.bits_stored + 7) // 8)
        claimed[item.path] = claimed.get(item.path, 0) + n_bytes
    for path, item in items.items():
        n_there = path.stat().st_size
        is_plain = item.transfer_syntax in _PLAIN
        if not is_plain:
            n_there = n_there * _MAX_RATIO + _BLANK_BYTES
        if claimed[path] > n_there:
            if is_plain:
                PixelReader().read(item)  # says what is missing
            raise ReadError(
                f"A DICOM slice is incomplete: its header gives {item.columns} x {item.rows} "
                "pixels, and the file is far too small for that. Copy or export the series again."
            )


def volume_dtype(slices: tuple[SliceHeader, ...]) -> np.dtype:
    """Return the type that holds the intensities of all slices."""
    dtypes = {_rescaled_dtype(s.bits_stored, s.is_signed, s.slope, s.intercept) for s in slices}
    return np.result_type(*dtypes)


def _rescaled_dtype(bits: int, is_signed: bool, slope: float, intercept: float) -> np.dtype:
    size = 1 if bits <= 8 else 2 if bits <= 16 else 4
    stored = np.dtype(f"{'i' if is_signed else 'u'}{size}")
    dtype = intensity_dtype(stored, slope, intercept)
    if dtype.kind != "i" or dtype == stored:
        return dtype
    # The header bounds the values: a 12-bit CT with intercept -1024 needs 16 bits and no more.
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed else (0, (1 << bits) - 1)
    ends = [low * slope + intercept, high * slope + intercept]
    if min(ends) >= -32768 and max(ends) <= 32767:
        return np.dtype(np.int16)
    return dtype


class PixelReader:
    """Reads slices; keeps the last file open in memory, so that its frames are parsed once."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._frames: np.ndarray | None = None

    def read(self, item: SliceHeader) -> np.ndarray:
        """Return the stored values of a slice, (rows, columns).

        Raises
        ------
        ReadError
            They are missing, damaged or cannot be decoded.
        """
        if item.path != self._path or self._frames is None:
            dataset = load_dataset(item.path, with_pixels=True)
            try:
                frames = _frames(dataset)
            except parse_errors() as error:
                if isinstance(error, ReadError):
                    raise
                raise ReadError(
                    "The pixels of a DICOM slice are damaged. Copy or export the series again."
                ) from error
            self._frames, self._path = frames, item.path
        if self._frames.shape[1:] != (item.rows, item.columns) or item.frame >= len(self._frames):
            raise ReadError("A DICOM slice does not have the size that its header gives.")
        return self._frames[item.frame]


def _frames(dataset: Dataset) -> np.ndarray:
    """Return the stored values of all frames, (n, rows, columns), in native byte order."""
    n = int(dataset.get("NumberOfFrames") or 1)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    check_size((columns, rows, n), int(dataset.BitsAllocated) // 8)
    if "PixelData" not in dataset:
        raise ReadError("A DICOM slice has no pixels (only its header was copied).")
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    if syntax == RLE_LOSSLESS:
        return _meaningful_bits(_unpacked_rle(dataset, n), dataset)
    if syntax is not None and syntax.is_encapsulated:
        return _decoded(dataset, n)
    bits = int(dataset.BitsAllocated)
    is_big = syntax is not None and not syntax.is_little_endian
    dtype = np.dtype(f"{'>' if is_big else '<'}u{bits // 8}")
    needed = n * rows * columns * dtype.itemsize
    if len(dataset.PixelData) < needed:
        raise ReadError(
            f"A DICOM slice is incomplete: {needed} bytes of pixels are needed, "
            f"{len(dataset.PixelData)} are there. Copy or export the series again."
        )
    stored = np.frombuffer(dataset.PixelData, dtype, count=n * rows * columns)
    return _meaningful_bits(stored.reshape(n, rows, columns), dataset)


def _meaningful_bits(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return the stored bits as numbers: bits beyond the stored ones may hold anything."""
    allocated, bits = int(dataset.BitsAllocated), int(dataset.get("BitsStored") or 0)
    bits = bits or allocated
    high = int(dataset.get("HighBit", bits - 1))
    if not (1 <= bits <= allocated and bits - 1 <= high < allocated):
        raise ReadError(
            f"The DICOM header is damaged: {bits} bits up to bit {high} of {allocated}."
        )
    values = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    left = allocated - 1 - high
    kind = "i" if int(dataset.get("PixelRepresentation") or 0) == 1 else "u"
    if bits < allocated:
        values = values << values.dtype.type(left)
        values = values.view(f"{kind}{allocated // 8}")
        return values >> values.dtype.type(allocated - bits)
    return values.view(f"{kind}{allocated // 8}")


def _unpacked_rle(dataset: Dataset, n_frames: int) -> np.ndarray:
    """Return run-length coded frames; here, because GDCM divides by zero on damaged ones."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import RLELossless

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored, _ = get_decoder(RLELossless).as_array(dataset, raw=True)
    shape = (n_frames, int(dataset.Rows), int(dataset.Columns))
    return stored.reshape(shape).view(f"u{stored.itemsize}")


def _decoded(dataset: Dataset, n_frames: int) -> np.ndarray:
    """Return the values of compressed frames, decoded by GDCM.

    GDCM gets a file that holds nothing but the pixels and how they are stored, one per frame: it
    then neither rescales nor reorders anything.
    """
    import pydicom
    import SimpleITK as sitk
    from pydicom.encaps import encapsulate, generate_frames

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    bare = pydicom.Dataset()
    for name in (
        "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated",
        "BitsStored", "HighBit", "PixelRepresentation",
    ):  # fmt: skip
        if name in dataset:
            setattr(bare, name, dataset[name].value)
    bare.SOPClassUID = pydicom.uid.CTImageStorage
    bare.SOPInstanceUID = pydicom.uid.generate_uid()
    bare.file_meta = pydicom.dataset.FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    bare.file_meta.MediaStorageSOPClassUID = bare.SOPClassUID
    bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID
    frames = []
    with tempfile.TemporaryDirectory(prefix="maskwright-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder, "frame.dcm")
        for frame in generate_frames(dataset.PixelData, number_of_frames=n_frames):
            check_frame(frame, bare.Rows, bare.Columns, bare.BitsAllocated)
            bare.PixelData = encapsulate([frame])
            bare["PixelData"].is_undefined_length = True
            bare.save_as(path, enforce_file_format=True)
            with _quiet_stderr():
                image = sitk.ReadImage(str(path), imageIO="GDCMImageIO")
            frames.append(sitk.GetArrayFromImage(image)[0])
    if len(frames) != n_frames:
        raise ReadError(f"The DICOM file says {n_frames} frames and holds {len(frames)}.")
    return np.stack(frames)


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep what C libraries print about damaged images off the terminal.

    WORKAROUND(SimpleITK 2.5): OpenJPEG inside GDCM prints to the stream itself, whatever ITK's
    own switch says. Remove when `SetGlobalWarningDisplay` silences it.
    """
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
