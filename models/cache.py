"""Image embeddings of slices, kept while they are likely to be asked for again.

Memory first (least recently used, bounded in bytes), then disk (one file of digest and npy array
per slice, bounded, verified on load, never pickle), so that reopening a scan encodes nothing
twice. Used on the worker thread only.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from app.core.volume import Volume, take_slice

logger = logging.getLogger(__name__)

_DIGEST_BYTES = 32


@dataclass(frozen=True)
class EmbeddingKey:
    """Everything that an embedding depends on: equal keys, equal embeddings.

    ``slice_digest`` covers the voxels of the slice, so a scan is found again after a restart and
    under another name; the volume's uid only serves to drop its entries from memory.
    """

    volume_uid: str
    slice_digest: str
    model_sha256: str
    preprocessing: str

    @property
    def file_stem(self) -> str:
        text = f"{self.slice_digest}|{self.model_sha256}|{self.preprocessing}"
        return hashlib.sha256(text.encode()).hexdigest()


def slice_digest(volume: Volume, axis: int, index: int) -> str:
    """Return a digest of one slice's voxels, dtype and shape."""
    pixels = np.ascontiguousarray(take_slice(volume.voxels, axis, index))
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{pixels.dtype.str}{pixels.shape}".encode())
    digest.update(pixels.data)
    return digest.hexdigest()


K = TypeVar("K")
V = TypeVar("V")


class BoundedMemory(Generic[K, V]):
    """Least recently used values by key, bounded in bytes; the newest one always stays."""

    def __init__(self, max_bytes: int, size_of: Callable[[V], int]) -> None:
        self.max_bytes = max_bytes
        self.nbytes = 0
        self._size_of = size_of
        self._items: OrderedDict[K, V] = OrderedDict()

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def get(self, key: K) -> V | None:
        """Return the value and make it the most recently used; None if it is not there."""
        value = self._items.get(key)
        if value is not None:
            self._items.move_to_end(key)
        return value

    def keep(self, key: K, value: V) -> None:
        """Add a value, or put it in place of the one of its key; the least used make room."""
        if key in self._items:
            self.nbytes -= self._size_of(self._items.pop(key))
        self._items[key] = value
        self.nbytes += self._size_of(value)
        self._make_room()

    def limit(self, max_bytes: int) -> None:
        """Hold no more bytes than this from now on."""
        self.max_bytes = max_bytes
        self._make_room()

    def _make_room(self) -> None:
        while self.nbytes > self.max_bytes and len(self._items) > 1:
            _, dropped = self._items.popitem(last=False)
            self.nbytes -= self._size_of(dropped)

    def drop(self, is_unwanted: Callable[[K], bool]) -> None:
        """Forget every value whose key is unwanted."""
        for key in [k for k in self._items if is_unwanted(k)]:
            self.nbytes -= self._size_of(self._items.pop(key))


class EmbeddingCache:
    """Least recently used arrays by key, in memory and optionally on disk.

    Attributes
    ----------
    n_computed, n_memory_hits, n_disk_hits : int
        What happened so far; `segment --json` reports them.
    """

    def __init__(
        self,
        max_bytes: int,
        *,
        folder: Path | None = None,
        max_disk_bytes: int = 4 << 30,
    ) -> None:
        self.max_disk_bytes = max_disk_bytes
        self.n_computed = 0
        self.n_memory_hits = 0
        self.n_disk_hits = 0
        self._folder = folder
        self._memory: BoundedMemory[EmbeddingKey, np.ndarray] = BoundedMemory(
            max_bytes, lambda array: array.nbytes
        )

    def successor(self) -> EmbeddingCache:
        """Return a cache with the same limits and the same folder, and nothing in memory."""
        return EmbeddingCache(
            self._memory.max_bytes, folder=self._folder, max_disk_bytes=self.max_disk_bytes
        )

    @property
    def nbytes(self) -> int:
        """Bytes held in memory."""
        return self._memory.nbytes

    def __contains__(self, key: EmbeddingKey) -> bool:
        return key in self._memory or (self._folder is not None and self._path(key).exists())

    def get_or_compute(self, key: EmbeddingKey, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the embedding, from memory, from disk, or by computing and keeping it."""
        found = self._memory.get(key)
        if found is not None:
            self.n_memory_hits += 1
            return found
        loaded = self._load(key)
        if loaded is not None:
            self.n_disk_hits += 1
            self._memory.keep(key, loaded)
            return loaded
        return self.keep(key, compute())

    def keep(self, key: EmbeddingKey, computed: np.ndarray) -> np.ndarray:
        """Keep an embedding that was computed just now; return what is kept."""
        # A copy: some runtimes overwrite their output buffer at the next call.
        kept = np.array(computed)
        kept.setflags(write=False)
        self.n_computed += 1
        self._memory.keep(key, kept)
        self._save(key, kept)
        return kept

    def drop_volume(self, volume_uid: str) -> None:
        """Forget one volume's embeddings in memory; those on disk stay."""
        self._memory.drop(lambda key: key.volume_uid == volume_uid)

    def limit(self, max_bytes: int, max_disk_bytes: int) -> None:
        """Take no more memory and disk than this; what is too much goes now."""
        self.max_disk_bytes = max_disk_bytes
        self._memory.limit(max_bytes)
        drop_oldest(self._files(), max_disk_bytes)

    def clear(self) -> None:
        """Forget every embedding, in memory and on the disk."""
        self._memory.drop(lambda key: True)
        drop_oldest(self._files(), 0)

    def disk_bytes(self) -> int:
        """Return the bytes that embeddings take on the disk."""
        return sum(path.stat().st_size for path in self._files())

    # -- disk ----------------------------------------------------------------------------------

    def _path(self, key: EmbeddingKey) -> Path:
        assert self._folder is not None
        return self._folder / f"{key.file_stem}.embedding"

    def _files(self) -> list[Path]:
        return [] if self._folder is None else list(self._folder.glob("*.embedding"))

    def _load(self, key: EmbeddingKey) -> np.ndarray | None:
        if self._folder is None:
            return None
        path = self._path(key)
        try:
            raw = path.read_bytes()
            digest, body = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
            if hashlib.sha256(body).digest() != digest:
                raise ValueError("the digest does not match")
            value: np.ndarray = np.load(io.BytesIO(body), allow_pickle=False)
            os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError) as error:
            logger.info("Dropping a damaged cache file: %s", error)
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        value.setflags(write=False)
        return value

    def _save(self, key: EmbeddingKey, value: np.ndarray) -> None:
        if self._folder is None:
            return
        body = io.BytesIO()
        np.save(body, value, allow_pickle=False)
        raw = body.getvalue()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._folder) as beside:
                written = Path(beside) / "written"
                written.write_bytes(hashlib.sha256(raw).digest() + raw)
                os.replace(written, self._path(key))
            drop_oldest(self._files(), self.max_disk_bytes)
        except OSError as error:
            # A cache that cannot be written costs time, never a result.
            logger.info("The embedding cache cannot be written: %s", error)


def drop_oldest(paths: Iterable[Path], max_bytes: int) -> None:
    """Delete the files that were used least recently until the rest fit into ``max_bytes``."""
    files = [(path.stat(), path) for path in paths]
    total = sum(stat.st_size for stat, _ in files)
    for stat, path in sorted(files, key=lambda f: f[0].st_mtime):
        if total <= max_bytes:
            break
        # A file that is in use cannot be deleted on Windows.
        with contextlib.suppress(OSError):
            path.unlink()
            total -= stat.st_size
