"""How a runner ends or gets a fresh thread, and that handles keep nothing alive."""

from __future__ import annotations

import threading
import weakref

import pytest
from PySide6.QtCore import QCoreApplication

from app.jobs import JobRunner
from tests.jobs.conftest import PATIENCE_S, Gate, Heard, settle


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
