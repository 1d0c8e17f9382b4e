"""Labels: the voxel map, what each value means, and changes of voxels as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from app.core.errors import GeometryError, UsageError
from app.core.geometry import Geometry, Region
from app.core.packing import (
    check_values,
    joined,
    n_marked,
    pack_mask,
    pack_values,
    parted,
    unpack_mask,
    unpack_values,
)

Colour = tuple[int, int, int]

# Distinguishable on grey images, in the order in which new labels take them.
PALETTE: tuple[Colour, ...] = (
    (239, 83, 80),
    (66, 165, 245),
    (102, 187, 106),
    (255, 202, 40),
    (171, 71, 188),
    (38, 198, 218),
    (255, 112, 67),
    (156, 204, 101),
    (236, 64, 122),
    (92, 107, 192),
    (212, 225, 87),
    (141, 110, 99),
)
MAX_LABEL_ID = 65535


class DrawOver(Enum):
    """Which voxels new work may take. Padlocked labels are never taken, whatever this says."""

    EMPTY = "empty"
    ALL = "all"


@dataclass(frozen=True)
class LabelInfo:
    """What one label value means and how it is shown.

    Attributes
    ----------
    id : int
        The value in the label map, 1 or more.
    name : str
    colour : tuple of 3 int, 0 to 255
    visible, locked : bool
        A locked label's voxels are not changed by any tool or model.
    opacity : float, 0 to 1
        Multiplies the opacity of the whole overlay.
    code : tuple of str
        (scheme, value, meaning) of a terminology, e.g. ("SCT", "10200004", "Liver"), or empty.
    """

    id: int
    name: str
    colour: Colour
    visible: bool = True
    locked: bool = False
    opacity: float = 1.0
    code: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelTable:
    """All labels of a document, in the order in which they are listed. Immutable."""

    labels: tuple[LabelInfo, ...] = ()

    def __post_init__(self) -> None:
        ids = [info.id for info in self.labels]
        if len(set(ids)) != len(ids):
            raise UsageError("Two labels have the same value; give each its own.")
        for info in self.labels:
            if not 1 <= info.id <= MAX_LABEL_ID:
                raise UsageError(
                    f"The label “{info.name}” has the value {info.id}; "
                    f"values from 1 to {MAX_LABEL_ID} can be used."
                )
            if not info.name.strip():
                raise UsageError("A label needs a name.")

    def __iter__(self) -> Iterator[LabelInfo]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __contains__(self, label_id: object) -> bool:
        return any(info.id == label_id for info in self.labels)

    def get(self, label_id: int) -> LabelInfo | None:
        """Return the label of a value, or None."""
        return next((info for info in self.labels if info.id == label_id), None)

    def named(self, name: str) -> LabelInfo | None:
        """Return the first label of a name, or None."""
        return next((info for info in self.labels if info.name == name), None)

    def new_label(self, name: str = "", label_id: int | None = None) -> LabelInfo:
        """Return a label that fits beside the others: a free value and the next colour."""
        taken = {info.id for info in self.labels}
        if label_id is None:
            label_id = next(i for i in range(1, MAX_LABEL_ID + 1) if i not in taken)
        used = {info.colour for info in self.labels}
        free = [c for c in PALETTE if c not in used]
        colour = free[0] if free else PALETTE[(label_id - 1) % len(PALETTE)]
        return LabelInfo(label_id, name or f"Label {label_id}", colour)

    def with_added(self, info: LabelInfo) -> LabelTable:
        """Return a table with one more label at its end."""
        return LabelTable((*self.labels, info))

    def with_changed(self, info: LabelInfo) -> LabelTable:
        """Return a table in which the label of the same value is replaced."""
        if info.id not in self:
            raise UsageError(f"There is no label with the value {info.id}.")
        return LabelTable(tuple(info if old.id == info.id else old for old in self.labels))

    def without(self, label_id: int) -> LabelTable:
        """Return a table that lacks one label."""
        return LabelTable(tuple(old for old in self.labels if old.id != label_id))

    def with_moved(self, label_id: int, position: int) -> LabelTable:
        """Return a table in which a label stands at another place, counted without it."""
        moved = [info for info in self.labels if info.id == label_id]
        rest = [info for info in self.labels if info.id != label_id]
        return LabelTable((*rest[:position], *moved, *rest[position:]))

    def require_open(self, label_id: int) -> LabelInfo:
        """Return the label of a value; UsageError if there is none or its padlock is closed."""
        info = self.get(label_id)
        if info is None:
            raise UsageError("Choose a label first; what is drawn needs one.")
        if info.locked:
            raise UsageError(f"“{info.name}” is locked. Open its padlock to change it.")
        return info

    @property
    def locked_ids(self) -> tuple[int, ...]:
        return tuple(info.id for info in self.labels if info.locked)


class LabelMap:
    """Label value per voxel on the grid of a volume.

    Read through `voxels`; written only by `VoxelDelta`, so that every change can be undone.
    One byte per voxel; two where values above 255 are needed.
    """

    def __init__(self, geometry: Geometry, voxels: np.ndarray | None = None) -> None:
        self.geometry = geometry
        self._is_blank = voxels is None
        # Fresh zeros are not copied: the system hands their memory out when it is written.
        voxels = np.zeros(geometry.shape_zyx, np.uint8) if voxels is None else voxels.copy("C")
        if voxels.shape != geometry.shape_zyx:
            raise GeometryError(
                f"The label map is {voxels.shape}, the image {geometry.shape_zyx} voxels."
            )
        if voxels.dtype not in (np.uint8, np.uint16):
            raise GeometryError("A label map holds 8- or 16-bit unsigned values.")
        self._voxels = voxels
        self._view = self._voxels.view()
        self._view.setflags(write=False)

    @property
    def voxels(self) -> np.ndarray:
        """Label values, read-only (z, y, x)."""
        return self._view

    @property
    def is_blank(self) -> bool:
        """Whether nothing was ever written, which is known without looking at the voxels."""
        return self._is_blank

    def copy(self) -> LabelMap:
        """Return an independent label map with the same values."""
        return LabelMap(self.geometry, self._voxels)

    def _write(self, region: Region, mask: np.ndarray, values: np.ndarray) -> None:
        # Only VoxelDelta calls this.
        if values.size and int(values.max()) > np.iinfo(self._voxels.dtype).max:
            self._voxels = self._voxels.astype(np.uint16)
            self._view = self._voxels.view()
            self._view.setflags(write=False)
        self._voxels[region.slices][mask] = values
        self._is_blank = False


@dataclass(frozen=True, eq=False)
class VoxelDelta:
    """Changed voxels of one tight region: a packed mask, old values, new values, compressed.

    Make it with `between`; it is applied and reverted any number of times.
    """

    region: Region
    n_changed: int
    _mask: bytes = field(repr=False)
    _old: bytes = field(repr=False)
    _new: bytes = field(repr=False)
    _dtype: str = "u1"

    @classmethod
    def between(cls, labelmap: LabelMap, region: Region, new: np.ndarray) -> VoxelDelta | None:
        """Return the change from the map's present values to ``new``; None if there is none.

        Parameters
        ----------
        labelmap : LabelMap
        region : Region
            Inside the map.
        new : (z, y, x) unsigned int
            Values for the whole region.

        Raises
        ------
        GeometryError
            The region leaves the map, or the block does not have its shape.
        """
        if not region.is_inside(labelmap.voxels.shape) or new.shape != region.shape_zyx:
            raise GeometryError(f"A block of {new.shape} does not fit {region} of the label map.")
        return cls.from_blocks(region, labelmap.voxels[region.slices], new)

    @classmethod
    def from_blocks(cls, region: Region, old: np.ndarray, new: np.ndarray) -> VoxelDelta | None:
        """Return the change between two blocks of a region; None if they are equal."""
        changed = old != new
        tight = Region.of_mask(changed)
        if tight is None:
            return None
        changed = changed[tight.slices]
        before, after = old[tight.slices][changed], new[tight.slices][changed]
        wide = int(before.max()) > 255 or int(after.max()) > 255
        dtype = "<u2" if wide else "u1"
        return cls(
            tight.moved_by(region.start_zyx),
            int(before.size),
            pack_mask(changed),
            pack_values(before.astype(dtype)),
            pack_values(after.astype(dtype)),
            dtype,
        )

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return len(self._mask) + len(self._old) + len(self._new) + 200

    @property
    def mask(self) -> np.ndarray:
        """Which voxels of the region changed, bool, shape of the region."""
        return unpack_mask(self._mask, self.region.shape_zyx)

    @property
    def old_values(self) -> np.ndarray:
        """Values before, one per changed voxel in C order of `mask`."""
        return unpack_values(self._old, self._dtype, self.n_changed)

    @property
    def new_values(self) -> np.ndarray:
        """Values after, one per changed voxel in C order of `mask`."""
        return unpack_values(self._new, self._dtype, self.n_changed)

    def to_bytes(self) -> bytes:
        """Return the change as bytes, to be kept in a file; `from_bytes` reads them."""
        wide = int(np.dtype(self._dtype).itemsize)
        return joined(self.region, wide, (self._mask, self._old, self._new))

    @classmethod
    def from_bytes(cls, content: bytes, shape_zyx: Sequence[int]) -> VoxelDelta:
        """Return the change that `to_bytes` wrote, for a map of a shape.

        Raises
        ------
        GeometryError
            The bytes are damaged or belong to another map. No more memory is taken than the
            region has voxels, whatever the bytes claim.
        """
        region, wide, (mask, old, new) = parted(content)
        if not region.is_inside(shape_zyx):
            raise GeometryError("A stored change of voxels leaves the label map.")
        n_changed = n_marked(mask, region.n_voxels)
        for values in (old, new):
            check_values(values, wide, n_changed)
        return cls(region, n_changed, mask, old, new, "<u2" if wide == 2 else "u1")

    def apply(self, labelmap: LabelMap) -> None:
        """Write the new values."""
        labelmap._write(self.region, self.mask, self.new_values)

    def revert(self, labelmap: LabelMap) -> None:
        """Write the old values back."""
        labelmap._write(self.region, self.mask, self.old_values)

    def paint_old(self, block: np.ndarray, block_region: Region) -> np.ndarray:
        """Put the old values into a block of another region; return where (bool, block's shape).

        Only the part of the change that lies in ``block_region`` is written.
        """
        touched = np.zeros(block.shape, bool)
        common = self.region.intersection(block_region)
        if common is None:
            return touched
        mine = np.zeros(self.region.shape_zyx, block.dtype)
        mask = self.mask
        mine[mask] = self.old_values
        inner = common.relative_to(self.region).slices
        outer = common.relative_to(block_region).slices
        where = mask[inner]
        block[outer][where] = mine[inner][where]
        touched[outer] = where
        return touched


def writable(
    labels: np.ndarray, label_id: int, table: LabelTable, draw_over: DrawOver
) -> np.ndarray:
    """Return where a label may be written: the one place that knows the draw-over rules.

    Parameters
    ----------
    labels : (z, y, x) unsigned int
        The present values.
    label_id : int
        The label that is written; 0 erases. A locked label takes no new voxels.
    table : LabelTable
    draw_over : DrawOver

    Returns
    -------
    (z, y, x) bool
    """
    own = table.get(label_id)
    if own is not None and own.locked:
        return np.zeros(labels.shape, bool)
    if draw_over is DrawOver.EMPTY and label_id != 0:
        free: np.ndarray = (labels == 0) | (labels == label_id)
        return free
    allowed = np.ones(labels.shape, bool)
    for locked in table.locked_ids:
        allowed &= labels != locked
    return allowed


def with_mask(
    labels: np.ndarray, label_id: int, mask: np.ndarray, table: LabelTable, draw_over: DrawOver
) -> np.ndarray:
    """Return label values in which a label has the voxels of a mask, as far as it may take them.

    Parameters
    ----------
    labels : (z, y, x) unsigned int
        The present values; left as they are.
    label_id : int
        Gives its voxels outside the mask back to the background.
    mask : (z, y, x) bool
    table : LabelTable
        Locked labels keep their voxels.
    draw_over : DrawOver

    Returns
    -------
    (z, y, x) unsigned int
        In a type that holds the label, too.
    """
    after = labels.astype(np.promote_types(labels.dtype, np.min_scalar_type(label_id)))
    if (own := table.get(label_id)) is not None and own.locked:
        return after
    after[(labels == label_id) & ~mask] = 0
    after[mask & writable(labels, label_id, table, draw_over)] = label_id
    return after
