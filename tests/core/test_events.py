"""Events: who is told, in which order, and until when."""

from __future__ import annotations

from app.core.events import Aspect, Change, Event
from app.core.geometry import Region
from app.core.view_state import VIEW_FIELDS, ViewState


def test_listeners_are_told_in_order_until_they_disconnect():
    event: Event[int] = Event()
    heard = []
    leave = event.connect(lambda n: heard.append(("first", n)))
    event.connect(lambda n: heard.append(("second", n)))
    event.emit(1)
    leave()
    leave()  # once more does no harm
    event.emit(2)
    assert heard == [("first", 1), ("second", 1), ("second", 2)]


def test_a_listener_may_leave_while_it_is_told_and_the_others_still_hear():
    event: Event[int] = Event()
    heard = []

    def once(n: int) -> None:
        heard.append(("once", n))
        leave()

    leave = event.connect(once)
    event.connect(lambda n: heard.append(("always", n)))
    event.emit(1)
    event.emit(2)
    assert heard == [("once", 1), ("always", 1), ("always", 2)]


def test_two_changes_together_cover_both():
    first = Change(Aspect.VOXELS, Region((0, 0, 0), (1, 2, 3)), "brush")
    second = Change(Aspect.PROMPTS, Region((4, 0, 0), (5, 1, 1)))
    both = first | second
    assert both.aspects == Aspect.VOXELS | Aspect.PROMPTS
    assert both.region == Region((0, 0, 0), (5, 2, 3))
    assert both.source == "brush"
    assert (Change(Aspect.NONE) | second).region == second.region
    assert (Change(Aspect.NONE) | Change(Aspect.LABELS)).region is None


def test_the_view_tells_what_changed_and_only_then():
    state = ViewState()
    heard = []
    state.changed.connect(heard.append)
    state.cursor_zyx = (1, 2, 3)
    state.cursor_zyx = (1, 2, 3)
    state.positive = False
    assert heard == ["cursor_zyx", "positive"]
    assert "changed" not in VIEW_FIELDS
    assert {"window", "active_tool", "active_label"} <= set(VIEW_FIELDS)
