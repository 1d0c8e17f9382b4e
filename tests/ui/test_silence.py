"""A model that hangs: said in the window, given up on when asked, nothing lost."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from PySide6.QtCore import Qt

from app import jobs
from app.application import Application
from app.core.document import Document
from app.core.geometry import Geometry
from app.core.labels import LabelTable
from app.core.volume import Modality, Volume
from models.engine import InferenceEngine


@pytest.fixture
def application(qtbot, qapp, user_home):
    application = Application()

    def leave(_) -> None:
        if application.session.document is not None:
            application.session.document.mark_saved()

    qtbot.addWidget(application.window, before_close_func=leave)
    application.window.show()
    qtbot.waitExposed(application.window)
    yield application
    assert application.close()


def open_ball(application: Application) -> Document:
    grid = np.indices((12, 48, 48)) - np.array([6, 24, 24])[:, None, None, None]
    voxels = ((grid**2).sum(0) < 100).astype(np.float32)
    volume = Volume(voxels, Geometry(voxels.shape, np.eye(4)[[2, 1, 0, 3]]), Modality.MR, name="b")
    table = LabelTable()
    document = Document(volume, label_table=table.with_added(table.new_label("ball")))
    application.session.set_document(document, (0.0, 1.0))
    return document


def test_a_hanging_model_is_given_up_on_and_the_next_box_works(application, qtbot, monkeypatch):
    session, bar = application.session, application.window.silence_bar
    monkeypatch.setattr(jobs, "_SILENT_S", 0.2)
    application.runner._watch.setInterval(20)
    document = open_ball(application)
    before, hangs, may_end = document.state, threading.Event(), threading.Event()

    def hang(*arguments, **more):
        hangs.set()
        assert may_end.wait(60)
        raise RuntimeError("far too late")

    try:
        with monkeypatch.context() as patch:
            patch.setattr(InferenceEngine, "run", hang)
            session.prompting.place_box(0, 6, (12, 12, 36, 36))
            qtbot.waitUntil(hangs.is_set, timeout=60_000)
            qtbot.waitUntil(bar.isVisible)
        assert session.prompting.pending
        assert document.state is before
        qtbot.mouseClick(bar.button, Qt.MouseButton.LeftButton)
        assert not bar.isVisible()
        assert not session.prompting.pending
        session.prompting.place_box(0, 6, (12, 12, 36, 36))
        qtbot.waitUntil(lambda: document.labelmap.voxels.any(), timeout=60_000)
        assert document.labelmap.voxels[6, 24, 24] == 1
    finally:
        may_end.set()
    told = []
    session.message.connect(told.append)
    qtbot.waitUntil(lambda: all(thread.isFinished() for thread, _ in application.runner._given_up))
    assert told == []
