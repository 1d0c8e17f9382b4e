"""How much memory is free, and what is said where a scan hardly fits into it."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from app import memory
from app.core.errors import TightMemoryError
from app.io.reader import read_volume
from tests.io.files import dicom_slice, write_dicom, write_image
from tests.phantoms import file_affine


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads what Linux says")
def test_free_memory_is_some_and_not_more_than_there_is():
    import os

    free = memory.free_bytes()
    assert free is not None
    assert 0 < free <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_a_system_that_does_not_say_refuses_nothing(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: None)
    memory.check_room(1 << 60)


def test_the_sentence_has_the_numbers(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 1_500_000_000)
    with pytest.raises(TightMemoryError, match=r"about 2\.4 GB .* 1\.5 GB are free"):
        memory.check_room(1_200_000_000)
    memory.check_room(750_000_000)


def test_the_reader_tells_what_voxels_take_before_it_takes_it(tmp_path):
    told: list[int] = []
    voxels = np.zeros((3, 4, 5), "f8")
    read_volume(write_image(tmp_path / "a.nrrd", voxels, file_affine("LPS")), room=told.append)
    slices = [dicom_slice(k) for k in range(3)]
    read_volume(write_dicom(tmp_path / "s", slices), room=told.append)
    assert told == [3 * 4 * 5 * 4, 3 * 8 * 10 * 2]

    def refuse(n_bytes: int) -> None:
        raise TightMemoryError("No.")

    with pytest.raises(TightMemoryError):
        read_volume(tmp_path / "a.nrrd", room=refuse)
