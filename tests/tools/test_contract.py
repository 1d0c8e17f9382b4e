"""Every tool survives press, drag, release and cancel in any order, inside the scan or outside."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import AppError
from app.tools import TOOLS, Tool, ToolEvent, tools_in_order
from resources import resource_path
from tests.tools.host import FakeHost

TOOL_IDS = sorted(TOOLS.load())
positions = st.tuples(st.floats(-40, 60), st.floats(-40, 60), st.floats(-40, 60))
events = st.builds(ToolEvent, st.integers(0, 2), positions, st.booleans())
scripts = st.lists(
    st.tuples(st.sampled_from(["press", "drag", "release", "cancel"]), events), max_size=12
)


def perform(tool: Tool, host: FakeHost, script) -> None:
    for what, event in script:
        try:
            if what == "cancel":
                tool.cancel(host)
            else:
                getattr(tool, what)(host, event)
        except AppError:
            tool.cancel(host)  # refused in words; nothing stays begun
        for shape in tool.shapes():
            assert shape.kind in ("box", "line", "circle")
            assert all(len(point) == 3 for point in shape.points_zyx)


@settings(max_examples=40)
@given(script=scripts, is_empty=st.booleans())
@pytest.mark.parametrize("tool_id", TOOL_IDS)
def test_any_order_of_events_ends_clean(tool_id, script, is_empty):
    host = FakeHost()
    if is_empty:
        host.document = None
    tool = type(TOOLS.load()[tool_id])()
    perform(tool, host, script)
    tool.cancel(host)
    assert tool.shapes() == ()
    if host.document is not None:
        assert not host.document.is_in_group
        while host.document.undo():
            pass
        assert not host.labels.any()
    else:
        assert not [call for call in host.asked if call[0].startswith(("place_", "edit_"))]


@pytest.mark.parametrize("tool_id", TOOL_IDS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_cancelling_a_drag_leaves_the_document_as_it_was(tool_id, axis):
    host = FakeHost()
    tool = type(TOOLS.load()[tool_id])()
    assert host.document is not None
    tool.press(host, ToolEvent(axis, (5.0, 8.0, 9.0)))
    tool.drag(host, ToolEvent(axis, (6.0, 12.0, 20.0)))
    tool.cancel(host)
    tool.release(host, ToolEvent(axis, (6.0, 12.0, 20.0)))
    assert not host.labels.any()
    assert not host.document.is_modified
    assert not [call for call in host.asked if call[0].startswith(("place_", "edit_"))]


def test_shortcuts_and_titles_are_unique_and_every_tool_has_an_icon():
    tools = tools_in_order()
    for name in ("id", "title", "shortcut", "hint"):
        values = [getattr(tool, name) for tool in tools]
        assert len(set(values)) == len(values), name
        assert all(values), name
    assert [tool.id for tool in tools[:5]] == ["navigate", "box", "point", "scribble", "lasso"]
    for tool in tools:
        assert resource_path(f"icons/{tool.id}.svg").is_file(), tool.id
