"""How one plane of a volume lies on the screen. No Qt.

View coordinates are millimetres in the plane: x along the columns, y along the rows, (0, 0) in the
centre of the first voxel. Which way y goes on the screen is decided here alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.core.geometry import OPPOSITE, Geometry
from app.core.prompts import AXIAL

Point = tuple[float, float]


@dataclass(frozen=True)
class Edges:
    """Patient directions at the edges of a displayed plane, one letter each."""

    left: str
    right: str
    top: str
    bottom: str


@dataclass(frozen=True)
class PlaneFrame:
    """The slices of a volume along one axis, as they are displayed.

    Attributes
    ----------
    geometry : Geometry
    axis : int
        The axis across the slices.
    """

    geometry: Geometry
    axis: int

    @property
    def n_slices(self) -> int:
        return self.geometry.shape_zyx[self.axis]

    @property
    def axes_rc(self) -> tuple[int, int]:
        """Array axes of the rows and the columns."""
        row, column = (a for a in range(3) if a != self.axis)
        return row, column

    @property
    def shape_rc(self) -> tuple[int, int]:
        row, column = self.axes_rc
        return self.geometry.shape_zyx[row], self.geometry.shape_zyx[column]

    @property
    def spacing_rc(self) -> Point:
        """Size of a pixel in mm."""
        spacing = self.geometry.spacing_zyx
        row, column = self.axes_rc
        return spacing[row], spacing[column]

    @property
    def rows_go_down(self) -> bool:
        """Whether a growing row goes down the screen.

        Rows of axial slices grow to posterior, which is below; rows of coronal and sagittal ones
        to superior, which is above.
        """
        return self.axis == AXIAL

    @property
    def edges(self) -> Edges:
        """The letters at the edges."""
        letters = self.geometry.axis_letters
        row, column = (letters[a] for a in self.axes_rc)
        top, bottom = (OPPOSITE[row], row) if self.rows_go_down else (row, OPPOSITE[row])
        return Edges(OPPOSITE[column], column, top, bottom)

    @property
    def rect_mm(self) -> tuple[float, float, float, float]:
        """(x, y, width, height) of a slice; its outermost voxels are covered whole."""
        (rows, columns), (height, width) = self.shape_rc, self.spacing_rc
        return -width / 2, -height / 2, columns * width, rows * height

    def to_mm(self, row: float, column: float) -> Point:
        """Return the view coordinates (x, y) of a pixel index."""
        height, width = self.spacing_rc
        return column * width, row * height

    def position_zyx(self, x_mm: float, y_mm: float, index: int) -> tuple[float, float, float]:
        """Return the voxel index under a point of slice ``index``; may lie outside."""
        height, width = self.spacing_rc
        position = [y_mm / height, x_mm / width]
        position.insert(self.axis, float(index))
        return position[0], position[1], position[2]

    def place_text(self, index: int) -> str:
        """Return where the middle of a slice lies in the patient, e.g. "I 57.5 mm"."""
        middle = [(n - 1) / 2 for n in self.geometry.shape_zyx]
        middle[self.axis] = index
        letter = self.geometry.axis_letters[self.axis]
        lps = next(i for i, pair in enumerate(("LR", "PA", "SI")) if letter in pair)
        mm = float(self.geometry.index_to_lps(middle)[lps])
        towards = "LPS"[lps]
        return f"{towards if mm >= 0 else OPPOSITE[towards]} {abs(mm):.1f} mm"


def clamp(value: float, size: int) -> int:
    """Return the nearest index inside an axis of ``size`` voxels."""
    return min(max(0, round(value)), size - 1)
