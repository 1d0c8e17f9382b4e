"""`maskwright demo`: the main job on the shipped sample, through the real window."""

from __future__ import annotations

import csv
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEventLoop, QPointF, Qt, QTimer
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QWidget

from app.core.errors import ExportError, ModelUnavailableError
from app.core.events import Event
from app.core.prompts import BoxPrompt
from app.session import Message
from resources import resource_path

logger = logging.getLogger(__name__)

SAMPLE = "samples/torso_ct.nii.gz"
PROMPTS = "samples/torso_prompts.json"
# Nothing in the demo takes this long; it ends with a sentence instead of hanging.
_LIMIT_MS = 120_000


def run_demo(out: Path | None, headless: bool) -> int:
    """Open the sample, draw the example box, carry the mask through, save; return 0.

    Parameters
    ----------
    out : Path, optional
        Gets ``mask.nii.gz``, ``prompts.json``, ``report.csv`` and ``window.png``; a new temporary
        folder by default.
    headless : bool
        Through an offscreen window, and end; else the window stays open.

    Raises
    ------
    ExportError
        The folder cannot be written.
    """
    has_display = sys.platform != "linux" or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    is_headless = headless or not has_display
    if is_headless:
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    out = Path(tempfile.mkdtemp(prefix="maskwright-demo-")) if out is None else out
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"The folder “{out}” cannot be made: {error.strerror}.") from error

    from app.application import Application

    application = Application()
    try:
        _walk(application, out)
        logger.info("The demo is done")
        if not is_headless:
            application.qt.exec()
    finally:
        document = application.session.document
        if document is not None:
            document.mark_saved()
        application.close()
    return 0


def _walk(application, out: Path) -> None:
    session, window = application.session, application.window
    faults: list[str] = []
    session.message.connect(lambda m: faults.append(m.text) if m.is_error else None)
    application.show()
    _wait(session.document_changed, lambda: session.open(resource_path(SAMPLE)), faults)
    session.source_path = resource_path(SAMPLE)
    volume = session.document.volume

    from app.io.prompts_file import read_prompts

    asked = read_prompts(resource_path(PROMPTS), volume)
    info = next(iter(asked.labels))
    session.label_editing.change(
        _named(next(iter(session.document.label_table)), info.name, info.colour), "Rename"
    )
    box = next(p for p in asked.prompts if isinstance(p, BoxPrompt))
    cursor = [
        round((a + b) / 2) for a, b in zip(box.region.start_zyx, box.region.stop_zyx, strict=True)
    ]
    cursor[box.axis] = box.slice_index
    session.view_state.cursor_zyx = (cursor[0], cursor[1], cursor[2])
    session.view_state.active_tool = "box"
    window.grid.fit()
    application.qt.processEvents()
    view = window.grid.panels[box.axis].view
    _wait(session.prompting.scores_changed, lambda: _drag_box(view, box), faults)
    if box.through is not None:
        low, high = box.through
        _wait(
            session.prompting.scores_changed,
            lambda: session.prompting.carry_through(low, high),
            faults,
        )
    saved = _wait(session.saved, lambda: session.save_mask(out / "mask.nii.gz"), faults)
    if saved.prompts_path is not None:
        shutil.move(saved.prompts_path, out / "prompts.json")
    session.prompting.accept()
    _write_report(session.document, out / "report.csv")
    for _ in range(3):
        application.qt.processEvents()
    if not window.grab().save(str(out / "window.png")):
        raise ExportError(f"The picture of the window cannot be written to “{out}”.")
    session.message.emit(Message(f"Saved mask, prompts, report and picture in {out}."))


def _drag_box(view, box: BoxPrompt) -> None:
    """Draw a box as a hand would: press, move, release."""
    start = tuple(float(v) for v in box.region.start_zyx)
    stop = tuple(float(v) - 1 for v in box.region.stop_zyx)
    # Voxel edges lie half a voxel outside the centres of the first and last voxels.
    first = [a - 0.5 if i != box.axis else a for i, a in enumerate(start)]
    last = [b + 0.5 if i != box.axis else b for i, b in enumerate(stop)]
    a, b = view.point_at(tuple(first)), view.point_at(tuple(last))
    target: QWidget = view.viewport() if hasattr(view, "viewport") else view
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    steps = [
        (QMouseEvent.Type.MouseButtonPress, a, left, left),
        (QMouseEvent.Type.MouseMove, (a + b) / 2, none, left),
        (QMouseEvent.Type.MouseMove, b, none, left),
        (QMouseEvent.Type.MouseButtonRelease, b, left, none),
    ]
    from PySide6.QtCore import QCoreApplication

    for kind, point, button, buttons in steps:
        place = QPointF(point)
        event = QMouseEvent(
            kind,
            place,
            QPointF(target.mapToGlobal(place.toPoint())),
            button,
            buttons,
            Qt.KeyboardModifier.NoModifier,
        )
        QCoreApplication.sendEvent(target, event)


def _wait(event: Event, act: Callable[[], object], faults: list[str]):
    """Do something and run Qt's events until an event of the session arrives."""
    loop, arrived = QEventLoop(), []
    clock = QTimer()
    clock.setSingleShot(True)
    clock.timeout.connect(loop.quit)
    watch = QTimer()
    watch.timeout.connect(lambda: loop.quit() if faults else None)

    def on_event(payload: object) -> None:
        arrived.append(payload)
        loop.quit()

    leave = event.connect(on_event)
    try:
        act()
        if not arrived:
            clock.start(_LIMIT_MS)
            watch.start(50)
            loop.exec()
    finally:
        leave()
        clock.stop()
        watch.stop()
    if faults:
        raise ModelUnavailableError(faults[0])
    if not arrived:
        raise ModelUnavailableError("The demo did not get an answer within two minutes.")
    return arrived[0]


def _named(info, name: str, colour):
    from dataclasses import replace

    return replace(info, name=name, colour=colour)


def _write_report(document, path: Path) -> None:
    """Write the volume of each label as CSV."""
    voxels = document.labelmap.voxels
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("label", "value", "voxels", "volume_ml"))
        for info in document.label_table:
            count = int((voxels == info.id).sum())
            volume = count * document.volume.geometry.voxel_volume_ml
            writer.writerow((info.name, info.id, count, f"{volume:.3f}"))
