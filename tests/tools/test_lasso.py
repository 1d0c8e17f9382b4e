"""Lasso: an outline becomes a box and strokes for the model, or is filled as it is."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.commands import DeleteLabel
from app.core.errors import UsageError
from app.core.geometry import Region
from app.core.labels import DrawOver
from app.tools import ToolEvent
from app.tools.lasso import LassoFillTool, LassoTool
from tests.tools.host import SHAPE, FakeHost, stroke
from tests.tools.test_brush import fill, lock

# The slice on which outlines are drawn.
INDEX = 5


def outline(axis: int, *corners) -> list[tuple[float, float, float]]:
    points = []
    for corner in corners:
        position = list(corner)
        position.insert(axis, float(INDEX))
        points.append(tuple(position))
    return points


def block(axis: int, r0: int, c0: int, r1: int, c1: int) -> np.ndarray:
    """Return the voxels of a half-open rectangle on the slice."""
    mask = np.zeros(SHAPE, bool)
    where = [slice(r0, r1), slice(c0, c1)]
    where.insert(axis, slice(INDEX, INDEX + 1))
    mask[tuple(where)] = True
    return mask


RECTANGLE = ((1.6, 3.6), (1.6, 14.4), (7.4, 14.4), (7.4, 3.6))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_lasso_asks_with_its_bounds_a_stroke_inside_and_one_round_it(axis):
    host = FakeHost()
    stroke(LassoTool(), host, axis, *outline(axis, *RECTANGLE))
    box, rim, scribble = host.asked
    assert box == ("place_box", axis, INDEX, (2, 4, 8, 15))
    _, points, at_axis, radius_mm, positive = scribble
    assert (at_axis, positive) == (axis, True)
    assert 0 < radius_mm <= 1.5
    inside = block(axis, 2, 4, 8, 15)
    assert all(inside[tuple(int(v) for v in p)] for p in points)
    along = [[v for a, v in enumerate(p) if a != axis][1] for p in points]
    assert max(along) - min(along) >= 3  # it runs along the rectangle
    _, points, at_axis, _, positive = rim
    assert (at_axis, positive) == (axis, False)
    around = block(axis, 0, 2, 10, 17)  # two pixels more to each side
    rim_voxels = [tuple(int(v) for v in p) for p in points]
    assert all(around[v] and not inside[v] for v in rim_voxels)


def test_a_negative_lasso_is_a_negative_stroke_alone():
    host = FakeHost()
    stroke(LassoTool(), host, 0, *outline(0, *RECTANGLE), is_alternate=True)
    ((name, _, _, _, positive),) = host.asked
    assert (name, positive) == ("place_scribble", False)
    host = FakeHost()
    host.view_state.positive = False
    stroke(LassoTool(), host, 0, *outline(0, *RECTANGLE), is_alternate=True)
    assert [call[0] for call in host.asked] == ["place_box", "place_scribble", "place_scribble"]
    assert [call[-1] for call in host.asked[1:]] == [False, True]


@pytest.mark.parametrize("tool", [LassoTool, LassoFillTool])
def test_a_slip_or_an_outline_beside_the_scan_does_nothing(tool):
    host = FakeHost()
    stroke(tool(), host, 0, *outline(0, (5.0, 5.0), (5.0, 6.0), (6.0, 6.0)))
    stroke(tool(), host, 0, *outline(0, (30.0, 40.0), (30.0, 60.0), (50.0, 60.0)))
    stroke(tool(), host, 0, (-3.0, 2.0, 2.0), (-3.0, 2.0, 20.0), (-3.0, 18.0, 20.0))
    assert host.asked == []
    assert not host.document.is_modified


def test_the_outline_is_drawn_closed_while_it_grows():
    host, tool = FakeHost(), LassoTool()
    a, b, c = outline(1, (2.0, 2.0), (2.0, 9.0), (7.0, 9.0))
    tool.press(host, ToolEvent(1, a))
    tool.drag(host, ToolEvent(1, b))
    tool.drag(host, ToolEvent(0, (1.0, 1.0, 1.0)))  # over another plane
    tool.drag(host, ToolEvent(1, c))
    (shape,) = tool.shapes()
    assert (shape.kind, shape.axis, shape.index) == ("line", 1, INDEX)
    assert shape.points_zyx == (a, b, c, a)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_hand_lasso_fills_what_it_encloses_as_one_step(axis):
    host = FakeHost()
    stroke(LassoFillTool(), host, axis, *outline(axis, *RECTANGLE))
    np.testing.assert_array_equal(host.labels == 1, block(axis, 2, 4, 8, 15))
    assert host.document.undo_labels == ("Lasso fill",)
    right_half = [(r, max(c, 9.5)) for r, c in RECTANGLE]
    stroke(LassoFillTool(), host, axis, *outline(axis, *right_half), is_alternate=True)
    np.testing.assert_array_equal(host.labels == 1, block(axis, 2, 4, 8, 10))
    assert host.document.undo_labels[0] == "Lasso erase"


@pytest.mark.parametrize("policy", list(DrawOver))
def test_a_hand_lasso_follows_policy_and_padlocks(policy):
    host = FakeHost()
    fill(host, 2, Region((INDEX, 0, 8), (INDEX + 1, 20, 30)))
    host.prompting.draw_over = policy
    stroke(LassoFillTool(), host, 0, *outline(0, *RECTANGLE))
    drawn = block(0, 2, 4, 8, 15)
    taken = drawn if policy is DrawOver.ALL else drawn & (np.indices(SHAPE)[2] < 8)
    np.testing.assert_array_equal(host.labels == 1, taken)
    lock(host, 1)
    with pytest.raises(UsageError, match="locked"):
        stroke(LassoFillTool(), host, 0, *outline(0, *RECTANGLE))


def test_a_label_that_is_deleted_while_an_outline_is_drawn_gets_no_voxels():
    host, tool = FakeHost(), LassoFillTool()
    corners = [ToolEvent(0, p) for p in outline(0, *RECTANGLE)]
    tool.press(host, corners[0])
    for corner in corners[1:]:
        tool.drag(host, corner)
    host.document.do(DeleteLabel(1))
    with pytest.raises(UsageError, match="Choose a label"):
        tool.release(host, corners[-1])
    assert not host.labels.any()
    assert tool.shapes() == ()
