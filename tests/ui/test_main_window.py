"""The window, driven by mouse and keyboard; what happened is read from the document."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QTableWidget

from app.core.document import Document
from app.core.geometry import Geometry
from app.core.labels import LabelTable
from app.core.tasks import NullContext
from app.core.volume import Modality, Volume
from app.io.prompts_file import read_prompts
from app.io.writer import write_voxels
from app.session import SeriesInfo, Session
from app.settings import Settings, user_models_dir
from app.ui import dialogs, slice_view
from app.ui.main_window import MainWindow
from app.ui.start_page import StartPage
from app.ui.theme import apply_theme
from models.engine import InferenceEngine
from models.networks.vnet import vnet_paper
from tests.fake_model import bright_models
from tests.manual_runner import ManualRunner


class Bench:
    """A window on a session whose jobs run when told."""

    def __init__(self, qtbot, qapp, models=bright_models) -> None:
        apply_theme(qapp)
        self.runner, self.files = ManualRunner(), ManualRunner()
        self.engine = InferenceEngine(models)
        self.session = Session(self.runner, self.files, self.engine, models, Settings())
        self.window = MainWindow(self.session)
        qtbot.addWidget(self.window, before_close_func=lambda _: self.leave())
        self.window.resize(1200, 800)
        self.window.show()
        qtbot.waitExposed(self.window)
        self.qtbot = qtbot

    def leave(self) -> None:
        if self.session.document is not None:
            self.session.document.mark_saved()

    def open(self) -> Document:
        voxels = np.zeros((20, 40, 44), np.float32)
        voxels[5:15, 12:26, 15:31] = 1
        affine = np.eye(4)[[2, 1, 0, 3]]  # array axes z, y, x run to S, P, L
        volume = Volume(voxels, Geometry(voxels.shape, affine), Modality.MR, name="tube")
        table = LabelTable()
        for name in ("organ", "lesion"):
            table = table.with_added(table.new_label(name))
        document = Document(volume, label_table=table)
        self.session.set_document(document, (0.0, 1.0))
        self.session.view_state.active_tool = "box"
        self.qtbot.waitUntil(lambda: self.window.grid.isVisible())
        return document

    def view(self, axis: int):
        return self.window.grid.panels[axis].view

    def drag(self, axis: int, start, stop) -> None:
        """Press at one voxel index, release at another."""
        view = self.view(axis)
        a, b = view.point_at(start).toPoint(), view.point_at(stop).toPoint()
        target, left = view.viewport(), Qt.MouseButton.LeftButton
        self.qtbot.mousePress(target, left, pos=a)
        self.qtbot.mouseMove(target, (a + b) / 2)
        self.qtbot.mouseMove(target, b)
        self.qtbot.mouseRelease(target, left, pos=b)

    def key(self, key, modifier=Qt.KeyboardModifier.NoModifier) -> None:
        self.qtbot.keyClick(self.window, key, modifier)


@pytest.fixture
def bench(qtbot, qapp, bright_model) -> Bench:
    return Bench(qtbot, qapp)


@pytest.fixture(autouse=True)
def no_dialogs(monkeypatch):
    """Fail on any question that a test did not answer."""
    for name in ("ask_image", "ask_folder", "ask_save", "ask_series", "ask_unsaved", "show_text"):

        def refuse(*arguments, name=name):
            raise AssertionError(f"the dialog {name} was not expected")

        monkeypatch.setattr(dialogs, name, refuse)


def test_an_empty_window_invites_and_offers_nothing_that_cannot_be_done(bench):
    assert bench.window.start_page.isVisible()
    table = bench.window.actions_table
    assert table["open"].isEnabled()
    for name in ("save", "undo", "redo", "tool_box", "carry", "reset"):
        assert not table[name].isEnabled(), name


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_dragged_on_any_plane_becomes_a_mask_there(bench, axis):
    document = bench.open()
    inside = [10, 20, 22]
    bench.session.view_state.cursor_zyx = tuple(inside)
    start, stop = [3.0, 10.0, 13.0], [16.0, 28.0, 33.0]
    start[axis] = stop[axis] = float(inside[axis])
    bench.drag(axis, tuple(start), tuple(stop))
    assert len(bench.session.prompting.pending) == 1
    bench.runner.run_all()
    expected = np.zeros(document.volume.voxels.shape, bool)
    where = [slice(None)] * 3
    where[axis] = inside[axis]
    expected[tuple(where)] = (document.volume.voxels > 0.5)[tuple(where)]
    np.testing.assert_array_equal(document.labelmap.voxels == 1, expected)


def test_keys_undo_redo_and_name_the_step(bench):
    document = bench.open()
    bench.session.view_state.cursor_zyx = (10, 20, 22)
    bench.drag(0, (10.0, 10.0, 13.0), (10.0, 28.0, 33.0))
    bench.runner.run_all()
    assert bench.window.actions_table["undo"].text() == "Undo Box (organ)"
    bench.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not document.labelmap.voxels.any()
    bench.key(Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    assert document.labelmap.voxels.any()
    assert "•" in bench.window.windowTitle()


def test_tool_keys_choose_the_tool_and_a_digit_the_label(bench):
    bench.open()
    for key, tool in ((Qt.Key.Key_P, "point"), (Qt.Key.Key_S, "scribble"), (Qt.Key.Key_B, "box")):
        bench.key(key)
        assert bench.session.view_state.active_tool == tool
    bench.key(Qt.Key.Key_2)
    assert bench.session.view_state.active_label == 2
    bench.key(Qt.Key.Key_T)
    assert not bench.session.view_state.positive


def test_carry_button_carries_the_box_through_the_chosen_slices(bench):
    document = bench.open()
    bench.session.view_state.cursor_zyx = (10, 20, 22)
    panel = bench.window.segment_panel
    assert not panel.carry_button.isEnabled()
    bench.drag(0, (10.0, 10.0, 13.0), (10.0, 28.0, 33.0))
    bench.runner.run_all()
    panel.first.setValue(8)
    panel.last.setValue(13)
    bench.qtbot.mouseClick(panel.carry_button, Qt.MouseButton.LeftButton)
    bench.runner.run_all()
    slices = np.flatnonzero(document.labelmap.voxels.any(axis=(1, 2)))
    assert slices.tolist() == [7, 8, 9, 10, 11, 12]


def test_labels_are_added_renamed_locked_and_that_can_be_undone(bench):
    document = bench.open()
    panel = bench.window.label_panel
    bench.qtbot.mouseClick(panel.add_button, Qt.MouseButton.LeftButton)
    assert [info.name for info in document.label_table] == ["organ", "lesion", "Label 3"]
    assert bench.session.view_state.active_label == 3
    panel.table.closePersistentEditor(panel.table.currentItem())
    panel.table.item(1, 1).setText("metastasis")
    panel.table.item(0, 3).setCheckState(Qt.CheckState.Checked)
    assert document.label_table.get(2).name == "metastasis"
    assert document.label_table.get(1).locked
    assert document.undo_labels[:2] == ("Lock organ", "Rename metastasis")
    bench.session.undo()
    assert isinstance(panel.table, QTableWidget)
    assert panel.table.item(0, 3).checkState() == Qt.CheckState.Unchecked


def test_deleting_a_locked_label_is_refused_in_words(bench):
    document = bench.open()
    panel = bench.window.label_panel
    panel.table.item(0, 3).setCheckState(Qt.CheckState.Checked)
    panel.table.setCurrentCell(0, 1)
    bench.qtbot.mouseClick(panel.delete_button, Qt.MouseButton.LeftButton)
    assert len(document.label_table) == 2
    assert "locked" in bench.window.message_bar.label.text()


def test_a_prompt_on_a_locked_label_is_refused_in_words(bench):
    document = bench.open()
    bench.window.label_panel.table.item(0, 3).setCheckState(Qt.CheckState.Checked)
    bench.session.label_editing.choose(1)
    bench.drag(0, (10.0, 10.0, 13.0), (10.0, 28.0, 33.0))
    assert bench.session.prompting.pending == ()
    assert "locked" in bench.window.message_bar.label.text()
    assert document.prompts == ()


def test_a_dropped_file_opens_and_is_remembered(bench, tmp_path):
    path = tmp_path / "scan.nii.gz"
    sitk.WriteImage(
        sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5)), str(path)
    )
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    copy, left = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    event = QDropEvent(QPointF(50, 50), copy, mime, left, Qt.KeyboardModifier.NoModifier)
    bench.window.dropEvent(event)
    bench.files.run_all()
    assert bench.session.document.volume.name == "scan"
    assert bench.session.settings.recent_files == [str(path)]
    assert Settings.load().recent_files == [str(path)]


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


def test_window_presets_of_ct_change_the_display_only(bench):
    document = bench.open()
    ct = Volume(document.volume.voxels, document.volume.geometry, Modality.CT, name="ct")
    bench.session.set_document(Document(ct, label_table=document.label_table), (-160.0, 240.0))
    bench.key(Qt.Key.Key_F2)
    assert bench.session.view_state.window == (-1350.0, 150.0)
    assert bench.session.prompting.model_window == (-160.0, 240.0)


def test_messages_errors_stay_and_notes_do_not_push_them_away(bench):
    from app.session import Message

    bar = bench.window.message_bar
    bench.session.message.emit(Message("broken", is_error=True))
    bench.session.message.emit(Message("by the way"))
    assert bar.isVisible()
    assert bar.label.text() == "broken"
    bench.qtbot.mouseClick(bar.close_button, Qt.MouseButton.LeftButton)
    assert not bar.isVisible()


def test_a_message_does_not_move_the_pictures(bench):
    from app.session import Message

    bench.open()
    view, bar = bench.view(0), bench.window.message_bar
    before = view.mapTo(bench.window, view.rect().center())
    bench.session.message.emit(Message("The model is unsure here. " * 20))
    bench.qtbot.waitUntil(bar.isVisible)
    assert bar.isVisible()
    assert view.mapTo(bench.window, view.rect().center()) == before
    assert bench.window.stack.rect().contains(bar.geometry())
    assert bar.label.height() >= bar.label.heightForWidth(bar.label.width())


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


def test_the_pointer_tells_value_label_and_place(bench):
    bench.open()
    view = bench.view(0)
    point = view.point_at((10.0, 20.0, 22.0)).toPoint()
    wanted = "(22, 20, 10)   L 22.0  P 20.0  S 10.0 mm"

    def is_told() -> bool:
        # Again and again: the window may learn in between that the real pointer is elsewhere.
        bench.qtbot.mouseMove(view.viewport(), point + QPoint(1, 1))
        bench.qtbot.mouseMove(view.viewport(), point)
        return bench.window.status.place.text().startswith(wanted)

    bench.qtbot.waitUntil(is_told)


def test_double_click_shows_one_view_alone_and_again_all(bench):
    bench.open()
    bench.session.view_state.active_tool = "navigate"
    view = bench.view(1)
    bench.qtbot.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(60, 60))
    shown = [panel.isVisible() for panel in bench.window.grid.panels]
    assert shown == [False, True, False]
    bench.qtbot.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(60, 60))
    assert all(panel.isVisible() for panel in bench.window.grid.panels)


def test_the_mouse_question_is_asked_once(qtbot, qapp, bright_model, user_home):
    bench = Bench(qtbot, qapp)
    buttons = bench.window.start_page.schemes
    qtbot.mouseClick(buttons["research"], Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    assert Settings.load().mouse_scheme == "research"
    later = StartPage(bench.session)
    qtbot.addWidget(later)
    assert not hasattr(later, "schemes")


def test_n_goes_from_one_doubtful_slice_to_the_next(bench):
    document = bench.open()
    bench.session.prompting.place_box(0, 8, (8, 8, 30, 34))
    bench.runner.run_all()
    bench.session.prompting.carry_through(5, 12)
    bench.runner.run_all()
    scores = bench.session.prompting.scores[document.prompts[0].object_id]
    scores[6] = scores[10] = 0.3
    for expected in (6, 10, 6):
        bench.key(Qt.Key.Key_N)
        assert bench.session.view_state.cursor_zyx[0] == expected


def test_v_hides_the_masks_and_a_long_press_gives_them_back(bench, monkeypatch):
    bench.open()
    view, state = bench.view(0), bench.session.view_state
    view.setFocus()
    bench.qtbot.keyClick(view, Qt.Key.Key_V)
    assert not state.overlay_visible
    bench.qtbot.keyClick(view, Qt.Key.Key_V)
    assert state.overlay_visible
    monkeypatch.setattr(slice_view, "PEEK_MS", 0)
    bench.qtbot.keyPress(view, Qt.Key.Key_V)
    assert not state.overlay_visible
    bench.qtbot.keyRelease(view, Qt.Key.Key_V)
    assert state.overlay_visible


def test_diagnostics_hold_the_device_and_no_name(bench, qapp):
    bench.open()
    bench.window.actions_table.run("diagnostics")
    text = qapp.clipboard().text()
    assert "Maskwright" in text
    assert "(20, 40, 44)" in text
    assert "tube" not in text


def test_no_shortcut_is_given_twice(bench):
    taken = [
        key.toString()
        for action in bench.window.actions_table.actions.values()
        for key in action.shortcuts()
    ]
    assert sorted(taken) == sorted(set(taken))


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


@pytest.mark.parametrize("name", ["trained.pth", "vnet_model_best.pth.tar"])
def test_a_dropped_checkpoint_is_imported(bench, tmp_path, user_home, name):
    path = tmp_path / name
    torch.save(vnet_paper(1, 2, width=2).state_dict(), path)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    point = QPointF(200, 200)
    bench.window.dropEvent(QDropEvent(point, Qt.DropAction.CopyAction, data, left, none))
    bench.files.run_all()
    assert "Imported V-Net (paper)" in bench.window.message_bar.label.text()
    assert (user_models_dir() / "vnet" / "model.json").exists()
    # Bytes that are no checkpoint are refused in words.
    path.write_bytes(b"nothing")
    bench.window.dropEvent(QDropEvent(point, Qt.DropAction.CopyAction, data, left, none))
    bench.files.run_all()
    assert name in bench.window.message_bar.label.text()
    assert bench.window.message_bar.property("error") is True


def test_two_checkpoints_dropped_in_a_row_are_both_imported(bench, tmp_path, user_home):
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    for name in ("first.pth", "second.pth"):
        torch.save(vnet_paper(1, 2, width=2).state_dict(), tmp_path / name)
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(tmp_path / name))])
        drop = QDropEvent(QPointF(200, 200), Qt.DropAction.CopyAction, data, left, none)
        bench.window.dropEvent(drop)
    bench.files.run_all()
    assert sorted(p.name for p in user_models_dir().iterdir()) == ["vnet", "vnet-2"]


def test_of_several_dropped_files_all_checkpoints_are_imported_and_a_scan_opened(
    bench, tmp_path, user_home
):
    scan = tmp_path / "scan.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((4, 5, 6), np.int16)), scan)
    for name in ("first.pth", "second.pth"):
        torch.save(vnet_paper(1, 2, width=2).state_dict(), tmp_path / name)
    data = QMimeData()
    names = ("first.pth", "scan.nii.gz", "second.pth")
    data.setUrls([QUrl.fromLocalFile(str(tmp_path / name)) for name in names])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    drop = QDropEvent(QPointF(200, 200), Qt.DropAction.CopyAction, data, left, none)
    bench.window.dropEvent(drop)
    bench.files.run_all()
    assert sorted(p.name for p in user_models_dir().iterdir()) == ["vnet", "vnet-2"]
    assert bench.session.document.volume.voxels.shape == (4, 5, 6)


def test_dropped_imagenet_arrays_are_refused_with_the_reason(bench, tmp_path, user_home):
    path = tmp_path / "R50+ViT-B_16.npz"
    np.savez(path, head=np.zeros(1, np.float32))
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    drop = QDropEvent(QPointF(200, 200), Qt.DropAction.CopyAction, data, left, none)
    bench.window.dropEvent(drop)
    bench.files.run_all()
    assert "segment nothing by themselves" in bench.window.message_bar.label.text()
    assert not user_models_dir().exists()


@pytest.mark.qt_log_ignore("This plugin does not support")
def test_a_model_is_chosen_from_the_menu_and_remembered(qtbot, qapp, bright_model, user_home):
    other = dataclasses.replace(bright_models()["embedded"], id="other", title="Other")
    both = {**bright_models(), "other": other}
    bench = Bench(qtbot, qapp, lambda: both)
    menu = bench.window.model_menu
    menu.popup(bench.window.mapToGlobal(QPoint(100, 100)))
    actions = {action.text(): action for action in menu.actions()}
    assert [t for t, action in actions.items() if action.isChecked()] == ["Bright"]
    place = menu.actionGeometry(actions["Other"]).center()
    bench.qtbot.mouseClick(menu, Qt.MouseButton.LeftButton, pos=place)
    bench.runner.run_all()
    assert bench.session.prompting.model_id == "other"
    assert Settings.load().model_id == "other"
    assert "test bench" in bench.window.status.chip.toolTip()
