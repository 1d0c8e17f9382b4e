"""The main job needs no network: it runs where no socket can be made."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

from tests.conftest import REPOSITORY
from tests.io.files import write_image
from tests.phantoms import file_affine

# An audit hook cannot be taken off again, so the program gets an interpreter of its own.
PROGRAM = """
import sys
def refuse(event, arguments):
    if event.startswith("socket."):
        raise RuntimeError(f"{event} {arguments}")
sys.addaudithook(refuse)
from app.cli import main
sys.exit(main(sys.argv[1:]))
"""


# The same for the window: a scan is opened, a box drawn, a mask saved. Libraries may make sockets
# behind Python's back, so what the process holds in the end is looked at, too.
WINDOW = """
import os, pathlib, sys
def refuse(event, arguments):
    if event.startswith("socket."):
        raise RuntimeError(f"{event} {arguments}")
sys.addaudithook(refuse)
from app import window_benchmark as window
from app.application import Application
application = Application()
session = application.session
application.show()
scan, out = map(pathlib.Path, sys.argv[1:])
window._until(session.document_changed, lambda: session.open(scan))
window._until(session.prompting.scores_changed, lambda: window._box(session, 0))
window._until(session.saved, lambda: session.save_mask(out))
held = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
        if os.path.lexists(f"/proc/self/fd/{n}")] if os.path.isdir("/proc/self/fd") else []
open_to_the_net = [
    line.split()[9]
    for kind in ("tcp", "tcp6", "udp", "udp6")
    if os.path.exists(f"/proc/self/net/{kind}")
    for line in pathlib.Path(f"/proc/self/net/{kind}").read_text().splitlines()[1:]
]
assert not [inode for inode in open_to_the_net if f"socket:[{inode}]" in held]
application.close()
"""


def run(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_mask_is_made_without_any_socket(tmp_path):
    voxels = np.zeros((4, 32, 32), np.int16)
    voxels[1:3, 10:20, 10:20] = 200
    scan = write_image(tmp_path / "scan.nii.gz", voxels, file_affine("LPS"))
    prompts = tmp_path / "prompts.json"
    box = {"label": "a", "kind": "box", "start_ijk": [9, 9, 1], "stop_ijk": [21, 21, 2]}
    prompts.write_text(json.dumps({"version": 1, "prompts": [box]}))
    out = tmp_path / "mask.nii.gz"
    done = run("segment", scan, "--prompts", prompts, "--out", out)
    assert done.returncode == 0, done.stderr
    assert out.is_file()


def test_the_window_opens_segments_and_saves_without_any_socket(tmp_path, user_home):
    voxels = np.zeros((4, 32, 32), np.int16)
    voxels[1:3, 8:20, 8:20] = 200
    scan = write_image(tmp_path / "scan.nii.gz", voxels, file_affine("LPS"))
    out = tmp_path / "mask.nii.gz"
    done = subprocess.run(
        [sys.executable, "-c", WINDOW, str(scan), str(out)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "socket" not in done.stderr
    assert out.is_file()


def test_the_hook_would_have_seen_one():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("from app", "import socket\nsocket.socket()\n#")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "socket.__new__" in done.stderr
