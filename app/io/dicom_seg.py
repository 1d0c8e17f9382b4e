"""DICOM segmentation objects: their frames as labels on the grid of an open scan.

Object and attributes: DICOM PS3.3 A.51 and C.8.20. Each frame says where it lies; it is placed by
that, not by the order of frames or by which image it was made from.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.core.errors import GeometryError, OtherGridError, ReadError
from app.core.geometry import Geometry
from app.core.labels import PALETTE, Colour, LabelInfo, LabelTable
from app.io.dicom_dataset import load_dataset, parse_errors
from app.io.dicom_header import SEGMENTATION_CLASSES
from app.io.grid_file import check_size
from app.io.itk_bridge import canonical_geometry, file_geometry
from app.io.label_grids import even_steps, labels_on

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# A frame may lie this far from a slice of the scan, in voxels.
_OFF_GRID = 0.05
_TAGS = [
    "SOPClassUID", "Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit",
    "SamplesPerPixel", "PhotometricInterpretation", "PixelRepresentation", "SegmentationType",
    "MaximumFractionalValue", "SegmentSequence", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "PixelData",
]  # fmt: skip


def is_segmentation(path: Path) -> bool:
    """Return whether a DICOM file is a segmentation object."""
    return str(load_dataset(path, tags=["SOPClassUID"]).get("SOPClassUID")) in SEGMENTATION_CLASSES


def read_seg(
    path: Path, like: Geometry, *, resample: bool = False
) -> tuple[np.ndarray, LabelTable]:
    """Return the labels of a segmentation object on the canonical grid of a scan.

    Parameters
    ----------
    path : Path
    like : Geometry
    resample : bool
        Frames that do not lie on the grid are resampled onto it, see `labels_on`.

    Returns
    -------
    (z, y, x) uint8, or uint16 above 255 segments
        Segment numbers; where segments overlap, the later one.
    LabelTable
        Names, colours and codes of the segments.

    Raises
    ------
    ReadError
        The object is damaged, or of a kind that holds no labels.
    OtherGridError
        Its frames do not lie on the grid.
    GeometryError
        Nor can they be resampled onto it.
    """
    dataset = load_dataset(path, tags=_TAGS)
    try:
        try:
            labels = _labels(dataset, like)
        except OtherGridError:
            if not resample:
                raise
            own = _own_grid(dataset)
            labels = labels_on(_labels(dataset, own), own, like)
        return labels, _table(dataset)
    except parse_errors() as error:
        if isinstance(error, (ReadError, GeometryError)):
            raise
        raise ReadError("The DICOM segmentation is damaged. Copy or export it again.") from error


def _labels(dataset: Dataset, like: Geometry) -> np.ndarray:
    kind = str(dataset.get("SegmentationType", ""))
    frames = dataset.PerFrameFunctionalGroupsSequence
    shared = dataset.SharedFunctionalGroupsSequence[0]
    check_size((int(dataset.Columns), int(dataset.Rows), len(frames)), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels = dataset.pixel_array.reshape(-1, int(dataset.Rows), int(dataset.Columns))
    if len(pixels) != len(frames):
        raise ReadError(f"The file holds {len(pixels)} frames, but describes {len(frames)}.")
    if kind == "FRACTIONAL":
        pixels = pixels >= 0.5 * int(dataset.MaximumFractionalValue)
    elif kind not in ("BINARY", "LABELMAP"):
        raise ReadError(f"The DICOM segmentation is of the kind “{kind}”, which holds no labels.")
    highest = max(int(item.SegmentNumber) for item in dataset.SegmentSequence)
    labels = np.zeros(like.shape_zyx, np.uint8 if highest <= 255 else np.uint16)
    for number, (frame, plane) in enumerate(zip(frames, pixels, strict=True), 1):
        target = _plane_of(labels, like, frame, shared, plane.shape, number)
        drawn = plane > 0
        if kind == "LABELMAP":
            target[drawn] = plane[drawn]
        else:
            group = frame.get("SegmentIdentificationSequence")
            group = group or shared.SegmentIdentificationSequence
            target[drawn] = int(group[0].ReferencedSegmentNumber)
    return labels


def _plane_of(
    labels: np.ndarray, like: Geometry, frame: Dataset, shared: Dataset,
    shape_rc: tuple[int, int], number: int,
) -> np.ndarray:  # fmt: skip
    """Return the view (rows, columns) of the labels that a frame covers."""

    position, cosines, spacing = _place(frame, shared)
    start = like.lps_to_index(position)
    along_columns = like.lps_to_index(position + cosines[:3] * spacing[1]) - start
    along_rows = like.lps_to_index(position + cosines[3:] * spacing[0]) - start
    last = start + along_rows * (shape_rc[0] - 1) + along_columns * (shape_rc[1] - 1)
    first_voxel, last_voxel = np.rint(start).astype(int), np.rint(last).astype(int)
    row_axis, column_axis = int(np.abs(along_rows).argmax()), int(np.abs(along_columns).argmax())
    off = float(max(np.abs(start - first_voxel).max(), np.abs(last - last_voxel).max()))
    n_steps = np.abs(last_voxel - first_voxel)
    expected = np.zeros(3, int)
    expected[row_axis] += shape_rc[0] - 1
    expected[column_axis] += shape_rc[1] - 1
    is_inside = min(first_voxel.min(), last_voxel.min()) >= 0 and bool(
        (np.maximum(first_voxel, last_voxel) < like.shape_zyx).all()
    )
    if off > _OFF_GRID or row_axis == column_axis or (n_steps != expected).any() or not is_inside:
        raise OtherGridError(
            f"The labels are not on the grid of the scan: frame {number} of the segmentation, "
            f"{shape_rc[1]} x {shape_rc[0]} pixels at "
            f"{', '.join(f'{p:.1f}' for p in position)} mm, does not fall on its voxels."
        )
    where: list[slice | int] = [int(v) for v in first_voxel]
    for axis in (row_axis, column_axis):
        low, high = sorted((int(first_voxel[axis]), int(last_voxel[axis])))
        where[axis] = slice(low, high + 1)
    view = labels[tuple(where)]
    if row_axis > column_axis:
        view = view.T
    flips = [
        slice(None, None, -1 if last_voxel[a] < first_voxel[a] else 1)
        for a in (row_axis, column_axis)
    ]
    return view[tuple(flips)]


def _place(frame: Dataset, shared: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a frame's position (3,) in LPS mm, cosines (6,) and spacing (rows, columns) in mm."""

    def values(sequence: str, name: str) -> np.ndarray:
        group = frame.get(sequence) or shared.get(sequence)
        return np.array([float(v) for v in group[0][name].value])

    return (
        values("PlanePositionSequence", "ImagePositionPatient"),
        values("PlaneOrientationSequence", "ImageOrientationPatient"),
        values("PixelMeasuresSequence", "PixelSpacing"),
    )


def _own_grid(dataset: Dataset) -> Geometry:
    """Return the canonical grid that the frames span, with slices that the object leaves out.

    Raises
    ------
    GeometryError
        They are not parallel slices of one grid at even distances.
    """
    shared = dataset.SharedFunctionalGroupsSequence[0]
    places = [_place(frame, shared) for frame in dataset.PerFrameFunctionalGroupsSequence]
    first, cosines, spacing = places[0]
    positions = np.array([position for position, _, _ in places])
    normal = np.cross(cosines[:3], cosines[3:])
    depths = (positions - first) @ normal
    aside = positions - first - depths[:, None] * normal
    is_one = all(
        np.allclose(c, cosines, atol=1e-3) and np.allclose(s, spacing, rtol=1e-3)
        for _, c, s in places
    )
    if not is_one or np.abs(aside).max() > _OFF_GRID * spacing.min():
        raise GeometryError(
            "The labels are not on the grid of the scan, and their frames are not parallel slices "
            "of one grid, so they cannot be resampled."
        )
    measures = shared.get("PixelMeasuresSequence")
    between = None if not measures else measures[0].get("SpacingBetweenSlices")
    start, step, n = even_steps(depths, None if between is None else abs(float(between)))
    size_ijk = (int(dataset.Columns), int(dataset.Rows), n)
    check_size(size_ijk, 2)
    affine = np.eye(4)
    affine[:3, 0] = cosines[:3] * spacing[1]
    affine[:3, 1] = cosines[3:] * spacing[0]
    affine[:3, 2], affine[:3, 3] = normal * step, first + normal * start
    return canonical_geometry(file_geometry(size_ijk, affine))[0]


def _table(dataset: Dataset) -> LabelTable:
    infos = []
    for item in dataset.SegmentSequence:
        number = int(item.SegmentNumber)
        if number == 0:  # the background of a label map
            continue
        code: tuple[str, ...] = ()
        kind = item.get("SegmentedPropertyTypeCodeSequence")
        if kind:
            parts = (kind[0].get(n, "") for n in ("CodingSchemeDesignator", "CodeValue"))
            code = (*(str(p) for p in parts), str(kind[0].get("CodeMeaning", "")))
        name = str(item.get("SegmentLabel") or f"Segment {number}")
        infos.append(LabelInfo(number, name, _colour(item, number), code=code))
    return LabelTable(tuple(infos))


def _colour(item: Dataset, number: int) -> Colour:
    value = item.get("RecommendedDisplayCIELabValue")
    if value is None or len(value) != 3:
        return PALETTE[(number - 1) % len(PALETTE)]
    # PS3.3 C.10.7.1.1: L* from 0 to 100, a* and b* from -128 to 127, each over 16 bits.
    scaled = np.array([float(v) for v in value]) / 65535
    lightness, a, b = scaled[0] * 100, scaled[1] * 255 - 128, scaled[2] * 255 - 128
    y = (lightness + 16) / 116
    xyz = np.array([y + a / 500, y, y - b / 200])
    xyz = np.where(xyz > 6 / 29, xyz**3, 3 * (6 / 29) ** 2 * (xyz - 4 / 29))
    # CIE 1976, white point D65, then linear sRGB and its transfer curve (IEC 61966-2-1).
    linear = np.array(
        [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
    ) @ (xyz * (0.9505, 1.0, 1.089))
    linear = np.clip(linear, 0, 1)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = (int(v) for v in np.rint(rgb * 255))
    return red, green, blue
