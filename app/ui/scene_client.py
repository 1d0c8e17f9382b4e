"""The process that draws the 3-D view, from the window's side. Nothing here waits.

No OpenGL context is ever made in the program itself: the process says first whether it can draw,
and whatever a graphics driver does to it, the program goes on.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from PySide6.QtCore import QObject, QProcess, QProcessEnvironment, QTimer, Signal

from app.view3d.wire import Decoder, Packet, encode
from resources import resource_path

logger = logging.getLogger(__name__)

_START_LIMIT_MS = 30_000
# How VTK can draw without a window: with a display, with a device alone, in plain memory.
_LINUX_WAYS: tuple[Mapping[str, str], ...] = (
    {},
    {"VTK_DEFAULT_OPENGL_WINDOW": "vtkEGLRenderWindow"},
    {"VTK_DEFAULT_OPENGL_WINDOW": "vtkOSOpenGLRenderWindow"},
)

# Processes that were told to end, kept until they have.
_ending: set[QProcess] = set()


class SceneClient(QObject):
    """Starts the process, sends it messages, passes its answers on.

    Attributes
    ----------
    is_ready : bool
        It can draw, and messages are sent.
    is_software : bool
        It draws without a GPU.

    Signals
    -------
    ready
        It can draw; its scene is empty.
    unable
        It cannot draw on this machine, in no way.
    stopped
        It could, but ended.
    answered : Packet
    """

    ready = Signal()
    unable = Signal()
    stopped = Signal()
    answered = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.is_ready = False
        self.is_software = True
        self._command: tuple[str, ...] = (sys.executable, "-m", "app.view3d.server")
        self._ways = _LINUX_WAYS if sys.platform == "linux" else ({},)
        # The first way that may work; ways that failed are not tried again in this run.
        self._way = 0
        self._process: QProcess | None = None
        self._decoder = Decoder()
        self._patience = QTimer(self, singleShot=True, interval=_START_LIMIT_MS)
        self._patience.timeout.connect(self._on_late)

    @property
    def is_started(self) -> bool:
        return self._process is not None

    def set_command(self, command: Sequence[str]) -> None:
        """Start another program than the usual one."""
        self._command = tuple(command)

    def start(self) -> None:
        """Start the process; `ready` or `unable` follows."""
        if self._process is not None:
            return
        if self._way >= len(self._ways):
            self.unable.emit()
            return
        self._decoder = Decoder()
        process = QProcess(self)
        process.setProcessEnvironment(_environment(self._ways[self._way]))
        process.readyReadStandardOutput.connect(partial(self._on_output, process))
        process.finished.connect(partial(self._on_ended, process))
        process.errorOccurred.connect(partial(self._on_error, process))
        self._process = process
        self._patience.start()
        process.start(self._command[0], list(self._command[1:]))

    def send(self, packet: Packet) -> None:
        """Send a message; nothing is sent while the process is not ready."""
        if self._process is not None and self.is_ready:
            self._process.write(encode(packet))

    def close(self) -> None:
        """End the process."""
        self._patience.stop()
        process, self._process, self.is_ready = self._process, None, False
        if process is not None:
            # Some systems take seconds to clear up after so many threads: nobody waits for that.
            process.setParent(None)
            _ending.add(process)
            process.finished.connect(partial(_forget, process))
            process.finished.connect(process.deleteLater)
            process.kill()
            if process.state() is QProcess.ProcessState.NotRunning:
                _forget(process)
                process.deleteLater()

    # -- what the process does -----------------------------------------------------------------

    def _on_output(self, process: QProcess) -> None:
        if process is not self._process:
            return
        try:
            for packet in self._decoder.feed(bytes(process.readAllStandardOutput().data())):
                self._take(packet)
        except ValueError:
            logger.info("The 3-D view's process said something else than a message.")
            self._end()

    def _take(self, packet: Packet) -> None:
        if packet.kind == "ready":
            self._patience.stop()
            self.is_ready, self.is_software = True, bool(packet.facts["is_software"])
            logger.info("The 3-D view draws with %s.", packet.facts["opengl"])
            self.ready.emit()
        elif packet.kind == "unable":
            logger.info("The 3-D view cannot draw: %s", packet.facts["why"])
            self._end()
        else:
            self.answered.emit(packet)

    def _on_ended(self, process: QProcess, *_: object) -> None:
        if process is self._process:
            self._end()

    def _on_error(self, process: QProcess, error: QProcess.ProcessError) -> None:
        # After a crash `finished` comes, too; after a start that failed it does not.
        if process is self._process and error is QProcess.ProcessError.FailedToStart:
            self._end()

    def _on_late(self) -> None:
        logger.info("The 3-D view's process did not answer in time.")
        self._end()

    def _end(self) -> None:
        """Forget the process; try the next way if this one never worked."""
        if self._process is None:
            return
        said = bytes(self._process.readAllStandardError().data()).decode(errors="replace")
        was_ready = self.is_ready
        self.close()
        if was_ready:
            logger.info("The 3-D view's process ended: %s", said[-2000:])
            self.stopped.emit()
            return
        logger.info("The 3-D view cannot draw in way %d: %s", self._way, said[-2000:])
        self._way += 1
        self.start()


def _forget(process: QProcess, *_: object) -> None:
    _ending.discard(process)


def _environment(changes: Mapping[str, str]) -> QProcessEnvironment:
    environment = QProcessEnvironment.systemEnvironment()
    # The process finds the program's modules wherever it was started.
    folder = str(resource_path().resolve().parent)
    known = environment.value("PYTHONPATH")
    environment.insert("PYTHONPATH", folder + (os.pathsep + known if known else ""))
    for name, value in changes.items():
        environment.insert(name, value)
    return environment
