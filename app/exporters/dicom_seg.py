"""DICOM segmentation object: coded segments that refer to the slices they were drawn on.

The object carries the patient's name and ids of the scan, as every DICOM object of a study does;
without them an archive could not file it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.core.document import Snapshot
from app.core.errors import AppError, ExportError
from app.core.labels import LabelInfo
from app.core.tasks import JobContext
from app.core.volume import Volume
from app.exporters import EXPORTERS
from app.io.atomic import replacing
from app.io.dicom_dataset import parse_errors
from app.io.dicom_seg import read_seg
from app.io.itk_bridge import source_geometry, to_file_array

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# What a segment is when its label has no code: SNOMED CT "Tissue".
_TISSUE = ("SCT", "85756007", "Tissue")
_ANATOMY = ("SCT", "123037004", "Anatomical Structure")
# What an object must have but may leave empty (type 2): anonymised scans often lack it altogether.
_MAY_BE_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


@dataclass(frozen=True)
class SegmentationExporter:
    """Writes a binary segmentation object beside the DICOM series that was opened."""

    id: str = "dicom-seg"
    title: str = "DICOM segmentation"
    suffixes: tuple[str, ...] = (".dcm",)

    def export(self, snapshot: Snapshot, path: Path, ctx: JobContext) -> None:
        """Write the object and read it back; see `Exporter.export`."""
        ctx.report(0.0, "Reading headers")
        sources = read_sources(snapshot.volume, path)
        labels = snapshot.labelmap.voxels
        present = [int(i) for i in np.unique(labels) if i]
        if not present:
            raise ExportError(f"“{path.name}” cannot be saved: no voxel has a label yet.")
        # Segments are numbered 1, 2, ... without gaps.
        number_of = np.zeros(max(present) + 1, np.uint16)
        number_of[present] = np.arange(1, len(present) + 1)
        numbered = number_of[labels]
        infos = [snapshot.label_table.get(i) or _unnamed(i) for i in present]
        with replacing(path) as temporary:
            ctx.report(0.3, "Writing")
            _write(temporary, path, sources, numbered, infos, snapshot)
            ctx.report(0.7, "Checking")
            try:
                written, _ = read_seg(temporary, snapshot.volume.geometry)
            except AppError as error:
                raise ExportError(
                    f"“{path.name}” was written, but cannot be read again ({error}); nothing was "
                    "saved."
                ) from error
            if not np.array_equal(written, numbered):
                raise ExportError(
                    f"“{path.name}” does not read back as it was written; nothing was saved."
                )


def read_sources(volume: Volume, path: Path) -> Sequence[Dataset]:
    """Return the headers of the scan's files, without pixels."""
    import pydicom

    if not volume.source_paths:
        raise ExportError(
            f"“{path.name}” cannot be saved: a DICOM object needs a scan that was opened from "
            "DICOM, slice by slice as it was scanned. Choose NIfTI, NRRD or MetaImage."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sources = [pydicom.dcmread(p, stop_before_pixels=True) for p in volume.source_paths]
    except parse_errors() as error:
        raise ExportError(
            f"“{path.name}” cannot be saved: the DICOM files of the scan are not there any more."
        ) from error
    missing = [name for name in _NEEDED if not all(s.get(name) for s in sources)]
    if missing:
        raise ExportError(
            f"“{path.name}” cannot be saved: the scan has lost its {missing[0]} (it was "
            "anonymised), so a DICOM object cannot refer to it. Choose NIfTI, NRRD or "
            "MetaImage."
        )
    for source in sources:
        for name in _MAY_BE_EMPTY:
            if name not in source:
                setattr(source, name, "")
        _share(source)
    return sources


def _share(source: Dataset) -> None:
    """Put what all frames have in common where highdicom looks for it; some scanners repeat it."""
    frames = source.get("PerFrameFunctionalGroupsSequence")
    shared = source.get("SharedFunctionalGroupsSequence")
    if not frames or not shared:
        return
    for name in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
        if name not in shared[0] and name in frames[0]:
            setattr(shared[0], name, frames[0][name].value)


def _write(
    temporary: Path, path: Path, sources: Sequence[Dataset], numbered: np.ndarray,
    infos: Sequence[LabelInfo], snapshot: Snapshot,
) -> None:  # fmt: skip
    import highdicom as hd

    volume = snapshot.volume
    planes: dict[str, Any] = {}
    if len(sources) == 1 and volume.source_paths:
        planes = _planes(volume)
    version = str(snapshot.provenance.get("app_version") or "0")
    frames = np.ascontiguousarray(to_file_array(numbered, volume.source_orientation))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = hd.seg.Segmentation(
                source_images=sources,
                pixel_array=frames.astype(np.uint8 if len(infos) < 256 else np.uint16),
                segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=[
                    _description(n, info, snapshot) for n, info in enumerate(infos, 1)
                ],
                series_instance_uid=hd.UID(),
                series_number=900,
                sop_instance_uid=hd.UID(),
                instance_number=1,
                manufacturer="Maskwright",
                manufacturer_model_name="Maskwright",
                software_versions=version,
                device_serial_number="0",
                content_label="SEGMENTATION",
                series_description="Segmentation",
                **planes,
            )
            made.save_as(temporary)
    except parse_errors() as error:
        if isinstance(error, OSError):
            raise
        raise ExportError(
            f"“{path.name}” cannot be saved: the DICOM headers of the scan do not allow it "
            f"({error}). Choose NIfTI, NRRD or MetaImage."
        ) from error


def _planes(volume: Volume) -> dict[str, Any]:
    """Return where frames lie, for scans of one file: it may hold other frames, too."""
    import highdicom as hd

    grid = source_geometry(volume)
    _, step_j, step_i = grid.affine[:3, :3].T
    size_k, size_j, size_i = grid.spacing_zyx
    return {
        "pixel_measures": hd.PixelMeasuresSequence(
            pixel_spacing=[size_j, size_i], slice_thickness=size_k, spacing_between_slices=size_k
        ),
        "plane_orientation": hd.PlaneOrientationSequence(
            "PATIENT", [*(step_i / size_i), *(step_j / size_j)]
        ),
        "plane_positions": [
            hd.PlanePositionSequence("PATIENT", grid.index_to_lps((k, 0, 0)).tolist())
            for k in range(grid.shape_zyx[0])
        ],
    }


def _description(number: int, info: LabelInfo, snapshot: Snapshot) -> Any:
    import highdicom as hd

    has_code = len(info.code) == 3 and all(info.code)
    model_id = str(snapshot.provenance.get("model_id") or "")
    algorithm: dict[str, Any] = {"algorithm_type": hd.seg.SegmentAlgorithmTypeValues.MANUAL}
    if model_id:
        algorithm = {
            "algorithm_type": hd.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
            "algorithm_identification": hd.AlgorithmIdentificationSequence(
                name=model_id[:64],
                version=str(snapshot.provenance.get("model_sha256") or "0")[:16],
                family=hd.sr.CodedConcept("123110", "DCM", "Artificial Intelligence"),
            ),
        }
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=info.name[:64],
        segmented_property_category=_concept(_ANATOMY if has_code else _TISSUE),
        segmented_property_type=_concept(info.code if has_code else _TISSUE),
        display_color=hd.color.CIELabColor.from_rgb(*info.colour),
        **algorithm,
    )


def _concept(code: Sequence[str]) -> Any:
    import highdicom as hd

    scheme, value, meaning = code
    return hd.sr.CodedConcept(value=value, scheme_designator=scheme, meaning=meaning[:64])


def _unnamed(label_id: int) -> LabelInfo:
    return LabelInfo(label_id, f"Label {label_id}", (200, 200, 200))


EXPORTERS.register(SegmentationExporter())
