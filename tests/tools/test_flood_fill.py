"""Flood fill: what a click asks for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.core.commands import change_label
from app.core.errors import UsageError
from app.editing.operation import FloodFill
from app.tools.flood_fill import FloodFillTool
from tests.tools.host import FakeHost, stroke


@pytest.mark.parametrize("is_3d", [True, False])
@pytest.mark.parametrize("is_alternate", [True, False])
def test_a_click_floods_from_its_voxel_with_a_share_of_the_window(is_3d, is_alternate):
    host, tool = FakeHost(), FloodFillTool()
    host.view_state.window = (-100.0, 300.0)
    tool.tolerance_percent, tool.is_3d = 5.0, is_3d
    stroke(tool, host, 1, (3.2, 4.0, 5.8), (9.0, 9.0, 9.0), is_alternate=is_alternate)
    axis = None if is_3d else 1
    assert host.asked == [("edit_mask", FloodFill((3, 4, 6), 20.0, axis, is_alternate))]


def test_a_click_beside_the_scan_or_on_a_locked_label_asks_for_nothing():
    host, tool = FakeHost(), FloodFillTool()
    stroke(tool, host, 0, (3.0, 4.0, 29.5))
    document = host.document
    locked = replace(document.label_table.get(1), locked=True)
    document.do(change_label(document.label_table, locked, "Lock"))
    with pytest.raises(UsageError, match="locked"):
        stroke(tool, host, 0, (3.0, 4.0, 5.0))
    assert host.asked == []
