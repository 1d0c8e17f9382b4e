"""An object carried through slices: one step, which keeps what was done when it is cancelled."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.errors import PromptError
from tests.session.conftest import tube


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


def test_carrying_through_without_a_box_is_refused_in_words(setup):
    setup.open(tube())
    with pytest.raises(PromptError, match="Draw a box"):
        setup.session.prompting.carry_through(0, 5)
