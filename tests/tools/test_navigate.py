"""Navigation: the crosshair follows the pointer and never leaves the scan."""

from __future__ import annotations

import pytest

from app.tools.navigate import Navigate
from tests.tools.host import FakeHost, stroke


@pytest.mark.parametrize(
    ("position", "cursor"),
    [
        ((3.4, 7.6, 12.0), (3, 8, 12)),
        ((-9.0, 40.0, 29.4), (0, 19, 29)),
        ((99.0, -0.4, 500.0), (9, 0, 29)),
    ],
)
def test_dragging_moves_the_crosshair_to_the_voxel_under_the_pointer(position, cursor):
    host = FakeHost()
    stroke(Navigate(), host, 1, (0.0, 0.0, 0.0), position)
    assert host.view_state.cursor_zyx == cursor
    assert host.document is not None
    assert not host.document.is_modified
