"""What is shown beside the open scan and never changes it: a second scan, an earlier label map.

Nothing of it is saved. The second scan keeps its own voxels; each displayed slice is sampled from
them at the positions of the open scan's voxels in the patient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TypeVar

import numpy as np

from app.core.document import Document
from app.core.errors import GeometryError, UsageError
from app.core.events import Event
from app.core.geometry import Geometry
from app.core.labels import LabelTable
from app.core.tasks import JobContext, JobHandle, Runner
from app.core.volume import Volume
from app.io.reader import read_named_labels
from app.notices import Notices

T = TypeVar("T")
ReadImage = Callable[[Path, str, JobContext], tuple[Volume, tuple[float, float]]]

# Sampling positions are rounded to this many decimals of a voxel, so that a grid that is the same
# but for rounding keeps its outermost voxels.
_DECIMALS = 7


@dataclass(frozen=True, eq=False)
class SecondScan:
    """A second scan and how it is shown over the open one.

    Attributes
    ----------
    volume : Volume
        On its own grid.
    window : tuple of 2 float
        Lowest and highest displayed intensity of this scan.
    opacity : float, 0 to 1
    colour_map : str
    """

    volume: Volume
    window: tuple[float, float]
    opacity: float = 0.5
    colour_map: str = "hot"


@dataclass(frozen=True, eq=False)
class EarlierMap:
    """A label map that is shown as dashed outlines and not edited.

    Attributes
    ----------
    name : str
    labels : (z, y, x) unsigned int
        On the grid of the open scan.
    table : LabelTable
        A label for every value.
    """

    name: str
    labels: np.ndarray
    table: LabelTable


class Beside:
    """Opens what is shown beside the scan, on a worker.

    Attributes
    ----------
    second : SecondScan, optional
    earlier : EarlierMap, optional

    Events
    ------
    changed : None
        Either of them, or how it is shown, changed.
    """

    def __init__(self, runner: Runner, notices: Notices, read_image: ReadImage) -> None:
        self.second: SecondScan | None = None
        self.earlier: EarlierMap | None = None
        self.changed: Event[None] = Event()
        self._document: Document | None = None
        self._runner = runner
        self._notices = notices
        self._read_image = read_image
        self._handles: dict[str, JobHandle] = {}

    def open(self, document: Document | None) -> None:
        """Another scan is open: what was shown beside the last one goes."""
        for key, handle in self._handles.items():
            handle.cancel()
            self._notices.end(key)
        self._handles = {}
        self._document = document
        self.second, self.earlier = None, None
        self.changed.emit(None)

    # -- a second scan -------------------------------------------------------------------------

    def show_second(self, path: Path) -> None:
        """Show a scan over the open one, where both lie in the same place of the patient.

        Raises
        ------
        UsageError
            No scan is open.
        """
        path, geometry = Path(path), self._geometry()

        def work(ctx: JobContext) -> SecondScan:
            volume, window = self._read_image(path, "", ctx)
            if not overlap(geometry, volume.geometry):
                raise GeometryError(
                    f"“{path.name}” lies elsewhere in space than the open scan: the two do not "
                    "overlap, so nothing is shown. Choose a scan of the same region that shares "
                    "its coordinates, or register the two first."
                )
            return SecondScan(volume, window)

        def done(second: SecondScan) -> None:
            self.second = second
            self.changed.emit(None)

        self._submit("second", path, work, done)

    def change_second(
        self,
        *,
        opacity: float | None = None,
        window: tuple[float, float] | None = None,
        colour_map: str | None = None,
    ) -> None:
        """Show the second scan otherwise; what is None stays."""
        second = self.second
        if second is None:
            return
        self.second = replace(
            second,
            opacity=second.opacity if opacity is None else min(max(opacity, 0.0), 1.0),
            window=window or second.window,
            colour_map=colour_map or second.colour_map,
        )
        self.changed.emit(None)

    def close_second(self) -> None:
        """Show the open scan alone."""
        self.second = None
        self.changed.emit(None)

    def second_slice(self, axis: int, index: int) -> np.ndarray | None:
        """Return the second scan at the voxels of one slice of the open one; see `sampled`."""
        if self.second is None or self._document is None:
            return None
        return sampled(self.second.volume, self._document.volume.geometry, axis, index)

    # -- an earlier label map ------------------------------------------------------------------

    def show_earlier(self, path: Path) -> None:
        """Show the outlines of a label map on the grid of the scan; others are refused.

        Raises
        ------
        UsageError
            No scan is open.
        """
        path, geometry = Path(path), self._geometry()

        def work(ctx: JobContext) -> EarlierMap:
            labels, names = read_named_labels(path, geometry, ctx=ctx)
            table = names
            # Slice by slice: a sort of the whole map takes many times its memory.
            values = set().union(*(np.unique(plane).tolist() for plane in labels))
            for value in sorted(values - {0}):
                if value not in table:
                    table = table.with_added(table.new_label(label_id=value))
            return EarlierMap(path.name, labels, table)

        def done(earlier: EarlierMap) -> None:
            self.earlier = earlier
            self.changed.emit(None)

        self._submit("earlier", path, work, done)

    def close_earlier(self) -> None:
        """Show the current label map alone."""
        self.earlier = None
        self.changed.emit(None)

    # -- inside --------------------------------------------------------------------------------

    def _geometry(self) -> Geometry:
        if self._document is None:
            raise UsageError("Open a scan first.")
        return self._document.volume.geometry

    def _submit(
        self,
        key: str,
        path: Path,
        work: Callable[[JobContext], T],
        done: Callable[[T], None],
    ) -> None:
        def finished(result: T) -> None:
            self._notices.end(key)
            done(result)

        text = f"Opening {path.name}"
        self._notices.begin(key, text)
        self._handles[key] = self._runner.submit(
            work,
            key=key,
            done=finished,
            failed=self._notices.failed(key),
            progress=self._notices.progress(key, text),
        )


def sampled(volume: Volume, like: Geometry, axis: int, index: int) -> np.ndarray:
    """Return a volume's intensities at the voxels of one slice of another grid.

    Parameters
    ----------
    volume : Volume
    like : Geometry
        The grid of the slice.
    axis, index : int
        Which slice of it.

    Returns
    -------
    (rows, columns) float32
        Linear interpolation between voxel centres; NaN outside of them.
    """
    from scipy import ndimage

    to_index = np.linalg.inv(volume.geometry.affine) @ like.affine
    shape = list(like.shape_zyx)
    shape[axis] = 1
    plane = ndimage.affine_transform(
        volume.voxels,
        np.round(to_index[:3, :3], _DECIMALS + 3),
        np.round(to_index[:3, 3] + index * to_index[:3, axis], _DECIMALS),
        output_shape=tuple(shape),
        output=np.float32,
        order=1,
        mode="constant",
        cval=np.nan,
    )
    result: np.ndarray = plane.squeeze(axis)
    return result


def overlap(first: Geometry, second: Geometry) -> bool:
    """Return whether two grids share any space, however they are turned.

    Two boxes are apart if and only if some direction tells them apart: a normal of a face of
    either, or one across an edge of each (the separating axis theorem).
    """
    boxes = []
    for geometry in (first, second):
        ends = [(-0.5, n - 0.5) for n in geometry.shape_zyx]
        boxes.append(geometry.index_to_lps(np.array(list(product(*ends)))))
    steps = [g.affine[:3, :3] / np.linalg.norm(g.affine[:3, :3], axis=0) for g in (first, second)]
    normals = [*steps[0].T, *steps[1].T]
    normals += [np.cross(a, b) for a in steps[0].T for b in steps[1].T]
    for normal in normals:
        length = float(np.linalg.norm(normal))
        if length < 1e-6:
            continue
        a, b = (corners @ (normal / length) for corners in boxes)
        if a.max() <= b.min() + 1e-6 or b.max() <= a.min() + 1e-6:
            return False
    return True
