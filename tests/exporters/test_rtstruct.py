"""RT structure sets: contours that give the mask again, also to a filler of our own making."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.draw import polygon2mask

from app.core.document import Snapshot
from app.core.errors import ExportError
from app.core.labels import LabelInfo, LabelMap, LabelTable
from app.core.tasks import NullContext
from app.exporters import EXPORTERS
from app.exporters.rtstruct import outlines
from app.exporting import exporter_for
from app.io.itk_bridge import to_file_array
from tests.exporters.test_dicom_seg import scan_in
from tests.phantoms import torso_like

TABLE = LabelTable((LabelInfo(3, "Liver", (200, 80, 60)), LabelInfo(9, "Rest ½", (10, 200, 60))))


def export(snapshot: Snapshot, path: Path) -> pydicom.Dataset:
    EXPORTERS.load()["rtstruct"].export(snapshot, path, NullContext())
    return pydicom.dcmread(path)


def snapshot_of(volume) -> Snapshot:
    labels = np.zeros(volume.voxels.shape, np.uint8)
    labels[0, 0, 1] = 9
    labels[2, 1:6, 1:7] = 3
    labels[2, 3, 3:5] = 0  # a hole
    labels[3, 0:4, -3:] = 3
    labels[-1, -1, :] = 3
    return Snapshot(volume, LabelMap(volume.geometry, labels), TABLE, ())


def twice_area(loop: np.ndarray) -> int:
    r, c = loop[:, 0], loop[:, 1]
    return int(np.sum(c * np.roll(r, -1) - np.roll(c, -1) * r))


@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_outlines_cover_each_pixel_once_and_run_around_no_hole(mask):
    area, filled = 0, np.zeros(mask.shape, int)
    for loop in outlines(mask):
        assert twice_area(loop) > 0
        area += twice_area(loop)
        # Corners (r, c) are the upper left of pixels: half a pixel off their centres.
        filled += polygon2mask(mask.shape, loop - 0.5)
    assert area == 2 * mask.sum()
    np.testing.assert_array_equal(filled, mask)


def test_a_piece_without_a_hole_is_one_outline():
    mask = np.zeros((9, 12), bool)
    mask[1:8, 1:6] = True
    mask[3:5, 3] = False
    mask[2:7, 8:11] = True  # beside the one with the hole: not cut with it
    sizes = [twice_area(loop) // 2 for loop in outlines(mask)]
    assert 15 in sizes
    assert sum(sizes) == mask.sum()


@pytest.mark.parametrize(
    "more", [{}, {"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0]}], ids=["plain", "turned"]
)
def test_contours_lie_on_the_slices_they_name(tmp_path: Path, more: dict):
    volume = scan_in(tmp_path / "s", **more)
    snapshot = snapshot_of(volume)
    made = export(snapshot, tmp_path / "contours.rtstruct.dcm")
    assert [r.ROIName for r in made.StructureSetROISequence] == ["Liver", "Rest ½"]
    assert made.FrameOfReferenceUID == "1.2.3.5"
    assert made.StudyInstanceUID == "1.2.3.4"
    slices = {s.SOPInstanceUID: s for s in map(pydicom.dcmread, volume.source_paths)}
    in_file = to_file_array(snapshot.labelmap.voxels, volume.source_orientation)
    order = [str(pydicom.dcmread(p).SOPInstanceUID) for p in volume.source_paths]
    for label_id, structure in zip((3, 9), made.ROIContourSequence, strict=True):
        drawn = np.zeros(in_file.shape, bool)
        for contour in structure.ContourSequence:
            image = slices[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            assert len(points) == contour.NumberOfContourPoints
            # By the slice's own header (PS3.3 C.7.6.2.1.1), not by our geometry.
            offset = points - np.array(image.ImagePositionPatient, float)
            along_row, along_column = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
            normal = np.cross(along_row, along_column)
            np.testing.assert_allclose(offset @ normal, 0, atol=2e-3)
            size_r, size_c = (float(v) for v in image.PixelSpacing)
            rows, columns = offset @ along_column / size_r, offset @ along_row / size_c
            corners = np.column_stack([rows, columns])
            drawn[order.index(image.SOPInstanceUID)] |= polygon2mask(in_file.shape[1:], corners)
        np.testing.assert_array_equal(drawn, in_file == label_id)


def test_the_suffix_chooses_the_exporter():
    assert exporter_for(Path("a.rtstruct.dcm")).id == "rtstruct"
    assert exporter_for(Path("a.dcm")).id == "dicom-seg"


def test_a_scan_that_is_not_from_dicom_is_refused_in_words(tmp_path: Path):
    volume = torso_like()
    snapshot = Snapshot(volume, LabelMap(volume.geometry), TABLE, ())
    with pytest.raises(ExportError, match="opened from DICOM"):
        export(snapshot, tmp_path / "x.rtstruct.dcm")
    assert list(tmp_path.iterdir()) == []


def test_a_scan_without_a_frame_of_reference_is_refused(tmp_path: Path):
    volume = scan_in(tmp_path / "s")
    for source in volume.source_paths:
        dataset = pydicom.dcmread(source)
        del dataset.FrameOfReferenceUID
        dataset.save_as(source)
    with pytest.raises(ExportError, match="frame of reference"):
        export(snapshot_of(volume), tmp_path / "x.rtstruct.dcm")


def test_nothing_is_saved_without_voxels(tmp_path: Path):
    volume = scan_in(tmp_path / "s")
    snapshot = Snapshot(volume, LabelMap(volume.geometry), TABLE, ())
    with pytest.raises(ExportError, match="no voxel"):
        export(snapshot, tmp_path / "x.rtstruct.dcm")
