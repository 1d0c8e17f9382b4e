"""Prompts through the session: each is one undo step, wherever its answer arrives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.core.commands import EditVoxels
from app.core.errors import PromptError
from app.core.geometry import Region
from app.core.prompts import BoxPrompt
from app.tools import ToolEvent
from app.tools.lasso import LassoTool
from tests.session.conftest import tube


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


def test_two_boxes_on_different_slices_both_arrive(setup):
    document = setup.open(tube())
    setup.box(8)
    setup.session.prompting.accept()
    setup.box(12)
    setup.runner.run_all()
    assert np.flatnonzero(document.labelmap.voxels.any(axis=(1, 2))).tolist() == [8, 12]
    assert len(document.undo_labels) == 2


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


def test_an_empty_answer_is_told(setup):
    setup.open(np.zeros((20, 24, 28)))
    setup.box()
    setup.runner.run_all()
    assert "found nothing" in setup.messages[-1]
