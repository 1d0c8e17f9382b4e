"""How soon the real window is usable and answers, whether it stalls, how fast it scrolls.

``python -m app.window_benchmark SMALL LARGE`` with the time at which it was started in
``MASKWRIGHT_STARTED`` prints one JSON object. Run by `app.benchmark` in a process of its own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QEvent, QEventLoop, QObject, QPointF, Qt, QTimer, SignalInstance
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QWidget

from app.application import Application
from app.core.commands import EditVoxels
from app.core.events import Event
from app.core.geometry import Region
from app.core.prompts import AXIAL
from app.session import Session
from app.ui.scene_panel import ScenePanel

_LIMIT_MS = 60_000
_TICK_MS = 5
N_BOXES = 20
N_SCROLLED = 200
N_CARRIED = 40
N_BRUSHED = 150
TURNED_S = 3.0
_SETTLE_MS = 3000


class Ticker:
    """Measures how long the GUI thread was away: the largest gap between ticks of a timer.

    Attributes
    ----------
    largest_ms : float
        Since `start`; other programs on the machine count, too.
    largest_work_ms : float
        Of all times that it was started: the most that the thread itself computed at once.
    """

    def __init__(self) -> None:
        self.largest_ms = self.largest_work_ms = 0.0
        self._last = self._worked = 0.0
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._on_tick)

    def start(self) -> None:
        """Forget earlier gaps and watch."""
        self.largest_ms = 0.0
        self._last, self._worked = time.perf_counter(), time.thread_time()
        self._timer.start(_TICK_MS)

    def stop(self) -> float:
        """Return the largest gap since `start`, in ms."""
        self._timer.stop()
        return self.largest_ms

    def _on_tick(self) -> None:
        now, worked = time.perf_counter(), time.thread_time()
        self.largest_ms = max(self.largest_ms, 1000 * (now - self._last))
        self.largest_work_ms = max(self.largest_work_ms, 1000 * (worked - self._worked))
        self._last, self._worked = now, worked


def measure(small: Path, large: Path, started: float) -> dict[str, Any]:
    """Return seconds from the start of the process, the largest stalls, and how fast things follow.

    What a scene in 3-D would tell is left out where it cannot be drawn.

    Parameters
    ----------
    small, large : Path
        Scans: the first box is drawn on the one, the later ones on the other.
    started : float
        `time.time` when the process was started.
    """
    application = Application()
    session = application.session
    application.show()
    application.qt.processEvents()
    usable_s = time.time() - started
    try:
        _until(session.document_changed, lambda: session.open(small))
        _until(session.prompting.scores_changed, lambda: _box(session, 0))
        first_s = time.time() - started
        _forget_changes(session)
        ticker = Ticker()
        ticker.start()
        _until(session.document_changed, lambda: session.open(large))
        # The first picture of the scan belongs to opening it.
        application.qt.processEvents()
        opening_ms = ticker.stop()
        took = []
        ticker.start()
        for n in range(N_BOXES):
            began = time.perf_counter()
            _until(session.prompting.scores_changed, partial(_box, session, n))
            took.append(1000 * (time.perf_counter() - began))
        stall_ms = ticker.stop()
        further = {
            "scroll_fps": _scroll(application),
            **_brush(application),
            "carrying_stall_ms": _carry(session, ticker),
            "saving_stall_ms": _save(session, ticker, large.with_name("bench_mask.nii.gz")),
            **_scene(application, ticker),
            "largest_work_ms": ticker.largest_work_ms,
        }
    finally:
        _forget_changes(session)
        application.close()
    took.sort()
    return {
        "window_usable_s": usable_s,
        "first_box_s": first_s,
        "box_to_mask_shown_p50_ms": took[len(took) // 2],
        "box_to_mask_shown_p95_ms": took[int(0.95 * (len(took) - 1))],
        "stall_ms": stall_ms,
        "opening_stall_ms": opening_ms,
        **further,
    }


class _Paints(QObject):
    """Counts how often a widget is painted."""

    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Count; let every event through."""
        self.n += event.type() == QEvent.Type.Paint
        return False


def _scroll(application: Application) -> float:
    """Return how many slices a second the axial view shows, with masks on them."""
    view = application.window.grid.panels[AXIAL].view
    paints = _Paints()
    view.viewport().installEventFilter(paints)
    began = time.perf_counter()
    for n in range(N_SCROLLED):
        view.show_slice(n % view.n_slices)
        application.qt.processEvents()
    seconds = time.perf_counter() - began
    view.viewport().removeEventFilter(paints)
    return min(paints.n, N_SCROLLED) / seconds


def _brush(application: Application) -> dict[str, float]:
    """Return how long a move of the brush takes in the largest view, and with its picture."""
    view = application.window.grid.panels[AXIAL].view
    application.session.view_state.active_tool = "brush"
    middle, reach = QPointF(view.rect().center()), 0.3 * min(view.width(), view.height())
    # Round in a circle, about as fast as a hand.
    turns = np.linspace(0, 4 * np.pi, N_BRUSHED)
    way = [middle + QPointF(reach * np.cos(t), reach * np.sin(t)) for t in turns]
    moves, shown = [], []
    _mouse(view.viewport(), QEvent.Type.MouseButtonPress, way[0])
    for point in way:
        began = time.perf_counter()
        _mouse(view.viewport(), QEvent.Type.MouseMove, point)
        moves.append(1000 * (time.perf_counter() - began))
        application.qt.processEvents()
        shown.append(1000 * (time.perf_counter() - began))
    _mouse(view.viewport(), QEvent.Type.MouseButtonRelease, way[-1])
    return {
        "brush_move_p95_ms": float(np.percentile(moves, 95)),
        "brush_shown_p95_ms": float(np.percentile(shown, 95)),
    }


def _mouse(target: QWidget, kind: QEvent.Type, at: QPointF) -> None:
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    button = none if kind is QEvent.Type.MouseMove else left
    held = none if kind is QEvent.Type.MouseButtonRelease else left
    where = QPointF(target.mapToGlobal(at))
    event = QMouseEvent(kind, at, where, button, held, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(target, event)


def _carry(session: Session, ticker: Ticker) -> float:
    """Return the largest stall while a mask is carried through slices."""
    _until(session.prompting.scores_changed, partial(_box, session, 0))
    document = session.document
    assert document is not None
    middle = document.prompts[-1].slice_index
    ticker.start()
    _until(
        session.prompting.scores_changed,
        lambda: session.prompting.carry_through(middle - N_CARRIED // 2, middle + N_CARRIED // 2),
    )
    QApplication.processEvents()
    return ticker.stop()


def _save(session: Session, ticker: Ticker, path: Path) -> float:
    """Return the largest stall while the mask is saved and read back."""
    ticker.start()
    _until(session.saved, lambda: session.save_mask(path))
    return ticker.stop()


def _scene(application: Application, ticker: Ticker) -> dict[str, float]:
    """Return how soon the 3-D view follows an edit, the largest stall then, and frames/s."""
    grid, document = application.window.grid, application.session.document
    assert document is not None
    panel = grid.scene
    if not _is_drawn(panel, lambda: grid.set_layout("four")):
        return {}
    shape = document.volume.voxels.shape
    start = tuple(n // 3 for n in shape)
    region = Region((start[0], start[1], start[2]), (start[0] + 30, start[1] + 60, start[2] + 60))
    label_id = application.session.view_state.active_label
    block = np.full(region.shape_zyx, label_id, np.uint8)
    ticker.start()
    began = time.perf_counter()
    _until_signal(panel.feed.changed, lambda: document.do(EditVoxels("Paint", region, block)))
    _until_signal(panel.client.answered, lambda: None)
    follow_s = time.perf_counter() - began
    stall_ms = ticker.stop()
    at = QPointF(panel.view.rect().center())
    _mouse(panel.view, QEvent.Type.MouseButtonPress, at)
    began, n_pictures = time.perf_counter(), 0
    while time.perf_counter() - began < TURNED_S:
        at += QPointF(7, 2)
        _until_signal(panel.client.answered, partial(_mouse, panel.view, QEvent.Type.MouseMove, at))
        n_pictures += 1
    turned_fps = n_pictures / (time.perf_counter() - began)
    _mouse(panel.view, QEvent.Type.MouseButtonRelease, at)
    return {
        "surface_follows_s": follow_s,
        "surface_stall_ms": stall_ms,
        "rotation_fps": turned_fps,
    }


def _is_drawn(panel: ScenePanel, show: Callable[[], object]) -> bool:
    """Show the 3-D view and wait for its first picture; False where it cannot be drawn."""
    loop, came = QEventLoop(), list[bool]()

    def end(is_able: bool, *_: object) -> None:
        came.append(is_able)
        loop.quit()

    panel.client.answered.connect(partial(end, True))
    panel.client.unable.connect(partial(end, False))
    QTimer.singleShot(_LIMIT_MS, loop.quit)
    show()
    loop.exec()
    if not came or not came[0]:
        return False
    # The surfaces of what is drawn already arrive, too; then all is still.
    rest = QEventLoop()
    QTimer.singleShot(_SETTLE_MS, rest.quit)
    rest.exec()
    return True


def _forget_changes(session: Session) -> None:
    """Leave nothing about which closing the window would ask."""
    if session.document is not None:
        session.document.mark_saved()


def _box(session: Session, n: int) -> None:
    """Draw a box on another slice each time, in the middle of the scan."""
    assert session.document is not None
    depth, rows, columns = session.document.volume.voxels.shape
    index = depth // 3 + n % max(1, depth // 3)
    session.prompting.accept()
    session.prompting.place_box(AXIAL, index, (rows // 4, columns // 4, rows // 2, columns // 2))


def _until(event: Event, act: Callable[[], object]) -> None:
    """Do something and run Qt's events until an event of the session arrives."""
    loop, arrived = QEventLoop(), []

    def on_event(payload: object) -> None:
        arrived.append(payload)
        loop.quit()

    leave = event.connect(on_event)
    QTimer.singleShot(_LIMIT_MS, loop.quit)
    act()
    if not arrived:
        loop.exec()
    leave()
    if not arrived:
        raise TimeoutError("The window gave no answer within a minute.")


def _until_signal(signal: SignalInstance, act: Callable[[], object]) -> None:
    """Do something and run Qt's events until a signal comes."""
    loop, arrived = QEventLoop(), []

    def on_signal(*_: object) -> None:
        arrived.append(True)
        loop.quit()

    signal.connect(on_signal)
    QTimer.singleShot(_LIMIT_MS, loop.quit)
    act()
    if not arrived:
        loop.exec()
    signal.disconnect(on_signal)
    if not arrived:
        raise TimeoutError("The 3-D view gave no answer within a minute.")


def main() -> None:
    """Print the figures as one JSON object."""
    if sys.platform == "linux" and not os.environ.get("DISPLAY", os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    started = float(os.environ.get("MASKWRIGHT_STARTED", time.time()))
    figures = measure(Path(sys.argv[1]), Path(sys.argv[2]), started)
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
