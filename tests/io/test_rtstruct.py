"""Contours onto the open scan: ours give the very mask again, those of others what they enclose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from app.core.errors import GeometryError, ReadError
from app.io.reader import read_labels, read_named_labels, read_volume
from app.io.rtstruct import inside
from tests.exporters.test_dicom_seg import scan_in
from tests.exporters.test_rtstruct import export, snapshot_of
from tests.io.files import dicom_slice, write_dicom


@pytest.fixture
def kit(tmp_path: Path):
    """Return a scan, what was exported of it, the file, and its dataset."""
    volume = scan_in(tmp_path / "s")
    snapshot = snapshot_of(volume)
    path = tmp_path / "c.rtstruct.dcm"
    return volume, snapshot, path, export(snapshot, path)


@pytest.mark.parametrize(
    "orientation",
    [[1, 0, 0, 0, 1, 0], [-1, 0, 0, 0, -1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0.6, -0.8]],
    ids=["axial", "turned", "sagittal", "oblique"],
)
def test_what_we_export_comes_back(tmp_path: Path, orientation):
    across = np.cross(orientation[:3], orientation[3:])
    slices = [
        dicom_slice(
            k,
            StudyInstanceUID="1.2.3.4",
            FrameOfReferenceUID="1.2.3.5",
            ImageOrientationPatient=orientation,
            ImagePositionPatient=[round(v, 6) for v in (2.5 * k * across).tolist()],
        )
        for k in range(5)
    ]
    volume = read_volume(write_dicom(tmp_path / "s", slices))
    snapshot = snapshot_of(volume)
    path = tmp_path / "c.rtstruct.dcm"
    export(snapshot, path)
    labels, table = read_named_labels(path, volume.geometry)
    expected = np.zeros_like(labels)
    for number, label_id in enumerate((3, 9), 1):
        expected[snapshot.labelmap.voxels == label_id] = number
    np.testing.assert_array_equal(labels, expected)
    assert [(i.name, i.colour) for i in table] == [
        ("Liver", (200, 80, 60)),
        ("Rest ½", (10, 200, 60)),
    ]


# A quarter of a voxel off every centre, so that no corner and no edge passes through one.
corner = st.tuples(st.integers(-3, 12), st.integers(-3, 12))


@given(st.lists(corner, min_size=3, max_size=9, unique=True))
def test_filling_agrees_with_another_filler(corners):
    shape = (9, 11)
    line = np.add(corners, (0.25, 0.37))
    centres = np.indices((25, 25)).reshape(2, -1).T
    steps = np.roll(line, -1, axis=0) - line
    for start, step in zip(line, steps, strict=True):
        off = centres - 5 - start
        across = np.abs(step[0] * off[:, 1] - step[1] * off[:, 0])
        if across.min() < 1e-6:
            return  # an edge passes through a centre: both answers are right
    theirs = polygon2mask((25, 25), line + 5)[5:14, 5:16]
    np.testing.assert_array_equal(inside(line, shape), theirs)


def square(low: float, high: float, z: float) -> list[float]:
    corners = [(low, low), (high, low), (high, high), (low, high)]
    return [v for x, y in corners for v in (-10 + 0.75 * x, -20 + 0.5 * y, z)]


def test_contours_inside_others_are_holes_and_small_structures_stay_visible(kit):
    volume, _, path, made = kit
    first, second = made.ROIContourSequence
    outer, inner = pydicom.Dataset(), pydicom.Dataset()
    for item, data in ((outer, square(0.5, 6.5, 5.0)), (inner, square(2.5, 4.5, 5.0))):
        item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", 4
        item.ContourData = data
    small = pydicom.Dataset()
    small.ContourGeometricType, small.NumberOfContourPoints = "CLOSED_PLANAR", 4
    small.ContourData = square(0.5, 1.5, 5.0)
    # The small one comes first in the file.
    first.ContourSequence, second.ContourSequence = [small], [outer, inner]
    made.save_as(path)
    labels = read_labels(path, volume.geometry)
    expected = np.zeros((8, 10), np.uint8)
    expected[1:7, 1:7] = 2
    expected[3:5, 3:5] = 0
    expected[1, 1] = 1
    np.testing.assert_array_equal(labels[2], expected)
    assert not labels[[0, 1, 3, 4]].any()


def test_another_grid_is_refused_in_words(kit, tmp_path):
    _, _, path, _ = kit
    between = read_volume(
        write_dicom(
            tmp_path / "between",
            [dicom_slice(k, ImagePositionPatient=[-10, -20, 2.5 * k + 1.25]) for k in range(5)],
        )
    )
    with pytest.raises(GeometryError, match="does not lie in one of its slices"):
        read_labels(path, between.geometry)
    elsewhere = read_volume(
        write_dicom(
            tmp_path / "elsewhere",
            [dicom_slice(k, ImagePositionPatient=[-10, -20, 2.5 * k + 250]) for k in range(5)],
        )
    )
    with pytest.raises(GeometryError, match="lie outside"):
        read_labels(path, elsewhere.geometry)


@pytest.mark.parametrize("kind", ["POINT", "OPEN_PLANAR"])
def test_points_and_open_lines_are_no_labels(kit, kind):
    volume, _, path, made = kit
    for item in made.ROIContourSequence:
        for contour in item.ContourSequence:
            contour.ContourGeometricType = kind
    made.save_as(path)
    with pytest.raises(ReadError, match="no closed contours"):
        read_labels(path, volume.geometry)


def test_damaged_contours_are_refused(kit):
    volume, _, path, made = kit
    made.ROIContourSequence[0].ContourSequence[0].ContourData = ["1", "2", "3", "4"]
    made.save_as(path)
    with pytest.raises(ReadError, match="damaged"):
        read_labels(path, volume.geometry)
