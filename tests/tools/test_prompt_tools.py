"""Box, point and scribble: what is asked for, on which slice, with which sign."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.geometry import Region
from app.core.prompts import slice_region
from app.tools import ToolEvent
from app.tools.prompt_tools import SCRIBBLE_RADIUS_MM, BoxTool, PointTool, ScribbleTool
from tests.tools.host import SHAPE, FakeHost, stroke

# Sixteenths of a voxel: exact in floating point, so that edges and centres really meet.
corners = st.tuples(*(st.integers(-48, 16 * n + 32).map(lambda i: i / 16) for n in SHAPE))


@given(start=corners, stop=corners)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_holds_the_voxels_whose_centres_lie_in_the_dragged_rectangle(axis, start, stop):
    host = FakeHost()
    stroke(BoxTool(), host, axis, start, stop)
    inside = np.ones(SHAPE, bool)
    for a, index in enumerate(np.indices(SHAPE)):
        if a != axis:
            low, high = sorted((start[a], stop[a]))
            # An edge on a centre may fall to either side; it does to the voxel above.
            inside &= (index > low) & (index <= high)
    held = Region.of_mask(inside)
    sides = [0] if held is None else [n for a, n in enumerate(held.shape_zyx) if a != axis]
    placed = [call for call in host.asked if call[0] == "place_box"]
    if min(sides) < 2:
        assert placed == []
        assert host.asked[-1][0] == "preview_box"
        assert host.asked[-1][-1] is None
        return
    ((_, at_axis, index, box_rc),) = placed
    assert (at_axis, index) == (axis, round(start[axis]))
    expected = np.take(inside, 0, axis=axis)
    picture = np.zeros(expected.shape, bool)
    r0, c0, r1, c1 = box_rc
    picture[r0:r1, c0:c1] = True
    np.testing.assert_array_equal(picture, expected)


def test_a_box_previews_while_it_is_dragged_and_stays_on_its_slice():
    host = FakeHost()
    tool = BoxTool()
    tool.press(host, ToolEvent(0, (4.0, 5.0, 6.0)))
    tool.drag(host, ToolEvent(0, (4.0, 12.0, 16.0)))
    assert host.asked == [("preview_box", 0, 4, (6, 7, 13, 17))]
    (shape,) = tool.shapes()
    assert (shape.kind, shape.axis, shape.index) == ("box", 0, 4)
    tool.drag(host, ToolEvent(1, (0.0, 0.0, 0.0)))  # over another plane: ignored
    tool.release(host, ToolEvent(0, (4.0, 12.0, 16.0)))
    assert host.asked[-1] == ("place_box", 0, 4, (6, 7, 13, 17))
    assert slice_region(0, 4, (6, 7, 13, 17)).is_inside(SHAPE)


@pytest.mark.parametrize("is_positive", [True, False])
@pytest.mark.parametrize("is_alternate", [True, False])
def test_the_right_button_turns_the_sign_of_points_and_strokes_round(is_positive, is_alternate):
    host = FakeHost()
    host.view_state.positive = is_positive
    at = (3.0, 4.0, 5.0)
    stroke(PointTool(), host, 2, at, is_alternate=is_alternate)
    stroke(ScribbleTool(), host, 2, at, is_alternate=is_alternate)
    sign = is_positive != is_alternate
    assert host.asked == [
        ("place_point", at, 2, sign),
        ("place_scribble", (at,), 2, SCRIBBLE_RADIUS_MM, sign),
    ]


def test_a_point_stays_where_the_button_went_down():
    host = FakeHost()
    stroke(PointTool(), host, 0, (3.0, 4.0, 5.0), (3.0, 9.0, 9.0))
    assert host.asked == [("place_point", (3.0, 4.0, 5.0), 0, True)]


def test_a_point_outside_the_scan_asks_for_nothing():
    host = FakeHost()
    stroke(PointTool(), host, 0, (3.0, 4.0, 29.6))
    assert host.asked == []


def test_a_stroke_keeps_the_part_that_lies_in_the_scan():
    host = FakeHost()
    stroke(ScribbleTool(), host, 1, (2.0, 4.0, 28.0), (2.0, 4.0, 40.0), (3.0, 4.0, 29.0))
    ((_, points, axis, *_),) = host.asked
    assert points == ((2.0, 4.0, 28.0), (3.0, 4.0, 29.0))
    assert axis == 1
