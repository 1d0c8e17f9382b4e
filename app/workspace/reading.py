"""The work in a workspace file, read back: what was there first, and the steps since."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from app.core.geometry import Geometry
from app.core.labels import LabelMap
from app.core.prompts import Prompt
from app.workspace.codec import DamagedError, State, StepChange, decode_state, decode_step


@dataclass(frozen=True)
class StoredStep:
    """A step as it was read back, between two states."""

    seq: int
    label: str
    change: StepChange
    before: State
    after: State


@dataclass(frozen=True, eq=False)
class Work:
    """All that a workspace holds.

    Attributes
    ----------
    labels : (z, y, x) uint8 or uint16
    state : State
    done, undone : tuple of StoredStep
        Those that can be undone, the oldest first; those that can be redone, the next one first.
    is_saved : bool
    view : mapping
    """

    labels: np.ndarray
    state: State
    done: tuple[StoredStep, ...] = ()
    undone: tuple[StoredStep, ...] = ()
    is_saved: bool = True
    view: Mapping[str, Any] = field(default_factory=dict)


class StoredWork:
    """The work that the tables of one file hold, for an image of a size.

    Methods raise `DamagedError` where a part is not what was written, and errors of SQLite.
    """

    def __init__(self, connection: sqlite3.Connection, shape_zyx: tuple[int, int, int]) -> None:
        self._db = connection
        self._shape_zyx = shape_zyx

    def read(self) -> Work:
        """Return everything: the base with the steps applied, and the steps."""
        cursor, oldest, is_saved, view = self._db.execute(
            "SELECT cursor, oldest, is_saved, view FROM workspace"
        ).fetchone()
        labelmap, state = self.base_labels(), self.base_state()
        now = state
        done, undone = [], []
        # Every step lists all prompts: those that it shares with others are kept once.
        known: dict[Prompt, Prompt] = {prompt: prompt for prompt in state.prompts}
        for seq, label, change in self.steps():
            if change.prompts is not None:
                shared = tuple(known.setdefault(p, p) for p in change.prompts)
                change = replace(change, prompts=shared)
            after = change.applied_to(state)
            step = StoredStep(seq, label, change, state, after)
            if seq <= cursor:
                for delta in change.deltas:
                    delta.apply(labelmap)
                now = after
                if seq >= oldest:
                    done.append(step)
            else:
                undone.append(step)
            state = after
        content = json.loads(view)
        view = content if isinstance(content, dict) else {}
        return Work(labelmap.voxels, now, tuple(done), tuple(undone), bool(is_saved), view)

    def steps(self, *, before: int | None = None) -> Iterator[tuple[int, str, StepChange]]:
        """Yield seq, name and change of steps in order; all, or those before a seq."""
        where, values = ("", ()) if before is None else ("WHERE seq < ?", (before,))
        rows = self._db.execute(
            f"SELECT seq, label, crc, content FROM step {where} ORDER BY seq", values
        )
        for seq, label, crc, content in rows:
            if zlib.crc32(content) != crc:
                raise DamagedError(f"step {seq} (“{label}”) was altered")
            yield seq, label, decode_step(content, self._shape_zyx)

    def base_state(self) -> State:
        """Return the state before the first step."""
        content, crc = self._db.execute("SELECT base, base_crc FROM workspace").fetchone()
        if zlib.crc32(content) != crc:
            raise DamagedError("its first state was altered")
        return decode_state(content, self._shape_zyx)

    def base_labels(self) -> LabelMap:
        """Return the label map before the first step."""
        depth, height, width = self._shape_zyx
        rows = self._db.execute("SELECT z, n_bytes, crc, content FROM base_slice").fetchall()
        wide = any(n_bytes == 2 for _, n_bytes, _, _ in rows)
        voxels = np.zeros(self._shape_zyx, np.uint16 if wide else np.uint8)
        for z, n_bytes, crc, packed in rows:
            expected = height * width * n_bytes
            stream = zlib.decompressobj()
            if zlib.crc32(packed) != crc or n_bytes not in (1, 2) or not 0 <= z < depth:
                raise DamagedError(f"slice {z} was altered")
            plane = stream.decompress(packed, expected + 1)
            if len(plane) != expected:
                raise DamagedError(f"slice {z} has the wrong size")
            voxels[z] = np.frombuffer(plane, f"<u{n_bytes}").reshape(height, width)
        return LabelMap(Geometry(self._shape_zyx, np.eye(4)), voxels)
