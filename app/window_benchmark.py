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

from PySide6.QtCore import QEvent, QEventLoop, QObject, Qt, QTimer

from app.application import Application
from app.core.events import Event
from app.core.prompts import AXIAL
from app.session import Session

_LIMIT_MS = 60_000
_TICK_MS = 5
N_BOXES = 20
N_SCROLLED = 200


class Ticker:
    """Measures how long the GUI thread was away: the largest gap between ticks of a timer."""

    def __init__(self) -> None:
        self.largest_ms = 0.0
        self._last = 0.0
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._on_tick)

    def start(self) -> None:
        """Forget earlier gaps and watch."""
        self.largest_ms = 0.0
        self._last = time.perf_counter()
        self._timer.start(_TICK_MS)

    def stop(self) -> float:
        """Return the largest gap since `start`, in ms."""
        self._timer.stop()
        return self.largest_ms

    def _on_tick(self) -> None:
        now = time.perf_counter()
        self.largest_ms = max(self.largest_ms, 1000 * (now - self._last))
        self._last = now


def measure(small: Path, large: Path, started: float) -> dict[str, Any]:
    """Return seconds from the start of the process, the largest stall while boxes run, frames/s.

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
        _until(session.scores_changed, lambda: _box(session, 0))
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
            _until(session.scores_changed, partial(_box, session, n))
            took.append(1000 * (time.perf_counter() - began))
        stall_ms = ticker.stop()
        scroll_fps = _scroll(application)
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
        "stall_while_opening_ms": opening_ms,
        "scroll_fps": scroll_fps,
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


def _forget_changes(session: Session) -> None:
    """Leave nothing about which closing the window would ask."""
    if session.document is not None:
        session.document.mark_saved()


def _box(session: Session, n: int) -> None:
    """Draw a box on another slice each time, in the middle of the scan."""
    assert session.document is not None
    depth, rows, columns = session.document.volume.voxels.shape
    index = depth // 3 + n % max(1, depth // 3)
    session.accept()
    session.place_box(AXIAL, index, (rows // 4, columns // 4, rows // 2, columns // 2))


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


def main() -> None:
    """Print the figures as one JSON object."""
    if sys.platform == "linux" and not os.environ.get("DISPLAY", os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    started = float(os.environ.get("MASKWRIGHT_STARTED", time.time()))
    figures = measure(Path(sys.argv[1]), Path(sys.argv[2]), started)
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
