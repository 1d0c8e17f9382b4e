"""Opening, saving and closing in the window: what is asked before, what is there afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from PySide6.QtCore import Qt

from app.core.geometry import Geometry
from app.core.tasks import NullContext
from app.core.volume import Modality, Volume
from app.io.prompts_file import read_prompts
from app.io.writer import write_voxels
from app.session import SeriesInfo
from app.ui import dialogs

pytestmark = pytest.mark.usefixtures("no_dialogs")


def test_saving_writes_the_mask_and_forgets_that_it_was_changed(bench, tmp_path, monkeypatch):
    document = bench.open()
    bench.session.view_state.cursor_zyx = (10, 20, 22)
    bench.drag(0, (10.0, 10.0, 13.0), (10.0, 28.0, 33.0))
    bench.runner.run_all()
    monkeypatch.setattr(dialogs, "ask_save", lambda parent, path: tmp_path / "mask.nii.gz")
    bench.key(Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier)
    bench.files.run_all()
    assert not document.is_modified
    saved = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "mask.nii.gz")))
    assert saved.sum() == 14 * 16


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.stl", b"maskwright"), ("a.ply", b"ply"), ("a.obj", b"# maskwright"),
     ("a.label.txt", b"# value"), ("a.prompts.json", b"{")],
)  # fmt: skip
def test_surfaces_names_and_prompts_are_exported_and_are_no_saved_mask(
    bench, tmp_path, monkeypatch, name, start
):
    document = bench.open()
    bench.drag(0, (10.0, 10.0, 13.0), (10.0, 28.0, 33.0))
    bench.runner.run_all()
    monkeypatch.setattr(dialogs, "ask_export", lambda parent, path: tmp_path / name)
    bench.window.actions_table["export"].trigger()
    bench.files.run_all()
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes().startswith(start)
    assert document.is_modified
    if name.endswith(".json"):
        assert read_prompts(tmp_path / name, document.volume).prompts


@pytest.mark.parametrize(
    ("answer", "closes"), [(dialogs.Unsaved.CANCEL, False), (dialogs.Unsaved.DISCARD, True)]
)
def test_closing_with_unsaved_work_asks_first(bench, monkeypatch, answer, closes):
    document = bench.open()
    bench.session.label_editing.add("more")
    assert document.is_modified
    monkeypatch.setattr(dialogs, "ask_unsaved", lambda parent: answer)
    bench.window.close()
    assert bench.window.isVisible() is not closes


def test_several_series_are_offered_and_the_chosen_one_is_opened(bench, tmp_path, monkeypatch):
    series = tuple(
        SeriesInfo(
            uid=uid,
            description=uid,
            modality="CT",
            size_xyz=(5, 5, 3),
            spacing_mm=(1.0, 1.0, 2.0),
            orientation="LPS",
            transfer_syntax="",
        )
        for uid in ("first", "second")
    )
    asked = []
    monkeypatch.setattr(dialogs, "ask_series", lambda parent, offered: offered[1])

    def opened(path, series_uid, resample):
        asked.append((path, series_uid, resample))

    monkeypatch.setattr(bench.session, "open", opened)
    bench.session.opening.offered_path = tmp_path
    bench.session.series_offered.emit(series)
    assert asked == [(tmp_path, "second", False)]


def test_a_tilted_series_is_offered_on_a_regular_grid(bench, shared_data, monkeypatch):
    asked = []

    def take_the_first(parent, series):
        asked.append(dialogs.series_heading(series))
        return series[0]

    monkeypatch.setattr(dialogs, "ask_series", take_the_first)
    bench.window.open_path(shared_data / "dicom" / "ct_ge_tilt_uneven")
    bench.files.run_all()
    assert "18.5 degrees" in asked[0]
    assert "resampled to a regular grid" in asked[0]
    document = bench.session.document
    assert document.volume.modality is Modality.CT
    assert "Resampled to a regular grid" in bench.window.message_bar.label.text()


def test_a_mask_of_another_grid_is_resampled_by_a_click_in_the_message(bench, tmp_path):
    bench.open()
    document, bar = bench.session.document, bench.window.message_bar
    geometry = document.volume.geometry
    affine = geometry.affine.copy()
    affine[:3, 2] *= 2  # pixels twice as wide, from the same place on
    affine[:3, 3] += affine[:3, 2] / 4
    nz, ny, nx = geometry.shape_zyx
    grid = Geometry((nz, ny, nx // 2), affine)
    labels = np.zeros(grid.shape_zyx, np.uint8)
    labels[3:9, 4:11, 5:12] = 1
    coarse = Volume(labels, grid)
    write_voxels(tmp_path / "Liver.nii.gz", labels, coarse, NullContext())
    bench.session.import_mask(tmp_path / "Liver.nii.gz")
    bench.files.run_all()
    assert not document.labelmap.voxels.any()
    assert bar.action_button.isVisible()
    bench.qtbot.mouseClick(bar.action_button, Qt.MouseButton.LeftButton)
    bench.files.run_all()
    expected = np.zeros(geometry.shape_zyx, bool)
    expected[3:9, 4:11, 10:24] = True
    np.testing.assert_array_equal(document.labelmap.voxels > 0, expected)
    assert "after resampling" in bar.label.text()
    assert not bar.action_button.isVisible()
