"""The panel for automatic segmentation, driven by mouse, with a network made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt

from app.automatic_region import region_round
from app.core.document import Document
from app.core.geometry import Geometry, Region
from app.core.labels import LabelTable
from app.core.prompts import BoxPrompt, slice_region
from app.core.volume import Modality, Volume
from models.automatic.segmenter import AutomaticSegmenter
from tests.fake_model import bright_models
from tests.models.automatic.networks import AIR, FIRST, SECOND, bands, install, spec_for
from tests.ui.bench import Bench

LEFT = Qt.MouseButton.LeftButton
GEOMETRY = Geometry((30, 100, 120), np.diag([4.0, 1.0, 2.0, 1.0]))


@pytest.mark.parametrize(
    ("axis", "through", "expected"),
    [
        # 20 rows of 1 mm, 20 columns of 2 mm: 40 mm, five slices of 4 mm to each side.
        (0, None, Region((5, 10, 30), (16, 30, 50))),
        (0, (3, 20), Region((3, 10, 30), (20, 30, 50))),
    ],
)
def test_a_flat_box_reaches_as_far_as_it_is_wide(axis, through, expected):
    box = BoxPrompt(slice_region(axis, 10, (10, 30, 30, 50)), axis, through)
    assert region_round(box, GEOMETRY) == expected


def test_a_region_ends_with_the_scan():
    box = BoxPrompt(slice_region(0, 1, (0, 0, 90, 110)), 0)
    assert region_round(box, GEOMETRY) == Region((0, 0, 0), (30, 90, 110))


def test_a_thick_box_is_its_own_region():
    region = Region((2, 10, 10), (20, 40, 50))
    assert region_round(BoxPrompt(region, 0), GEOMETRY) == region


# -- the panel -------------------------------------------------------------------------------------


@pytest.fixture
def bench(qtbot, qapp, bright_model, tmp_path) -> Bench:
    """A window with the promptable fake and an automatic network that tells values apart."""
    spec = spec_for(values=(3, 7))
    tiny = install(tmp_path, spec)
    bench = Bench(qtbot, qapp, lambda: {**bright_models(), tiny.id: tiny})
    network, _ = bands(spec)
    bench.engine._automatic[tiny.id] = AutomaticSegmenter(spec, network, "by hand")
    return bench


@pytest.fixture
def panel(bench):
    """Return the panel in front, with two organs in an open scan; the second is in two pieces."""
    voxels = np.full((24, 40, 44), AIR, np.float32)
    voxels[4:14, 6:20, 8:20] = FIRST
    voxels[4:14, 24:34, 8:16] = SECOND
    voxels[18:22, 24:30, 30:36] = SECOND
    affine = np.eye(4)[[2, 1, 0, 3]] * 2.0
    affine[3, 3] = 1.0
    volume = Volume(voxels, Geometry(voxels.shape, affine), Modality.CT, name="two organs")
    table = LabelTable()
    table = table.with_added(table.new_label("lesion"))
    bench.session.set_document(Document(volume, label_table=table), (-200.0, 500.0))
    bench.qtbot.waitUntil(lambda: bench.window.grid.isVisible())
    bench.window.automatic_panel.parentWidget().raise_()
    return bench.window.automatic_panel


def click(bench: Bench, button) -> None:
    bench.qtbot.mouseClick(button, LEFT)


def finish(bench: Bench) -> None:
    bench.runner.run_all()
    bench.files.run_all()


def names_in(document: Document) -> set[str]:
    values = np.unique(document.labelmap.voxels)
    return {info.name for info in document.label_table if info.id in values}


def test_everything_is_found_in_one_undo_step(bench, panel):
    document = bench.session.document
    assert panel.model.currentText() == "Tiny"
    assert "2 structures" in panel.about.text()
    assert not panel.doubts.isVisible()
    assert not panel.results.isVisible()
    click(bench, panel.start)
    assert panel.stop.isVisible()
    assert not panel.start.isVisible()
    finish(bench)
    assert names_in(document) == {"organ 3", "organ 7"}
    assert panel.found.topLevelItemCount() == 2
    assert panel.found.topLevelItem(1).childCount() == 2
    assert panel.start.isVisible()
    bench.session.undo()
    assert not document.labelmap.voxels.any()
    assert not panel.results.isVisible()
    bench.session.redo()
    assert panel.results.isVisible()


def test_only_what_is_checked_is_looked_for(bench, panel):
    panel.names.item(0).setCheckState(Qt.CheckState.Unchecked)
    click(bench, panel.start)
    finish(bench)
    assert names_in(bench.session.document) == {"organ 7"}
    click(bench, panel.none)
    assert not panel.start.isEnabled()


def test_a_piece_is_shown_and_refined_with_a_box(bench, panel):
    click(bench, panel.start)
    finish(bench)
    row = panel.found.topLevelItem(1)
    panel.found.expandItem(row)
    small = row.child(1)
    panel.found.scrollToItem(small)
    at = panel.found.visualItemRect(small).center()
    bench.qtbot.mouseClick(panel.found.viewport(), LEFT, pos=at)
    z, y, x = bench.session.view_state.cursor_zyx
    assert 18 <= z < 22
    assert 24 <= y < 30
    assert 30 <= x < 36
    click(bench, panel.refine)
    (box,) = bench.session.document.prompts
    assert box.slice_index == z
    assert bench.session.prompting.current_object == box.object_id


def test_stopping_keeps_nothing(bench, panel):
    click(bench, panel.start)
    click(bench, panel.stop)
    finish(bench)
    assert not bench.session.document.labelmap.voxels.any()
    assert panel.start.isVisible()


def test_a_scan_of_another_kind_is_a_question(bench, panel):
    old = bench.session.document.volume
    other = Volume(old.voxels, old.geometry, Modality.MR, name="MR")
    bench.session.set_document(Document(other, label_table=LabelTable()), (-200.0, 500.0))
    assert panel.start.text() == "Run anyway"
    assert "MR" in panel.doubts.text()


def test_only_the_region_round_the_last_box_is_labelled(bench, panel):
    assert not panel.where.model().item(1).isEnabled()
    bench.session.view_state.cursor_zyx = (8, 12, 14)
    bench.session.view_state.active_tool = "box"
    bench.drag(0, (8, 5, 7), (8, 20, 21))
    finish(bench)
    panel.where.setCurrentIndex(1)
    before = bench.session.document.labelmap.voxels.copy()
    click(bench, panel.start)
    finish(bench)
    changed = bench.session.document.labelmap.voxels != before
    document = bench.session.document
    region = region_round(document.prompts[-1], document.volume.geometry)
    inside = np.zeros_like(changed)
    inside[region.slices] = True
    assert changed.any()
    assert not changed[~inside].any()


def test_what_has_arrived_is_painted_before_it_is_in_the_document(bench, panel):
    view = bench.view(0)
    view.show_slice(8)
    labels = np.zeros(bench.session.document.volume.voxels.shape, np.uint8)
    labels[8, 6:20, 8:20] = 1
    table = LabelTable()
    table = table.with_added(table.new_label("organ 3"))
    before = view.grab().toImage()
    view._layers.show_arriving(labels, table)
    view.repaint_later()
    painted = view.grab().toImage()
    at = view.point_at((8, 10, 12)).toPoint()
    assert painted.pixelColor(at) != before.pixelColor(at)
    view._layers.show_arriving(None, None)
    view.repaint_later()
    assert view.grab().toImage().pixelColor(at) == before.pixelColor(at)
