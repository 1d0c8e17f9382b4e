"""Files that are never asked for more than they hold.

A parser that believes a damaged length asks for that many bytes at once, and Python sets the
memory aside before it looks how many there are.
"""

from __future__ import annotations

import io
import os
from pathlib import Path


class BoundedFile(io.BufferedReader):
    """A file opened for reading, whose ``read`` sets aside no more memory than is left to read.

    Parameters
    ----------
    path : Path

    Raises
    ------
    OSError
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))
