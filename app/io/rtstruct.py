"""DICOM RT structure sets: their contours filled onto the grid of an open scan.

Object and attributes: DICOM PS3.3 A.19 and C.8.8.6. A voxel belongs to a structure where its centre
lies inside; contours of one structure on one slice that lie in each other make holes (even-odd
rule), which also reads contours that are joined by a line to their hole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.core.errors import GeometryError, OtherGridError, ReadError
from app.core.geometry import Geometry
from app.core.labels import PALETTE, Colour, LabelInfo, LabelTable
from app.io.dicom_dataset import load_dataset, parse_errors
from app.io.grid_file import check_size
from app.io.label_grids import even_steps, labels_on

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

STRUCTURE_SET_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
_TAGS = ["SOPClassUID", "StructureSetROISequence", "ROIContourSequence"]
# How far a contour may lie from the middle of its slice, and how far it may leave its plane, in
# slice distances: planning systems round, but a contour between two slices belongs to neither.
_OFF_SLICE = 0.25
# Crossings of contours with rows that are worked out at once.
_CHUNK = 1 << 18

Planes = dict[tuple[int, int], np.ndarray]  # (axis, slice) to a mask of that slice


def is_structure_set(path: Path) -> bool:
    """Return whether a DICOM file is an RT structure set."""
    return str(load_dataset(path, tags=["SOPClassUID"]).get("SOPClassUID")) == STRUCTURE_SET_CLASS


def read_structures(
    path: Path, like: Geometry, *, resample: bool = False
) -> tuple[np.ndarray, LabelTable]:
    """Return the structures of a structure set on the canonical grid of a scan.

    Parameters
    ----------
    path : Path
    like : Geometry
    resample : bool
        Contours between the slices of the scan are filled on slices of their own, and resampled
        onto it, see `labels_on`.

    Returns
    -------
    (z, y, x) uint8, or uint16 above 255 structures
        Numbered in the order of the file; where structures overlap, the smaller one. What lies
        beyond the scan is cut off.
    LabelTable
        Names and colours.

    Raises
    ------
    ReadError
        The object is damaged, or holds no closed contour.
    OtherGridError
        Its contours do not lie on the slices of the scan.
    GeometryError
        Nor can they be resampled onto them.
    """
    dataset = load_dataset(path, tags=_TAGS)
    try:
        try:
            return _read(dataset, like)
        except OtherGridError:
            if not resample:
                raise
            own = _own_grid(dataset, like)
            labels, table = _read(dataset, own)
            return labels_on(labels, own, like), table
    except parse_errors() as error:
        if isinstance(error, (ReadError, GeometryError)):
            raise
        raise ReadError("The DICOM structure set is damaged. Copy or export it again.") from error


def _read(dataset: Dataset, like: Geometry) -> tuple[np.ndarray, LabelTable]:
    names = {
        int(item.ROINumber): str(item.get("ROIName") or "")
        for item in dataset.get("StructureSetROISequence") or []
    }
    infos: list[LabelInfo] = []
    planes_of: dict[int, Planes] = {}
    for item in dataset.get("ROIContourSequence") or []:
        planes = _filled(item, like)
        if planes is None:
            continue
        number = len(infos) + 1
        name = names.get(int(item.ReferencedROINumber)) or f"Structure {number}"
        infos.append(LabelInfo(number, name, _colour(item, number)))
        planes_of[number] = planes
    if not infos:
        raise ReadError("The DICOM structure set holds no closed contours.")
    table = LabelTable(tuple(infos))
    sizes = {n: sum(int(m.sum()) for m in p.values()) for n, p in planes_of.items()}
    if not any(sizes.values()):
        raise GeometryError(
            "The labels are not on the grid of the scan: all contours of the structure set lie "
            "outside of it."
        )
    labels = np.zeros(like.shape_zyx, np.uint8 if len(infos) <= 255 else np.uint16)
    for number in sorted(sizes, key=lambda n: -sizes[n]):
        for (axis, index), mask in planes_of[number].items():
            np.moveaxis(labels, axis, 0)[index][mask] = number
    return labels, table


def _filled(item: Dataset, like: Geometry) -> Planes | None:
    """Return masks by (axis, slice) of one structure; None if it has no closed contour."""
    planes: Planes = {}
    n_closed = 0
    for points in _closed_contours(item):
        n_closed += 1
        index = like.lps_to_index(points)
        axis, number = _plane(index, points)
        if not 0 <= number < like.shape_zyx[axis]:
            continue
        shape_rc = tuple(n for a, n in enumerate(like.shape_zyx) if a != axis)
        mask = planes.setdefault((axis, number), np.zeros(shape_rc, bool))
        mask ^= inside(np.delete(index, axis, axis=1), (shape_rc[0], shape_rc[1]))
    return planes if n_closed else None


def _closed_contours(item: Dataset) -> Iterator[np.ndarray]:
    """Yield the corners (n, 3) in LPS mm of each closed contour of a structure."""
    for contour in item.get("ContourSequence") or []:
        kind = str(contour.get("ContourGeometricType", ""))
        if kind not in ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR"):
            continue
        points = np.array([float(v) for v in contour.ContourData]).reshape(-1, 3)
        if not np.isfinite(points).all() or len(points) < 3:
            raise ReadError("The DICOM structure set is damaged: a contour has no area.")
        yield points


def _own_grid(dataset: Dataset, like: Geometry) -> Geometry:
    """Return the grid of a scan with other slices: those on which the contours lie.

    Raises
    ------
    GeometryError
        The contours are not parallel to slices of the scan, or unevenly spaced.
    """
    axes, depths = set(), []
    for item in dataset.get("ROIContourSequence") or []:
        for points in _closed_contours(item):
            index = like.lps_to_index(points)
            spread = np.ptp(index, axis=0)
            axis = int(spread.argmin())
            if spread[axis] > 2 * _OFF_SLICE:
                raise GeometryError(
                    "The labels are not on the grid of the scan, and their contours are turned "
                    "against its slices, so they cannot be resampled."
                )
            axes.add(axis)
            depths.append(float(index[:, axis].mean()))
    if len(axes) != 1:
        raise GeometryError(
            "The labels are not on the grid of the scan, and their contours lie in several planes, "
            "so they cannot be resampled."
        )
    (axis,) = axes
    start, step, n = even_steps(np.array(depths))
    affine = like.affine.copy()
    affine[:3, 3] += affine[:3, axis] * start
    affine[:3, axis] *= step
    shape = list(like.shape_zyx)
    shape[axis] = n
    check_size(shape, 2)
    return Geometry((shape[0], shape[1], shape[2]), affine)


def _plane(index: np.ndarray, points: np.ndarray) -> tuple[int, int]:
    """Return the axis across a contour, and the number of its slice.

    Raises
    ------
    OtherGridError
        It lies in no slice.
    """
    axis = int(np.ptp(index, axis=0).argmin())
    middle = float(index[:, axis].mean())
    number = round(middle) if abs(middle) < 1e9 else -1
    if max(np.ptp(index[:, axis]) / 2, abs(middle - number)) > _OFF_SLICE:
        x, y, z = points[0]
        raise OtherGridError(
            "The labels are not on the grid of the scan: the contour at "
            f"{x:.1f}, {y:.1f}, {z:.1f} mm does not lie in one of its slices."
        )
    return axis, number


def inside(corners_rc: np.ndarray, shape_rc: tuple[int, int]) -> np.ndarray:
    """Return the voxels (rows, columns) bool whose centres lie inside a closed line.

    Parameters
    ----------
    corners_rc : (n, 2) float
        Row and column in voxels; whole numbers are centres. It may leave the slice.
    shape_rc : tuple of 2 int
    """
    n_rows, n_columns = shape_rc
    start, stop = corners_rc, np.roll(corners_rc, -1, axis=0)
    low = np.where((start[:, :1] <= stop[:, :1]), start, stop)
    high = np.where((start[:, :1] <= stop[:, :1]), stop, start)
    first = np.clip(np.ceil(low[:, 0]), 0, n_rows).astype(np.int64)
    last = np.clip(np.ceil(high[:, 0]), 0, n_rows).astype(np.int64)  # not included
    crosses = last > first
    low, high, first, count = low[crosses], high[crosses], first[crosses], (last - first)[crosses]
    # One more column takes what crosses beyond the right border.
    flips = np.zeros((n_rows, n_columns + 1), np.int64)
    done = 0
    while done < len(count):
        more = max(1, int(np.searchsorted(np.cumsum(count[done:]), _CHUNK)))
        part = slice(done, done + more)
        edge = np.repeat(np.arange(done, done + len(count[part])), count[part])
        before = np.repeat(np.cumsum(count[part]) - count[part], count[part])
        row = first[edge] + np.arange(len(edge)) - before
        share = (row - low[edge, 0]) / (high[edge, 0] - low[edge, 0])
        column = low[edge, 1] + share * (high[edge, 1] - low[edge, 1])
        column = np.clip(np.ceil(column), 0, n_columns).astype(np.int64)
        np.add.at(flips, (row, column), 1)
        done += more
    return np.cumsum(flips, axis=1)[:, :n_columns] % 2 == 1


def _colour(item: Dataset, number: int) -> Colour:
    value = [int(v) for v in item.get("ROIDisplayColor") or []]
    if len(value) != 3 or not all(0 <= v <= 255 for v in value):
        return PALETTE[(number - 1) % len(PALETTE)]
    return value[0], value[1], value[2]
