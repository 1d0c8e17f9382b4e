"""Both runners keep the contract of `Runner`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from app.core.tasks import Runner
from app.jobs import JobRunner
from tests.jobs.conftest import Gate, Heard, settle
from tests.manual_runner import ManualRunner


@pytest.fixture(params=["threaded", "manual"])
def any_runner(request, qtbot) -> Iterator[tuple[Runner, Callable[[], None]]]:
    """Return a runner and a function that returns when everything submitted is over."""
    if request.param == "manual":
        manual = ManualRunner()
        yield manual, manual.run_all
    else:
        threaded = JobRunner()
        yield threaded, lambda: settle(qtbot, threaded)
        assert threaded.shutdown()


def test_a_result_arrives_once(any_runner):
    runner, settle = any_runner
    heard = Heard()
    heard.submit(runner, lambda ctx: 6 * 7)
    assert heard.nothing
    settle()
    assert heard.done == [42]
    assert not heard.failed


def test_a_failure_carries_its_traceback(any_runner):
    runner, settle = any_runner
    heard = Heard()

    def breaks_here(ctx):
        raise ValueError("no such voxel")

    heard.submit(runner, breaks_here)
    settle()
    ((error, trace),) = heard.failed
    assert isinstance(error, ValueError)
    assert "breaks_here" in trace
    assert "no such voxel" in trace
    assert not heard.done


def test_a_newer_job_takes_the_place_of_one_that_waits(any_runner):
    runner, settle = any_runner
    started, older, other, newer = [], Heard(), Heard(), Heard()

    def named(name):
        return lambda ctx: started.append(name) or name

    # Something else occupies a threaded runner meanwhile.
    gate = Gate()
    gate.may_end.set()
    Heard().submit(runner, gate.stubborn, key="busy")
    older.submit(runner, named("older"), key="segment")
    other.submit(runner, named("other"), key="save")
    newer.submit(runner, named("newer"), key="segment")
    settle()
    assert newer.done == ["newer"]
    assert other.done == ["other"]
    assert older.nothing


def test_a_cancelled_job_that_waits_never_starts(any_runner):
    runner, settle = any_runner
    started, heard, gate = [], Heard(), Gate()
    if isinstance(runner, JobRunner):
        Heard().submit(runner, gate.stubborn, key="busy")
        gate.wait_until_running()
    heard.submit(runner, lambda ctx: started.append(1)).cancel()
    gate.may_end.set()
    settle()
    assert not started
    assert heard.nothing


def test_higher_priority_goes_first_and_equals_keep_their_order(any_runner):
    runner, settle = any_runner
    order, gate = [], Gate()
    if isinstance(runner, JobRunner):
        Heard().submit(runner, gate.stubborn, key="busy", priority=-5)
        gate.wait_until_running()
    for name, priority in (("idle", -1), ("a", 0), ("b", 0), ("urgent", 1), ("c", 0)):
        Heard().submit(runner, lambda ctx, n=name: order.append(n), key=name, priority=priority)
    gate.may_end.set()
    settle()
    assert order == ["urgent", "a", "b", "c", "idle"]


def test_a_callback_may_submit(any_runner):
    runner, settle = any_runner
    heard = Heard()
    runner.submit(
        lambda ctx: 1,
        key="first",
        done=lambda result: heard.submit(runner, lambda ctx: result + 1, key="first"),
        failed=lambda error, trace: None,
    )
    settle()
    assert heard.done == [2]
