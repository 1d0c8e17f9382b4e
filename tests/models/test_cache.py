"""The embedding cache: what is kept, what is dropped, what a damaged file does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.core.geometry import Geometry
from app.core.volume import Volume
from models.cache import BoundedMemory, EmbeddingCache, EmbeddingKey, slice_digest

KEY = EmbeddingKey("volume-1", "slice", "model", "v1")


class Counter:
    """Computes a constant array and counts how often it was asked to."""

    def __init__(self, n_values: int = 100, value: float = 1.0) -> None:
        self.calls = 0
        self.array = np.full(n_values, value, np.float32)

    def __call__(self) -> np.ndarray:
        self.calls += 1
        return self.array


def test_second_request_computes_nothing():
    cache, compute = EmbeddingCache(10_000), Counter()
    first = cache.get_or_compute(KEY, compute)
    second = cache.get_or_compute(KEY, compute)
    assert compute.calls == 1
    assert cache.n_memory_hits == 1
    np.testing.assert_array_equal(first, second)


def test_what_is_kept_does_not_follow_the_runtime_buffer():
    cache, compute = EmbeddingCache(10_000), Counter(value=3.0)
    cache.get_or_compute(KEY, compute)
    compute.array[:] = -1
    assert (cache.get_or_compute(KEY, compute) == 3.0).all()


def test_least_recently_used_goes_first_and_bytes_stay_bounded():
    cache = EmbeddingCache(max_bytes=1000)
    keys = [replace(KEY, slice_digest=str(i)) for i in range(3)]
    cache.get_or_compute(keys[0], Counter())
    cache.get_or_compute(keys[1], Counter())
    cache.get_or_compute(keys[0], Counter())
    cache.get_or_compute(keys[2], Counter())
    assert cache.nbytes <= 1000
    assert keys[0] in cache
    assert keys[1] not in cache


def test_one_entry_over_the_limit_is_kept():
    cache = EmbeddingCache(max_bytes=10)
    compute = Counter()
    cache.get_or_compute(KEY, compute)
    cache.get_or_compute(KEY, compute)
    assert compute.calls == 1


def test_a_new_process_finds_the_embedding_on_disk(tmp_path):
    EmbeddingCache(10_000, folder=tmp_path).get_or_compute(KEY, Counter(value=2.0))
    reopened, compute = EmbeddingCache(10_000, folder=tmp_path), Counter()
    other_uid = replace(KEY, volume_uid="same scan, opened again")
    assert (reopened.get_or_compute(other_uid, compute) == 2.0).all()
    assert compute.calls == 0
    assert reopened.n_disk_hits == 1


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_a_damaged_file_is_computed_again(tmp_path, damage):
    EmbeddingCache(10_000, folder=tmp_path).get_or_compute(KEY, Counter(value=2.0))
    (path,) = tmp_path.iterdir()
    raw = bytearray(path.read_bytes())
    if damage == "flip":
        raw[-1] ^= 0xFF
    path.write_bytes({"flip": raw, "truncate": raw[:40], "empty": b""}[damage])
    compute = Counter(value=7.0)
    assert (EmbeddingCache(10_000, folder=tmp_path).get_or_compute(KEY, compute) == 7.0).all()
    assert compute.calls == 1


def test_disk_is_bounded(tmp_path):
    cache = EmbeddingCache(10**6, folder=tmp_path, max_disk_bytes=3000)
    for i in range(10):
        cache.get_or_compute(replace(KEY, slice_digest=str(i)), Counter())
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 3000


def test_an_unwritable_folder_costs_no_result(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    cache = EmbeddingCache(10_000, folder=blocked / "cache")
    assert cache.get_or_compute(KEY, Counter(value=5.0))[0] == 5.0


def test_another_model_slice_or_preprocessing_is_another_entry():
    cache, compute = EmbeddingCache(10**6), Counter()
    for change in ({}, {"slice_digest": "b"}, {"model_sha256": "b"}, {"preprocessing": "b"}):
        cache.get_or_compute(replace(KEY, **change), compute)
    assert compute.calls == 4


def test_dropping_a_volume_frees_its_memory_only():
    cache = EmbeddingCache(10**6)
    other = replace(KEY, volume_uid="volume-2", slice_digest="b")
    cache.get_or_compute(KEY, Counter())
    cache.get_or_compute(other, Counter())
    cache.drop_volume("volume-1")
    assert KEY not in cache
    assert other in cache
    assert cache.nbytes == 400


def test_slice_digest_sees_one_changed_voxel_and_the_dtype():
    voxels = np.zeros((3, 4, 5), np.int16)
    changed = voxels.copy()
    changed[1, 2, 3] = 1
    geometry = Geometry((3, 4, 5), np.eye(4))
    plain, other = Volume(voxels, geometry), Volume(changed, geometry)
    wide = Volume(voxels.astype(np.int32), geometry)
    assert slice_digest(plain, 0, 1) != slice_digest(other, 0, 1)
    assert slice_digest(plain, 0, 0) == slice_digest(other, 0, 0)
    assert slice_digest(plain, 0, 0) != slice_digest(wide, 0, 0)


def test_a_value_that_is_replaced_counts_once():
    memory: BoundedMemory[str, bytes] = BoundedMemory(100, len)
    memory.keep("old", bytes(10))
    for n in range(20):
        memory.keep("same", bytes(n))
    assert memory.nbytes == 10 + 19
    assert "old" in memory
