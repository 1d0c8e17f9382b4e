"""Kept work is found again: offered where it belongs, gone on with exactly there, never lost."""

from __future__ import annotations

import pytest

from tests.workspace.bench import Bench, automatic, state, worked_on, write_image

pytestmark = pytest.mark.usefixtures("bright_model")


def test_after_a_crash_the_next_start_goes_on_exactly_there(image):
    first = worked_on(image)
    first.session.view_state.cursor_zyx = (3, 4, 5)
    first.session.view_state.window = (-7.5, 212.25)
    first.paint(0, 2)
    first.session.undo()
    first.run()
    before = state(first.document)
    first.crash()

    second = Bench()
    second.session.restoring.look_for_unfinished()
    second.run()
    (offer,) = second.offers
    assert not offer.is_this_scan
    assert offer.summary.image.name == image.name
    second.session.restoring.go_on()
    second.run()
    assert state(second.document) == before
    assert second.session.view_state.cursor_zyx == (3, 4, 5)
    assert second.session.view_state.window == (-7.5, 212.25)
    assert second.session.prompting.scores == first.session.prompting.scores
    # The undo history is the same step by step, down to the scan as it was opened, and back.
    while first.session.undo():
        assert second.session.undo()
        assert state(first.document)[:6] == state(second.document)[:6]
    assert not second.session.undo()
    while first.session.redo():
        assert second.session.redo()
        assert state(first.document)[:6] == state(second.document)[:6]
    assert not second.document.redo_labels


def test_work_that_was_all_undone_comes_back_too_and_can_be_redone(image):
    first = worked_on(image)
    while first.session.undo():
        pass
    first.run()
    undone = first.document.redo_labels
    first.crash()

    second = Bench()
    second.session.restoring.look_for_unfinished()
    second.run()
    assert len(second.offers) == 1
    second.session.restoring.go_on()
    second.run()
    assert second.document.redo_labels == undone
    assert second.session.redo()


def test_work_goes_on_in_the_file_that_was_recovered(image):
    first = worked_on(image)
    first.crash()
    for z in (0, 7):
        bench = Bench()
        bench.open(image)
        assert bench.offers[-1].is_this_scan
        bench.session.restoring.go_on()
        bench.run()
        bench.session.redo()
        bench.session.undo()
        bench.paint(z, 2)
        bench.run()
        before = state(bench.document)
        bench.crash()
    last = Bench()
    last.open(image)
    last.session.restoring.go_on()
    last.run()
    assert state(last.document) == before
    assert len(automatic()) == 1


def test_what_was_left_on_purpose_is_offered_with_its_scan_only(image):
    first = worked_on(image)
    before = state(first.document)
    first.end()
    second = Bench()
    second.session.restoring.look_for_unfinished()
    second.run()
    assert second.offers == []
    second.open(image)
    assert second.offers[-1].summary.is_closed
    second.session.restoring.go_on()
    second.run()
    assert state(second.document) == before


def test_starting_afresh_puts_the_earlier_work_aside_and_loses_nothing(image):
    first = worked_on(image)
    before = state(first.document)
    first.end()
    second = Bench()
    second.open(image)
    second.paint(0)
    assert second.offers[-1] is None  # it is too late to go on
    second.run()
    second.end()
    assert len(automatic()) == 2
    aside = next(path for path in automatic() if "-" in path.stem)
    third = Bench()
    third.open(aside)
    assert state(third.document) == before


def test_declined_work_is_not_offered_at_the_next_start(image):
    worked_on(image).crash()
    bench = Bench()
    bench.session.restoring.look_for_unfinished()
    bench.run()
    bench.session.restoring.decline()
    bench.run()
    again = Bench()
    again.session.restoring.look_for_unfinished()
    again.run()
    assert again.offers == []
    again.open(image)
    assert again.offers[-1].summary.has_work


def test_another_scan_of_the_same_name_is_not_offered_the_work(image):
    worked_on(image).end()
    write_image(image, 2)
    bench = Bench()
    bench.open(image)
    assert bench.offers == []


def test_a_scan_that_was_opened_from_elsewhere_is_found_there_after_a_crash(image, tmp_path):
    worked_on(image).end()
    moved = image.rename(tmp_path / "elsewhere.nii.gz")
    second = Bench()
    second.open(moved)
    second.session.restoring.go_on()
    second.run()
    before = state(second.document)
    second.crash()
    third = Bench()
    third.session.restoring.look_for_unfinished()
    third.run()
    third.session.restoring.go_on()
    third.run()
    assert third.session.source_path == moved
    assert state(third.document) == before


def test_what_is_drawn_while_earlier_work_is_fetched_stays(image):
    first = worked_on(image)
    before = state(first.document)
    first.end()
    second = Bench()
    second.open(image)
    second.session.restoring.go_on()
    second.paint(7)
    second.run()
    assert second.document.undo_labels == ("Paint 7",)
    second.end()
    found = []
    for path in automatic():
        bench = Bench()
        bench.open(path)
        found.append(state(bench.document))
        bench.end()
    assert before in found
    assert state(second.document) in found
