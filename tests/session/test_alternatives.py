"""Other outlines: offered by a model that is unsure, by no other."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.errors import PromptError
from models.base import SliceMask
from models.propagation import PromptedSegmenter
from tests.fake_model import BrightModel
from tests.session.conftest import tube


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
