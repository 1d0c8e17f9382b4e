"""DICOM datasets: what of a file may be read, and what makes it a damaged one.

No patient data is read: only the attributes listed in `_TAGS`, or those asked for, leave the file.
"""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.bounded_file import BoundedFile
from app.core.errors import ReadError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "SeriesDescription", "SeriesNumber", "InstanceNumber", "AcquisitionNumber", "ImageType",
    "EchoNumbers", "TemporalPositionIdentifier", "TriggerTime", "DiffusionBValue", "ContentTime",
    "AcquisitionTime", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "NumberOfFrames",
    "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness",
    "SpacingBetweenSlices", "GantryDetectorTilt", "RescaleSlope", "RescaleIntercept",
    "ModalityLUTSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip


@cache
def parse_errors() -> tuple[type[Exception], ...]:
    """Return what pydicom raises on damaged files, as found by feeding it such.

    None of it is a fault of this program, and all of it means the same.
    """
    from pydicom.errors import BytesLengthException, InvalidDicomError

    return (
        AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError,
        OverflowError, RecursionError, RuntimeError, TypeError, ValueError, struct.error,
        zlib.error, BytesLengthException, InvalidDicomError,
    )  # fmt: skip


def load_dataset(
    path: Path, *, with_pixels: bool = False, tags: list[str] | None = None
) -> Dataset:
    """Return a DICOM dataset with only the attributes that images need, or the given ones.

    Raises
    ------
    ReadError
        The file is damaged.
    """
    import pydicom

    wanted = tags or ([*_TAGS, "PixelData"] if with_pixels else _TAGS)
    # Odd values are judged here; what pydicom thinks of them must not reach the terminal.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), BoundedFile(path) as file:
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(
                file,
                force=True,
                stop_before_pixels="PixelData" not in wanted,
                specific_tags=list(wanted),
            )
            _drop_unreadable(dataset)
    except parse_errors() as error:
        raise ReadError("The DICOM file is damaged. Copy or export it again.") from error
    return dataset


def _drop_unreadable(dataset: Dataset) -> None:
    """Remove values that do not parse: then they are missing, and only needed ones are missed."""
    for tag in list(dataset.keys()):
        try:
            # Values are parsed when they are first read.
            element = dataset[tag]
            items = element.value if element.VR == "SQ" else []
        except parse_errors():
            del dataset[tag]
            continue
        for item in items:
            _drop_unreadable(item)
