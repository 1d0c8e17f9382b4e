"""What tests of workspaces share."""

from pathlib import Path

import pytest

from tests.fake_model import bright_model  # noqa: F401
from tests.workspace.bench import write_image


@pytest.fixture
def image(tmp_path) -> Path:
    """Return a scan in a folder of its own."""
    path = tmp_path / "scans" / "tube.nii.gz"
    write_image(path, 1)
    return path
