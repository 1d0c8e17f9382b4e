"""The 3-D view's labels are those of the document after any edit, and only what changed is made."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.commands import EditVoxels
from app.core.document import Document
from app.core.geometry import Geometry, Region
from app.core.labels import LabelMap
from app.core.tasks import NullContext
from app.core.volume import Volume
from app.notices import Notices
from app.view3d import surfaces
from app.view3d.blocks import LabelBlock, label_blocks
from app.view3d.surfaces import LabelBlocks, SceneSource
from tests.manual_runner import ManualRunner

SHAPE = (12, 16, 14)
GEOMETRY = Geometry(SHAPE, np.eye(4)[[2, 1, 0, 3]])


class Watcher:
    """What a view knows of the labels."""

    def __init__(self, labels: np.ndarray | None = None) -> None:
        volume = Volume(np.zeros(SHAPE, np.int16), GEOMETRY)
        labelmap = None if labels is None else LabelMap(GEOMETRY, labels)
        self.document = Document(volume, labelmap)
        self.runner = ManualRunner()
        self.source = SceneSource(self.runner, Notices())
        self.shown: dict[int, LabelBlock] = {}
        self.made: list[set[int]] = []
        self.n_outdated = 0
        self.source.outdated.connect(self._count)
        self.source.updated.connect(self._take)
        self.source.watch(self.document)

    def _count(self, _: None) -> None:
        self.n_outdated += 1

    def _take(self, blocks: LabelBlocks) -> None:
        self.made.append({b.label_id for b in blocks.made})
        for label_id in blocks.gone:
            self.shown.pop(label_id, None)
        self.shown |= {b.label_id: b for b in blocks.made}

    def paint(self, region: Region, value: int) -> None:
        block = np.full(region.shape_zyx, value, np.uint8)
        self.document.do(EditVoxels("Paint", region, block))

    def update(self) -> None:
        self.source.update()
        self.runner.run_all()

    def check(self) -> None:
        """Compare with what is made of the whole map at once."""
        voxels = self.document.labelmap.voxels
        expected = label_blocks(voxels, Region.whole(SHAPE), GEOMETRY, NullContext())
        assert self.shown.keys() == {b.label_id for b in expected}
        for block in expected:
            shown = self.shown[block.label_id]
            assert shown.region == block.region
            assert np.array_equal(shown.filled, block.filled)
            assert shown.geometry.same_grid(block.geometry)


def _labels() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:5, 2:6, 2:6] = 1
    labels[6:10, 8:14, 7:12] = 2
    labels[1:3, 10:14, 1:4] = 3
    return labels


def test_what_is_there_at_first_is_shown():
    watcher = Watcher(_labels())
    assert watcher.n_outdated == 1
    watcher.update()
    watcher.check()


def test_an_empty_map_costs_nothing():
    watcher = Watcher()
    watcher.source.update()
    assert watcher.n_outdated == 0
    assert not watcher.runner.jobs


def test_an_edit_makes_only_the_labels_that_it_touched():
    watcher = Watcher(_labels())
    watcher.update()
    watcher.paint(Region((6, 8, 7), (7, 9, 8)), 0)
    watcher.update()
    assert watcher.made[-1] == {2}
    watcher.check()


def test_a_label_that_lost_all_voxels_is_gone_and_comes_back_with_undo():
    watcher = Watcher(_labels())
    watcher.update()
    watcher.paint(Region((0, 9, 0), (4, 15, 5)), 0)
    watcher.update()
    assert 3 not in watcher.shown
    watcher.document.undo()
    watcher.update()
    watcher.check()
    assert 3 in watcher.shown


@pytest.mark.parametrize("quick_voxels", [0, 10**6])
def test_after_any_edits_the_labels_are_those_of_the_document(monkeypatch, quick_voxels):
    monkeypatch.setattr(surfaces, "_QUICK_VOXELS", quick_voxels)
    rng = np.random.default_rng(5)
    watcher = Watcher(_labels())
    for _ in range(60):
        for _ in range(rng.integers(1, 4)):
            if rng.random() < 0.3:
                watcher.document.undo()
                continue
            start = rng.integers(0, np.array(SHAPE) - 1)
            stop = np.minimum(start + rng.integers(1, 6, 3), SHAPE)
            watcher.paint(Region(tuple(start), tuple(stop)), int(rng.integers(0, 5)))
        watcher.update()
        watcher.check()


def test_an_edit_while_the_worker_is_busy_is_seen_next():
    watcher = Watcher(_labels())
    watcher.source.update()
    watcher.paint(Region((0, 0, 0), (2, 2, 2)), 4)
    before = watcher.n_outdated
    watcher.source.update()  # the worker is busy: nothing more is queued
    assert len(watcher.runner.jobs) == 1
    watcher.runner.run_all()
    assert 4 not in watcher.shown
    assert watcher.n_outdated == before + 1
    watcher.update()
    watcher.check()


def test_another_document_ends_what_runs_for_the_old_one():
    watcher = Watcher(_labels())
    watcher.source.update()
    watcher.source.watch(None)
    watcher.runner.run_all()
    assert not watcher.made
    watcher.paint(Region((0, 0, 0), (2, 2, 2)), 4)
    watcher.update()
    assert not watcher.made
