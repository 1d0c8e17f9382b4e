"""200 random actions through the session: every earlier state comes back, both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.core.commands import DeleteLabel
from app.core.document import Document
from app.core.errors import AppError
from app.core.geometry import Geometry
from app.core.labels import DrawOver, LabelTable
from app.core.tasks import NullContext
from app.core.volume import Modality, Volume
from app.editing.operation import (
    Combine,
    CopySlice,
    FillBetween,
    FillHoles,
    FloodFill,
    Grow,
    How,
    KeepLargest,
    RemoveIslands,
    Smooth,
    Threshold,
    Where,
)
from app.io.writer import write_voxels
from app.session import Session
from app.settings import Settings
from app.tools import TOOLS, ToolEvent
from models.automatic.segmenter import AutomaticSegmenter
from models.base import InstalledModel, ModelKind
from models.engine import InferenceEngine
from tests.fake_model import bright_model, bright_models  # noqa: F401
from tests.manual_runner import ManualRunner
from tests.models.automatic.networks import SECOND, bands, spec_for

SHAPE = (10, 16, 18)
N_ACTIONS = 200
GEOMETRY = Geometry(SHAPE, np.diag((1.0, 1.0, 3.0, 1.0))[:, [2, 1, 0, 3]])
# What undo steps are called, each of which some walk has to take.
KINDS = (
    *("Box", "Point", "Scribble", "Lasso", "Paint", "Erase", "Carry", "Ruler", "Angle"),
    *("Automatic", "Refine", "Import", "Merge", "Split", "Add label", "Delete label", "Lock"),
    *("Rename", "Opacity", "Move label", "Threshold", "Grow", "Reset", "Delete measurement"),
)


class Walk:
    """A session that does random things, and is checked whenever its document changes.

    Whatever path leads to a state of the history - doing, undoing, redoing, giving a stroke up -
    it must have the same content. ``known`` holds the content of each state that was seen.
    """

    def __init__(self, seed: int, models: Mapping[str, InstalledModel], mask: Path) -> None:
        self.rng = np.random.default_rng(seed)
        self.runner, self.files = ManualRunner(), ManualRunner()
        self.mask = mask
        engine = InferenceEngine(lambda: models)
        self.session = Session(self.runner, self.files, engine, lambda: models, Settings())
        voxels = self.rng.random(SHAPE).astype(np.float32) * 1200 - 1000
        voxels[2:8, 4:12, 5:13] += 800
        voxels[3:9, 12:15, 4:14] = SECOND
        table = LabelTable()
        for name in ("organ", "lesion", "vessel"):
            table = table.with_added(table.new_label(name))
        self.document = Document(Volume(voxels, GEOMETRY, Modality.CT), label_table=table)
        self.session.set_document(self.document, (-1000.0, 1000.0))
        self.known: dict[int, tuple[object, tuple]] = {}
        self.n_returns = 0
        self.steps: set[str] = set()
        self.check()
        self.document.changed.connect(lambda change: self.check())
        self.tools = {name: type(tool)() for name, tool in TOOLS.load().items()}
        self.tools["brush"].radius_mm = 2.5

    def check(self) -> None:
        """Compare the content with what it was when the document was in this state before."""
        if self.document.is_in_group:
            return
        state, content = self.document.state, self.content()
        self.steps.update(self.document.undo_labels[:1])
        # The token is kept, so that no other one gets its id.
        _, before = self.known.setdefault(id(state), (state, content))
        self.n_returns += before is not content
        assert content == before
        used = set(np.unique(self.document.labelmap.voxels).tolist()) - {0}
        assert used <= {info.id for info in self.document.label_table}

    def content(self) -> tuple:
        document = self.document
        return (
            document.labelmap.voxels.astype(np.uint16).tobytes(),
            document.label_table,
            document.prompts,
            document.annotations,
            {
                k: (d.region, d.old_values.tobytes(), d.new_values.tobytes())
                for k, d in document.written.items()
            },
        )

    def any_of(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def index(self) -> tuple[int, int, int]:
        z, y, x = (int(self.rng.integers(n)) for n in SHAPE)
        return z, y, x

    # -- actions

    def stroke(self) -> None:
        tool = self.tools[self.any_of(*self.tools)]
        axis, is_alternate = int(self.rng.integers(3)), bool(self.rng.random() < 0.3)
        at = np.array(self.index(), float)
        begin = tool.press
        for _ in range(self.rng.integers(1, 6)):
            begin(self.session, ToolEvent(axis, tuple(at), is_alternate))
            begin = tool.drag
            at = at + self.rng.normal(0, 5, 3) * (np.arange(3) != axis)
            if self.rng.random() < 0.15:
                self.interrupt()
        if self.rng.random() < 0.15:
            tool.cancel(self.session)
        else:
            tool.release(self.session, ToolEvent(axis, tuple(at), is_alternate))

    def interrupt(self) -> None:
        """Do what a key or a result may do in the middle of a stroke."""
        act: Callable[[], object] = self.any_of(
            self.session.prompting.reset_object,
            self.session.undo,
            self.session.prompting.accept,
            self.label,
            self.session.prompting.next_alternative,
            self.runner.run_all,
            self.files.run_all,
            self.session.redo,
        )
        act()

    def edit(self) -> None:
        other = int(self.rng.integers(1, 5))
        axis, index = int(self.rng.integers(3)), self.index()
        self.session.edit_mask(
            self.any_of(
                Grow(1.5),
                Grow(-1.0),
                Smooth(1.0),
                FillHoles(),
                KeepLargest(),
                RemoveIslands(0.02),
                Threshold(0.0, 800.0, self.any_of(*Where), near_mm=3.0),
                FloodFill(index, 400.0, axis),
                FillBetween(axis),
                CopySlice(axis, index[axis], index[axis] + 1),
                Combine(other, self.any_of(*How), float(self.rng.integers(3))),
            )
        )

    def label(self) -> None:
        number, table = int(self.rng.integers(1, 6)), self.document.label_table
        info = table.get(number)
        if info is None:
            self.session.label_editing.add()
            return
        if info.locked:
            self.session.label_editing.change(replace(info, locked=False), "Unlock")
            return
        others = [i.id for i in table][: int(self.rng.integers(1, 4))]
        place, opacity = int(self.rng.integers(len(table))), float(self.rng.random())
        editing, session = self.session.label_editing, self.session
        act: Callable[[], object] = self.any_of(
            lambda: self.document.do(DeleteLabel(number)),
            lambda: session.label_editing.change(replace(info, locked=True), "Lock"),
            lambda: session.label_editing.change(replace(info, name=f"{opacity}"), "Rename"),
            lambda: session.label_editing.change(replace(info, opacity=opacity), "Opacity of"),
            lambda: session.label_editing.set_table(table.with_moved(number, place), "Move label"),
            lambda: session.label_editing.choose(number),
            lambda: session.label_editing.choose(number),
            lambda: session.label_editing.choose(number),
            lambda: editing.merge(number, others),
            lambda: editing.split(number),
        )
        act()

    def carry(self) -> None:
        """Box something and carry it, now and then from two key slices."""
        session = self.session
        for index in range(3, int(self.rng.integers(4, 9)), 3):
            session.prompting.place_box(0, index, (3, 4, 13, 14))
            self.runner.run_all()
        session.prompting.carry_through(*sorted(self.rng.integers(0, 10, 2).tolist()))

    def measure(self) -> None:
        """Draw an angle or take a line away; the tools among the strokes draw rulers."""
        if self.rng.random() < 0.5:
            tool, index = self.tools["angle"], self.index()
            for row, column in ((12.0, 8.0), (4.0, 15.0)):
                start, stop = (index[0], 3.0, 2.0), (index[0], row, column)
                tool.press(self.session, ToolEvent(0, start))
                tool.drag(self.session, ToolEvent(0, stop))
                tool.release(self.session, ToolEvent(0, stop))
            return
        marks, measurements = self.document.annotations, self.session.measurements
        if not marks:
            return
        measurements.select(self.any_of(*(mark.id for mark in marks)))
        measurements.remove_selected()

    def automatic(self) -> None:
        run = self.session.automatic
        found = run.found.structures
        if found and self.rng.random() < 0.6:
            run.found.refine(found[int(self.rng.integers(len(found)))])
        else:
            run.run("tiny")

    def other(self) -> None:
        act: Callable[[], object] = self.any_of(
            self.session.prompting.accept,
            self.session.prompting.reset_object,
            lambda: self.session.prompting.carry_through(
                *sorted(self.rng.integers(0, 10, 2).tolist())
            ),
            lambda: setattr(self.session.prompting, "draw_over", self.any_of(*DrawOver)),
        )
        act()

    def step(self) -> None:
        act: Callable[[], object] = self.any_of(
            self.session.undo,
            self.session.redo,
            self.stroke,
            self.stroke,
            self.stroke,
            self.edit,
            self.edit,
            self.label,
            self.label,
            self.other,
            self.carry,
            self.measure,
            self.automatic,
            lambda: self.session.import_mask(self.mask),
        )
        try:
            act()
        except AppError:
            for tool in self.tools.values():
                tool.cancel(self.session)
            # Mostly the active label is locked or gone: take another one.
            free = [i for i in self.document.label_table if not i.locked]
            self.session.label_editing.choose(
                free[0].id if free else self.session.label_editing.add().id
            )
        if self.rng.random() < 0.8:
            self.runner.run_all()
            self.files.run_all()
        assert not self.document.is_in_group
        self.check()


@pytest.fixture
def models(bright_model, monkeypatch, tmp_path):  # noqa: F811
    spec = spec_for()
    network, _ = bands(spec)
    segmenter = AutomaticSegmenter(spec, network, "test bench")
    monkeypatch.setattr("models.engine.load_segmenter", lambda *given: segmenter)
    tiny = InstalledModel(
        "tiny", "Tiny", ModelKind.AUTOMATIC, "automatic", tmp_path, "0" * 64, 0, "none",
        "embedded", (), {"automatic": spec.to_json()},
    )  # fmt: skip
    return {**bright_models(), "tiny": tiny}


@pytest.fixture
def mask(tmp_path) -> Path:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, 2:9, 3:8] = 2
    path = tmp_path / "earlier.nii.gz"
    write_voxels(path, labels, Volume(labels, GEOMETRY), NullContext())
    return path


def test_every_state_of_long_sessions_comes_back(models, mask):
    steps: set[str] = set()
    for seed in range(6):
        walk = Walk(seed, models, mask)
        for _ in range(N_ACTIONS):
            walk.step()
        walk.session.cancel(keep=False)
        n_steps = len(walk.document.undo_labels)
        assert n_steps > N_ACTIONS / 10
        while walk.session.undo():
            pass
        assert walk.document.undo_labels == ()
        assert not walk.document.labelmap.voxels.any()
        assert walk.document.prompts == walk.document.annotations == ()
        while walk.session.redo():
            pass
        assert len(walk.document.undo_labels) >= n_steps
        assert walk.n_returns > 2 * n_steps
        steps |= walk.steps
    untried = [kind for kind in KINDS if not any(step.startswith(kind) for step in steps)]
    assert untried == []
