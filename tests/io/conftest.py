"""What tests of reading share."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core.errors import ReadError
from app.io.reader import read_volume


def refusal(path: Path) -> str:
    """Return the sentence with which a scan is refused."""
    with pytest.raises(ReadError) as caught:
        read_volume(path)
    return str(caught.value)
