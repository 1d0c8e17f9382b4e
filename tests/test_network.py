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


def test_the_hook_would_have_seen_one():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("from app", "import socket\nsocket.socket()\n#")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "socket.__new__" in done.stderr
