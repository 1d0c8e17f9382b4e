"""What tests of the 3-D view share, above all whether anything can be drawn here."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY
from tests.fake_model import bright_model  # noqa: F401


@pytest.fixture(scope="session")
def opengl() -> None:
    """Skip without OpenGL; asked in another process, as a driver may crash."""
    code = "from app.view3d.scene import Scene; Scene()"
    asked = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if asked.returncode != 0:
        said = (asked.stderr.strip().splitlines() or ["no word"])[-1]
        pytest.skip(f"VTK cannot make an OpenGL context here ({said})")
