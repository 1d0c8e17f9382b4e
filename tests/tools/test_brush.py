"""The brush: a disk in millimetres, one step per stroke, padlocks and the draw-over policy."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from app.core.commands import DeleteLabel, EditVoxels, add_label, change_label
from app.core.errors import UsageError
from app.core.geometry import Region
from app.core.labels import DrawOver, LabelInfo
from app.tools import ToolEvent
from app.tools.brush import BrushTool
from tests.tools.host import SHAPE, SPACING, FakeHost, stroke

CENTRE = (5.0, 10.0, 15.0)


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
def brush() -> BrushTool:
    tool = BrushTool()
    tool.radius_mm = 4.5
    return tool


def distance_mm(points: list[tuple[float, ...]]) -> np.ndarray:
    """Return each voxel's distance from the nearest of many points."""
    centres = np.moveaxis(np.indices(SHAPE), 0, -1) * SPACING
    return np.min([np.linalg.norm(centres - np.multiply(p, SPACING), axis=-1) for p in points], 0)


def fill(host: FakeHost, value: int, region: Region) -> None:
    assert host.document is not None
    block = np.full(region.shape_zyx, value, np.uint8)
    host.document.do(EditVoxels("Fill", region, block))


def lock(host: FakeHost, label_id: int) -> None:
    table = host.document.label_table
    host.document.do(change_label(table, replace(table.get(label_id), locked=True), "Lock"))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_dab_is_a_disk_in_millimetres_on_its_slice(host, brush, axis):
    stroke(brush, host, axis, CENTRE)
    expected = distance_mm([CENTRE]) <= 4.5
    on_slice = np.indices(SHAPE)[axis] == CENTRE[axis]
    np.testing.assert_array_equal(host.labels == 1, expected & on_slice)
    assert host.document.undo_labels == ("Paint",)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_ball_reaches_into_the_neighbouring_slices(host, brush, axis):
    brush.is_ball = True
    stroke(brush, host, axis, CENTRE)
    np.testing.assert_array_equal(host.labels == 1, distance_mm([CENTRE]) <= 4.5)
    brush.cancel(host)
    stroke(brush, host, axis, CENTRE, is_alternate=True)
    assert not host.labels.any()


def test_limits_of_intensity_hold_for_painting_and_erasing(brush):
    values = np.broadcast_to(np.arange(SHAPE[2], dtype=np.int16), SHAPE)
    host = FakeHost(values)
    disk = (distance_mm([CENTRE]) <= 4.5) & (np.indices(SHAPE)[0] == 5)
    brush.limits = (13.0, 16.0)
    stroke(brush, host, 0, CENTRE)
    np.testing.assert_array_equal(host.labels == 1, disk & (values >= 13) & (values <= 16))
    brush.limits = (15.0, 99.0)
    stroke(brush, host, 0, CENTRE, is_alternate=True)
    np.testing.assert_array_equal(host.labels == 1, disk & (values >= 13) & (values < 15))


def test_a_fast_stroke_leaves_no_gaps_and_is_one_step(host, brush):
    ends = (5.0, 4.0, 3.0), (5.0, 15.0, 27.0)
    stroke(brush, host, 0, *ends, (5.0, 4.0, 27.0))
    corners = [*ends, (5.0, 4.0, 27.0)]
    steps = [
        tuple(np.add(a, np.multiply(t, np.subtract(b, a))))
        for a, b in itertools.pairwise(corners)
        for t in np.linspace(0, 1, 400)
    ]
    expected = (distance_mm(steps) <= 4.5) & (np.indices(SHAPE)[0] == 5)
    # The sampled line and the exact one may differ by a voxel on the rim.
    assert np.count_nonzero((host.labels == 1) != expected) <= 2
    assert host.document.undo_labels == ("Paint",)
    host.document.undo()
    assert not host.labels.any()


def test_erasing_takes_the_active_label_only_until_the_button_is_up(host, brush):
    fill(host, 1, Region((5, 0, 0), (6, 20, 15)))
    fill(host, 2, Region((5, 0, 15), (6, 20, 30)))
    tool_events = [ToolEvent(0, CENTRE, is_alternate=True), ToolEvent(0, (5.0, 14.0, 15.0))]
    brush.press(host, tool_events[0])
    for _ in range(2):  # Shift is let go of in the middle of the stroke
        brush.drag(host, tool_events[1])
    brush.release(host, tool_events[1])
    near = distance_mm([(5.0, y, 15.0) for y in np.linspace(10, 14, 50)]) <= 4.5
    columns = np.indices(SHAPE)[2]
    erased = near & (columns < 15)
    assert not (host.labels[5] == 1)[erased[5]].any()
    assert (host.labels[5] == 2).sum() == 20 * 15
    assert host.document.undo_labels[0] == "Erase"


@pytest.mark.parametrize("policy", list(DrawOver))
def test_the_draw_over_policy_decides_about_other_labels(host, brush, policy):
    fill(host, 2, Region((5, 0, 15), (6, 20, 30)))
    host.prompting.draw_over = policy
    stroke(brush, host, 0, CENTRE)
    disk = (distance_mm([CENTRE]) <= 4.5) & (np.indices(SHAPE)[0] == 5)
    taken = disk if policy is DrawOver.ALL else disk & (np.indices(SHAPE)[2] < 15)
    np.testing.assert_array_equal(host.labels == 1, taken)


def test_a_locked_neighbour_is_spared_whatever_the_policy_says(host, brush):
    fill(host, 2, Region((5, 0, 15), (6, 20, 30)))
    lock(host, 2)
    host.prompting.draw_over = DrawOver.ALL
    stroke(brush, host, 0, CENTRE)
    assert (host.labels == 2).sum() == 20 * 15


def test_painting_with_a_locked_or_missing_label_is_refused_in_words(host, brush):
    lock(host, 1)
    with pytest.raises(UsageError, match="“organ” is locked"):
        brush.press(host, ToolEvent(0, CENTRE))
    host.view_state.active_label = 7
    with pytest.raises(UsageError, match="Choose a label"):
        brush.press(host, ToolEvent(0, CENTRE))
    brush.release(host, ToolEvent(0, CENTRE))
    assert not host.labels.any()
    assert not host.document.is_in_group


def test_a_label_above_255_can_be_painted(host, brush):
    host.document.do(add_label(host.document.label_table, LabelInfo(300, "wide", (1, 2, 3))))
    fill(host, 2, Region((0, 0, 0), (1, 1, 1)))
    host.view_state.active_label = 300
    stroke(brush, host, 0, CENTRE)
    assert host.labels[5, 10, 15] == 300
    assert host.labels[0, 0, 0] == 2


def test_a_stroke_stays_on_the_slice_where_it_began(host, brush):
    stroke(brush, host, 0, CENTRE, (7.0, 10.0, 20.0))
    assert np.flatnonzero(host.labels.any(axis=(1, 2))).tolist() == [5]


def test_a_stroke_keeps_the_label_with_which_it_began_while_there_is_one(host, brush):
    brush.press(host, ToolEvent(0, CENTRE))
    host.view_state.active_label = 2
    brush.drag(host, ToolEvent(0, (5.0, 10.0, 20.0)))
    assert set(np.unique(host.labels)) == {0, 1}
    host.document.do(DeleteLabel(1))
    brush.drag(host, ToolEvent(0, (5.0, 10.0, 25.0)))
    brush.release(host, ToolEvent(0, (5.0, 10.0, 25.0)))
    assert not host.labels.any()


def test_undo_during_a_stroke_does_nothing_and_cancel_takes_it_all_back(host, brush):
    fill(host, 2, Region((0, 0, 0), (1, 1, 1)))
    brush.press(host, ToolEvent(0, CENTRE))
    painted = host.labels.copy()
    assert not host.document.undo()
    np.testing.assert_array_equal(host.labels, painted)
    (shape,) = brush.shapes()
    assert (shape.kind, shape.radius_mm) == ("circle", 4.5)
    brush.cancel(host)
    assert host.document.undo_labels == ("Fill",)
    assert host.labels.sum() == 2
