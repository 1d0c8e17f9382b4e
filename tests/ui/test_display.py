"""Looking at a scan: slabs, colours, zoom, cine and fusion, as a user drives them."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest

from app.beside import EarlierMap, SecondScan
from app.core.commands import EditVoxels
from app.core.geometry import Geometry, Region
from app.core.labels import LabelTable
from app.core.volume import Volume
from app.ui.colour_maps import COLOUR_MAPS, colour_table
from app.ui.slab import project, slab_range
from tests.ui.bench import Bench

CENTRE = (10, 19, 23)


@pytest.fixture
def bench(qtbot, qapp):
    bench = Bench(qtbot, qapp)
    bench.open()
    bench.session.view_state.cursor_zyx = CENTRE
    bench.session.view_state.crosshair_visible = False
    bench.window.display_panel.parent().raise_()
    qtbot.waitUntil(bench.window.display_panel.isVisible)
    return bench


def colour_at(bench, index_zyx, axis=0) -> tuple[int, int, int]:
    """Return the painted colour over a voxel."""
    view = bench.view(axis)
    image = view.grab().toImage()
    point = view.point_at(tuple(float(i) for i in index_zyx)) * image.devicePixelRatio()
    return image.pixelColor(point.toPoint()).getRgb()[:3]


@pytest.mark.parametrize(
    ("kind", "reduce"), [("maximum", np.max), ("minimum", np.min), ("mean", np.mean)]
)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slab_is_what_numpy_says(axis, kind, reduce):
    voxels = np.random.default_rng(1).integers(-1000, 3000, (9, 12, 14)).astype(np.int16)
    n = voxels.shape[axis]
    for index in range(n):
        start, stop = slab_range(index, n, 1.5, 6.0)
        assert start <= index < stop <= n
        block = voxels.take(range(start, stop), axis)
        got = project(voxels, axis, start, stop, kind)
        np.testing.assert_allclose(got, reduce(block, axis=axis), rtol=1e-5, atol=1e-3)
    assert np.diff(slab_range(n // 2, n, 1.5, 6.0)) == 4


def test_a_slab_shows_what_lies_beyond_the_slice_and_leaves_the_scan_alone(bench):
    state, document = bench.session.view_state, bench.session.document
    outside = (16, 19, 23)  # the tube ends with slice 14
    state.cursor_zyx = outside
    before = document.volume.voxels.tobytes()
    assert colour_at(bench, outside) == (0, 0, 0)
    panel = bench.window.display_panel
    panel.slab_mm.setFocus()
    panel.slab_mm.selectAll()
    QTest.keyClicks(panel.slab_mm, "8")
    QTest.keyClick(panel.slab_mm, Qt.Key.Key_Return)
    assert state.slab_mm == 8
    assert colour_at(bench, outside) == (255, 255, 255)
    bench.window.actions_table.run("slab_minimum")
    assert colour_at(bench, outside) == (0, 0, 0)
    bench.window.actions_table.run("slab_off")
    assert state.slab_mm == 0
    assert document.volume.voxels.tobytes() == before
    assert not document.undo_labels


def test_invert_and_colours_by_key_and_menu(bench):
    view = bench.view(0)
    view.setFocus()
    assert colour_at(bench, CENTRE) == (255, 255, 255)
    bench.qtbot.keyClick(view, Qt.Key.Key_I)
    assert colour_at(bench, CENTRE) == (0, 0, 0)
    bench.qtbot.keyClick(view, Qt.Key.Key_I)
    bench.window.actions_table.run("colours_viridis")
    top = int(colour_table("viridis")[255])
    assert colour_at(bench, CENTRE) == (top >> 16 & 255, top >> 8 & 255, top & 255)


def test_colour_maps_go_from_dark_to_bright():
    for name in COLOUR_MAPS:
        table = colour_table(name)
        brightness = sum((table >> shift & 255).astype(int) for shift in (16, 8, 0))
        assert brightness[0] < brightness[64] < brightness[128] < brightness[255]
        np.testing.assert_array_equal(colour_table(name, inverted=True), table[::-1])
        assert (table >> 24 == 255).all()


def test_width_and_level_are_typed(bench):
    panel = bench.window.display_panel
    for box, text in ((panel.width_box, "0.5"), (panel.level_box, "2")):
        box.setFocus()
        box.selectAll()
        QTest.keyClicks(box, text)
        QTest.keyClick(box, Qt.Key.Key_Return)
    low, high = bench.session.view_state.window
    assert (low, high) == pytest.approx((1.75, 2.25))
    bench.session.view_state.window = (-160.0, 240.0)
    assert (panel.width_box.value(), panel.level_box.value()) == (400, 40)


def test_masks_are_filled_or_not(bench):
    state = bench.session.view_state
    region = Region((10, 14, 17), (11, 24, 29))
    bench.session.document.do(EditVoxels("Paint", region, np.ones(region.shape_zyx, np.uint8)))
    assert colour_at(bench, CENTRE) != (255, 255, 255)
    view = bench.view(0)
    bench.qtbot.keyClick(view, Qt.Key.Key_O, Qt.KeyboardModifier.ShiftModifier)
    assert not state.fill
    assert colour_at(bench, CENTRE) == (255, 255, 255)


def wheel(view, at: QPointF) -> None:
    where = view.viewport().mapToGlobal(at)
    event = QWheelEvent(
        at, where, QPoint(), QPoint(0, 240), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.ControlModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    view.wheelEvent(event)


def test_linked_planes_share_zoom_and_middle(bench):
    views = [bench.view(axis) for axis in range(3)]
    alone = views[1].px_per_mm
    wheel(views[0], views[0].point_at((10.0, 15.0, 20.0)))
    assert views[1].px_per_mm == pytest.approx(alone)
    bench.qtbot.keyClick(views[0], Qt.Key.Key_Z, Qt.KeyboardModifier.ShiftModifier)
    assert len({round(view.px_per_mm, 6) for view in views}) == 1
    wheel(views[0], views[0].point_at((10.0, 15.0, 20.0)))
    views[0].pan(QPointF(25, -14))
    assert [view.px_per_mm for view in views] == pytest.approx([views[0].px_per_mm] * 3)
    _, y, x = views[0].centre_zyx
    assert views[1].centre_zyx[2] == pytest.approx(x)
    assert views[2].centre_zyx[1] == pytest.approx(y)
    z = views[2].centre_zyx[0]
    views[1].pan(QPointF(0, 30))
    assert views[2].centre_zyx[0] != pytest.approx(z)
    assert views[2].centre_zyx[0] == pytest.approx(views[1].centre_zyx[0])


def test_cine_plays_loops_and_stops(bench):
    state, cine = bench.session.view_state, bench.window.grid.cine
    bench.window.display_panel.speed.setValue(60)
    state.cursor_zyx = (17, 19, 23)
    view = bench.view(0)
    bench.qtbot.keyClick(view, Qt.Key.Key_Y)
    seen = set()
    state.changed.connect(lambda _: seen.add(state.cursor_zyx[0]))
    bench.qtbot.waitUntil(lambda: {18, 19, 0, 1} <= seen)
    bench.qtbot.keyClick(view, Qt.Key.Key_Y)
    assert not cine.is_playing
    bench.window.display_panel.loop.setChecked(False)
    state.cursor_zyx = (18, 19, 23)
    bench.qtbot.keyClick(view, Qt.Key.Key_Y)
    bench.qtbot.waitUntil(lambda: not cine.is_playing)
    assert state.cursor_zyx[0] == 19


def test_the_magnifier_is_there_while_its_key_is_held(bench):
    view = bench.view(0)
    # The pointer is inside the tube, which begins at column 14.5; the probe is just outside. Seen
    # three times as large, what lies at the probe is a third of the way from the pointer.
    at, probe = (view.point_at((10.0, 19.0, c)).toPoint() for c in (16.0, 13.5))

    def is_bright() -> bool:
        return view.grab().toImage().pixelColor(probe).lightness() > 200

    bench.qtbot.mouseMove(view.viewport(), at)
    assert not is_bright()
    bench.qtbot.keyPress(view, Qt.Key.Key_Z)
    assert is_bright()
    bench.qtbot.keyRelease(view, Qt.Key.Key_Z)
    assert not is_bright()


def test_a_second_scan_is_blended_where_it_lies(bench):
    beside, state = bench.session.beside, bench.session.view_state
    # Half of the open scan's extent, shifted by twenty voxels to the left of the patient.
    affine = bench.session.document.volume.geometry.affine.copy()
    affine[:3, 3] += 20 * affine[:3, 2]
    other = Volume(np.full((20, 40, 24), 5.0, np.float32), Geometry((20, 40, 24), affine))
    beside.second = SecondScan(other, (0.0, 5.0), opacity=0.5, colour_map="hot")
    beside.changed.emit(None)
    state.cursor_zyx = (2, 5, 5)  # no tube there
    assert colour_at(bench, (2, 5, 5)) == (0, 0, 0)
    blended = colour_at(bench, (2, 5, 30))
    assert blended == pytest.approx((128, 128, 128), abs=2)
    bench.window.display_panel.second_opacity.setValue(100)
    assert colour_at(bench, (2, 5, 30)) == (255, 255, 255)
    bench.window.actions_table.run("second_close")
    assert colour_at(bench, (2, 5, 30)) == (0, 0, 0)


def test_an_earlier_map_is_outlined_and_not_edited(bench):
    labels = np.zeros((20, 40, 44), np.uint8)
    labels[2, 5:30, 5:30] = 4
    table = LabelTable().with_added(LabelTable().new_label("before", 4))
    before = bench.session.document.labelmap.voxels.copy()
    bench.session.view_state.cursor_zyx = (2, 5, 5)

    def coloured() -> int:
        image = bench.view(0).grab().toImage()
        red = next(iter(table)).colour
        points = [bench.view(0).point_at((2.0, 4.5, c)).toPoint() for c in np.arange(6, 29, 0.1)]
        # The line may lie between two rows of the screen.
        around = [QPoint(p.x(), p.y() + d) for p in points for d in (-1, 0, 1)]
        return sum(
            max(abs(a - b) for a, b in zip(image.pixelColor(p).getRgb(), red, strict=False)) < 60
            for p in around
        )

    assert coloured() == 0
    bench.session.beside.earlier = EarlierMap("before", labels, table)
    bench.session.beside.changed.emit(None)
    assert coloured() > 40
    assert np.array_equal(bench.session.document.labelmap.voxels, before)
    bench.window.actions_table.run("earlier_close")
    assert coloured() == 0
