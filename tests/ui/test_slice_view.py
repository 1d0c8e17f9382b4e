"""A slice view under the mouse: what is shown lies where the patient has it."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QWheelEvent

from app.core.commands import EditVoxels
from app.core.document import Document
from app.core.geometry import Geometry, Region
from app.core.labels import LabelTable
from app.core.volume import Modality, Volume
from app.session import Session
from app.settings import Settings
from app.ui.plane_panel import PlanePanel
from models.engine import InferenceEngine
from tests.fake_model import bright_models
from tests.manual_runner import ManualRunner

SPACING_ZYX = (3.0, 1.0, 1.5)
SHAPE = (16, 40, 30)
# A bright cube on the patient's left, in front, high up (array axes run to S, P, L).
CUBE = (slice(11, 14), slice(4, 10), slice(20, 26))
CENTRE = (12.0, 6.5, 22.5)


@pytest.fixture
def session(bright_model):
    voxels = np.zeros(SHAPE, np.float32)
    voxels[CUBE] = 1
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (spacing, lps_axis) in enumerate(zip(SPACING_ZYX, (2, 1, 0), strict=True)):
        affine[lps_axis, axis] = spacing
    volume = Volume(voxels, Geometry(SHAPE, affine), Modality.MR, name="cube")
    engine = InferenceEngine(bright_models)
    session = Session(ManualRunner(), ManualRunner(), engine, bright_models, Settings())
    table = LabelTable()
    document = Document(volume, label_table=table.with_added(table.new_label("organ")))
    session.set_document(document, (0.0, 1.0))
    session.view_state.cursor_zyx = tuple(round(v) for v in CENTRE)
    session.view_state.crosshair_visible = False
    return session


@pytest.fixture
def panel(session, qtbot, request):
    panel = PlanePanel(session, getattr(request, "param", 0))
    qtbot.addWidget(panel, before_close_func=lambda p: p.close_panel())
    panel.resize(500, 420)
    panel.show()
    qtbot.waitExposed(panel)
    return panel


def bright_box(view) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom of the bright pixels, as shares of the slice on screen."""
    image = view.grab().toImage().convertToFormat(view.grab().toImage().Format.Format_Grayscale8)
    width, height = image.width(), image.height()
    pixels = np.frombuffer(image.constBits(), np.uint8).reshape(height, -1)[:, :width]
    shape = [n for a, n in enumerate(SHAPE) if a != view.axis]
    corners = []
    for row, column in ((-0.5, -0.5), (shape[0] - 0.5, shape[1] - 0.5)):
        at = [row, column]
        at.insert(view.axis, float(view.index))
        point = view.point_at(tuple(at))
        ratio = width / view.width()
        corners.append((point.x() * ratio, point.y() * ratio))
    (x0, y0), (x1, y1) = np.sort(np.array(corners), axis=0)
    inside = pixels[round(y0) + 2 : round(y1) - 2, round(x0) + 2 : round(x1) - 2]
    rows, columns = np.nonzero(inside > 240)
    return (
        columns.min() / inside.shape[1],
        rows.min() / inside.shape[0],
        columns.max() / inside.shape[1],
        rows.max() / inside.shape[0],
    )


# Left, top, right, bottom of the cube. As radiologists look: from the feet, from the front and
# from the left, so the patient's left is on the right of the screen, and up is up.
EXPECTED = {
    0: (20 / 30, 4 / 40, 26 / 30, 10 / 40),
    1: (20 / 30, 1 - 14 / 16, 26 / 30, 1 - 11 / 16),
    2: (4 / 40, 1 - 14 / 16, 10 / 40, 1 - 11 / 16),
}


@pytest.mark.parametrize("panel", [0, 1, 2], indirect=True)
def test_tissue_lies_on_the_side_where_the_letters_say(panel):
    view = panel.view
    assert bright_box(view) == pytest.approx(EXPECTED[view.axis], abs=0.05)
    edges = view.frame.edges
    assert (edges.left, edges.right) == (("R", "L"), ("R", "L"), ("A", "P"))[view.axis]
    assert (edges.top, edges.bottom) == (("A", "P"), ("S", "I"), ("S", "I"))[view.axis]


@pytest.mark.parametrize("panel", [0, 1, 2], indirect=True)
def test_a_millimetre_is_as_long_in_both_directions(panel):
    view = panel.view
    axes = [a for a in range(3) if a != view.axis]
    origin = view.point_at(CENTRE)
    lengths = []
    for axis in axes:
        moved = list(CENTRE)
        moved[axis] += 1
        difference = view.point_at(tuple(moved)) - origin
        lengths.append(np.hypot(difference.x(), difference.y()) / SPACING_ZYX[axis])
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-3)


@pytest.mark.parametrize("panel", [0, 1, 2], indirect=True)
def test_points_and_voxels_are_inverse(panel):
    view = panel.view
    at = [3.25, 7.5, 9.75]
    at[view.axis] = float(view.index)
    assert view.index_at(view.point_at(tuple(at))) == pytest.approx(at, abs=1e-6)


def turn(view, notches: int, modifiers=Qt.KeyboardModifier.NoModifier, at=None) -> None:
    at = at or QPointF(view.viewport().rect().center())
    event = QWheelEvent(
        at,
        view.viewport().mapToGlobal(at),
        QPoint(),
        QPoint(0, 120 * notches),
        Qt.MouseButton.NoButton,
        modifiers,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    view.wheelEvent(event)


def test_the_wheel_changes_the_slice_and_stops_at_the_ends(panel, session):
    turn(panel.view, 1)
    assert session.view_state.cursor_zyx[0] == 13
    turn(panel.view, 9)
    assert session.view_state.cursor_zyx[0] == SHAPE[0] - 1
    turn(panel.view, -40)
    assert session.view_state.cursor_zyx[0] == 0


def test_control_and_wheel_zoom_about_the_pointer(panel):
    view = panel.view
    point = view.point_at((12.0, 10.0, 20.0))
    before = view.px_per_mm
    turn(view, 3, Qt.KeyboardModifier.ControlModifier, point)
    assert view.px_per_mm > 1.3 * before
    assert view.index_at(point) == pytest.approx((12.0, 10.0, 20.0), abs=0.05)


def drag(qtbot, view, button, by: QPoint) -> None:
    start = view.viewport().rect().center()
    qtbot.mousePress(view.viewport(), button, pos=start)
    qtbot.mouseMove(view.viewport(), start + by / 2)
    qtbot.mouseMove(view.viewport(), start + by)
    qtbot.mouseRelease(view.viewport(), button, pos=start + by)


def test_middle_drag_takes_the_picture_along(panel, qtbot):
    view = panel.view
    before = view.point_at(CENTRE)
    drag(qtbot, view, Qt.MouseButton.MiddleButton, QPoint(40, -26))
    moved = view.point_at(CENTRE) - before
    assert (moved.x(), moved.y()) == pytest.approx((40, -26), abs=1.5)


def test_right_drag_changes_the_window_not_the_scan(panel, session, qtbot):
    before = session.document.volume.voxels.copy()
    session.view_state.active_tool = "box"
    drag(qtbot, panel.view, Qt.MouseButton.RightButton, QPoint(60, 0))
    low, high = session.view_state.window
    assert high - low > 1.1
    assert (low + high) / 2 == pytest.approx(0.5)
    drag(qtbot, panel.view, Qt.MouseButton.RightButton, QPoint(0, 60))
    assert sum(session.view_state.window) / 2 > 0.6
    np.testing.assert_array_equal(session.document.volume.voxels, before)


def test_a_masked_voxel_is_tinted_with_its_label(panel, session):
    label_id = session.view_state.active_label
    region = Region((12, 20, 5), (13, 30, 15))
    painted = np.full((1, 10, 10), label_id, np.uint8)
    session.document.do(EditVoxels("Paint", region, painted))
    view = panel.view
    image = view.grab().toImage()
    ratio = image.width() / view.width()

    def colour_at(index_zyx) -> QColor:
        point = view.point_at(index_zyx)
        return image.pixelColor(round(point.x() * ratio), round(point.y() * ratio))

    inside, outside = colour_at((12.0, 25.0, 10.0)), colour_at((12.0, 35.0, 10.0))
    assert max(inside.red(), inside.green(), inside.blue()) > 40
    assert max(outside.red(), outside.green(), outside.blue()) < 30


def test_typing_a_slice_number_goes_there(panel, session, qtbot):
    qtbot.mouseClick(panel.number, Qt.MouseButton.LeftButton)
    panel.number.selectAll()
    qtbot.keyClicks(panel.number, "5")
    qtbot.keyClick(panel.number, Qt.Key.Key_Return)
    assert session.view_state.cursor_zyx[0] == 4
    qtbot.waitUntil(lambda: panel.slider.value() == 4)


def test_the_slider_shows_and_changes_the_slice(panel, session, qtbot):
    panel.slider.setValue(2)
    assert session.view_state.cursor_zyx[0] == 2
    session.view_state.cursor_zyx = (9, 3, 3)
    qtbot.waitUntil(lambda: panel.slider.value() == 9 and panel.number.text() == "10")
