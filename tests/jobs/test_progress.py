"""While a job runs: its progress, whether the runner is busy, and whether the job is silent."""

from __future__ import annotations

import threading
import time
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
    monkeypatch.setattr(jobs, "_SILENT_S", 0.5)
    runner._watch.setInterval(10)
    gate, heard, told = Gate(), Heard(), []
    runner.silent_changed.connect(told.append)
    heard.submit(runner, gate.willing)
    gate.wait_until_running()
    began = time.monotonic()
    qtbot.waitUntil(lambda: time.monotonic() - began > 1.0)
    assert told == []
    gate.may_end.set()
    settle(qtbot, runner)
