"""What holds for every test: no display, no network, no noise, nothing left running."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Before anything imports Qt.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

REPOSITORY = Path(__file__).resolve().parent.parent
# Real scans are not part of the project; MASKWRIGHT_SHARED names another folder that holds
# `data` and `parity`.
SHARED = Path(os.environ.get("MASKWRIGHT_SHARED", REPOSITORY.parent / "shared"))

# No deadline: a busy machine is not a failure. Derandomised: a red run can be repeated.
settings.register_profile("maskwright", deadline=None, derandomize=True, database=None)
settings.load_profile("maskwright")


def _shared_folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there; set MASKWRIGHT_SHARED to the folder that holds {name}")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real scans, or skip."""
    return _shared_folder("data")


@pytest.fixture(scope="session")
def shared_parity() -> Path:
    """Return the folder of reference outputs of published networks, or skip."""
    return _shared_folder("parity")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked `gpu` where there is none; only they pay for importing torch."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no NVIDIA GPU")


@pytest.fixture(autouse=True)
def user_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that holds this test's settings, cache, models and logs."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("MASKWRIGHT_HOME", str(home))
    return home


class _NoiseHandler(logging.Handler):
    """Keeps records from WARNING up that the test did not announce with `caplog.at_level`."""

    def __init__(self, caplog_handler: logging.Handler) -> None:
        super().__init__(logging.WARNING)
        self._caplog_handler = caplog_handler
        self.unexpected: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno != self._caplog_handler.level:
            self.unexpected.append(f"{record.levelname} {record.name}: {record.getMessage()}")


@pytest.fixture(autouse=True)
def _no_log_noise(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail on warnings and errors in the log, unless inside ``caplog.at_level(that level)``."""
    handler = _NoiseHandler(caplog.handler)
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)
    if handler.unexpected:
        pytest.fail("Unexpected log records:\n" + "\n".join(handler.unexpected), pytrace=False)


@pytest.fixture(autouse=True)
def _no_thread_left_running(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail if the test leaves a QThread or a non-daemon Python thread running."""
    started: weakref.WeakSet = weakref.WeakSet()
    qt_core = sys.modules.get("PySide6.QtCore")
    if qt_core is not None:
        start = qt_core.QThread.start

        def recording_start(thread, *args):
            started.add(thread)
            return start(thread, *args)

        monkeypatch.setattr(qt_core.QThread, "start", recording_start)
    before = set(threading.enumerate())
    yield
    running = [repr(thread) for thread in started if thread.isRunning()]
    running += [repr(t) for t in threading.enumerate() if t not in before and not t.daemon]
    if running:
        pytest.fail(f"Still running after the test: {', '.join(running)}", pytrace=False)


def _is_local(address: object) -> bool:
    if not isinstance(address, tuple):
        return True  # a Unix socket's path
    host = str(address[0])
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections that leave the machine: nothing here may depend on a download."""
    connect = socket.socket.connect

    def local_connect(sock, address):
        if not _is_local(address):
            raise AssertionError(f"A test tried to reach {address!r}; tests run without a network.")
        return connect(sock, address)

    monkeypatch.setattr(socket.socket, "connect", local_connect)
