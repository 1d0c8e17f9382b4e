"""The list of labels under mouse and keyboard; what came of it is read from the document."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QDropEvent, QIcon
from PySide6.QtTest import QTest

from app.core.commands import EditVoxels, SetLabels
from app.core.document import Document
from app.core.geometry import Region
from app.core.labels import LabelInfo, LabelTable
from app.label_presets import label_presets
from app.ui.label_table import COLOUR, NAME
from tests.phantoms import torso_like
from tests.ui.bench import Bench


@pytest.fixture
def bench(qtbot, qapp):
    bench = Bench(qtbot, qapp)
    bench.open()
    bench.window.label_panel.table.setFocus()
    return bench


def names(bench) -> list[str]:
    return [info.name for info in bench.session.document.label_table]


def shown(bench) -> list[str]:
    table = bench.window.label_panel.table
    return [
        table.item(row, NAME).text()
        for row in range(table.rowCount())
        if not table.isRowHidden(row)
    ]


def test_a_preset_is_searched_reordered_and_undone(bench):
    panel, document = bench.window.label_panel, bench.session.document
    heart = next(p for p in label_presets() if p.id == "heart")
    action = next(a for a in panel.preset_button.menu().actions() if a.text() == heart.title)
    action.trigger()
    assert names(bench) == ["organ", "lesion", *(i.name for i in heart.table)]
    QTest.keyClicks(panel.search, "left ven")
    assert shown(bench) == ["left ventricle", "left ventricular myocardium"]
    panel.search.clear()
    QTest.keyClicks(panel.search, "15825003")  # SNOMED CT code of the aorta
    assert shown(bench) == ["aorta"]
    panel.search.clear()
    document.undo()
    assert names(bench) == ["organ", "lesion"]


def test_another_scan_with_fewer_labels_is_opened_while_the_last_label_is_in_hand(bench):
    bench.session.label_editing.choose(2)
    volume = torso_like()
    table = LabelTable((LabelInfo(7, "kidney", (1, 2, 3)),))
    bench.session.set_document(Document(volume, label_table=table), (0.0, 1.0))
    assert shown(bench) == ["kidney"]
    assert bench.session.view_state.active_label == 7


def test_a_row_is_moved_by_dragging_and_by_keys(bench, monkeypatch):
    panel, document = bench.window.label_panel, bench.session.document
    table = document.label_table
    document.do(SetLabels("Add", table.with_added(table.new_label("vessel"))))
    widget = panel.table
    widget.setCurrentCell(2, NAME)
    top = widget.visualItemRect(widget.item(0, NAME))
    event = QDropEvent(
        QPointF(top.center() - QPoint(0, top.height() // 3)), Qt.DropAction.MoveAction,
        widget.mimeData(widget.selectedItems()), Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )  # fmt: skip
    # The source is known to Qt only while a person drags.
    monkeypatch.setattr(QDropEvent, "source", lambda _: widget)
    widget.dropEvent(event)
    assert names(bench) == ["vessel", "organ", "lesion"]
    assert bench.session.view_state.active_label == document.label_table.named("vessel").id
    widget.setFocus()
    QTest.keyClick(widget, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert names(bench) == ["organ", "vessel", "lesion"]
    document.undo()
    document.undo()
    assert names(bench) == ["organ", "lesion", "vessel"]


def test_selected_rows_are_merged_into_the_active_one(bench):
    panel, document = bench.window.label_panel, bench.session.document
    block = np.zeros((1, 4, 4), np.uint8)
    block[:, :2], block[:, 2:] = 1, 2
    document.do(EditVoxels("Paint", Region((3, 0, 0), (4, 4, 4)), block))
    widget = panel.table
    for row, modifier in (
        (1, Qt.KeyboardModifier.NoModifier),
        (0, Qt.KeyboardModifier.ShiftModifier),
    ):
        at = widget.visualItemRect(widget.item(row, NAME)).center()
        QTest.mouseClick(widget.viewport(), Qt.MouseButton.LeftButton, modifier, at)
    assert bench.session.view_state.active_label == 1
    QTest.keyClick(widget, Qt.Key.Key_J, Qt.KeyboardModifier.ControlModifier)
    bench.files.run_all()
    assert names(bench) == ["organ"]
    assert (document.labelmap.voxels[3, :4, :4] == 1).all()
    assert document.undo_labels[0] == "Merge labels"


def test_the_label_menu_merges_splits_and_locks(bench):
    panel, document = bench.window.label_panel, bench.session.document
    block = np.zeros((1, 4, 5), np.uint8)
    block[0, :, 0], block[0, :2, 3] = 1, 1
    document.do(EditVoxels("Paint", Region((3, 0, 0), (4, 4, 5)), block))
    menu = next(a.menu() for a in bench.window.menuBar().actions() if a.text() == "Label")
    entries = {a.text(): a for a in menu.actions()}
    entries["Split into pieces"].trigger()
    bench.files.run_all()
    assert names(bench) == ["organ", "organ 2", "lesion"]
    assert document.labelmap.voxels[3, 0, 3] == document.label_table.named("organ 2").id
    panel.table.selectAll()
    entries["Merge selected labels"].trigger()
    bench.files.run_all()
    assert names(bench) == ["organ"]
    np.testing.assert_array_equal(document.labelmap.voxels[3:4, :4, :5], block)
    entries["Locked"].trigger()
    assert next(iter(document.label_table)).locked
    assert entries["Locked"].isChecked()
    entries["Split into pieces"].trigger()
    assert "locked" in bench.window.message_bar.label.text()
    document.undo()
    assert not entries["Locked"].isChecked()


def test_everything_in_the_menu_of_a_row_is_in_the_palette(bench):
    panel, table = bench.window.label_panel, bench.window.actions_table
    own = {table[spec.id] for spec in table if spec.menu == "Label"}
    assert len(panel.table.actions()) >= 5
    assert set(panel.table.actions()) <= own


def test_the_active_label_has_the_colour_of_its_mask(bench):
    colour = next(iter(bench.session.document.label_table)).colour
    icon = bench.window.label_panel.table.item(0, COLOUR).icon()
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
        assert icon.pixmap(14, mode).toImage().pixelColor(7, 7).getRgb()[:3] == colour


def test_opacity_is_one_step_and_of_one_label(bench):
    panel, document = bench.window.label_panel, bench.session.document
    panel.opacity.setFocus()
    QTest.keyClick(panel.opacity, Qt.Key.Key_PageDown)
    organ, lesion = document.label_table
    assert (organ.opacity, lesion.opacity) == (0.9, 1.0)
    panel.table.setCurrentCell(1, NAME)
    assert panel.opacity.value() == 100
    assert len(document.undo_labels) == 1
    document.undo()
    assert next(iter(document.label_table)).opacity == 1.0
