"""What is drawn on slices to measure: rulers, angles, diameters. Kept with the document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise

import numpy as np

Point = tuple[float, float, float]


class AnnotationKind(Enum):
    """What the points of an annotation mean."""

    RULER = "ruler"
    ANGLE = "angle"
    DIAMETERS = "diameters"


# Ends of a line; ends and, between them, the corner; ends of the long and of the short line.
N_POINTS = {AnnotationKind.RULER: 2, AnnotationKind.ANGLE: 3, AnnotationKind.DIAMETERS: 4}


@dataclass(frozen=True)
class Annotation:
    """Lines on one slice.

    Attributes
    ----------
    id : int
        Its own in the document: from 1 on; minus the label's value for diameters.
    kind : AnnotationKind
    axis : int
        Across the slice.
    points_zyx : tuple of (z, y, x)
        Voxel indices, all on one slice.
    """

    id: int
    kind: AnnotationKind
    axis: int
    points_zyx: tuple[Point, ...]

    @property
    def index(self) -> int:
        """The slice it lies on."""
        return round(self.points_zyx[0][self.axis])

    @property
    def lines(self) -> tuple[tuple[Point, Point], ...]:
        """The lines that it consists of."""
        p = self.points_zyx
        if self.kind is AnnotationKind.ANGLE:
            return tuple(pairwise(p))
        return tuple((p[i], p[i + 1]) for i in range(0, len(p) - 1, 2))

    def lengths_mm(self, spacing_zyx: Sequence[float]) -> tuple[float, ...]:
        """Return how long each line is."""
        return tuple(float(np.linalg.norm(np.subtract(a, b) * spacing_zyx)) for a, b in self.lines)

    def degrees(self, spacing_zyx: Sequence[float]) -> float:
        """Return the angle at the corner, 0 to 180; NaN for lines of no length or other kinds."""
        if self.kind is not AnnotationKind.ANGLE or len(self.points_zyx) < 3:
            return np.nan
        start, corner, end = (np.multiply(p, spacing_zyx) for p in self.points_zyx)
        a, b = start - corner, end - corner
        size = float(np.linalg.norm(a) * np.linalg.norm(b))
        return float(np.degrees(np.arccos(np.clip(a @ b / size, -1, 1)))) if size else np.nan

    def moved(self, number: int, point_zyx: Point) -> Annotation:
        """Return it with one point elsewhere on its slice."""
        place = list(point_zyx)
        place[self.axis] = self.points_zyx[0][self.axis]
        points = list(self.points_zyx)
        points[number] = (place[0], place[1], place[2])
        return replace(self, points_zyx=tuple(points))


def next_annotation_id(annotations: tuple[Annotation, ...]) -> int:
    """Return an id that no annotation has."""
    return max(0, *(a.id for a in annotations)) + 1 if annotations else 1


def with_annotation(
    annotations: tuple[Annotation, ...], annotation: Annotation
) -> tuple[Annotation, ...]:
    """Return them with one more, or with one replaced that has the same id."""
    if any(a.id == annotation.id for a in annotations):
        return tuple(annotation if a.id == annotation.id else a for a in annotations)
    return (*annotations, annotation)


def without_annotation(
    annotations: tuple[Annotation, ...], annotation_id: int
) -> tuple[Annotation, ...]:
    """Return them without one."""
    return tuple(a for a in annotations if a.id != annotation_id)
