"""The 3-D view in the window: what it shows, what a click finds, what it says without OpenGL."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QCoreApplication, QEventLoop, QPointF, Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QPushButton

from app.core.commands import EditVoxels
from app.core.document import Document
from app.core.geometry import Geometry, Region
from app.core.labels import LabelMap, LabelTable
from app.core.volume import Modality, Volume
from app.session import Message, Session
from app.settings import Settings
from app.ui import dialogs
from app.ui.scene_client import SceneClient
from app.ui.view_grid import SCENE, ViewGrid
from models.engine import InferenceEngine
from tests.fake_model import bright_models
from tests.manual_runner import ManualRunner
from tests.phantoms import rotation

SHAPE = (16, 36, 32)
BALL, CENTRE = 2, (6, 22, 12)
_LIMIT_S = 60


class Bench:
    """The views of a session whose jobs run when told, with a process that draws."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self.runner = ManualRunner()
        engine = InferenceEngine(bright_models)
        self.session = Session(self.runner, self.runner, engine, bright_models, Settings())
        self.grid = ViewGrid(self.session)
        self.scene = self.grid.scene
        if command is not None:
            self.scene.client.set_command(command)
        self.messages: list[Message] = []
        self.session.message.connect(self.messages.append)
        self.grid.resize(900, 700)
        self.grid.show()

    def close(self) -> None:
        self.grid.close_views()
        self.grid.close()
        self.grid.deleteLater()

    def open(self) -> Document:
        steps = np.array([[0, 0, 1.0], [0, 0.9, 0], [2.5, 0, 0]])
        affine = np.eye(4)
        affine[:3, :3] = rotation((12, -8, 20)) @ steps
        affine[:3, 3] = (50, -30, 700)
        geometry = Geometry(SHAPE, affine)
        apart = geometry.index_to_lps(np.moveaxis(np.indices(SHAPE), 0, -1))
        apart = apart - geometry.index_to_lps(CENTRE)
        ball = np.linalg.norm(apart, axis=-1) <= 9
        labels = np.where(ball, BALL, 0).astype(np.uint8)
        voxels = np.where(ball, 1500, -1000).astype(np.int16)
        table = LabelTable()
        for name in ("organ", "ball"):
            table = table.with_added(table.new_label(name))
        volume = Volume(voxels, geometry, Modality.CT, name="ball")
        document = Document(volume, LabelMap(geometry, labels), table)
        self.session.set_document(document, (-160.0, 240.0))
        self.session.view_state.cursor_zyx = (14, 4, 28)  # outside the ball
        return document

    def show(self) -> Document:
        """Open a scan and show all of it in three dimensions, without slices."""
        document = self.open()
        self.grid.set_layout("four")
        self.until(lambda: self.scene.client.is_ready)
        self.scene.reset_camera()
        self.scene.feed.has_planes = False
        self.scene.feed.preset = None
        self.until(lambda: self.n_coloured() > 0)
        return document

    def until(self, condition) -> None:
        """Let the process, the timers and the jobs go on until something holds."""

        end = time.monotonic() + _LIMIT_S
        while not condition():
            assert time.monotonic() < end, "it never came"
            self.runner.run_all()
            QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents, 20)

    def sentence(self) -> str:
        texts = [w.text() for w in self.scene.findChildren(QLabel, "sentence") if w.isVisible()]
        return " ".join(texts)

    def pixels(self) -> np.ndarray:
        """Return what is on the screen, without the compass at the lower left."""
        image = self.scene.view.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
        rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1)
        rgb = rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)
        rgb[-100:, :100] = 0
        return rgb

    def n_coloured(self) -> int:
        """Return how many pixels have a colour: surfaces, edges of slices, rendered volumes."""
        return int((np.ptp(self.pixels(), axis=-1) > 60).sum())

    def click_at(self, index_zyx) -> None:
        view = self.scene.view
        geometry = self.session.document.volume.geometry
        point = view.camera.project(geometry.index_to_lps(index_zyx), view.width(), view.height())
        where = QPointF(*point.tolist()).toPoint()
        QTest.mouseClick(view, Qt.MouseButton.LeftButton, pos=where)

    def button(self, name: str) -> QPushButton:
        return next(b for b in self.scene.findChildren(QPushButton) if b.text() == name)


@pytest.fixture
def made(qapp) -> Iterator[Callable[[Sequence[str]], Bench]]:
    """Return a function that makes a bench whose process is any program."""
    benches: list[Bench] = []

    def make(command: Sequence[str]) -> Bench:
        benches.append(Bench(command))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


@pytest.fixture(scope="module")
def one_bench(qapp, opengl, tmp_path_factory) -> Iterator[Bench]:
    """Return a bench for all tests that draw: starting to draw takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASKWRIGHT_HOME", str(tmp_path_factory.mktemp("home")))
        bench = Bench()
        yield bench
        bench.close()


@pytest.fixture
def shown(one_bench) -> Bench:
    one_bench.show()
    return one_bench


# -- without OpenGL ------------------------------------------------------------------------------


def test_nothing_is_started_before_the_view_is_seen(made):
    bench = made([sys.executable, "-c", "import sys; sys.stdin.read()"])
    bench.open()
    for layout in ("main", "row", "tall"):
        bench.grid.set_layout(layout)
        assert not bench.scene.client.is_started
    bench.grid.set_layout("four")
    assert bench.scene.client.is_started


@pytest.mark.parametrize(
    "probe",
    [
        "raise SystemExit(1)",
        # As a driver does it.
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "print('libGL error: no driver', flush=True); import time; time.sleep(60)",
    ],
    ids=["ends", "crashes", "prints"],
)
def test_without_opengl_the_view_says_so_and_all_else_goes_on(made, probe):
    if sys.platform == "win32" and "SIGKILL" in probe:
        pytest.skip("Windows has no SIGKILL")
    bench = made([sys.executable, "-c", probe])
    bench.open()
    bench.grid.set_layout("four")
    bench.until(lambda: "needs OpenGL" in bench.sentence())
    assert not bench.scene.client.is_started
    assert not bench.button("Try again").isVisible()
    bench.grid.panels[0].view.show_slice(3)
    assert bench.session.view_state.cursor_zyx[0] == 3
    assert not bench.messages


def test_the_answer_is_remembered(made, tmp_path):
    log = tmp_path / "starts"
    bench = made([sys.executable, "-c", f"open({str(log)!r}, 'a').write('x')"])
    bench.open()
    bench.grid.set_layout("four")
    bench.until(lambda: "needs OpenGL" in bench.sentence())
    n_starts = len(log.read_text("utf-8"))
    bench.grid.set_layout("main")
    bench.open()
    bench.grid.set_layout("four")
    assert "needs OpenGL" in bench.sentence()
    assert len(log.read_text("utf-8")) == n_starts


def test_a_program_that_cannot_be_started_is_no_fault(made, tmp_path):
    bench = made([str(tmp_path / "no-such-program")])
    bench.open()
    bench.grid.set_layout("four")
    bench.until(lambda: "needs OpenGL" in bench.sentence())


def test_a_second_way_to_draw_is_tried_where_the_first_fails(qtbot, tmp_path):
    ways = tmp_path / "ways"
    code = (
        "import os; "
        f"open({str(ways)!r}, 'a').write(os.environ.get('VTK_DEFAULT_OPENGL_WINDOW', '-') + '\\n')"
    )
    client = SceneClient()
    client.set_command([sys.executable, "-c", code])
    with qtbot.waitSignal(client.unable, timeout=1000 * _LIMIT_S):
        client.start()
    tried = ways.read_text("utf-8").split()
    assert tried[0] == "-"
    assert len(set(tried)) == len(tried)
    if sys.platform == "linux":
        assert tried[1:] == ["vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow"]


# -- with OpenGL ---------------------------------------------------------------------------------


def test_a_process_that_dies_can_be_started_again(shown):
    shown.scene.client._process.kill()
    shown.until(lambda: "has stopped" in shown.sentence())
    assert shown.session.document is not None
    QTest.mouseClick(shown.button("Try again"), Qt.MouseButton.LeftButton)
    shown.until(lambda: not shown.sentence())
    shown.until(lambda: shown.n_coloured() > 0)


def test_a_click_on_a_surface_moves_the_cursor_to_the_voxel(shown):
    document = shown.session.document
    voxels = document.labelmap.voxels
    before = shown.session.view_state.cursor_zyx
    assert voxels[before] != BALL
    shown.click_at(CENTRE)
    shown.until(lambda: shown.session.view_state.cursor_zyx != before)
    voxel = shown.session.view_state.cursor_zyx
    assert voxels[voxel] == BALL
    # The nearest face of the ball, as seen from the front: straight before its centre.
    geometry, camera = document.volume.geometry, shown.scene.view.camera
    centre = geometry.index_to_lps(CENTRE)
    face = centre - 9 * (centre - camera.eye_lps) / np.linalg.norm(centre - camera.eye_lps)
    off = np.linalg.norm(geometry.index_to_lps(voxel) - face)
    assert off < np.linalg.norm(geometry.spacing_zyx)


def test_a_click_on_a_slice_moves_the_cursor_there(shown):
    # Seen from the right side, nothing stands before this end of the sagittal slice.
    shown.session.view_state.cursor_zyx = (14, 33, 2)
    shown.scene.feed.has_planes = True
    shown.scene.look_from("R")
    wanted = (4, 20, 2)
    shown.click_at(wanted)
    shown.until(lambda: shown.session.view_state.cursor_zyx != (14, 33, 2))
    assert shown.session.view_state.cursor_zyx == wanted


def test_a_click_on_nothing_moves_nothing(shown):
    before = shown.session.view_state.cursor_zyx
    QTest.mouseClick(shown.scene.view, Qt.MouseButton.LeftButton, pos=QPointF(3, 3).toPoint())
    picked = []
    shown.scene.client.answered.connect(lambda p: picked.append(p.kind))
    shown.until(lambda: "picked" in picked)
    assert shown.session.view_state.cursor_zyx == before


def test_surfaces_follow_edits_undo_and_the_label_table(shown):
    document = shown.session.document
    whole = Region.whole(SHAPE)
    at_first = shown.n_coloured()
    document.do(EditVoxels("Erase", whole, np.zeros(SHAPE, np.uint8)))
    shown.until(lambda: shown.n_coloured() == 0)
    document.undo()
    shown.until(lambda: shown.n_coloured() > 0.8 * at_first)
    info = document.label_table.get(BALL)
    colour = (10, 200, 30)
    shown.session.label_editing.change(replace(info, colour=colour), "Recolour")
    shown.until(lambda: _is_green(shown.pixels()).sum() > 0.5 * at_first)
    shown.session.label_editing.change(replace(info, visible=False), "Hide")
    shown.until(lambda: shown.n_coloured() == 0)


def _is_green(rgb: np.ndarray) -> np.ndarray:
    return rgb[..., 1] > 60 + np.maximum(rgb[..., 0], rgb[..., 2])


def test_the_scan_is_rendered_on_demand(shown):
    document = shown.session.document
    document.do(EditVoxels("Erase", Region.whole(SHAPE), np.zeros(SHAPE, np.uint8)))
    shown.until(lambda: shown.n_coloured() == 0)
    shown.scene.next_preset()
    shown.until(lambda: shown.pixels().max() > 80)
    while shown.scene.feed.preset is not None:
        shown.scene.next_preset()
    shown.until(lambda: shown.pixels().max() < 60)


def test_dragging_turns_and_r_turns_back_without_touching_the_work(shown, monkeypatch):
    view, resets = shown.scene.view, []
    monkeypatch.setattr(shown.session.prompting, "reset_object", lambda: resets.append(1))
    eye = view.camera.eye_lps
    left = Qt.MouseButton.LeftButton
    cursor = shown.session.view_state.cursor_zyx
    start = view.rect().center()
    QTest.mousePress(view, left, pos=start)
    for n in range(1, 6):
        QTest.mouseMove(view, start + QPointF(12 * n, 5 * n).toPoint())
    QTest.mouseRelease(view, left, pos=start + QPointF(60, 25).toPoint())
    assert np.linalg.norm(view.camera.eye_lps - eye) > 10
    QTest.keyClick(view, Qt.Key.Key_R)
    assert np.allclose(view.camera.eye_lps, eye)
    assert not resets
    assert shown.session.view_state.cursor_zyx == cursor


def test_the_picture_is_saved_with_its_letters(shown, monkeypatch, tmp_path):
    path = tmp_path / "view.png"
    monkeypatch.setattr(dialogs, "ask_save_picture", lambda parent, suggestion: path)
    shown.scene.save_picture()
    shown.until(path.exists)
    image = QImage(str(path))
    assert image.width() >= 1600
    ratio = shown.scene.view.width() / shown.scene.view.height()
    assert image.width() / image.height() == pytest.approx(ratio, rel=0.01)
    assert shown.messages[-1].text == "Saved view.png."
    monkeypatch.setattr(
        dialogs, "ask_save_picture", lambda parent, suggestion: tmp_path / "no" / "view.png"
    )
    shown.scene.save_picture()
    shown.until(lambda: shown.messages[-1].is_error)
    assert "another folder" in shown.messages[-1].text


def test_another_scan_takes_the_place_of_the_first(shown):
    volume = Volume(np.zeros((4, 5, 6), np.int16), Geometry((4, 5, 6), np.eye(4)[[2, 1, 0, 3]]))
    shown.session.set_document(Document(volume), (0.0, 1.0))
    shown.until(lambda: shown.n_coloured() == 0)
    assert np.allclose(shown.scene.view.camera.target_lps, (2.5, 2, 1.5))
    shown.session.set_document(None, (0.0, 1.0))
    assert shown.scene.view.camera is None


def test_maximised_it_stands_alone(shown):
    shown.grid.maximise(SCENE)
    assert shown.scene.isVisible()
    assert not any(panel.isVisible() for panel in shown.grid.panels)
    QTest.mouseDClick(shown.scene.view, Qt.MouseButton.LeftButton)
    assert all(panel.isVisible() for panel in shown.grid.panels)
    shown.grid.set_layout("main")
    assert not shown.scene.isVisible()
    assert not shown.scene.is_drawn
