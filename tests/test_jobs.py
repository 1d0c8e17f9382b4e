"""Both runners keep the contract of `Runner`; the real one also keeps to its threads."""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from PySide6.QtCore import QCoreApplication, QThread

from app import jobs
from app.core.tasks import JobContext, Runner
from app.jobs import JobRunner
from tests.manual_runner import ManualRunner

# How long a test waits for another thread before it fails; nothing waits for a fixed time.
PATIENCE_S = 20


@dataclass
class Heard:
    """What callbacks were called with."""

    done: list = field(default_factory=list)
    failed: list = field(default_factory=list)
    progress: list = field(default_factory=list)

    def submit(self, runner: Runner, work: Callable[[JobContext], object], key="job", **more):
        return runner.submit(
            work,
            key=key,
            done=self.done.append,
            failed=lambda error, trace: self.failed.append((error, trace)),
            progress=lambda fraction, text: self.progress.append((fraction, text)),
            **more,
        )

    @property
    def nothing(self) -> bool:
        return not (self.done or self.failed or self.progress)


@pytest.fixture
def runner(qtbot) -> Iterator[JobRunner]:
    runner = JobRunner()
    yield runner
    assert runner.shutdown()


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


def settle(qtbot, runner: JobRunner) -> None:
    qtbot.waitUntil(lambda: not runner.is_busy, timeout=PATIENCE_S * 1000)


class Gate:
    """A job that tells when it runs and goes on when told."""

    def __init__(self, result: object = "late") -> None:
        self.is_running = threading.Event()
        self.may_end = threading.Event()
        self.was_cancelled = False
        self._result = result

    def stubborn(self, ctx: JobContext) -> object:
        """Ignore cancelling."""
        self.is_running.set()
        assert self.may_end.wait(PATIENCE_S)
        return self._result

    def willing(self, ctx: JobContext) -> object:
        """Check often."""
        self.is_running.set()
        try:
            while not self.may_end.wait(0.001):
                ctx.check()
        except BaseException:
            self.was_cancelled = True
            raise
        return self._result

    def wait_until_running(self) -> None:
        assert self.is_running.wait(PATIENCE_S)


# -- what both runners do --------------------------------------------------------------------------


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


# -- threads ---------------------------------------------------------------------------------------


def test_work_runs_on_the_worker_and_callbacks_on_the_gui_thread(qtbot, runner):
    gui = QCoreApplication.instance().thread()
    threads: dict[str, object] = {}

    def work(ctx):
        ctx.report(0.5)
        threads["work"] = QThread.currentThread()
        return

    def note(name):
        return lambda *_: threads.__setitem__(name, QThread.currentThread())

    runner.submit(work, key="a", done=note("done"), failed=note("-"), progress=note("progress"))
    runner.submit(lambda ctx: 1 // 0, key="b", done=note("-"), failed=note("failed"))
    settle(qtbot, runner)
    assert threads["done"] is gui
    assert threads["failed"] is gui
    assert threads["progress"] is gui
    assert threads["work"] is not gui
    assert "-" not in threads


def test_all_jobs_share_one_thread(qtbot, runner):
    idents = set()
    for i in range(5):
        Heard().submit(runner, lambda ctx: idents.add(threading.get_ident()), key=str(i))
    settle(qtbot, runner)
    assert len(idents) == 1
    assert threading.get_ident() not in idents


def test_a_newer_job_cancels_the_one_that_runs(qtbot, runner):
    gate, older, newer = Gate(), Heard(), Heard()
    older.submit(runner, gate.willing, key="segment")
    gate.wait_until_running()
    newer.submit(runner, lambda ctx: "newer", key="segment")
    settle(qtbot, runner)
    assert gate.was_cancelled
    assert older.nothing
    assert newer.done == ["newer"]


def test_a_result_that_comes_after_cancel_is_dropped(qtbot, runner):
    gate, heard = Gate(), Heard()
    handle = heard.submit(runner, gate.stubborn)
    gate.wait_until_running()
    handle.cancel()
    gate.may_end.set()
    settle(qtbot, runner)
    assert heard.nothing


@pytest.mark.parametrize("fails", [False, True])
def test_a_result_that_is_under_way_when_cancelled_is_dropped(qtbot, runner, fails):
    heard, last = Heard(), threading.Event()

    def work(ctx):
        ctx.report(0.5)
        if fails:
            raise ValueError

    handle = heard.submit(runner, work)
    # The second job begins only after the first one's result was sent; the GUI thread has not
    # run its event loop since, so that result is still on its way.
    Heard().submit(runner, lambda ctx: last.set(), key="other")
    assert last.wait(PATIENCE_S)
    handle.cancel()
    settle(qtbot, runner)
    assert heard.nothing


def test_cancel_all_silences_everything(qtbot, runner):
    gate, running, waiting = Gate(), Heard(), Heard()
    running.submit(runner, gate.willing, key="a")
    waiting.submit(runner, lambda ctx: 1, key="b")
    gate.wait_until_running()
    runner.cancel_all()
    settle(qtbot, runner)
    assert running.nothing
    assert waiting.nothing


def test_at_most_one_callback_and_none_after_cancel(qtbot, runner):
    chance = random.Random(7)
    heard = [Heard() for _ in range(300)]
    silent = set()
    for i, one in enumerate(heard):
        fails = chance.random() < 0.3

        def work(ctx, i=i, fails=fails):
            ctx.check()
            if fails:
                raise ValueError(str(i))
            return i

        handle = one.submit(runner, work, key=f"key {chance.randrange(40)}")
        if chance.random() < 0.4:
            QCoreApplication.processEvents()
        if chance.random() < 0.3 and not (one.done or one.failed):
            handle.cancel()
            silent.add(i)
    settle(qtbot, runner)
    counts = [len(one.done) + len(one.failed) for one in heard]
    assert max(counts) == 1
    assert sum(counts) > 20
    assert all(counts[i] == 0 for i in silent)
    assert all(one.done in ([], [i]) for i, one in enumerate(heard))


# -- progress --------------------------------------------------------------------------------------


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
    heard, is_running, went_on = Heard(), threading.Event(), []

    def work(ctx):
        is_running.set()
        while True:
            ctx.report(0.1)

    handle = heard.submit(runner, work)
    assert is_running.wait(PATIENCE_S)
    handle.cancel()
    settle(qtbot, runner)
    assert not heard.done
    assert not went_on


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


# -- busy, ending, memory --------------------------------------------------------------------------


def test_busy_is_told_once_each_way(qtbot, runner):
    told, gate = [], Gate()
    runner.busy_changed.connect(told.append)
    Heard().submit(runner, gate.stubborn, key="a")
    Heard().submit(runner, lambda ctx: 1, key="b")
    assert told == [True]
    gate.may_end.set()
    settle(qtbot, runner)
    assert told == [True, False]


def test_a_callback_that_breaks_does_not_stop_the_runner(qtbot, runner):
    heard = Heard()

    def done(result):
        raise RuntimeError("a fault in a view")

    with qtbot.captureExceptions() as faults:
        runner.submit(lambda ctx: 1, key="a", done=done, failed=lambda error, trace: None)
        heard.submit(runner, lambda ctx: 2, key="b")
        settle(qtbot, runner)
    assert [str(fault[1]) for fault in faults] == ["a fault in a view"]
    assert heard.done == [2]


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


def test_a_fresh_thread_goes_on_with_what_waits(qtbot, runner):
    gate, stuck, waiting, later = Gate(), Heard(), Heard(), Heard()
    stuck.submit(runner, gate.stubborn, key="a")
    waiting.submit(runner, lambda ctx: threading.get_ident(), key="b")
    gate.wait_until_running()
    runner.renew()
    later.submit(runner, lambda ctx: threading.get_ident(), key="c")
    settle(qtbot, runner)
    assert waiting.done == later.done != []
    gate.may_end.set()
    assert runner.shutdown()
    QCoreApplication.processEvents()
    assert stuck.nothing


def test_shutdown_stops_a_running_job(qtbot):
    runner, gate, running, waiting = JobRunner(), Gate(), Heard(), Heard()
    running.submit(runner, gate.willing, key="a")
    waiting.submit(runner, lambda ctx: 1, key="b")
    gate.wait_until_running()
    assert runner.shutdown()
    QCoreApplication.processEvents()
    assert gate.was_cancelled
    assert running.nothing
    assert waiting.nothing


def test_shutdown_says_when_a_job_does_not_stop(qtbot):
    runner, gate, heard = JobRunner(), Gate(), Heard()
    heard.submit(runner, gate.stubborn)
    gate.wait_until_running()
    assert not runner.shutdown(timeout_ms=1)
    gate.may_end.set()
    assert runner.shutdown()
    assert heard.nothing


def test_nothing_starts_after_shutdown(qtbot):
    runner, heard = JobRunner(), Heard()
    assert runner.shutdown()
    handle = heard.submit(runner, lambda ctx: 1)
    handle.cancel()
    QCoreApplication.processEvents()
    assert not runner.is_busy
    assert heard.nothing


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_kept_handle_keeps_nothing_else_alive(qtbot, runner, is_cancelled):
    class Scan:
        """Stands for a volume."""

    def submit(scan):
        gate.may_end.clear()
        return runner.submit(
            lambda ctx: (gate.may_end.wait(PATIENCE_S), scan)[0],
            key="a",
            done=lambda result: id(scan),
            failed=lambda error, trace: id(scan),
        )

    gate, scan = Gate(), Scan()
    gone = weakref.ref(scan)
    handle = submit(scan)
    del scan
    if is_cancelled:
        handle.cancel()
    gate.may_end.set()
    settle(qtbot, runner)
    assert gone() is None
