"""DICOM headers: which files of a folder are images, and where each slice lies."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.core.errors import ReadError
from app.core.tasks import JobContext
from app.io.dicom_dataset import load_dataset, parse_errors

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

logger = logging.getLogger(__name__)

# Attributes that tell apart images which share one place, the most telling first.
_PHASES = (
    "TemporalPositionIndex", "TemporalPositionIdentifier", "EchoNumbers", "DiffusionBValue",
    "TriggerTime", "ImageType", "AcquisitionNumber", "AcquisitionTime", "ContentTime",
)  # fmt: skip
# Segmentation objects, binary or fractional, and as label maps.
SEGMENTATION_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
# Plain (implicit, explicit, deflated, big endian), RLE, JPEG (baseline, extended, two lossless),
# JPEG-LS and JPEG 2000, each lossless and lossy.
_READABLE_SYNTAXES = frozenset(
    f"1.2.840.10008.1.2{end}"
    for end in (
        "", ".1", ".1.99", ".2", ".5", ".4.50", ".4.51", ".4.57", ".4.70", ".4.80", ".4.81",
        ".4.90", ".4.91",
    )
)  # fmt: skip
MAX_FILES = 20_000


@dataclass(frozen=True, eq=False)
class SliceHeader:
    """One slice: where it lies, and where its pixels are.

    Attributes
    ----------
    path, frame : Path, int
        The file, and which of its frames (0 in files of one image).
    position_lps : (3,) float64
        Centre of the first pixel, mm.
    row_lps, column_lps : (3,) float64
        Directions in which the column index and the row index grow.
    spacing_rc : tuple of 2 float
        Distance between rows and between columns, mm.
    phase : mapping of attribute to text
        What may tell apart images at the same place.
    """

    path: Path
    frame: int
    series_uid: str
    sop_uid: str
    description: str
    modality: str
    transfer_syntax: str
    series_number: str
    instance_number: int
    rows: int
    columns: int
    position_lps: np.ndarray
    row_lps: np.ndarray
    column_lps: np.ndarray
    spacing_rc: tuple[float, float]
    thickness_mm: float
    gantry_tilt_deg: float
    slope: float
    intercept: float
    bits_stored: int
    is_signed: bool
    is_inverted: bool
    is_localizer: bool
    phase: dict[str, str]

    @property
    def normal_lps(self) -> np.ndarray:
        return np.cross(self.row_lps, self.column_lps)


@dataclass(frozen=True)
class Refused:
    """A DICOM file that holds no slice that can be opened, and why."""

    path: Path
    series_uid: str
    description: str
    modality: str
    transfer_syntax: str
    reason: str


def is_dicom(path: Path) -> bool:
    """Return whether a file begins like DICOM, with or without the 128-byte preamble."""
    with open(path, "rb") as file:
        start = file.read(132)
    if start[128:132] == b"DICM":
        return True
    # Without preamble the first element is of group 2 or 8, little endian, with a low element.
    return len(start) >= 8 and start[0] in (2, 8) and start[1] == 0 and start[3] == 0


def dicom_files(folder: Path) -> Iterator[Path]:
    """Yield the DICOM files below a folder in a stable order; directories of media are left out.

    Raises
    ------
    ReadError
        There are too many files.
    """
    n_seen = 0
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            n_seen += 1
            if n_seen > MAX_FILES:
                raise ReadError(
                    f"The folder holds more than {MAX_FILES} files; open the folder of one "
                    "examination."
                )
            if name.upper() == "DICOMDIR" or not path.is_file():
                continue
            try:
                if is_dicom(path):
                    yield path
            except OSError:
                logger.warning("A file of the folder cannot be read.")


def read_slices(paths: Iterable[Path], ctx: JobContext) -> tuple[list[SliceHeader], list[Refused]]:
    """Return the slices of DICOM files, and the files that hold none."""
    slices: list[SliceHeader] = []
    refused: list[Refused] = []
    paths = list(paths)
    for n, path in enumerate(paths):
        ctx.report(n / len(paths), "Reading headers")
        found = _read_file(path)
        if isinstance(found, Refused):
            refused.append(found)
        else:
            slices.extend(found)
    return slices, refused


def _read_file(path: Path) -> list[SliceHeader] | Refused:
    try:
        dataset = load_dataset(path, with_pixels=False)
    except ReadError as error:
        return Refused(path, "", "", "", "", str(error))
    try:
        common = _Common(path, dataset)
        try:
            return common.slices()
        except ReadError as error:
            return common.refused(str(error))
    except parse_errors():
        return Refused(path, "", "", "", "", "The DICOM header is damaged. Copy it again.")


class _Common:
    """What all slices of one file share."""

    def __init__(self, path: Path, dataset: Dataset) -> None:
        self.path = path
        self.dataset = dataset
        self.class_name = _class_name(dataset)
        self.transfer_syntax = transfer_syntax_name(dataset)
        self.series_uid = str(dataset.get("SeriesInstanceUID") or "")
        self.description = str(dataset.get("SeriesDescription") or "").strip()
        self.modality = str(dataset.get("Modality") or "")

    def refused(self, reason: str) -> Refused:
        return Refused(
            self.path, self.series_uid, self.description, self.modality, self.transfer_syntax,
            reason,
        )  # fmt: skip

    def slices(self) -> list[SliceHeader]:
        dataset = self.dataset
        rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
        if rows < 1 or columns < 1:
            raise ReadError(f"The file is a {self.class_name}, which holds no image.")
        if str(dataset.get("SOPClassUID")) in SEGMENTATION_CLASSES:
            raise ReadError(
                f"The file holds labels (it is a {self.class_name}) and no scan; open the scan, "
                "then import the labels onto it."
            )
        _check_transfer_syntax(dataset)
        samples = int(dataset.get("SamplesPerPixel") or 1)
        photometric = str(dataset.get("PhotometricInterpretation") or "MONOCHROME2")
        if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
            raise ReadError(
                f"The image is in colour ({photometric}, {samples} values for each pixel); "
                "only grey values can be opened."
            )
        if int(dataset.get("BitsAllocated") or 16) not in (8, 16, 32):
            raise ReadError(
                f"The image stores {dataset.get('BitsAllocated')} bits for each pixel (it is a "
                f"{self.class_name}); 8, 16 or 32 can be opened."
            )
        allocated = int(dataset.get("BitsAllocated") or 16)
        bits = int(dataset.get("BitsStored") or allocated)
        if not 1 <= bits <= allocated:
            raise ReadError(f"The DICOM header is damaged: {bits} of {allocated} bits are used.")
        frames = dataset.get("PerFrameFunctionalGroupsSequence")
        n_frames = int(dataset.get("NumberOfFrames") or 1)
        if frames is not None and len(frames):
            if len(frames) != n_frames:
                raise ReadError(
                    f"The file says that it holds {n_frames} frames, but describes {len(frames)}."
                )
            shared = dataset.get("SharedFunctionalGroupsSequence")
            base = shared[0] if shared else None
            return [self._frame(n, _Groups(frame, base)) for n, frame in enumerate(frames)]
        if n_frames > 1:
            raise ReadError(
                f"The file is a {self.class_name} of {n_frames} frames and does not say where "
                "each frame lies; it cannot be opened as a volume."
            )
        return [self._frame(0, _Groups(None, None, dataset))]

    def _frame(self, number: int, groups: _Groups) -> SliceHeader:
        dataset = self.dataset
        position = groups.vector("PlanePositionSequence", "ImagePositionPatient", 3)
        cosines = groups.vector("PlaneOrientationSequence", "ImageOrientationPatient", 6)
        spacing = groups.vector("PixelMeasuresSequence", "PixelSpacing", 2)
        missing = [
            name
            for name, value in (
                ("position", position), ("orientation", cosines), ("pixel size", spacing)
            )
            if value is None
        ]  # fmt: skip
        if position is None or cosines is None or spacing is None:
            raise ReadError(
                f"The image (a {self.class_name}) gives no {' and no '.join(missing)}, so it "
                "cannot be placed in space."
            )
        row, column = _orthonormal(cosines[:3], cosines[3:])
        if (spacing <= 0).any():
            raise ReadError(f"The image gives a pixel size of {spacing[0]:g} x {spacing[1]:g} mm.")
        image_type = [str(v) for v in _values(dataset.get("ImageType"))]
        slope = groups.number("PixelValueTransformationSequence", "RescaleSlope")
        intercept = groups.number("PixelValueTransformationSequence", "RescaleIntercept")
        return SliceHeader(
            path=self.path,
            frame=number,
            series_uid=self.series_uid,
            sop_uid=str(dataset.get("SOPInstanceUID") or ""),
            description=self.description,
            modality=self.modality,
            transfer_syntax=self.transfer_syntax,
            series_number=str(dataset.get("SeriesNumber") or ""),
            instance_number=int(dataset.get("InstanceNumber") or 0),
            rows=int(dataset.Rows),
            columns=int(dataset.Columns),
            position_lps=position,
            row_lps=row,
            column_lps=column,
            spacing_rc=(float(spacing[0]), float(spacing[1])),
            thickness_mm=groups.number("PixelMeasuresSequence", "SliceThickness") or 0.0,
            gantry_tilt_deg=_number(dataset.get("GantryDetectorTilt")) or 0.0,
            slope=1.0 if slope is None or slope == 0 else slope,
            intercept=intercept or 0.0,
            bits_stored=int(dataset.get("BitsStored") or dataset.get("BitsAllocated") or 16),
            is_signed=int(dataset.get("PixelRepresentation") or 0) == 1,
            is_inverted=str(dataset.get("PhotometricInterpretation")) == "MONOCHROME1",
            is_localizer="LOCALIZER" in image_type,
            phase={name: groups.phase(name, dataset) for name in _PHASES},
        )


class _Groups:
    """Attributes of one frame: its own group, then the shared group, or the plain dataset."""

    def __init__(
        self, frame: Dataset | None, shared: Dataset | None, plain: Dataset | None = None
    ) -> None:
        self._groups = [g for g in (frame, shared) if g is not None]
        self._plain = plain

    def value(self, sequence: str, name: str) -> Any:
        if self._plain is not None:
            return self._plain.get(name)
        for group in self._groups:
            items = group.get(sequence)
            if items and items[0].get(name) is not None:
                return items[0].get(name)
        return None

    def vector(self, sequence: str, name: str, count: int) -> np.ndarray | None:
        values = _values(self.value(sequence, name))
        if not values:
            return None
        numbers = [_number(v) for v in values]
        if len(numbers) != count or None in numbers:
            return None
        return np.array(numbers, np.float64)

    def number(self, sequence: str, name: str) -> float | None:
        return _number(self.value(sequence, name))

    def phase(self, name: str, dataset: Dataset) -> str:
        if self._plain is None:
            for group in self._groups:
                for sequence in ("FrameContentSequence", "TemporalPositionSequence"):
                    items = group.get(sequence)
                    if items and items[0].get(name) is not None:
                        return str(items[0].get(name))
        return str(dataset.get(name) or "")


def _check_transfer_syntax(dataset: Dataset) -> None:
    """Refuse pixels that are packed in a way that cannot be unpacked here; films, for example."""
    meta = getattr(dataset, "file_meta", None)
    uid = "" if meta is None else str(meta.get("TransferSyntaxUID") or "")
    if not uid or uid in _READABLE_SYNTAXES:
        return
    raise ReadError(
        f"The pixels are stored as {transfer_syntax_name(dataset)}, which cannot be opened. Export "
        "the series again uncompressed, or as JPEG 2000 or JPEG-LS."
    )


def transfer_syntax_name(dataset: Dataset) -> str:
    """Return the name of the encoding of the pixels, e.g. "JPEG 2000 ... (Lossless Only)"."""
    meta = getattr(dataset, "file_meta", None)
    uid = meta.get("TransferSyntaxUID") if meta is not None else None
    if uid is None:
        return "Implicit VR Little Endian"
    return str(getattr(uid, "name", uid))


def _class_name(dataset: Dataset) -> str:
    uid = dataset.get("SOPClassUID")
    return str(getattr(uid, "name", uid) or "DICOM object of unknown class")


def _orthonormal(row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two unit vectors at right angles; the rounding of headers is taken out.

    Raises
    ------
    ReadError
        They are no directions, or clearly not at right angles.
    """
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if min(lengths) < 0.5 or abs(row @ column) > 1e-2 * lengths[0] * lengths[1]:
        raise ReadError("The image's rows and columns are not at right angles; export it again.")
    first = row / lengths[0]
    second = column - (column @ first) * first
    return first, second / np.linalg.norm(second)


def _values(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]


def _number(value: Any) -> float | None:
    values = _values(value)
    if len(values) != 1:
        return None
    try:
        number = float(values[0])
    except (TypeError, ValueError):
        return None
    return number if abs(number) < 1e12 else None
