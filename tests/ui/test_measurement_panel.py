"""The table of measures, the ruler and the angle, driven by mouse and keyboard."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication

from app.core.annotations import AnnotationKind
from app.core.geometry import Region
from app.core.labels import LabelMap
from app.core.tasks import NullContext
from app.exporting import exporter_for
from app.tools import TOOLS
from tests.ui.bench import Bench
from tests.ui.test_edit_panel import paint

LEFT = Qt.MouseButton.LeftButton
BLOCK = Region((5, 12, 15), (9, 26, 25))


@pytest.fixture
def bench(qtbot, qapp, bright_model, monkeypatch) -> Bench:
    for tool in TOOLS.load().values():
        for name, value in vars(tool).items():
            monkeypatch.setattr(tool, name, value)
    bench = Bench(qtbot, qapp)
    bench.open()
    bench.files.run_all()
    return bench


@pytest.fixture
def panel(bench):
    panel = bench.window.measurement_panel
    bench.window.actions_table.run("measure_show")
    bench.qtbot.waitUntil(lambda: panel._is_seen)
    return panel


def settle(bench: Bench, panel) -> None:
    """Let the pause after an edit pass, and measure."""
    panel._pause.stop()
    bench.session.measurements.refresh()
    bench.files.run_all()


def drag(bench: Bench, axis: int, *points) -> None:
    view = bench.view(axis)
    places = [view.point_at(p).toPoint() for p in points]
    bench.qtbot.mousePress(view.viewport(), LEFT, pos=places[0])
    for place in places[1:]:
        bench.qtbot.mouseMove(view.viewport(), place)
    bench.qtbot.mouseRelease(view.viewport(), LEFT, pos=places[-1])


def cell(table, row: int, title: str) -> str:
    titles = [table.horizontalHeaderItem(c).text() for c in range(table.columnCount())]
    return table.item(row, titles.index(title)).text()


def test_an_edit_is_measured_after_a_pause(bench, panel):
    settle(bench, panel)
    paint(bench, BLOCK)
    assert panel._pause.isActive()
    assert cell(panel.labels, 0, "ml") == "0.00"
    bench.qtbot.waitUntil(lambda: bool(bench.files.jobs), timeout=5000)
    bench.files.run_all()
    # Voxels are 1 mm.
    assert cell(panel.labels, 0, "ml") == "0.56"
    assert cell(panel.labels, 0, "Voxels") == "560"
    bench.session.undo()
    settle(bench, panel)
    assert cell(panel.labels, 0, "ml") == "0.00"


def test_a_change_while_it_measures_starts_over(bench, panel):
    paint(bench, BLOCK)
    bench.session.measurements.refresh()
    bench.session.undo()
    settle(bench, panel)
    assert cell(panel.labels, 0, "Voxels") == "0"


def test_nothing_is_measured_while_nobody_looks(bench, panel):
    bench.window.edit_panel.parentWidget().raise_()
    bench.qtbot.waitUntil(lambda: not panel._is_seen)
    settle(bench, panel)
    paint(bench, BLOCK)
    assert not panel._pause.isActive()
    bench.window.actions_table.run("measure_show")
    bench.qtbot.waitUntil(panel._pause.isActive)


def test_a_row_leads_to_the_slice_and_its_lines_can_be_moved_and_reset(bench, panel):
    paint(bench, BLOCK)
    paint(bench, Region((12, 10, 10), (13, 30, 34)))
    settle(bench, panel)
    panel.labels.cellClicked.emit(0, 0)
    assert bench.session.view_state.cursor_zyx[0] == 12
    (mark,) = bench.session.marks
    assert mark.kind is AnnotationKind.DIAMETERS
    assert bench.session.document.annotations == ()
    # With no tool in hand but navigation, an end of a line can be taken.
    bench.session.view_state.active_tool = "navigate"
    start = mark.points_zyx[0]
    drag(bench, 0, start, (12.0, 20.0, 20.0))
    (edited,) = bench.session.document.annotations
    assert edited.points_zyx[0] == pytest.approx((12, 20, 20), abs=0.6)
    assert edited.points_zyx[1:] == mark.points_zyx[1:]
    settle(bench, panel)
    assert cell(panel.labels, 0, "Longest mm").endswith("*")
    # It stays when the mask changes, until it is reset.
    paint(bench, Region((12, 0, 0), (13, 5, 5)))
    settle(bench, panel)
    assert bench.session.marks == (edited,)
    bench.qtbot.mouseClick(panel.reset_button, LEFT)
    assert bench.session.document.annotations == ()
    assert cell(panel.labels, 0, "Longest mm") == f"{mark.lengths_mm((1, 1, 1))[0]:.1f}"
    bench.session.undo()
    assert bench.session.document.annotations == (edited,)


def test_a_ruler_is_drawn_moved_listed_and_deleted(bench, panel):
    bench.window.actions_table.run("tool_ruler")
    z = bench.session.view_state.cursor_zyx[0]
    drag(bench, 0, (z, 10, 10), (z, 13, 14), (z, 16, 18))
    (ruler,) = bench.session.document.annotations
    assert ruler.index == z
    assert ruler.lengths_mm((1, 1, 1))[0] == pytest.approx(10, abs=0.8)
    assert cell(panel.marks, 0, "Result") == f"{ruler.lengths_mm((1, 1, 1))[0]:.1f} mm"
    drag(bench, 0, ruler.points_zyx[1], (z, 10, 30))
    (moved,) = bench.session.document.annotations
    assert moved.id == ruler.id
    assert moved.points_zyx[0] == ruler.points_zyx[0]
    assert moved.lengths_mm((1, 1, 1))[0] == pytest.approx(20, abs=0.8)
    assert bench.session.document.undo_labels == ("Ruler", "Ruler")
    bench.key(Qt.Key.Key_Delete)
    assert bench.session.document.annotations == ()
    bench.session.undo()
    assert bench.session.document.annotations == (moved,)
    assert bench.session.document.labelmap.is_blank


def test_an_angle_takes_two_drags(bench, panel):
    bench.window.actions_table.run("tool_angle")
    x = bench.session.view_state.cursor_zyx[2]
    drag(bench, 2, (5, 10, x), (5, 20, x))
    assert bench.session.document.annotations == ()
    drag(bench, 2, (10, 20, x), (14, 20, x))
    (angle,) = bench.session.document.annotations
    assert angle.kind is AnnotationKind.ANGLE
    assert angle.degrees((1, 1, 1)) == pytest.approx(90, abs=6)
    assert cell(panel.marks, 0, "Line") == "Angle"


def test_a_slip_makes_no_line(bench):
    bench.window.actions_table.run("tool_ruler")
    z = bench.session.view_state.cursor_zyx[0]
    drag(bench, 0, (z, 10, 10))
    assert bench.session.document.annotations == ()


def test_the_table_is_copied_and_saved_with_the_lines(bench, panel, tmp_path, monkeypatch):
    paint(bench, BLOCK)
    settle(bench, panel)
    bench.window.actions_table.run("tool_ruler")
    z = bench.session.view_state.cursor_zyx[0]
    drag(bench, 0, (z, 10, 10), (z, 16, 18))
    panel.copy()
    rows = [line.split("\t") for line in QGuiApplication.clipboard().text().splitlines()]
    assert rows[0][0] == "Label"
    assert rows[1][rows[0].index("Volume (ml)")] == "0.56"
    path = tmp_path / "measures.csv"
    monkeypatch.setattr("app.ui.dialogs.ask_save_table", lambda *_: path)
    bench.window.actions_table.run("measure_csv")
    bench.files.run_all()
    lines = path.read_text("utf-8").splitlines()
    assert lines[0].startswith("Label,Value,Voxels")
    assert any(line.startswith("ruler,") for line in lines)


def test_another_mask_is_compared_and_shown(bench, panel, tmp_path, monkeypatch):
    paint(bench, BLOCK)
    document = bench.session.document
    other = np.zeros(document.volume.voxels.shape, np.uint8)
    other[Region((5, 12, 17), (9, 26, 27)).slices] = 1
    snapshot = document.snapshot()
    path = tmp_path / "other.nii.gz"
    moved = type(snapshot)(
        snapshot.volume, LabelMap(document.volume.geometry, other), snapshot.label_table, ()
    )
    exporter_for(path).export(moved, path, NullContext())
    monkeypatch.setattr("app.ui.dialogs.ask_mask", lambda *_: path)
    bench.window.actions_table.run("compare")
    bench.files.run_all()
    bench.qtbot.waitUntil(lambda: not panel.agreement.visibleRegion().isEmpty())
    # Eight of ten columns are common.
    assert cell(panel.agreement, 0, "Dice") == "0.800"
    assert cell(panel.agreement, 0, "Difference ml") == "0.00"
    view = bench.view(0)
    bench.session.view_state.cursor_zyx = (6, 20, 20)
    bench.session.view_state.overlay_visible = False
    shown = view.grab().toImage()
    bench.window.actions_table.run("compare_show")
    hidden = view.grab().toImage()
    only_here = view.point_at((6, 20, 15.5)).toPoint()
    common = view.point_at((6, 15, 22)).toPoint()
    assert shown.pixelColor(only_here) != hidden.pixelColor(only_here)
    assert shown.pixelColor(common) == hidden.pixelColor(common)
    assert document.undo_labels == ("Paint",)
    bench.window.actions_table.run("compare_end")
    assert not panel.agreement.isVisible()


def test_the_report_is_exported_and_the_volumes_range_is_told(bench, panel, tmp_path, monkeypatch):
    paint(bench, BLOCK)
    path = tmp_path / "report.pdf"
    monkeypatch.setattr("app.ui.dialogs.ask_save_report", lambda *_: path)
    bench.window.actions_table.run("report")
    bench.files.run_all()
    assert path.read_bytes().startswith(b"%PDF")
    told = []
    bench.session.message.connect(lambda message: told.append(message.text))
    bench.qtbot.mouseClick(panel.range_button, LEFT)
    assert told[-1].startswith("Draw a box first")
    bench.session.prompting.place_box(0, 10, (10, 10, 30, 35))
    bench.runner.run_all()
    bench.qtbot.mouseClick(panel.range_button, LEFT)
    bench.runner.run_all()
    # The tube's 14 x 16 voxels on the slice are bright whatever the box.
    assert told[-1].startswith("Volume 0.22 ml")
