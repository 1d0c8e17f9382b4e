"""Damaged files: hundreds of cut and altered inputs give a sentence, and nothing else."""

from __future__ import annotations

import contextlib
import gzip
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.uid import RLELossless

from app.core.errors import ReadError
from app.io.dicom_dataset import load_dataset
from app.io.reader import read_volume, scan
from tests.conftest import REPOSITORY
from tests.io.files import compressed, dicom_slice, nifti_bytes, write_dicom, write_image
from tests.phantoms import file_affine

N_MUTATIONS = 120


def mutations(content: bytes, seed: int, n: int = N_MUTATIONS) -> Iterator[bytes]:
    """Yield altered copies: cut, with bytes set, bits flipped, blocks moved or repeated.

    Half of the changes fall into the first 400 bytes, where headers are.
    """
    rng = np.random.default_rng(seed)
    for number in range(n):
        altered = bytearray(content)
        for _ in range(int(rng.integers(1, 4))):
            head = bool(rng.integers(2))
            at = int(rng.integers(0, min(400, len(altered)) if head else len(altered)))
            kind = number % 5
            if kind == 0:
                del altered[at:]
            elif kind == 1:
                altered[at] = int(rng.choice([0, 1, 9, 32, 45, 48, 57, 127, 128, 255]))
            elif kind == 2:
                altered[at] ^= 1 << int(rng.integers(8))
            elif kind == 3:
                block = altered[at : at + int(rng.integers(1, 40))]
                altered[at:at] = block
            else:
                del altered[at : at + int(rng.integers(1, 12))]
            if not altered:
                break
        yield bytes(altered)


def samples(folder: Path) -> dict[str, bytes]:
    """Return a good file of each kind by its name."""
    voxels = (np.arange(6 * 7 * 8).reshape(6, 7, 8) % 97).astype("i2")
    found = {"a.nii": nifti_bytes(voxels), "b.nii.gz": gzip.compress(nifti_bytes(voxels))}
    for name in ("c.nrrd", "d.mha"):
        path = write_image(folder / name, voxels, file_affine("RAI"))
        found[name] = path.read_bytes()
        image = sitk.ReadImage(str(path))
        sitk.WriteImage(image, str(path), useCompression=True)
        found["z" + name] = path.read_bytes()
        path.unlink()
    (path,) = write_dicom(folder / "good", [dicom_slice(0)]).iterdir()
    found["e.dcm"] = path.read_bytes()
    packed = dicom_slice(0)
    packed.compress(RLELossless, generate_instance_uid=False)
    packed.save_as(path, enforce_file_format=True)
    found["f.dcm"] = path.read_bytes()
    return found


def refusal(read: Callable[[Path], object], path: Path) -> str | None:
    """Return why a file is refused; None if it opens. Anything but a refusal goes through."""
    try:
        read(path)
    except ReadError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "name", ["a.nii", "b.nii.gz", "c.nrrd", "zc.nrrd", "d.mha", "zd.mha", "e.dcm", "f.dcm"]
)
def test_damaged_files_are_refused_with_a_sentence(tmp_path: Path, capfd, name: str):
    content = samples(tmp_path)[name]
    path = tmp_path / name
    path.write_bytes(content)
    read_volume(path)
    n_refused = 0
    for altered in mutations(content, seed=len(name)):
        path.write_bytes(altered)
        for read in (scan, read_volume):
            sentence = refusal(read, path)
            n_refused += read is read_volume and sentence is not None
            assert sentence is None or sentence.endswith("."), sentence
    # Cutting alone, a fifth of the changes, has to show.
    assert n_refused >= N_MUTATIONS // 6
    assert capfd.readouterr() == ("", "")


def test_damaged_series_are_refused_with_a_sentence(tmp_path: Path):
    folder = write_dicom(tmp_path / "s", [dicom_slice(k) for k in range(4)])
    path = sorted(folder.iterdir())[1]
    for altered in mutations(path.read_bytes(), seed=3, n=60):
        path.write_bytes(altered)
        assert refusal(read_volume, folder) != ""


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_frames_that_claim_to_be_huge_are_refused_before_memory_is_taken(tmp_path, compressor):
    # Header and frame agree on it, so only the size of the file tells.
    dataset = compressed(dicom_slice(0, Rows=8, Columns=10), compressor, tmp_path)
    folder = write_dicom(tmp_path / "s", [dataset])
    (path,) = folder.iterdir()
    good = path.read_bytes()
    content = bytearray(good)
    for tag in (b"\x28\x00\x10\x00US", b"\x28\x00\x11\x00US"):
        struct.pack_into("<H", content, content.index(tag) + 8, 20000)
    if compressor == "JPEG":
        struct.pack_into(">HH", content, content.index(b"\xff\xc3\x00\x0b") + 5, 20000, 20000)
    else:
        at = content.index(b"\xff\x4f\xff\x51") + 8
        struct.pack_into(">2I", content, at, 20000, 20000)
        struct.pack_into(">2I", content, at + 16, 20000, 20000)
    path.write_bytes(content)
    tracemalloc.start()
    try:
        sentence = refusal(read_volume, path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "20000 x 20000 pixels, and the file is far too small" in sentence
    assert peak < 20e6


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs fork and /proc")
def test_a_short_campaign_finds_nothing():
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaigns.fuzz", "--n", "150", "--seed", "1"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_damaged_length_takes_no_memory(tmp_path):
    """Four gigabytes that a header promises are not set aside before they are read."""
    folder = write_dicom(tmp_path / "s", [dicom_slice(0)])
    (path,) = folder.iterdir()
    content = path.read_bytes()
    at = content.index(b"\xe0\x7f\x10\x00OW\0\0") + 8
    path.write_bytes(content[:at] + struct.pack("<I", 0xF0000000) + content[at + 4 :])
    tracemalloc.start()
    try:
        with contextlib.suppress(ReadError):
            load_dataset(path, with_pixels=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50e6
