"""The runner of the program keeps to its threads: who is called where, and never after a cancel."""

from __future__ import annotations

import random
import threading

import pytest
from PySide6.QtCore import QCoreApplication, QThread

from tests.jobs.conftest import PATIENCE_S, Gate, Heard, settle


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
