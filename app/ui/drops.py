"""Files that are dropped on a window."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QMimeData

WEIGHTS_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".tar", ".npz")


def dropped_paths(data: QMimeData) -> list[Path]:
    """Return the files and folders of this computer among what is dropped."""
    return [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]


def is_checkpoint(path: Path) -> bool:
    """Return whether a file looks like a model's weights, by its name."""
    return path.suffix.lower() in WEIGHTS_SUFFIXES
