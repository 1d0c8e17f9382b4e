"""Masks from files: matched by name, put where they belong, refused where they do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from app.core.commands import EditVoxels, SetLabels
from app.core.document import Document, Snapshot
from app.core.geometry import Geometry, Region
from app.core.labels import LabelInfo, LabelMap, LabelTable
from app.core.tasks import NullContext
from app.core.volume import Volume
from app.exporting import exporter_for
from app.importing import MaskImport, merged
from app.io.writer import write_voxels
from app.notices import Message, Notices
from tests.manual_runner import ManualRunner
from tests.phantoms import rotation, torso_like

NAMED = LabelTable(
    (
        LabelInfo(1, "Liver", (200, 10, 20), code=("SCT", "10200004", "Liver")),
        LabelInfo(2, "Tumour", (10, 200, 30)),
    )
)


class Bench:
    """An open scan onto which masks are imported."""

    def __init__(self, orientation: str = "LPS") -> None:
        self.runner, notices = ManualRunner(), Notices()
        self.said: list[str] = []
        self.offered: Message | None = None
        notices.message.connect(self._on_message)
        self.masks = MaskImport(self.runner, notices)
        volume = torso_like(source_orientation=orientation)
        table = LabelTable()
        self.document = Document(volume, label_table=table.with_added(table.new_label("Label 1")))
        self.masks.open(self.document)

    def _on_message(self, message: Message) -> None:
        self.said.append(message.text)
        self.offered = message if message.action else None

    def agree(self) -> None:
        assert self.offered is not None
        self.offered.act()
        self.runner.run_all()

    def run(self, path: Path) -> None:
        self.masks.run(path)
        self.runner.run_all()

    def names(self) -> dict[int, str]:
        return {info.id: info.name for info in self.document.label_table}


def some_labels(high: int = 3) -> np.ndarray:
    shape = torso_like().voxels.shape
    labels = np.random.default_rng(5).integers(0, high, shape).astype(np.uint8)
    labels[:2] = 0
    return labels


def exported(path: Path, labels: np.ndarray, volume=None, table=NAMED) -> Path:
    volume = volume or torso_like()
    snapshot = Snapshot(volume, LabelMap(volume.geometry, labels), table, ())
    exporter_for(path).export(snapshot, path, NullContext())
    return path


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "PIR"])
@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nrrd", "mask.mha"])
def test_what_was_saved_comes_back(tmp_path, name, orientation):
    bench = Bench(orientation)
    labels = some_labels()
    bench.run(exported(tmp_path / name, labels, bench.document.volume))
    np.testing.assert_array_equal(bench.document.labelmap.voxels, labels)
    assert [replace(i, code=()) for i in bench.document.label_table] == [
        replace(i, code=()) for i in NAMED
    ]
    assert bench.document.undo_labels == (f"Import {name}",)
    bench.document.undo()
    assert not bench.document.labelmap.voxels.any()
    assert bench.names() == {1: "Label 1"}


def test_a_dicom_segmentation_comes_back_with_its_names(tmp_path):
    pytest.importorskip("highdicom")
    from tests.exporters.test_dicom_seg import export, scan_in, snapshot_of

    volume = scan_in(tmp_path / "s")
    snapshot = snapshot_of(volume)
    bench = Bench()
    bench.document = Document(volume, label_table=snapshot.label_table)
    bench.masks.open(bench.document)
    bench.run(export(snapshot, tmp_path / "seg.dcm"))
    # The object numbers its segments from 1; the names say which labels they are.
    np.testing.assert_array_equal(bench.document.labelmap.voxels, snapshot.labelmap.voxels)
    assert bench.document.label_table == snapshot.label_table


def test_labels_are_matched_by_name_and_voxels_outside_stay():
    table = LabelTable((LabelInfo(1, "Spleen", (1, 1, 1)), LabelInfo(5, "Liver", (2, 2, 2))))
    present = np.zeros((1, 1, 5), np.uint8)
    present[0, 0] = [1, 1, 5, 0, 0]
    labels = np.array([[[1, 0, 2, 2, 0]]], np.uint8)
    after, delta = merged(present, table, labels, NAMED, "mask")
    assert [(i.id, i.name) for i in after] == [(1, "Spleen"), (5, "Liver"), (2, "Tumour")]
    assert delta is not None
    labelmap = LabelMap(torso_like((1, 1, 5)).geometry, present)
    delta.apply(labelmap)
    assert labelmap.voxels[0, 0].tolist() == [5, 1, 2, 2, 0]


def test_a_name_whose_number_is_taken_gets_another():
    table = LabelTable((LabelInfo(1, "Spleen", (1, 1, 1)),))
    labels = np.array([[[1, 1, 0]]], np.uint8)
    after, _ = merged(np.zeros((1, 1, 3), np.uint8), table, labels, NAMED, "mask")
    assert [(i.id, i.name) for i in after] == [(1, "Spleen"), (2, "Liver")]


def test_bare_numbers_keep_theirs_and_a_single_one_takes_the_name_of_the_file():
    labels = np.array([[[0, 1, 300]]], np.uint16)
    table = LabelTable((LabelInfo(1, "Spleen", (1, 1, 1)),))
    after, delta = merged(np.zeros((1, 1, 3), np.uint8), table, labels, LabelTable(), "case")
    assert [(i.id, i.name) for i in after] == [(1, "Spleen"), (300, "Label 300")]
    assert delta is not None
    assert delta.new_values.tolist() == [1, 300]
    single = np.array([[[0, 255, 0]]], np.uint8)
    after, _ = merged(np.zeros((1, 1, 3), np.uint8), table, single, LabelTable(), "kidney")
    assert [(i.id, i.name) for i in after] == [(1, "Spleen"), (255, "kidney")]


@pytest.mark.parametrize("locked", ["Liver", "Tumour"])
def test_locked_labels_neither_lose_nor_gain(tmp_path, locked):
    bench = Bench()
    labels = some_labels()
    whole = Region.whole(labels.shape)
    bench.document.do(SetLabels("Names", NAMED))
    bench.document.do(EditVoxels("Paint", whole, np.full(labels.shape, 1, np.uint8)))
    info = NAMED.named(locked)
    bench.document.do(SetLabels("Lock", NAMED.with_changed(replace(info, locked=True))))
    before = bench.document.labelmap.voxels == info.id
    bench.run(exported(tmp_path / "mask.nrrd", labels))
    after = bench.document.labelmap.voxels
    np.testing.assert_array_equal(after == info.id, before)
    if locked == "Tumour":
        np.testing.assert_array_equal(after, np.ones_like(after))


def test_another_grid_is_refused_in_words(tmp_path):
    bench = Bench()
    other = torso_like(spacing_zyx=(3.0, 1.5, 1.5))
    bench.run(exported(tmp_path / "mask.nii.gz", some_labels(), other))
    assert "not on the grid of the scan" in bench.said[-1]
    assert not bench.document.labelmap.voxels.any()
    assert bench.document.undo_labels == ()


def turned_scan() -> Volume:
    """A scan of other voxels that looks at the phantom from another side."""
    like = torso_like()
    affine = np.eye(4)
    affine[:3, :3] = (
        rotation((10, -5, 20)) @ like.geometry.affine[:3, :3] @ np.diag([1.3, 0.8, 0.9])
    )
    middle = like.geometry.index_to_lps((np.array(like.voxels.shape) - 1) / 2)
    shape = (7, 22, 25)
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Volume(np.zeros(shape, np.int16), Geometry(shape, affine))


def test_a_label_map_of_another_grid_is_resampled_when_that_is_agreed_to(tmp_path):
    bench, scan = Bench(), turned_scan()
    bench.document = Document(scan)
    bench.masks.open(bench.document)
    path = exported(tmp_path / "mask.nii.gz", some_labels())
    bench.run(path)
    assert bench.document.undo_labels == ()
    bench.agree()
    grid = sitk.Image(*(scan.voxels.shape[::-1]), sitk.sitkUInt8)
    steps = scan.geometry.affine[:3, 2::-1]
    spacing = np.linalg.norm(steps, axis=0)
    grid.SetSpacing(spacing.tolist())
    grid.SetDirection((steps / spacing).ravel().tolist())
    grid.SetOrigin(scan.geometry.affine[:3, 3].tolist())
    theirs = sitk.Resample(
        sitk.ReadImage(str(path)), grid, sitk.Transform(), sitk.sitkNearestNeighbor
    )
    expected = sitk.GetArrayFromImage(theirs)
    assert 500 < np.count_nonzero(expected) < expected.size - 500
    # A voxel whose middle lies on a border may fall to either side.
    assert np.count_nonzero(bench.document.labelmap.voxels != expected) <= 0.001 * expected.size
    assert bench.document.undo_labels == ("Import mask.nii.gz",)
    bench.document.undo()
    assert not bench.document.labelmap.voxels.any()


@pytest.mark.parametrize("name", ["seg.dcm", "set.rtstruct.dcm"])
def test_dicom_labels_between_the_slices_are_resampled_when_that_is_agreed_to(tmp_path, name):
    """Each slice of the labels lies between two slices of the scan, and goes to both."""
    pytest.importorskip("highdicom")
    from tests.exporters.test_dicom_seg import scan_in

    volume = scan_in(tmp_path / "s")
    labels = np.zeros(volume.voxels.shape, np.uint8)
    labels[1:, 2:7, 1:6] = 1
    labels[1::2, 3:5, 6:9] = 2
    snapshot = Snapshot(volume, LabelMap(volume.geometry, labels), NAMED, ())
    affine = volume.geometry.affine.copy()
    affine[:3, 3] -= affine[:3, 0] / 4
    affine[:3, 0] /= 2
    shape = (2 * labels.shape[0], *labels.shape[1:])
    bench = Bench()
    bench.document = Document(Volume(np.zeros(shape, np.int16), Geometry(shape, affine)))
    bench.masks.open(bench.document)
    path = tmp_path / name
    exporter_for(path).export(snapshot, path, NullContext())
    bench.run(path)
    assert "not on the grid of the scan" in bench.said[-1]
    assert bench.document.undo_labels == ()
    bench.agree()
    ids = {info.name: info.id for info in bench.document.label_table}
    for info in snapshot.label_table:
        there = bench.document.labelmap.voxels == ids[info.name]
        np.testing.assert_array_equal(there, np.repeat(labels == info.id, 2, axis=0))


def test_labels_beside_the_scan_are_refused_even_resampled(tmp_path):
    bench = Bench()
    affine = torso_like().geometry.affine.copy()
    affine[:3, 3] += 5000
    far = replace(torso_like(), geometry=Geometry(torso_like().voxels.shape, affine))
    bench.run(exported(tmp_path / "mask.nii.gz", some_labels(), far))
    bench.agree()
    assert "outside of the scan" in bench.said[-1]
    assert bench.document.undo_labels == ()


def test_an_image_is_no_mask(tmp_path):
    bench = Bench()
    write_voxels(tmp_path / "ct.nii.gz", torso_like().voxels, torso_like(), NullContext())
    bench.run(tmp_path / "ct.nii.gz")
    assert "labels are whole numbers from 0" in bench.said[-1]
    assert bench.document.undo_labels == ()


def test_an_edit_in_the_meantime_is_kept(tmp_path):
    bench = Bench()
    labels = some_labels()
    bench.masks.run(exported(tmp_path / "mask.nii.gz", labels))
    region = Region((0, 0, 0), (1, 3, 3))
    bench.document.do(SetLabels("Names", NAMED))
    bench.document.do(EditVoxels("Paint", region, np.full((1, 3, 3), 2, np.uint8)))
    bench.runner.run_all()
    expected = labels.copy()
    expected[region.slices] = 2
    np.testing.assert_array_equal(bench.document.labelmap.voxels, expected)


def test_a_cancelled_import_changes_nothing(tmp_path):
    bench = Bench()
    bench.masks.run(exported(tmp_path / "mask.nii.gz", some_labels()))
    bench.masks.drop()
    bench.runner.run_all()
    assert bench.document.undo_labels == ()


def test_what_is_there_already_is_said(tmp_path):
    bench = Bench()
    path = exported(tmp_path / "mask.nii.gz", some_labels())
    bench.run(path)
    bench.run(path)
    assert "changes no voxel" in bench.said[-1]
    assert len(bench.document.undo_labels) == 1
