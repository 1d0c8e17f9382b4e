"""Encoding while idle: what comes first, who it makes way for, what it tells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.core.geometry import Geometry
from app.core.prompts import AXIAL, CORONAL, SAGITTAL
from app.core.view_state import ViewState
from app.core.volume import Modality, Volume
from app.encoding import IdleEncoding, duration
from app.notices import Notices, Status
from models.engine import InferenceEngine
from tests.fake_model import BrightModel, bright_model, bright_models  # noqa: F401
from tests.manual_runner import ManualRunner

WINDOW = (0.0, 1.0)


class Setup:
    """Idle encoding of a 5 x 6 x 7 scan with a model that writes down what it encodes."""

    def __init__(self, model: BrightModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runner, self.view_state = ManualRunner(), ViewState(cursor_zyx=(2, 3, 1))
        self.engine = InferenceEngine(bright_models)
        self.notices = Notices()
        self.status = Status()
        self.notices.status_changed.connect(lambda status: setattr(self, "status", status))
        self.encoded: list[tuple[int, int]] = []
        prepare = model.prepare

        def noting(views, cache, ctx):
            ctx.check()
            self.encoded += [(v.axis, v.index) for v in views]
            prepare(views, cache, ctx)

        monkeypatch.setattr(model, "prepare", noting)
        self.spec = model.spec
        self.volume = scan(0)
        self.idle = IdleEncoding(self.runner, self.engine, self.view_state, self.notices)

    def start(self) -> None:
        self.idle.open(self.volume, WINDOW)
        self.idle.use(self.spec)


def scan(seed: int) -> Volume:
    voxels = np.random.default_rng(seed).random((5, 6, 7)).astype(np.float32)
    return Volume(voxels, Geometry(voxels.shape, np.eye(4)), Modality.MR)


@pytest.fixture
def setup(bright_model, monkeypatch) -> Setup:  # noqa: F811
    return Setup(bright_model, monkeypatch)


VISIBLE_FIRST = [
    (AXIAL, 2),
    (CORONAL, 3),
    (SAGITTAL, 1),
    (AXIAL, 1),
    (AXIAL, 3),
    (AXIAL, 0),
    (AXIAL, 4),
]


def test_visible_slices_come_first_then_outward_then_it_ends(setup):
    setup.start()
    setup.runner.run_all()
    assert setup.encoded == VISIBLE_FIRST
    assert setup.engine.cache.n_computed == len(VISIBLE_FIRST)
    assert not setup.status.is_busy


def test_jobs_are_small_and_come_after_everything_else(setup):
    setup.start()
    setup.runner.submit(lambda ctx: None, key="segment 1", done=print, failed=print)
    assert [(job.key, job.priority) for job in setup.runner.jobs if not job.is_cancelled] == [
        ("segment 1", 0),
        ("encode", -1),
    ]


def test_a_gpu_gets_several_slices_at_a_time(setup):
    setup.spec = replace(setup.spec, n_ahead=4)
    setup.start()
    setup.runner.jobs = [job for job in setup.runner.jobs if not job.is_cancelled]
    setup.runner.run_next()
    assert setup.encoded == VISIBLE_FIRST[:4]


def test_nothing_happens_without_an_encoder_or_a_scan(setup):
    setup.idle.use(setup.spec)
    assert not setup.runner.jobs
    setup.idle.use(replace(setup.spec, has_encoder=False))
    setup.idle.open(setup.volume, WINDOW)
    assert not setup.runner.jobs


def test_where_one_scrolls_is_encoded_next(setup):
    setup.start()
    setup.view_state.cursor_zyx = (2, 5, 1)
    while len(setup.encoded) < 4:
        setup.runner.run_next()
    # The job that waited already was for the slice that was visible before.
    assert setup.encoded == [(AXIAL, 2), (CORONAL, 5), (SAGITTAL, 1), (CORONAL, 4)]


def test_a_request_cancels_the_encoding_of_other_slices_only(setup):
    setup.start()
    (running,) = (job for job in setup.runner.jobs if not job.is_cancelled)
    setup.idle.make_way({(AXIAL, 2)})
    assert not running.is_cancelled
    setup.idle.make_way(())
    assert not running.is_cancelled
    setup.idle.make_way({(AXIAL, 4)})
    assert running.is_cancelled
    # What was cancelled is encoded later.
    setup.runner.run_all()
    assert setup.encoded == VISIBLE_FIRST


def test_what_is_in_the_cache_is_not_encoded_again(setup):
    setup.start()
    setup.runner.run_all()
    setup.encoded.clear()
    setup.start()
    setup.runner.run_all()
    assert setup.engine.cache.n_computed == len(VISIBLE_FIRST)


def test_another_window_starts_over(setup):
    setup.start()
    setup.runner.run_all()
    setup.idle.open(setup.volume, (0.0, 0.5))
    setup.runner.run_all()
    assert setup.engine.cache.n_computed == 2 * len(VISIBLE_FIRST)


def test_another_scan_stops_the_one_before(setup):
    setup.start()
    setup.idle.open(None, WINDOW)
    setup.runner.run_all()
    assert setup.encoded == []


def test_progress_and_time_left_are_told_below_what_people_wait_for(setup):
    told: list[Status] = []
    setup.notices.status_changed.connect(told.append)
    setup.start()
    setup.runner.jobs = [job for job in setup.runner.jobs if not job.is_cancelled]
    for _ in range(2):
        setup.runner.run_next()
    status = told[-1]
    assert status.text.startswith("Preparing slices: 2 of 7, ")
    assert status.text.endswith(" left")
    assert status.fraction == pytest.approx(2 / 7)
    setup.notices.begin("segment", "Segmenting organ")
    setup.runner.run_next()
    assert told[-1].text == "Segmenting organ"
    setup.notices.end("segment")
    assert told[-1].text.startswith("Preparing slices: 3 of 7")


def test_a_model_that_moves_is_told(setup, bright_model, monkeypatch):  # noqa: F811
    told: list[str] = []
    setup.idle.device_changed.connect(told.append)
    prepare = bright_model.prepare

    def moving(views, cache, ctx):
        prepare(views, cache, ctx)
        bright_model.device = "the CPU (the GPU's memory is full)"

    monkeypatch.setattr(bright_model, "prepare", moving)
    setup.start()
    setup.runner.run_all()
    (sentence,) = told
    assert sentence.startswith("the CPU (the GPU's memory is full)")


def test_a_failure_is_told_once_and_ends_it(setup, monkeypatch):
    messages: list[str] = []
    setup.notices.message.connect(lambda message: messages.append(message.text))
    monkeypatch.setattr(setup.engine, "_models", dict)
    setup.start()
    setup.runner.run_all()
    assert len(messages) == 1
    assert "no model" in messages[0]
    assert not setup.runner.jobs


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (9000, "2.5 h")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words
