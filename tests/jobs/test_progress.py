"""While a job runs: its progress, whether the runner is busy, and whether the job is silent."""

from __future__ import annotations

import threading
from types import SimpleNamespace

from app import jobs
from app.core.errors import Cancelled
from tests.jobs.conftest import PATIENCE_S, Gate, Heard, settle


def test_progress_is_thinned_and_never_falls(qtbot, runner, monkeypatch):
    # A clock that moves 1/64 s at each report, so 20 a second is every fourth one.
    ticks = iter(range(10_000))
    clock = SimpleNamespace(monotonic=lambda: next(ticks) / 64)
    monkeypatch.setattr("app.jobs.time", clock)
    heard = Heard()

    def work(ctx):
        for i in range(100):
            ctx.report(i / 100 if i % 2 else i / 200, f"slice {i}")
        ctx.report(7.0)

    heard.submit(runner, work)
    settle(qtbot, runner)
    fractions = [fraction for fraction, _ in heard.progress]
    assert heard.progress[0] == (0.0, "slice 0")
    assert len(fractions) == 26
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_reporting_is_a_cancel_checkpoint(qtbot, runner):
    heard, is_running, ended_by = Heard(), threading.Event(), []

    def work(ctx):
        is_running.set()
        try:
            while True:
                ctx.report(0.1)
        except BaseException as error:
            ended_by.append(type(error))
            raise

    handle = heard.submit(runner, work)
    assert is_running.wait(PATIENCE_S)
    handle.cancel()
    settle(qtbot, runner)
    assert not heard.done
    assert ended_by == [Cancelled]


def test_no_progress_after_cancel(qtbot, runner):
    heard, reported = Heard(), threading.Event()

    def work(ctx):
        ctx.report(0.5)
        reported.set()

    handle = heard.submit(runner, work)
    assert reported.wait(PATIENCE_S)
    handle.cancel()
    settle(qtbot, runner)
    assert heard.nothing


def test_busy_is_told_once_each_way(qtbot, runner):
    told, gate = [], Gate()
    runner.busy_changed.connect(told.append)
    Heard().submit(runner, gate.stubborn, key="a")
    Heard().submit(runner, lambda ctx: 1, key="b")
    assert told == [True]
    gate.may_end.set()
    settle(qtbot, runner)
    assert told == [True, False]


def test_a_job_that_is_silent_for_long_is_told_until_it_ends(qtbot, monkeypatch, runner):
    monkeypatch.setattr(jobs, "_SILENT_S", 0.05)
    runner._watch.setInterval(10)
    gate, heard = Gate(), Heard()
    with qtbot.waitSignal(runner.silent_changed, check_params_cb=lambda on: on):
        heard.submit(runner, gate.stubborn)
    with qtbot.waitSignal(runner.silent_changed, check_params_cb=lambda on: not on):
        gate.may_end.set()
    settle(qtbot, runner)
    assert heard.done == ["late"]


def test_a_job_that_asks_is_not_silent(qtbot, monkeypatch, runner):
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(jobs, "time", clock)
    may_ask, has_asked = threading.Semaphore(0), threading.Semaphore(0)
    heard, told = Heard(), []
    runner.silent_changed.connect(told.append)

    def work(ctx):
        for _ in range(3):
            assert may_ask.acquire(timeout=PATIENCE_S)
            ctx.check()
            has_asked.release()
        assert may_ask.acquire(timeout=PATIENCE_S)
        return "late"

    heard.submit(runner, work)
    for _ in range(3):
        clock.now += 0.9 * jobs._SILENT_S
        may_ask.release()
        assert has_asked.acquire(timeout=PATIENCE_S)
        runner._look()
        assert told == []
    clock.now += 1.1 * jobs._SILENT_S
    runner._look()
    assert told == [True]
    may_ask.release()
    settle(qtbot, runner)
    assert heard.done == ["late"]
