"""Automatic segmentation through the session: one step, padlocks, preview, refining."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.core.commands import EditVoxels
from app.core.document import Document
from app.core.errors import UsageError, WeightsError
from app.core.geometry import Geometry, Region
from app.core.labels import DrawOver, LabelTable
from app.core.volume import Modality, Volume
from app.session import Session
from app.settings import Settings
from app.timings import Timings
from models.automatic.segmenter import AutomaticSegmenter
from models.base import MODEL_FORMATS, InstalledModel, ModelFormat, ModelKind
from models.engine import InferenceEngine
from tests.fake_model import BrightModel
from tests.manual_runner import ManualRunner
from tests.models.automatic.networks import AIR, FIRST, SECOND, bands, spec_for

SHAPE = (24, 30, 32)
ORGAN, OTHER = Region((4, 4, 5), (12, 14, 18)), Region((16, 18, 20), (21, 26, 28))


def scan() -> Volume:
    voxels = np.full(SHAPE, AIR, np.int16)
    voxels[ORGAN.slices] = FIRST
    voxels[OTHER.slices] = SECOND
    affine = np.diag([2.0, 2.0, 2.0, 1.0])[:, [2, 1, 0, 3]]
    return Volume(voxels, Geometry(SHAPE, affine), Modality.CT)


def truth() -> np.ndarray:
    voxels = scan().voxels
    return 3 * (voxels == FIRST) + 7 * (voxels == SECOND)


class Setup:
    """A session with an automatic and a promptable model; its jobs run when told."""

    def __init__(self, tmp_path, monkeypatch) -> None:
        self.spec = spec_for(spacing=(2.0, 2.0, 2.0))
        details = {"automatic": self.spec.to_json()}
        facts = (tmp_path, "0" * 64, 0, "none", "embedded")
        models = {
            "embedded": InstalledModel("embedded", "B", ModelKind.PROMPTABLE, "bright", *facts),
            "tiny": InstalledModel(
                "tiny", "Tiny", ModelKind.AUTOMATIC, "automatic", *facts, (), details
            ),
            "bare": InstalledModel("bare", "Bare", ModelKind.AUTOMATIC, "vnet", *facts),
        }
        formats = {"bright": ModelFormat("bright", lambda *given: BrightModel())}
        monkeypatch.setattr(MODEL_FORMATS, "load", lambda: formats)
        network, self.tiles = bands(self.spec)
        self.segmenter = AutomaticSegmenter(self.spec, network, "test bench")
        monkeypatch.setattr("models.engine.load_segmenter", lambda *given: self.segmenter)
        self.runner, self.files = ManualRunner(), ManualRunner()
        engine = InferenceEngine(lambda: models)
        self.session = Session(self.runner, self.files, engine, lambda: models, Settings())
        self.automatic = self.session.automatic
        self.messages: list[str] = []
        self.session.message.connect(lambda message: self.messages.append(message.text))
        self.document = self.open(Document(scan()))

    def open(self, document: Document) -> Document:
        self.session.set_document(document, (AIR, 1000.0))
        self.run_jobs()
        return document

    def run_jobs(self) -> None:
        while self.runner.jobs or self.files.jobs:
            self.runner.run_all()
            self.files.run_all()

    def run(self, **options) -> None:
        self.automatic.run("tiny", **options)
        self.run_jobs()

    @property
    def values(self) -> np.ndarray:
        return self.document.labelmap.voxels

    def labels(self) -> dict[str, int]:
        return {info.name: info.id for info in self.document.label_table}


@pytest.fixture
def setup(tmp_path, monkeypatch) -> Setup:
    return Setup(tmp_path, monkeypatch)


def test_one_step_with_the_models_values_and_back(setup):
    running: list[bool] = []
    setup.automatic.running_changed.connect(lambda _: running.append(setup.automatic.is_running))
    setup.run()
    np.testing.assert_array_equal(setup.values, truth())
    assert setup.labels() == {"organ 3": 3, "organ 7": 7}
    assert setup.document.undo_labels == ("Automatic: Tiny",)
    assert running == [True, False]
    first, second = setup.automatic.found.structures
    assert (first.name, first.label_id, second.label_id) == ("organ 3", 3, 7)
    assert first.volume_ml == pytest.approx(ORGAN.n_voxels * 8 / 1000)
    assert first.structure.pieces[0].region == ORGAN
    setup.session.undo()
    assert not setup.values.any()
    assert setup.labels() == {}
    assert setup.automatic.found.structures == ()
    setup.session.redo()
    np.testing.assert_array_equal(setup.values, truth())
    assert len(setup.automatic.found.structures) == 2


def test_only_models_that_can_be_run_are_offered(setup):
    (choice,) = setup.automatic.choices
    assert (choice.id, choice.names) == ("tiny", ("organ 3", "organ 7"))
    with pytest.raises(UsageError, match="bare"):
        setup.automatic.run("bare")


def test_padlocked_labels_keep_their_voxels(setup):
    table = LabelTable()
    table = table.with_added(replace(table.new_label("mine", 1), locked=True))
    table = table.with_added(replace(table.new_label("organ 7", 7), locked=True))
    setup.document = setup.open(Document(scan(), label_table=table))
    document = setup.document
    # Drawn before it was locked: half of the first organ.
    document.label_table = table.with_changed(replace(table.labels[0], locked=False))
    half = Region(ORGAN.start_zyx, (8, 14, 18))
    document.do(EditVoxels("draw", half, np.ones(half.shape_zyx, np.uint8)))
    document.label_table = table
    setup.session.prompting.draw_over = DrawOver.ALL
    setup.run()
    expected = 3 * (truth() == 3)
    expected[half.slices] = 1
    np.testing.assert_array_equal(setup.values, expected)


@pytest.mark.parametrize("policy", list(DrawOver))
def test_the_policy_says_what_else_may_be_taken(setup, policy):
    document = setup.document
    info = setup.session.label_editing.add("mine")
    half = Region(ORGAN.start_zyx, (8, 14, 18))
    document.do(EditVoxels("draw", half, np.full(half.shape_zyx, info.id, np.uint8)))
    setup.session.prompting.draw_over = policy
    setup.run()
    held = {DrawOver.EMPTY: info.id, DrawOver.ALL: 3}[policy]
    assert (setup.values[half.slices] == held).all()
    assert (setup.values[8:12, 4:14, 5:18] == 3).all()


def test_again_it_replaces_its_own_labels(setup):
    setup.run()
    wrong = Region((0, 0, 0), (2, 2, 2))
    setup.document.do(EditVoxels("draw", wrong, np.full((2, 2, 2), 3, np.uint8)))
    setup.run()
    np.testing.assert_array_equal(setup.values, truth())
    assert setup.labels() == {"organ 3": 3, "organ 7": 7}


def test_a_value_that_is_taken_gives_way_and_a_name_is_used_again(setup):
    table = LabelTable()
    table = table.with_added(table.new_label("liver", 3)).with_added(table.new_label("ORGAN 7", 9))
    setup.document = setup.open(Document(scan(), label_table=table))
    setup.run()
    labels = setup.labels()
    assert (labels["liver"], labels["ORGAN 7"]) == (3, 9)
    np.testing.assert_array_equal(setup.values == labels["organ 3"], truth() == 3)
    np.testing.assert_array_equal(setup.values == 9, truth() == 7)


def test_only_what_is_wanted_where_it_is_wanted(setup):
    setup.run(names=frozenset({"organ 7"}))
    np.testing.assert_array_equal(setup.values, 7 * (truth() == 7))
    assert setup.labels() == {"organ 7": 7}
    setup.run(roi=Region((0, 0, 0), (8, 30, 32)))
    expected = truth().copy()
    expected[8:12] = 0
    np.testing.assert_array_equal(setup.values, expected)
    with pytest.raises(UsageError, match="at least one"):
        setup.automatic.run("tiny", names=frozenset({"spleen"}))
    with pytest.raises(UsageError, match="outside"):
        setup.automatic.run("tiny", roi=Region((50, 0, 0), (60, 5, 5)))


def test_the_preview_grows_and_goes(setup):
    seen: list[np.ndarray | None] = []
    steps: list[tuple[str, ...]] = []

    def record(preview):
        seen.append(None if preview is None else preview.labels.copy())
        steps.append(setup.document.undo_labels)
        if preview is not None:
            assert preview.table.get(3).name == "organ 3"
            assert not preview.labels.flags.writeable

    setup.automatic.preview_changed.connect(record)
    setup.run()
    shown = [labels for labels in seen if labels is not None]
    assert len(shown) >= 2
    assert np.count_nonzero(shown[0]) < np.count_nonzero(shown[-1])
    np.testing.assert_array_equal(shown[0][shown[0] > 0], truth()[shown[0] > 0])
    assert seen[-1] is None
    assert steps[0] == (), "nothing enters the document before the end"


def test_cancelled_nothing_is_kept(setup):
    setup.automatic.run("tiny")
    setup.session.cancel()
    assert not setup.automatic.is_running
    setup.run_jobs()
    assert not setup.values.any()
    assert setup.document.undo_labels == ()
    assert setup.tiles == []


def test_stopped_with_keep_what_is_done_enters(setup):
    setup.automatic.run("tiny")
    (member,) = setup.segmenter.members

    def stop_soon(tiles, check=None):
        if len(setup.tiles) == 12:
            setup.automatic.stop(keep=True)
        return member.network(tiles, check=check)

    setup.segmenter.members = (replace(member, network=stop_soon),)
    setup.run_jobs()
    done = np.flatnonzero(setup.values.any(axis=(1, 2)))
    assert done.size
    kept = setup.values[: done[-1] + 1]
    np.testing.assert_array_equal(kept, truth()[: done[-1] + 1])
    assert not setup.values[16:].any()
    assert setup.document.undo_labels == ("Automatic: Tiny",)
    assert any("Stopped" in sentence for sentence in setup.messages)


def test_what_was_drawn_meanwhile_is_kept(setup):
    setup.automatic.run("tiny")
    setup.runner.run_all()  # the network is done, its labels are being entered
    info = setup.session.label_editing.add("mine")
    half = Region(ORGAN.start_zyx, (8, 14, 18))
    setup.document.do(EditVoxels("draw", half, np.full(half.shape_zyx, info.id, np.uint8)))
    setup.run_jobs()
    assert (setup.values[half.slices] == info.id).all()
    assert (setup.values[OTHER.slices] == 7).all()
    assert setup.document.undo_labels[0] == "Automatic: Tiny"


def test_another_scan_is_left_alone(setup):
    setup.automatic.run("tiny")
    setup.runner.run_next()
    other = Document(scan())
    setup.session.set_document(other, (0.0, 1.0))
    setup.run_jobs()
    assert not other.labelmap.voxels.any()
    assert setup.automatic.found.structures == ()


def test_a_failure_is_told_and_over(setup, monkeypatch):
    def broken(*given):
        raise WeightsError("The weights are damaged.")

    monkeypatch.setattr("models.engine.load_segmenter", broken)
    setup.run()
    assert setup.messages == ["The weights are damaged."]
    assert not setup.automatic.is_running


def test_nothing_found_says_what_it_was_made_for(setup):
    empty = Volume(np.full(SHAPE, AIR, np.int16), scan().geometry, Modality.CT)
    setup.document = setup.open(Document(empty))
    setup.run()
    assert setup.document.undo_labels == ()
    assert any("phantom" in sentence for sentence in setup.messages)


def test_the_time_is_learnt(setup, tmp_path):
    assert setup.automatic.expected_seconds("tiny") is None
    setup.run()
    whole = setup.automatic.expected_seconds("tiny")
    part = setup.automatic.expected_seconds("tiny", Region((0, 0, 0), (4, 8, 8)))
    assert whole is not None
    assert part is not None
    assert 0 < part < whole
    path = tmp_path / "timings.json"
    Timings(path).learn("a", 2.0, 6.0)
    assert Timings(path).expected("a", 1.0) == pytest.approx(3.0)
    Timings(path).learn("a", 1.0, 8.0)
    assert 3.0 < Timings(path).expected("a", 1.0) < 8.0  # type: ignore[operator]
    path.write_text("[]")
    assert Timings(path).expected("a", 1.0) is None


def test_doubts_are_asked_about_before(setup):
    assert setup.automatic.doubts("tiny") == ()
    mr = replace(scan(), modality=Modality.MR)
    setup.open(Document(mr))
    (sentence,) = setup.automatic.doubts("tiny")
    assert "MR" in sentence


def test_a_piece_is_looked_at_and_refined(setup):
    setup.run()
    second = setup.automatic.found.structures[1]
    setup.automatic.found.go_to(second)
    z, y, x = setup.session.view_state.cursor_zyx
    assert setup.values[int(z), int(y), int(x)] == 7
    assert setup.session.view_state.active_label == 7
    setup.automatic.found.refine(second)
    (box,) = setup.document.prompts
    index = box.slice_index
    assert box.box_rc == (17, 19, 27, 29)
    assert setup.session.prompting.current_object == box.object_id
    before = setup.values.copy()
    np.testing.assert_array_equal(before, truth())
    # A smaller box of the same object: the promptable model's answer replaces the slice alone.
    setup.session.prompting.place_box(0, index, (18, 20, 24, 26))
    setup.run_jobs()
    expected = before.copy()
    expected[index][expected[index] == 7] = 0
    expected[index, 18:24, 20:26] = 7
    np.testing.assert_array_equal(setup.values, expected)
    setup.session.undo()
    np.testing.assert_array_equal(setup.values, before)
    setup.session.undo()
    assert setup.document.prompts == ()
    assert setup.document.written == {}


def test_a_piece_that_is_gone_or_locked_is_not_refined(setup):
    setup.run()
    found = setup.automatic.found.structures[0]
    document = setup.document
    document.do(EditVoxels("erase", ORGAN, np.zeros(ORGAN.shape_zyx, np.uint8)))
    with pytest.raises(UsageError, match="Nothing is left"):
        setup.automatic.found.refine(found)
    info = replace(document.label_table.get(3), locked=True)
    setup.session.label_editing.change(info, "Lock")
    with pytest.raises(UsageError, match="locked"):
        setup.automatic.found.refine(found)
