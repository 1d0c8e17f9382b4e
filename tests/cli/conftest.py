"""What the tests of the command line share: a way to run it, a scan, and a model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from tests.fake_model import bright_model  # noqa: F401

SIZE_IJK = (30, 24, 12)
SPACING = (0.8, 0.9, 2.5)


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(capsys, monkeypatch) -> Callable[..., Finished]:
    """Return a function that runs a command as `maskwright` does."""
    from app.cli import main

    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def run(*words: object) -> Finished:
        capsys.readouterr()
        code = main([str(w) for w in words])
        captured = capsys.readouterr()
        return Finished(code, captured.out, captured.err)

    return run


def bright_scan() -> np.ndarray:
    """Return (k, j, i) values: noise around 20, two bright blocks of 220."""
    voxels = np.random.default_rng(0).integers(0, 40, SIZE_IJK[::-1]).astype(np.int16)
    voxels[3:9, 6:12, 5:13] = 220
    voxels[2:6, 15:20, 18:26] = 220
    return voxels


def write_image(path: Path, voxels_kji: np.ndarray, spacing=SPACING) -> Path:
    """Write an image that lies at an angle, so that nothing is right by luck."""
    image = sitk.GetImageFromArray(voxels_kji)
    image.SetSpacing(spacing)
    image.SetOrigin((-12.0, 30.5, -200.0))
    image.SetDirection((-1, 0, 0, 0, 0.8, -0.6, 0, 0.6, 0.8))
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture
def scan(tmp_path) -> Path:
    """Return the path of a small scan."""
    return write_image(tmp_path / "scan.nii.gz", bright_scan())


@pytest.fixture
def prompts(tmp_path) -> Path:
    """Return the path of prompts: one organ carried through, one on a single slice."""
    path = tmp_path / "prompts.json"
    content = {
        "version": 1,
        "prompts": [
            {
                "label": "liver",
                "kind": "box",
                "start_ijk": [4, 5, 5],
                "stop_ijk": [14, 13, 6],
                "through": [0, 12],
            },
            {
                "label": "kidney",
                "value": 7,
                "kind": "box",
                "start_ijk": [17, 14, 4],
                "stop_ijk": [27, 21, 5],
            },
        ],
    }
    path.write_text(json.dumps(content))
    return path


def refused(done: Finished, code: int, *words: str) -> None:
    """Check that a command failed as it has to: one sentence, no traceback, no result."""
    assert done.code == code, done
    assert done.out == ""
    (line,) = done.err.strip().splitlines()
    assert line.startswith("maskwright: ")
    for word in words:
        assert word in line
