"""DICOM RT structure set: one closed planar contour per piece of a label on each slice.

Contours run along the edges of voxels, so that filling them (voxel centres inside) gives the very
mask again. A piece with a hole is cut in two through the hole: contours inside contours are read
in different ways, contours side by side in one (DICOM PS3.3 C.8.8.6).

Like every object of a study it carries the patient's name and ids of the scan.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.core.document import Snapshot
from app.core.errors import ExportError
from app.core.geometry import Geometry
from app.core.labels import LabelInfo
from app.core.tasks import JobContext
from app.exporters import EXPORTERS
from app.exporters.dicom_seg import read_sources
from app.io.atomic import replacing
from app.io.dicom_dataset import parse_errors
from app.io.itk_bridge import source_geometry, to_file_array

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
_COPIED = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID",
    "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyDescription",
)  # fmt: skip
# DICOM keeps a number in 16 characters; a thousandth of a millimetre is enough.
_DIGITS = 3

Loop = np.ndarray  # (n, 2) int: corners (row, column); corner (r, c) is the upper left of a voxel


@dataclass(frozen=True)
class StructureSetExporter:
    """Writes contours beside the DICOM series that was opened."""

    id: str = "rtstruct"
    title: str = "DICOM RT structure set"
    suffixes: tuple[str, ...] = (".rtstruct.dcm",)

    def export(self, snapshot: Snapshot, path: Path, ctx: JobContext) -> None:
        """Write the object and read it back; see `Exporter.export`."""
        import pydicom

        ctx.report(0.0, "Reading headers")
        sources = read_sources(snapshot.volume, path)
        labels = to_file_array(snapshot.labelmap.voxels, snapshot.volume.source_orientation)
        present = [int(i) for i in np.unique(labels) if i]
        if not present:
            raise ExportError(f"“{path.name}” cannot be saved: no voxel has a label yet.")
        if not sources[0].get("FrameOfReferenceUID"):
            raise ExportError(
                f"“{path.name}” cannot be saved: the scan does not name its frame of reference, "
                "which contours need. Choose NIfTI, NRRD or MetaImage."
            )
        grid = source_geometry(snapshot.volume)
        dataset = _header(sources, snapshot)
        for number, label_id in enumerate(present, 1):
            ctx.report(0.1 + 0.6 * number / len(present), "Drawing contours")
            info = snapshot.label_table.get(label_id)
            info = info or LabelInfo(label_id, f"Label {label_id}", (200, 200, 200))
            _add_structure(dataset, number, info, labels == label_id, grid, sources)
        with replacing(path) as temporary:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    dataset.save_as(temporary, enforce_file_format=True)
                    ctx.report(0.8, "Checking")
                    written = pydicom.dcmread(temporary)
            except parse_errors() as error:
                if isinstance(error, OSError):
                    raise
                raise ExportError(
                    f"“{path.name}” cannot be saved: the DICOM headers of the scan do not allow "
                    f"it ({error}). Choose NIfTI, NRRD or MetaImage."
                ) from error
            for label_id, contours in zip(present, written.ROIContourSequence, strict=True):
                if not np.array_equal(filled(contours, grid), labels == label_id):
                    raise ExportError(
                        f"“{path.name}” does not read back as it was written; nothing was saved."
                    )


def outlines(mask: np.ndarray) -> Iterator[Loop]:
    """Yield the outlines of a slice's pieces, none with a hole; corners only where they turn.

    Parameters
    ----------
    mask : (rows, columns) bool
        Pieces touch by their sides; what meets at a corner alone are two pieces.
    """
    loops = _loops(mask)
    holes = [tuple(min(loop.tolist())) for loop in loops if _signed_area(loop) < 0]
    if not holes:
        yield from loops
        return
    mask = mask.copy()
    for loop in loops:
        covered = _interior(loop, mask.shape)
        if _signed_area(loop) > 0 and not any(covered[hole] for hole in holes):
            mask &= ~covered
            yield loop
    # What is left has holes: fewer above and below the first row of one of them.
    row = int(holes[0][0]) + 1
    for part in (slice(0, row), slice(row, None)):
        half = np.zeros_like(mask)
        half[part] = mask[part]
        yield from outlines(half)


def filled(contours: Dataset, grid: Geometry) -> np.ndarray:
    """Return the voxels (k, j, i) bool whose centres lie in the contours of a structure."""
    mask = np.zeros(grid.shape_zyx, bool)
    for contour in contours.get("ContourSequence", []):
        points = np.array([float(v) for v in contour.ContourData]).reshape(-1, 3)
        index = grid.lps_to_index(points)
        plane = round(float(index[0, 0]))
        corners = np.rint(index[:, 1:] + 0.5).astype(int)
        mask[plane] ^= _interior(corners, mask.shape[1:])
    return mask


# -- inside -------------------------------------------------------------------------------------


def _interior(loop: Loop, shape_rc: tuple[int, ...]) -> np.ndarray:
    """Return the voxels (rows, columns) bool that a loop goes around."""
    mask = np.zeros(shape_rc, bool)
    for (r0, c0), (r1, c1) in zip(loop, np.roll(loop, -1, axis=0), strict=True):
        if c0 == c1:
            # Everything right of a side that goes down or up changes sides.
            mask[min(r0, r1) : max(r0, r1), c0:] ^= True
    return mask


def _loops(mask: np.ndarray) -> list[Loop]:
    """Return closed walks along the edges of voxels, the mask always on the right."""
    inside = np.pad(mask, 1)
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def add(edges: np.ndarray, start: tuple[int, int], stop: tuple[int, int]) -> None:
        for r, c in np.argwhere(edges[1:-1, 1:-1]).tolist():
            following.setdefault((r + start[0], c + start[1]), []).append(
                (r + stop[0], c + stop[1])
            )

    add(inside & ~np.roll(inside, 1, 0), (0, 0), (0, 1))  # top, to the right
    add(inside & ~np.roll(inside, -1, 1), (0, 1), (1, 1))  # right side, down
    add(inside & ~np.roll(inside, -1, 0), (1, 1), (1, 0))  # bottom, to the left
    add(inside & ~np.roll(inside, 1, 1), (1, 0), (0, 0))  # left side, up
    loops = []
    while following:
        start = here = next(iter(following))
        heading = first = (0, 0)
        corners: list[tuple[int, int]] = []
        while True:
            choices = following.get(here, [])
            # Where four edges meet, turn right: what touches at a corner is another piece.
            right = (heading[1], -heading[0])
            if corners and here == start and (not choices or right == first):
                break
            ahead = (here[0] + right[0], here[1] + right[1])
            there = ahead if ahead in choices else choices[0]
            choices.remove(there)
            if not choices:
                del following[here]
            heading = (there[0] - here[0], there[1] - here[1])
            first = heading if not corners else first
            corners.append(here)
            here = there
        walk = np.array(corners)
        before, after = np.roll(walk, 1, axis=0), np.roll(walk, -1, axis=0)
        turns = ((walk - before) != (after - walk)).any(axis=1)
        loops.append(walk[turns])
    return loops


def _signed_area(loop: Loop) -> float:
    """Return the area of a loop; negative where it runs around a hole."""
    following = np.roll(loop, -1, axis=0)
    r0, c0, r1, c1 = loop[:, 0], loop[:, 1], following[:, 0], following[:, 1]
    return float(np.sum(c0 * r1 - c1 * r0)) / 2


def _header(sources: Sequence[Dataset], snapshot: Snapshot) -> Dataset:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence as Items
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    now, first = datetime.now(), sources[0]
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID, made.SOPInstanceUID = _STRUCTURE_SET, generate_uid()
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    for name in _COPIED:
        setattr(made, name, str(first.get(name, "")))
    made.Modality, made.SeriesInstanceUID, made.SeriesNumber = "RTSTRUCT", generate_uid(), 901
    made.SeriesDescription, made.InstanceNumber, made.OperatorsName = "Contours", 1, ""
    made.FrameOfReferenceUID = first.FrameOfReferenceUID
    made.PositionReferenceIndicator = ""
    made.Manufacturer = made.ManufacturerModelName = "Maskwright"
    made.SoftwareVersions = str(snapshot.provenance.get("app_version") or "0")
    made.StructureSetLabel = "MASKWRIGHT"
    made.StructureSetDate, made.StructureSetTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    made.ApprovalStatus = "UNAPPROVED"
    series = Dataset()
    series.SeriesInstanceUID = first.SeriesInstanceUID
    series.ContourImageSequence = Items([_reference(source) for source in sources])
    study = Dataset()
    study.ReferencedSOPClassUID = _STUDY_CLASS
    study.ReferencedSOPInstanceUID = first.StudyInstanceUID
    study.RTReferencedSeriesSequence = Items([series])
    frame = Dataset()
    frame.FrameOfReferenceUID = first.FrameOfReferenceUID
    frame.RTReferencedStudySequence = Items([study])
    made.ReferencedFrameOfReferenceSequence = Items([frame])
    for name in ("StructureSetROI", "ROIContour", "RTROIObservations"):
        setattr(made, f"{name}Sequence", Items())
    return made


def _add_structure(
    made: Dataset, number: int, info: LabelInfo, mask: np.ndarray, grid: Geometry,
    sources: Sequence[Dataset],
) -> None:  # fmt: skip
    """Add the contours of a mask (k, j, i) bool as the n-th structure."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence as Items

    structure = Dataset()
    structure.ROINumber, structure.ROIName = number, info.name[:64]
    structure.ReferencedFrameOfReferenceUID = made.FrameOfReferenceUID
    structure.ROIGenerationAlgorithm = "SEMIAUTOMATIC"
    made.StructureSetROISequence.append(structure)
    contours = Dataset()
    contours.ReferencedROINumber = number
    contours.ROIDisplayColor = list(info.colour)
    contours.ContourSequence = Items()
    for k in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        for loop in outlines(mask[k]):
            corners = np.column_stack([np.full(len(loop), k), loop - 0.5])
            points = grid.index_to_lps(corners).round(_DIGITS) + 0.0
            contour = Dataset()
            if len(sources) == grid.shape_zyx[0]:
                contour.ContourImageSequence = Items([_reference(sources[k])])
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(points)
            contour.ContourData = [f"{value:.{_DIGITS}f}" for value in points.ravel()]
            contours.ContourSequence.append(contour)
    made.ROIContourSequence.append(contours)
    observation = Dataset()
    observation.ObservationNumber = observation.ReferencedROINumber = number
    observation.RTROIInterpretedType = observation.ROIInterpreter = ""
    made.RTROIObservationsSequence.append(observation)


def _reference(source: Dataset) -> Dataset:
    from pydicom.dataset import Dataset

    reference = Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    return reference


EXPORTERS.register(StructureSetExporter())
