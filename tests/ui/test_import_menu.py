"""Masks of every format onto the open scan, by the entry of the File menu."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt

from app.core.document import Document
from app.core.labels import LabelMap, LabelTable
from app.core.tasks import NullContext
from app.exporting import exporter_for
from app.io.reader import read_volume
from app.ui import dialogs
from tests.exporters.test_dicom_seg import STUDY, TABLE, scan_in, snapshot_of
from tests.io.files import dicom_slice, write_dicom
from tests.ui.bench import Bench

NAMES = ("mask.nii.gz", "mask.nrrd", "mask.mha", "mask.dcm", "mask.rtstruct.dcm")


@pytest.fixture
def bench(qtbot, qapp, bright_model):
    return Bench(qtbot, qapp)


def open_scan(bench, folder, **more) -> Document:
    table = LabelTable()
    document = Document(
        scan_in(folder, **more), label_table=table.with_added(table.new_label("Label 1"))
    )
    bench.session.set_document(document, (-1000.0, 0.0))
    return document


def choose(bench, monkeypatch, path) -> None:
    monkeypatch.setattr(dialogs, "ask_mask", lambda parent, folder: path)
    bench.window.actions_table["import_mask"].trigger()
    bench.files.run_all()


@pytest.mark.parametrize("name", NAMES)
def test_a_mask_on_the_grid_of_the_scan_is_there_and_can_be_undone(
    bench, monkeypatch, tmp_path, name
):
    document = open_scan(bench, tmp_path / "s")
    saved = snapshot_of(document.volume)
    exporter_for(tmp_path / name).export(saved, tmp_path / name, NullContext())
    choose(bench, monkeypatch, tmp_path / name)
    labels = document.labelmap.voxels
    assert np.array_equal(labels > 0, saved.labelmap.voxels > 0)
    names = {info.name: info.id for info in document.label_table}
    liver = saved.label_table.named("Liver")
    assert np.array_equal(labels == names["Liver"], saved.labelmap.voxels == liver.id)
    bench.window.actions_table["undo"].trigger()
    assert not document.labelmap.voxels.any()


@pytest.mark.parametrize("name", NAMES)
def test_another_grid_is_resampled_only_when_that_is_agreed_to(bench, monkeypatch, tmp_path, name):
    # The mask was drawn on slices that lie a millimetre higher.
    slices = [dicom_slice(k, ImagePositionPatient=[-10, -20, 2.5 * k + 1.0], **STUDY)
              for k in range(5)]  # fmt: skip
    moved = read_volume(write_dicom(tmp_path / "u", slices))
    labels = np.zeros(moved.voxels.shape, np.uint8)
    labels[1:4, 2:6, 2:7] = 3
    drawn = Document(moved, LabelMap(moved.geometry, labels), TABLE).snapshot()
    exporter_for(tmp_path / name).export(drawn, tmp_path / name, NullContext())
    document, bar = open_scan(bench, tmp_path / "s"), bench.window.message_bar
    choose(bench, monkeypatch, tmp_path / name)
    assert not document.labelmap.voxels.any()
    assert bar.action_button.text() == "Resample and import"
    bench.qtbot.mouseClick(bar.action_button, Qt.MouseButton.LeftButton)
    bench.files.run_all()
    # The nearest slice is the one that lies a millimetre lower.
    assert np.array_equal(document.labelmap.voxels > 0, labels > 0)
    assert "after resampling" in bar.label.text()


@pytest.mark.parametrize("name", NAMES)
def test_a_mask_of_another_place_is_refused_even_resampled(bench, monkeypatch, tmp_path, name):
    slices = [dicom_slice(k, ImagePositionPatient=[500, -20, 2.5 * k], **STUDY)
              for k in range(5)]  # fmt: skip
    far = read_volume(write_dicom(tmp_path / "u", slices))
    exporter_for(tmp_path / name).export(snapshot_of(far), tmp_path / name, NullContext())
    document, bar = open_scan(bench, tmp_path / "s"), bench.window.message_bar
    choose(bench, monkeypatch, tmp_path / name)
    if bar.action_button.isVisible():
        bench.qtbot.mouseClick(bar.action_button, Qt.MouseButton.LeftButton)
        bench.files.run_all()
    assert not document.labelmap.voxels.any()
    assert "outside of" in bar.label.text()
    assert bar.property("error") is True
