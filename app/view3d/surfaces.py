"""Follows the labels of the open scan: which of them need another surface, and their voxels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.core.document import Document
from app.core.events import Aspect, Change, Event
from app.core.geometry import Region
from app.core.tasks import JobContext, JobHandle, Runner
from app.core.volume import Volume
from app.notices import Notices
from app.view3d.blocks import LabelBlock, SmallVolume, label_blocks, small_volume

# Up to this size it is quick to see which labels a part holds.
_QUICK_VOXELS = 500_000


@dataclass(frozen=True)
class LabelBlocks:
    """Labels whose surfaces changed.

    Attributes
    ----------
    made : tuple of LabelBlock
    gone : frozenset of int
        Labels without voxels.
    """

    made: tuple[LabelBlock, ...]
    gone: frozenset[int]


class SceneSource:
    """Gives the 3-D view what it draws. Costs nothing until the view is watched.

    Events
    ------
    outdated : None
        Labels changed; call `update` when convenient.
    updated : LabelBlocks
    volume_ready : SmallVolume
    """

    def __init__(self, runner: Runner, notices: Notices) -> None:
        self.outdated: Event[None] = Event()
        self.updated: Event[LabelBlocks] = Event()
        self.volume_ready: Event[SmallVolume] = Event()
        self._runner = runner
        self._notices = notices
        self._document: Document | None = None
        self._regions: dict[int, Region] = {}
        self._dirty: Region | None = None
        self._handle: JobHandle | None = None
        self._leave: Callable[[], None] = _nothing

    def watch(self, document: Document | None) -> None:
        """Follow a document from now on, all of it at first; None for none."""
        self._leave()
        self._leave = _nothing
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._document, self._regions, self._dirty = document, {}, None
        if document is not None:
            self._leave = document.changed.connect(self._on_changed)
            if not document.labelmap.is_blank:
                self._dirty = Region.whole(document.volume.voxels.shape)
                self.outdated.emit(None)

    def update(self) -> None:
        """Let the worker look at the labels that changed; `updated` follows."""
        document, dirty = self._document, self._dirty
        if document is None or dirty is None or self._handle is not None:
            return
        voxels = document.labelmap.voxels
        shape = voxels.shape
        touched = {i for i, r in self._regions.items() if r.intersection(dirty) is not None}
        if dirty.n_voxels <= _QUICK_VOXELS:
            counts = np.bincount(voxels[dirty.slices].ravel())
            touched |= set(np.flatnonzero(counts[1:]) + 1)
            region = dirty
            for label_id in touched & self._regions.keys():
                region = region.union(self._regions[label_id])
        else:
            region = Region.whole(shape)
            touched |= self._regions.keys()
        # The map may change while the worker looks at it.
        block, geometry = voxels[region.slices].copy(), document.volume.geometry
        asked = frozenset(int(i) for i in touched)
        is_whole = region.shape_zyx == shape
        self._dirty = None

        def work(ctx: JobContext) -> tuple[LabelBlock, ...]:
            if not is_whole:
                # Others reach into the region, but are not changed and not whole in it.
                block[~np.isin(block, list(asked))] = 0
            return label_blocks(block, region, geometry, ctx)

        def done(made: tuple[LabelBlock, ...]) -> None:
            self._handle = None
            found = {b.label_id: b.region for b in made}
            gone = frozenset((asked | self._regions.keys() if is_whole else asked) - found.keys())
            for label_id in gone:
                self._regions.pop(label_id, None)
            self._regions.update(found)
            self.updated.emit(LabelBlocks(made, gone))
            if self._dirty is not None:
                self.outdated.emit(None)

        def failed(error: BaseException, trace: str) -> None:
            self._handle = None
            self._notices.failed("surfaces")(error, trace)

        self._handle = self._runner.submit(work, key="surfaces", done=done, failed=failed)

    def ask_volume(self, volume: Volume) -> None:
        """Let the worker make a small copy of a scan; `volume_ready` follows."""
        self._runner.submit(
            lambda ctx: small_volume(volume, ctx),
            key="small volume",
            done=self.volume_ready.emit,
            failed=self._notices.failed("small volume"),
        )

    def _on_changed(self, change: Change) -> None:
        if Aspect.VOXELS not in change.aspects or self._document is None:
            return
        region = change.region or Region.whole(self._document.volume.voxels.shape)
        self._dirty = region if self._dirty is None else self._dirty.union(region)
        self.outdated.emit(None)


def _nothing() -> None:
    """Leave a document that was never joined."""
