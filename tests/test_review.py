"""Which slices need a look: the definition, and that marks follow what the masks are."""

from __future__ import annotations

import gc
import json
import weakref

import numpy as np
import pytest

from app.confidence import confidences
from app.core.commands import ApplyPrediction, EditVoxels, SetPrompts
from app.core.document import Document, UndoStack
from app.core.geometry import Geometry, Region
from app.core.labels import LabelTable
from app.core.prompts import BoxPrompt, slice_region
from app.core.volume import Volume
from app.review import Review
from models.base import UNSURE, SegmentationResult

SHAPE = (20, 30, 30)
KEY = 5


class Bench:
    """A document with one object that a model carried through slices 4 to 9."""

    def __init__(self, undo_stack: UndoStack | None = None) -> None:
        volume = Volume(np.zeros(SHAPE, np.float32), Geometry(SHAPE, np.eye(4)))
        table = LabelTable()
        table = table.with_added(table.new_label("organ"))
        self.document = Document(volume, label_table=table, undo_stack=undo_stack)
        self.scores: dict[int, dict[int, float]] = {}
        self.review = Review(lambda: self.scores)
        self.review.open(self.document)

    def answer(self, scores: dict[int, float], *, width=10, agreement=None, **widths) -> None:
        """Let the model answer with a square per slice; a slice may have a width of its own."""
        first, last = min(scores), max(scores)
        mask = np.zeros((last + 1 - first, 30, 30), bool)
        for n in range(len(mask)):
            side = widths.get(f"at_{first + n}", width)
            mask[n, 5 : 5 + side, 5:15] = True
        region = Region((first, 0, 0), (last + 1, 30, 30))
        box = BoxPrompt(slice_region(0, KEY, (4, 4, 16, 16)), 0, (first, last + 1), 1, 0)
        result = SegmentationResult(region, region, mask, 0, scores, agreement=agreement or {})
        with self.document.group("Carry"):
            self.document.do(SetPrompts("Carry", (box,)))
            self.document.do(
                ApplyPrediction(
                    "Carry", object_id=0, label_id=1, region=region, mask=mask, covered=region
                )
            )
        self.scores[0] = dict(scores)
        self.review.record(0, result)

    def paint(self, index: int) -> None:
        region = Region((index, 5, 5), (index + 1, 7, 15))
        self.document.do(EditVoxels("Erase", region, np.zeros(region.shape_zyx, np.uint8)))

    def marks(self, name: str) -> list[int]:
        return [c.index for c in self.review.cells(0) if getattr(c, name)]


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.answer({4: 0.95, 5: 0.9, 6: 0.6, 7: 0.9, 8: 0.5, 9: 0.9})
    return bench


def test_the_weakest_sign_is_the_confidence():
    found = confidences({1: 0.9, 2: 0.9, 3: 0.9}, {2: 0.4}, {1: 0.8, 2: 0.8, 3: 0.2})
    assert found == {1: (0.9, "score"), 2: (0.4, "agreement"), 3: (0.25, "overlap")}


def test_answers_that_the_history_forgot_are_forgotten_here_too():
    bench = Bench(UndoStack(max_bytes=0, min_commands=2))
    bench.answer({4: 0.9, 5: 0.9})
    first = weakref.ref(bench.document.written[0])
    for width in range(2, 9):
        bench.answer({4: 0.9, 5: 0.9}, width=width)
    gc.collect()
    assert first() is None
    assert len(bench.review._objects[0].answers) <= 3
    # What can still be undone is still known.
    assert bench.marks("is_changed") == [4, 5]
    bench.document.undo()
    assert bench.marks("is_changed") == [4, 5]


def test_small_overlaps_everywhere_are_no_doubt():
    thick = confidences({1: 0.9, 2: 0.9}, {}, {1: 0.3, 2: 0.3})
    assert [value for value, _ in thick.values()] == [0.9, 0.9]


def test_a_slice_unlike_its_neighbours_is_doubtful_though_the_model_is_sure():
    bench = Bench()
    bench.answer(dict.fromkeys(range(4, 12), 0.95), at_8=2)
    cells = {c.index: c for c in bench.review.cells(0)}
    assert cells[8].weakest == "overlap"
    assert cells[8].confidence < UNSURE <= cells[5].confidence
    assert bench.review.to_check(0)[0] == 8


def test_a_corner_tells_what_the_strip_shows(bench):
    assert bench.review.cell_at(0, 6, label_id=1) == bench.review.cells(0)[2]
    assert bench.review.cell_at(0, 6, label_id=2) is None
    assert bench.review.cell_at(1, 6, label_id=1) is None
    assert bench.review.cell_at(0, 3, label_id=1) is None
    assert bench.review.cell_at(0, 10, label_id=1) is None
    bench.paint(6)
    assert not bench.review.cell_at(0, 6, label_id=1).needs_look


def test_the_worst_slice_comes_first_and_the_way_goes_round(bench):
    assert bench.review.to_check(0) == (8, 6)
    assert bench.review.next_to_check(0, (0, 0, 0)) == (0, 8)
    assert bench.review.next_to_check(0, (8, 0, 0)) == (0, 6)
    assert bench.review.next_to_check(0, (6, 0, 0)) == (0, 8)
    np.testing.assert_array_equal(np.flatnonzero(bench.review.doubts(0, 20)), [6, 8])
    assert not bench.review.doubts(1, 30).any()


def test_an_accepted_slice_needs_no_look_until_its_mask_changes(bench):
    bench.review.accept(0, 8)
    assert bench.review.to_check(0) == (6,)
    bench.paint(8)
    assert bench.marks("is_accepted") == []
    assert bench.marks("is_corrected") == [8]
    bench.document.undo()
    assert bench.marks("is_accepted") == [8]
    assert bench.marks("is_corrected") == []
    bench.document.redo()
    assert bench.marks("is_corrected") == [8]
    bench.review.accept(0, 8)
    assert bench.marks("is_accepted") == [8]
    bench.review.accept(0, 8, is_accepted=False)
    assert bench.marks("is_accepted") == []


def test_a_new_answer_shows_what_it_changed_and_undo_the_answer_before(bench):
    bench.paint(6)
    before = bench.marks("is_corrected")
    bench.answer({4: 0.9, 5: 0.9, 6: 0.9, 7: 0.9, 8: 0.9, 9: 0.9}, at_8=14)
    assert 8 in bench.marks("is_changed")
    assert 5 not in bench.marks("is_changed")
    bench.document.undo()
    assert bench.marks("is_changed") == []
    assert bench.marks("is_corrected") == before == [6]


def test_key_slices_and_gaps_are_told(bench):
    assert bench.marks("is_key") == [KEY]
    assert [c.index for c in bench.review.cells(0)] == list(range(4, 10))
    assert bench.review.cells(7) == ()


def test_nothing_is_worked_out_during_a_stroke(bench):
    bench.review.cells(0)
    bench.document.begin_group("Paint")
    bench.paint(7)
    assert bench.marks("is_corrected") == []
    bench.document.commit_group()
    assert bench.marks("is_corrected") == [7]


def test_marks_are_kept_as_a_few_numbers(bench):
    bench.review.accept(0, 8)
    bench.paint(7)
    content = json.loads(json.dumps(bench.review.content()))
    cells = bench.review.cells(0)
    again = Review(lambda: bench.scores)
    again.open(bench.document)
    again.restore(content)
    assert [(c.is_accepted, c.is_corrected) for c in again.cells(0)] == [
        (c.is_accepted, c.is_corrected) for c in cells
    ]
    assert len(json.dumps(content)) < 60 * len(cells)


@pytest.mark.parametrize("damaged", [None, [], {"x": {}}, {"0": 3}, {"0": {"accepted": {"a": 1}}}])
def test_damaged_marks_are_left_out(bench, damaged):
    bench.review.open(bench.document)
    bench.review.restore(damaged)
    assert bench.marks("is_accepted") == []
