"""A window on a session whose jobs run when told, and its mouse and keyboard; for its tests."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt

from app.core.document import Document
from app.core.geometry import Geometry
from app.core.labels import LabelTable
from app.core.volume import Modality, Volume
from app.session import Session
from app.settings import Settings
from app.ui.main_window import MainWindow
from app.ui.theme import apply_theme
from models.engine import InferenceEngine
from tests.fake_model import bright_models
from tests.manual_runner import ManualRunner


class Bench:
    """A window on a session whose jobs run when told."""

    def __init__(self, qtbot, qapp, models=bright_models) -> None:
        apply_theme(qapp)
        self.runner, self.files = ManualRunner(), ManualRunner()
        self.engine = InferenceEngine(models)
        self.session = Session(self.runner, self.files, self.engine, models, Settings())
        self.window = MainWindow(self.session)
        qtbot.addWidget(self.window, before_close_func=lambda _: self.leave())
        self.window.resize(1200, 800)
        self.window.show()
        qtbot.waitExposed(self.window)
        self.qtbot = qtbot

    def leave(self) -> None:
        if self.session.document is not None:
            self.session.document.mark_saved()

    def open(self) -> Document:
        voxels = np.zeros((20, 40, 44), np.float32)
        voxels[5:15, 12:26, 15:31] = 1
        affine = np.eye(4)[[2, 1, 0, 3]]  # array axes z, y, x run to S, P, L
        volume = Volume(voxels, Geometry(voxels.shape, affine), Modality.MR, name="tube")
        table = LabelTable()
        for name in ("organ", "lesion"):
            table = table.with_added(table.new_label(name))
        document = Document(volume, label_table=table)
        self.session.set_document(document, (0.0, 1.0))
        self.session.view_state.active_tool = "box"
        self.qtbot.waitUntil(lambda: self.window.grid.isVisible())
        return document

    def view(self, axis: int):
        return self.window.grid.panels[axis].view

    def drag(self, axis: int, start, stop) -> None:
        """Press at one voxel index, release at another."""
        view = self.view(axis)
        a, b = view.point_at(start).toPoint(), view.point_at(stop).toPoint()
        target, left = view.viewport(), Qt.MouseButton.LeftButton
        self.qtbot.mousePress(target, left, pos=a)
        self.qtbot.mouseMove(target, (a + b) / 2)
        self.qtbot.mouseMove(target, b)
        self.qtbot.mouseRelease(target, left, pos=b)

    def key(self, key, modifier=Qt.KeyboardModifier.NoModifier) -> None:
        self.qtbot.keyClick(self.window, key, modifier)
