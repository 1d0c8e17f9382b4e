"""The use cases through the session, with a model whose answers are known and a manual runner."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from app import memory
from app.core.commands import DeleteLabel, EditVoxels
from app.core.document import Document
from app.core.errors import PromptError
from app.core.geometry import Geometry, Region
from app.core.labels import LabelTable
from app.core.prompts import BoxPrompt
from app.core.volume import Modality, Volume
from app.notices import Message
from app.session import Session
from app.settings import Settings
from app.tools import ToolEvent
from app.tools.lasso import LassoTool
from models.base import (
    MODEL_FORMATS,
    InstalledModel,
    ModelFormat,
    ModelKind,
    ModelSpec,
    SliceMask,
)
from models.engine import InferenceEngine
from models.propagation import PromptedSegmenter
from tests.fake_model import BrightModel
from tests.io.files import write_image
from tests.manual_runner import ManualRunner
from tests.phantoms import file_affine


class Setup:
    """A session whose jobs run when told, and what it said."""

    def __init__(self, tmp_path, monkeypatch) -> None:
        model = InstalledModel(
            "embedded",
            "Bright",
            ModelKind.PROMPTABLE,
            "bright",
            tmp_path / "none",
            "0" * 64,
            0,
            "none",
            "embedded",
        )
        self.built = 0

        def build(installed, device, cache_dir):
            self.built += 1
            return BrightModel()

        formats = {"bright": ModelFormat("bright", build)}
        monkeypatch.setattr(MODEL_FORMATS, "load", lambda: formats)
        self.runner, self.files = ManualRunner(), ManualRunner()
        self.engine = InferenceEngine(lambda: {"embedded": model})
        self.session = Session(
            self.runner, self.files, self.engine, lambda: {"embedded": model}, Settings()
        )
        self.messages: list[str] = []
        self.session.message.connect(lambda message: self.messages.append(message.text))

    def open(self, voxels: np.ndarray) -> Document:
        volume = Volume(voxels.astype(np.float32), Geometry(voxels.shape, np.eye(4)), Modality.MR)
        table = LabelTable()
        for name in ("organ", "lesion"):
            table = table.with_added(table.new_label(name))
        document = Document(volume, label_table=table)
        self.session.set_document(document, (0.0, 1.0))
        return document

    def box(self, index=10, box_rc=(6, 7, 16, 19), axis=0) -> None:
        self.session.prompting.place_box(axis, index, box_rc)


@pytest.fixture
def setup(tmp_path, monkeypatch) -> Setup:
    return Setup(tmp_path, monkeypatch)


def tube(start=5, stop=15) -> np.ndarray:
    voxels = np.zeros((20, 24, 28))
    voxels[start:stop, 8:14, 9:17] = 1
    return voxels


def test_a_box_waits_then_becomes_one_undo_step(setup):
    document = setup.open(tube())
    setup.box()
    assert len(setup.session.prompting.pending) == 1
    assert document.prompts == ()
    assert not document.labelmap.voxels.any()
    setup.runner.run_all()
    assert setup.session.prompting.pending == ()
    expected = np.zeros((20, 24, 28), bool)
    expected[10] = tube()[10] > 0
    np.testing.assert_array_equal(document.labelmap.voxels == 1, expected)
    assert document.undo_labels == ("Box (organ)",)
    assert setup.session.undo()
    assert not document.labelmap.voxels.any()
    assert document.prompts == ()


def test_a_box_drawn_before_the_model_is_ready_fires_when_it_is(setup):
    document = setup.open(tube())
    setup.session.model_choice.load()
    setup.box()
    assert setup.built == 0
    setup.runner.run_all()
    assert setup.built == 1
    assert document.labelmap.voxels.any()
    assert "test bench" in setup.session.model_choice.device_text


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


def test_two_boxes_on_different_slices_both_arrive(setup):
    document = setup.open(tube())
    setup.box(8)
    setup.session.prompting.accept()
    setup.box(12)
    setup.runner.run_all()
    assert np.flatnonzero(document.labelmap.voxels.any(axis=(1, 2))).tolist() == [8, 12]
    assert len(document.undo_labels) == 2


def test_a_second_box_on_the_same_object_replaces_its_mask_not_the_hand_edit(setup):
    document = setup.open(tube())
    setup.box(10, (6, 7, 16, 19))
    setup.runner.run_all()
    dab = Region((10, 0, 0), (11, 2, 2))
    document.do(EditVoxels("Paint", dab, np.ones((1, 2, 2), np.uint8)))
    setup.box(10, (6, 7, 12, 19))
    setup.runner.run_all()
    expected = np.zeros((24, 28), bool)
    expected[8:12, 9:17] = True
    expected[0:2, 0:2] = True
    np.testing.assert_array_equal(document.labelmap.voxels[10] == 1, expected)
    assert len([p for p in document.prompts if isinstance(p, BoxPrompt)]) == 1


def test_a_box_elsewhere_on_the_slice_is_another_object(setup):
    voxels = tube()
    voxels[10, 18:22, 20:26] = 1
    document = setup.open(voxels)
    setup.box(10, (6, 7, 16, 19))
    setup.runner.run_all()
    setup.box(10, (17, 19, 23, 27))
    setup.runner.run_all()
    np.testing.assert_array_equal(document.labelmap.voxels[10] == 1, voxels[10] > 0)
    assert len({p.object_id for p in document.prompts}) == 2


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


def test_carrying_through_is_one_step_and_keeps_what_is_done_on_cancel(setup):
    document = setup.open(tube())
    setup.box()
    setup.runner.run_all()
    setup.session.prompting.carry_through(0, 20)
    job = setup.runner.jobs[0]
    reported = []

    def stop_soon(fraction, text):
        reported.append(fraction)
        if len(reported) == 4:
            setup.session.cancel()

    job.progress = stop_soon
    setup.runner.run_all()
    slices = np.flatnonzero(document.labelmap.voxels.any(axis=(1, 2)))
    assert 1 < len(slices) < 10
    assert document.undo_labels == ("Carry through (organ)", "Box (organ)")
    setup.session.undo()
    assert np.flatnonzero(document.labelmap.voxels.any(axis=(1, 2))).tolist() == [10]


def test_carrying_through_fills_the_range_and_keeps_scores(setup):
    document = setup.open(tube())
    setup.box()
    setup.runner.run_all()
    setup.session.prompting.carry_through(7, 13)
    setup.runner.run_all()
    np.testing.assert_array_equal(document.labelmap.voxels[7:13] == 1, tube()[7:13] > 0)
    assert not document.labelmap.voxels[:7].any()
    (scores,) = setup.session.prompting.scores.values()
    assert sorted(scores) == list(range(7, 13))


def test_carrying_through_without_a_box_is_refused_in_words(setup):
    setup.open(tube())
    with pytest.raises(PromptError, match="Draw a box"):
        setup.session.prompting.carry_through(0, 5)


def test_reset_takes_back_prompts_and_mask_and_can_be_undone(setup):
    document = setup.open(tube())
    setup.box()
    setup.runner.run_all()
    before = document.labelmap.voxels.copy()
    setup.session.prompting.reset_object()
    assert not document.labelmap.voxels.any()
    assert document.prompts == ()
    setup.session.undo()
    np.testing.assert_array_equal(document.labelmap.voxels, before)
    assert len(document.prompts) == 1


def test_a_reset_during_a_stroke_waits_for_its_end_and_is_its_own_step(setup):
    document = setup.open(tube())
    setup.box()
    setup.runner.run_all()
    document.begin_group("Paint")
    document.do(EditVoxels("Paint", Region((0, 0, 0), (1, 1, 1)), np.ones((1, 1, 1), np.uint8)))
    setup.session.prompting.reset_object()
    assert len(document.prompts) == 1
    document.commit_group()
    assert document.undo_labels == ("Reset prompts", "Paint", "Box (organ)")
    assert document.prompts == ()
    assert np.argwhere(document.labelmap.voxels).tolist() == [[0, 0, 0]]


def test_a_locked_label_takes_no_prompt_and_a_second_label_does_not_eat_the_first(setup):
    document = setup.open(tube())
    setup.box()
    setup.runner.run_all()
    before = document.labelmap.voxels.copy()
    setup.session.label_editing.choose(2)
    setup.box()
    setup.runner.run_all()
    np.testing.assert_array_equal(document.labelmap.voxels, before)
    lesion = document.label_table.get(2)
    setup.session.label_editing.change(replace(lesion, locked=True), "Lock")
    with pytest.raises(PromptError, match="locked"):
        setup.box()


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


def test_a_lasso_becomes_one_mask_and_one_undo_step(setup):
    document = setup.open(tube())
    lasso = LassoTool()
    corners = [(10.0, 5.6, 6.6), (10.0, 5.6, 19.4), (10.0, 16.4, 19.4), (10.0, 16.4, 6.6)]
    lasso.press(setup.session, ToolEvent(0, corners[0]))
    for corner in corners[1:]:
        lasso.drag(setup.session, ToolEvent(0, corner))
    lasso.release(setup.session, ToolEvent(0, corners[-1]))
    setup.runner.run_all()
    np.testing.assert_array_equal(document.labelmap.voxels[10] == 1, tube()[10] > 0)
    assert document.undo_labels == ("Lasso (organ)",)
    kinds = sorted(p.kind.value for p in document.prompts)
    assert kinds == ["box", "scribble", "scribble"]


def test_an_empty_answer_is_told(setup):
    setup.open(np.zeros((20, 24, 28)))
    setup.box()
    setup.runner.run_all()
    assert "found nothing" in setup.messages[-1]


def test_a_preview_shows_and_goes_without_touching_the_document(setup):
    document = setup.open(tube())
    previews = []
    setup.session.prompting.preview_changed.connect(previews.append)
    setup.session.prompting.preview_box(0, 10, (6, 7, 12, 12))
    setup.session.prompting.preview_box(0, 10, (6, 7, 16, 19))
    setup.runner.run_all()
    np.testing.assert_array_equal(previews[-1].mask, tube()[10] > 0)
    assert len(previews) == 1
    setup.session.prompting.preview_box(0, 10, None)
    assert previews[-1] is None
    assert document.undo_labels == ()


def test_open_prompt_save_and_read_back(setup, tmp_path):
    image = sitk.GetImageFromArray((tube() * 100).astype(np.int16))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-11.0, 22.0, 333.0))
    image.SetDirection((1, 0, 0, 0, 0, -1, 0, 1, 0))
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    setup.session.open(tmp_path / "scan.nii.gz")
    setup.files.run_all()
    document = setup.session.document
    region = np.argwhere(document.volume.voxels > 50)
    low, high = region.min(axis=0), region.max(axis=0) + 1
    index = int((low[0] + high[0]) // 2)
    setup.box(index, (low[1] - 1, low[2] - 1, high[1] + 1, high[2] + 1))
    setup.runner.run_all()
    setup.session.prompting.carry_through(0, document.volume.voxels.shape[0])
    setup.runner.run_all()
    assert document.is_modified
    setup.session.save_mask(tmp_path / "mask.nii.gz")
    setup.files.run_all()
    assert not document.is_modified
    saved = sitk.ReadImage(str(tmp_path / "mask.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(saved), tube() > 0)
    np.testing.assert_allclose(saved.GetDirection(), image.GetDirection(), atol=1e-6)
    np.testing.assert_allclose(saved.GetOrigin(), image.GetOrigin(), atol=1e-4)
    prompts = json.loads((tmp_path / "mask.prompts.json").read_text())
    assert prompts["prompts"][0]["kind"] == "box"
    assert "through" in prompts["prompts"][0]


def test_work_done_while_a_file_is_written_is_not_called_saved(setup, tmp_path):
    setup.open(tube())
    dab = Region((0, 0, 0), (1, 2, 2))
    document = setup.session.document
    document.do(EditVoxels("Paint", dab, np.ones((1, 2, 2), np.uint8)))
    setup.session.save_mask(tmp_path / "mask.nii.gz")
    setup.session.undo()
    document.do(EditVoxels("Paint", dab, np.full((1, 2, 2), 2, np.uint8)))
    setup.files.run_all()
    assert document.is_modified


def test_the_undo_budget_of_the_settings_is_kept(setup, tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(tube().astype(np.int16)), str(tmp_path / "a.nii.gz"))
    setup.session.settings.undo_megabytes = 0
    setup.session.open(tmp_path / "a.nii.gz")
    setup.files.run_all()
    for _ in range(30):
        setup.session.label_editing.add()
    assert len(setup.session.document.undo_labels) < 30


def test_a_file_that_cannot_be_read_leaves_the_open_document(setup, tmp_path):
    document = setup.open(tube())
    (tmp_path / "broken.nii.gz").write_bytes(b"not a scan")
    setup.session.open(tmp_path / "broken.nii.gz")
    setup.files.run_all()
    assert setup.session.document is document
    assert "NIfTI" in setup.messages[-1]


def test_a_scan_that_hardly_fits_into_memory_is_read_only_when_that_is_agreed_to(
    setup, tmp_path, monkeypatch
):
    document, path = setup.open(tube()), tmp_path / "large.nii.gz"
    voxels = np.zeros((8, 16, 16), np.int16)
    write_image(path, voxels, file_affine("LPS"))
    offers: list[Message] = []
    setup.session.message.connect(lambda message: offers.append(message))
    monkeypatch.setattr(memory, "free_bytes", lambda: memory.SCAN_FACTOR * voxels.nbytes - 1)
    setup.session.open(path)
    setup.files.run_all()
    assert setup.session.document is document
    (offer,) = offers
    assert offer.is_error
    assert "of memory to be worked on" in offer.text
    offer.act()
    setup.files.run_all()
    assert setup.session.document.volume.name == "large"

    monkeypatch.setattr(memory, "free_bytes", lambda: memory.SCAN_FACTOR * voxels.nbytes)
    setup.session.open(path)
    setup.files.run_all()
    assert len([o for o in offers if o.is_error]) == 1


class UnsureModel(BrightModel):
    """Sure of a square of 4 x 4, less and less of rings about it."""

    score = 0.5

    def guide(self, view, keys, start, stop):
        return {}

    def predict(self, view, prompts, cache) -> SliceMask:
        probability = np.zeros(view.shape_rc, np.float32)
        for half, value in ((4, 0.3), (3, 0.6), (2, 0.9)):
            probability[11 - half : 11 + half, 13 - half : 13 + half] = value
        return SliceMask(probability, self.score)


def test_an_unsure_model_offers_wider_and_narrower_outlines_in_turn(setup, monkeypatch):
    unsure = UnsureModel()
    monkeypatch.setattr(setup.engine, "_segmenters", {"embedded": PromptedSegmenter(unsure)})
    document = setup.open(tube())
    setup.box()
    setup.runner.run_all()
    assert "C shows another outline" in setup.messages[-1]
    sizes = [int(document.labelmap.voxels[10].sum())]
    for _ in range(3):
        setup.session.prompting.next_alternative()
        sizes.append(int(document.labelmap.voxels[10].sum()))
    assert sizes == [36, 64, 16, 36]
    assert document.labelmap.voxels.sum() == 36
    assert document.undo_labels[0] == "Another outline"
    for _ in range(4):
        setup.session.undo()
    assert not document.labelmap.voxels.any()
    with pytest.raises(PromptError, match="no other outline"):
        setup.session.prompting.next_alternative()


def test_a_sure_model_offers_none(setup, monkeypatch):
    sure = UnsureModel()
    sure.score = 0.9
    monkeypatch.setattr(setup.engine, "_segmenters", {"embedded": PromptedSegmenter(sure)})
    setup.open(tube())
    setup.box()
    setup.runner.run_all()
    with pytest.raises(PromptError, match="no other outline"):
        setup.session.prompting.next_alternative()


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


def test_a_closed_scan_leaves_no_embeddings_in_memory(setup):
    setup.open(tube())
    setup.box()
    setup.runner.run_all()
    assert setup.engine.cache.nbytes > 0
    setup.session.set_document(None, (0.0, 1.0))
    setup.runner.run_all()
    assert setup.engine.cache.nbytes == 0
