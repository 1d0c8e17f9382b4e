"""Answers that come late, after something else was done, or not at all."""

from __future__ import annotations

from app.core.commands import DeleteLabel
from models.base import ModelKind, ModelSpec, SliceMask
from tests.fake_model import BrightModel
from tests.session.conftest import tube


def test_a_box_drawn_before_the_model_is_ready_fires_when_it_is(setup):
    document = setup.open(tube())
    setup.session.model_choice.load()
    setup.box()
    assert setup.built == 0
    setup.runner.run_all()
    assert setup.built == 1
    assert document.labelmap.voxels.any()
    assert "test bench" in setup.session.model_choice.device_text


def test_a_box_drawn_while_slices_are_encoded_waits_for_its_own_only(setup):
    document = setup.open(tube())
    setup.session.model_choice.load()
    setup.runner.run_next()
    (idle,) = [job for job in setup.runner.jobs if job.key == "encode" and not job.is_cancelled]
    setup.box(index=7)
    assert idle.is_cancelled
    while setup.session.prompting.pending:
        setup.runner.run_next()
    assert document.labelmap.voxels[7].any()
    assert setup.engine.cache.n_computed == 1
    # A box on a slice that is being encoded lets that finish.
    (idle,) = [job for job in setup.runner.jobs if job.key == "encode" and not job.is_cancelled]
    setup.session.prompting.accept()
    setup.box(index=10)
    assert not idle.is_cancelled


def test_undo_while_waiting_cancels_the_box(setup):
    document = setup.open(tube())
    setup.box()
    assert setup.session.undo()
    setup.runner.run_all()
    assert not document.labelmap.voxels.any()
    assert document.undo_labels == ()


def test_a_mask_for_a_label_that_was_deleted_meanwhile_is_dropped(setup):
    document = setup.open(tube())
    setup.box()
    document.do(DeleteLabel(1))
    setup.runner.run_all()
    assert not document.labelmap.voxels.any()
    assert document.prompts == ()
    assert setup.session.prompting.pending == ()


def test_a_result_for_a_scan_that_was_closed_is_dropped(setup):
    first = setup.open(tube())
    setup.box()
    second = setup.open(tube())
    setup.runner.run_all()
    assert not first.labelmap.voxels.any()
    assert not second.labelmap.voxels.any()


def test_a_result_that_arrives_during_a_stroke_waits_and_is_its_own_step(setup):
    document = setup.open(tube())
    setup.box()
    document.begin_group("Paint")
    setup.runner.run_all()
    assert not document.labelmap.voxels.any()
    document.commit_group()
    assert document.labelmap.voxels.any()
    assert document.undo_labels == ("Box (organ)",)


def test_a_failing_model_says_so_and_leaves_the_document_alone(setup, caplog):
    class Broken(BrightModel):
        spec = ModelSpec("embedded", "Broken", ModelKind.PROMPTABLE, BrightModel.spec.prompt_kinds)

        def guide(self, view, keys, start, stop):
            return {}

        def predict(self, view, prompts, cache) -> SliceMask:
            raise RuntimeError("out of cheese")

    document = setup.open(tube())
    setup.session.model_choice.load()
    setup.runner.run_all()
    setup.engine._segmenters["embedded"].model = Broken()
    setup.box()
    with caplog.at_level("ERROR"):
        setup.runner.run_all()
    assert "unexpected" in setup.messages[-1]
    assert "out of cheese" in caplog.text
    assert setup.session.prompting.pending == ()
    assert document.undo_labels == ()
