"""Faults inside the worker: the document stays as it was, and the next job works."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest

from app import importing
from app.jobs import JobRunner
from tests.test_importing import Bench, exported, some_labels


class ThreadedBench(Bench):
    """An open scan whose masks are imported on a real worker."""

    def __init__(self, runner: JobRunner) -> None:
        super().__init__()
        self.runner = runner
        self.masks._runner = runner


@pytest.fixture
def bench(qtbot):
    runner = JobRunner()
    yield ThreadedBench(runner)
    assert runner.shutdown()


def settle(qtbot, bench: ThreadedBench) -> None:
    qtbot.waitUntil(lambda: not bench.runner.is_busy, timeout=20_000)


def works_again(qtbot, bench: ThreadedBench, path, labels: np.ndarray) -> None:
    bench.masks.run(path)
    settle(qtbot, bench)
    np.testing.assert_array_equal(bench.document.labelmap.voxels > 0, labels > 0)


@pytest.mark.parametrize(
    ("fault", "level", "sentence"),
    [
        (MemoryError(), logging.INFO, "not enough memory"),
        (RuntimeError("broken"), logging.ERROR, "Something unexpected went wrong"),
        (ZeroDivisionError(), logging.ERROR, "Something unexpected went wrong"),
    ],
)
def test_a_fault_is_told_and_touches_nothing(
    qtbot, bench, tmp_path, monkeypatch, caplog, fault, level, sentence
):
    labels = some_labels()
    path = exported(tmp_path / "mask.nii.gz", labels)
    before = bench.document.state

    def broken(*arguments, **more):
        raise fault

    with monkeypatch.context() as patch, caplog.at_level(level):
        patch.setattr(importing, "read_named_labels", broken)
        bench.masks.run(path)
        settle(qtbot, bench)
    assert sentence in bench.said[-1]
    assert "untouched" in bench.said[-1]
    assert bench.document.state is before
    assert not bench.document.labelmap.voxels.any()
    works_again(qtbot, bench, path, labels)


def test_a_job_that_hangs_is_cancelled_and_its_late_result_dropped(
    qtbot, bench, tmp_path, monkeypatch
):
    labels = some_labels()
    path = exported(tmp_path / "mask.nii.gz", labels)
    before = bench.document.state
    is_running, may_end = threading.Event(), threading.Event()
    read = importing.read_named_labels

    def hanging(*arguments, **more):
        is_running.set()
        assert may_end.wait(20)
        return read(*arguments, **{**more, "ctx": None})  # deaf to being cancelled

    with monkeypatch.context() as patch:
        patch.setattr(importing, "read_named_labels", hanging)
        bench.masks.run(path)
        assert is_running.wait(20)
        bench.masks.drop()
        # Meanwhile the document can be worked on.
        assert bench.document.state is before
        may_end.set()
        settle(qtbot, bench)
    assert bench.document.state is before
    assert not bench.document.labelmap.voxels.any()
    works_again(qtbot, bench, path, labels)
