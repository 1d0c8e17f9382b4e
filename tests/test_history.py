"""200 random actions through the session: every earlier state comes back, both ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from app.core.commands import DeleteLabel
from app.core.document import Document
from app.core.errors import AppError
from app.core.geometry import Geometry
from app.core.labels import DrawOver, LabelTable
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
from app.session import Session
from app.settings import Settings
from app.tools import TOOLS, ToolEvent
from models.engine import InferenceEngine
from tests.fake_model import bright_model, bright_models  # noqa: F401
from tests.manual_runner import ManualRunner

SHAPE = (10, 16, 18)
N_ACTIONS = 200


class Walk:
    """A session that does random things, and is checked whenever its document changes.

    Whatever path leads to a state of the history - doing, undoing, redoing, giving a stroke up -
    it must have the same content. ``known`` holds the content of each state that was seen.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.runner, self.files = ManualRunner(), ManualRunner()
        engine = InferenceEngine(bright_models)
        self.session = Session(self.runner, self.files, engine, bright_models, Settings())
        voxels = self.rng.random(SHAPE).astype(np.float32) * 0.6
        voxels[2:8, 4:12, 5:13] += 0.4
        table = LabelTable()
        for name in ("organ", "lesion", "vessel"):
            table = table.with_added(table.new_label(name))
        volume = Volume(voxels, Geometry(SHAPE, np.diag((3.0, 1.0, 1.0, 1.0))), Modality.MR)
        self.document = Document(volume, label_table=table)
        self.session.set_document(self.document, (0.0, 1.0))
        self.known: dict[int, tuple[object, tuple]] = {}
        self.n_returns = 0
        self.check()
        self.document.changed.connect(lambda change: self.check())
        self.tools = {name: type(tool)() for name, tool in TOOLS.load().items()}
        self.tools["brush"].radius_mm = 2.5

    def check(self) -> None:
        """Compare the content with what it was when the document was in this state before."""
        if self.document.is_in_group:
            return
        state, content = self.document.state, self.content()
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
            {k: (d.region, d.old_values.tobytes()) for k, d in document.written.items()},
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
            self.session.reset_object,
            self.session.undo,
            self.session.accept,
            self.label,
            self.session.next_alternative,
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
                Threshold(0.5, 0.9, self.any_of(*Where), near_mm=3.0),
                FloodFill(index, 0.2, axis),
                FillBetween(axis),
                CopySlice(axis, index[axis], index[axis] + 1),
                Combine(other, self.any_of(*How), float(self.rng.integers(3))),
            )
        )

    def label(self) -> None:
        number = int(self.rng.integers(1, 6))
        info = self.document.label_table.get(number)
        roll = self.rng.random()
        if info is None:
            self.session.add_label()
        elif info.locked:
            self.session.change_label(replace(info, locked=False), "Unlock")
        elif roll < 0.1:
            self.document.do(DeleteLabel(number))
        elif roll < 0.3:
            self.session.change_label(replace(info, locked=True), "Lock")
        else:
            self.session.set_active_label(number)

    def other(self) -> None:
        act: Callable[[], object] = self.any_of(
            self.session.accept,
            self.session.reset_object,
            lambda: self.session.carry_through(*sorted(self.rng.integers(0, 10, 2).tolist())),
            lambda: setattr(self.session, "draw_over", self.any_of(*DrawOver)),
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
            self.other,
        )
        try:
            act()
        except AppError:
            for tool in self.tools.values():
                tool.cancel(self.session)
            # Mostly the active label is locked or gone: take another one.
            free = [i for i in self.document.label_table if not i.locked]
            self.session.set_active_label(free[0].id if free else self.session.add_label().id)
        if self.rng.random() < 0.8:
            self.runner.run_all()
            self.files.run_all()
        assert not self.document.is_in_group
        self.check()


@pytest.mark.parametrize("seed", [1, 5, 8])
def test_every_state_of_a_long_session_comes_back(bright_model, seed):  # noqa: F811
    walk = Walk(seed)
    for _ in range(N_ACTIONS):
        walk.step()
    walk.session.cancel(keep=False)
    n_steps = len(walk.document.undo_labels)
    assert n_steps > N_ACTIONS / 10
    while walk.session.undo():
        pass
    assert walk.document.undo_labels == ()
    assert not walk.document.labelmap.voxels.any()
    while walk.session.redo():
        pass
    assert len(walk.document.undo_labels) >= n_steps
    assert walk.n_returns > 2 * n_steps
