"""Measures of analytic shapes against their formulas, on grids whose axes all differ."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.errors import Cancelled
from app.core.geometry import Geometry, Region
from app.core.labels import LabelTable
from app.core.tasks import NullContext
from app.core.volume import Volume
from app.measuring.diameter import acquisition_axis, longest_diameters
from app.measuring.label_measure import PERCENTILES, label_regions, measure_labels
from app.measuring.surface_area import surface_area_mm2

QUIET = NullContext()
GRIDS = [(1.0, 1.0, 1.0), (2.5, 0.7, 0.9), (0.8, 0.8, 3.0)]


def grid(shape, spacing) -> Geometry:
    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = (*spacing, 1.0)
    return Geometry(shape, affine)


def ellipsoid(radii_mm, spacing, turn=None) -> np.ndarray:
    """Return a (z, y, x) mask with an ellipsoid's centre off the voxel centres."""
    reach = max(radii_mm)
    shape = [int(2 * reach / s) + 8 for s in spacing]
    places = np.stack(np.indices(shape), axis=-1) * spacing - (np.array(shape) / 2 + 0.2) * spacing
    if turn is not None:
        places = places @ turn
    return ((places / radii_mm) ** 2).sum(axis=-1) <= 1


def turned(degrees: float) -> np.ndarray:
    """Return a rotation in the plane of axes y and x."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def measured(mask, spacing):
    volume = Volume(np.zeros(mask.shape, np.int16), grid(mask.shape, spacing))
    (found,) = measure_labels(volume, mask.astype(np.uint8), LabelTable(), QUIET)
    return found


@pytest.mark.parametrize("degrees", [0, 30, 77])
def test_an_ellipsoid_has_its_volume_area_and_diameters(degrees):
    spacing = (1.5, 0.7, 0.9)
    mask = ellipsoid((15, 24, 12), spacing, turned(degrees))
    found = measured(mask, spacing)
    assert found.volume_ml == pytest.approx(4 / 3 * np.pi * 15 * 24 * 12 / 1000, rel=0.01)
    # Knud Thomsen's formula for the area of an ellipsoid, within 1.1 %.
    p = 1.6075
    pairs = [(15 * 24) ** p, (15 * 12) ** p, (24 * 12) ** p]
    assert found.surface_mm2 == pytest.approx(4 * np.pi * (sum(pairs) / 3) ** (1 / p), rel=0.03)
    lines = found.diameters
    assert lines.long_mm == pytest.approx(48, abs=0.7)
    assert lines.short_mm == pytest.approx(24, abs=0.7)
    # Both lie on the middle slice, at right angles, and are as long as they say.
    assert lines.axis == 0
    assert abs(lines.index - (mask.shape[0] / 2 + 0.2)) <= 1
    steps = [np.subtract(*line) * spacing for line in (lines.long_zyx, lines.short_zyx)]
    assert steps[0][0] == steps[1][0] == 0
    assert np.linalg.norm(steps[0]) == pytest.approx(lines.long_mm)
    assert np.linalg.norm(steps[1]) == pytest.approx(lines.short_mm)
    assert abs(steps[0] @ steps[1]) < 1e-6 * lines.long_mm * lines.short_mm


@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize("radius", [8, 20])
def test_a_sphere_has_its_area_on_any_grid(spacing, radius):
    mask = ellipsoid((radius,) * 3, spacing)
    area = surface_area_mm2(mask, spacing, QUIET)
    assert area == pytest.approx(4 * np.pi * radius**2, rel=0.04)


def test_a_box_of_voxels_has_about_the_area_of_its_faces():
    mask = np.zeros((40, 50, 60), bool)
    mask[5:35, 5:45, 5:55] = True
    spacing = (2.0, 1.0, 1.0)
    faces = 2 * (60 * 40 + 60 * 50 + 40 * 50)
    # Planes along the axes and sharp edges are what thirteen directions see worst.
    assert surface_area_mm2(mask, spacing, QUIET) == pytest.approx(faces, rel=0.125)


@pytest.mark.parametrize("degrees", [0, 20, 45, 70])
def test_a_turned_box_is_measured_along_its_diagonal(degrees):
    spacing, sides = (5.0, 0.5, 0.8), (40.0, 9.0)
    shape = (3, 120, 80)
    places = np.stack(np.indices(shape), axis=-1) * spacing
    flat = (places - np.array([5.0, 30.2, 31.7])) @ turned(degrees)
    mask = (abs(flat[..., 1]) <= sides[0] / 2) & (abs(flat[..., 2]) <= sides[1] / 2)
    lines = longest_diameters(mask, (0, 0, 0), spacing, 0, QUIET)
    assert lines.long_mm == pytest.approx(np.hypot(*sides), abs=0.8)
    # Across the diagonal from corner to corner, the longest line ends on the long sides.
    angle = np.arctan2(sides[1], sides[0])
    assert lines.short_mm == pytest.approx(sides[1] / np.cos(angle), abs=0.8)


def test_the_plane_of_acquisition_is_told_by_the_gap_between_slices():
    assert acquisition_axis((5.0, 0.7, 0.7)) == 0
    assert acquisition_axis((0.9, 0.9, 3.3)) == 2
    assert acquisition_axis((1.0, 1.05, 1.0)) == 0
    sagittal = ellipsoid((10, 20, 30), (0.8, 0.8, 3.0))
    lines = measured(sagittal, (0.8, 0.8, 3.0)).diameters
    assert lines.axis == 2
    assert lines.long_mm == pytest.approx(40, abs=1)


def test_pieces_on_a_slice_are_not_measured_as_one():
    mask = np.zeros((3, 40, 60), bool)
    mask[1, 5:9, 5:15] = mask[1, 5:9, 40:48] = True
    lines = longest_diameters(mask, (0, 0, 0), (1, 1, 1), 0, QUIET)
    assert lines.long_mm < 12
    assert all(x < 16 for _, _, x in lines.long_zyx)


def test_a_hollow_mask_is_measured_across_its_hole():
    outer, inner = ellipsoid((12, 12, 12), (1, 1, 1)), ellipsoid((12, 12, 12), (1.5, 1.5, 1.5))
    mask = outer.copy()
    middle = np.array(outer.shape) // 2 - np.array(inner.shape) // 2
    mask[tuple(slice(m, m + n) for m, n in zip(middle, inner.shape, strict=True))] &= ~inner
    lines = longest_diameters(mask, (0, 0, 0), (1, 1, 1), 0, QUIET)
    assert lines.long_mm == pytest.approx(24, abs=1)
    assert lines.short_mm == pytest.approx(24, abs=1)


def test_one_voxel_is_as_long_as_it_is_wide():
    mask = np.zeros((5, 5, 5), bool)
    mask[2, 3, 1] = True
    found = measured(mask, (2.0, 0.5, 1.0))
    assert found.n_voxels == 1
    assert found.volume_ml == pytest.approx(0.001)
    assert found.diameters.long_mm == pytest.approx(1.0)
    assert found.diameters.short_mm == pytest.approx(0.5, abs=0.01)
    assert found.diameters.long_zyx == ((2, 3, 0.5), (2, 3, 1.5)) or found.diameters.long_zyx == (
        (2, 3, 1.5),
        (2, 3, 0.5),
    )


def test_intensities_are_those_of_numpy_and_empty_labels_have_none():
    rng = np.random.default_rng(3)
    voxels = rng.normal(40, 300, (20, 30, 40)).astype(np.int16)
    labels = rng.integers(0, 4, voxels.shape).astype(np.uint8)
    labels[labels == 2] = 0
    labels[0, 0, 0] = 200
    volume = Volume(voxels, grid(voxels.shape, (3, 1, 1)))
    table = LabelTable()
    for _ in range(2):
        table = table.with_added(table.new_label())
    found = {m.label_id: m for m in measure_labels(volume, labels, table, QUIET)}
    assert list(found) == [1, 2, 3, 200]
    inside = voxels[labels == 3].astype(float)
    assert found[3].mean == pytest.approx(inside.mean())
    assert found[3].sd == pytest.approx(inside.std())
    assert (found[3].minimum, found[3].maximum) == (inside.min(), inside.max())
    assert found[3].percentiles == pytest.approx(np.percentile(inside, PERCENTILES))
    assert found[2].n_voxels == 0
    assert np.isnan(found[2].mean)
    assert found[2].diameters is None
    assert found[200].sd == 0


def test_only_what_changed_is_measured_again():
    labels = np.zeros((40, 30, 30), np.uint8)
    labels[2:9, 2:9, 2:9], labels[20:30, 10:20, 10:20] = 1, 2
    volume = Volume(labels.astype(np.int16), grid(labels.shape, (1, 1, 1)))
    table = LabelTable()
    first = {m.label_id: m for m in measure_labels(volume, labels, table, QUIET)}
    labels[25:35, 5:12, 5:12] = 2
    again = measure_labels(
        volume, labels, table, QUIET, earlier=first, changed=Region((25, 5, 5), (35, 12, 12))
    )
    assert again[0] is first[1]
    assert again[1].n_voxels == np.count_nonzero(labels == 2)
    # A label that is gone from where it was is noticed by its former bounds.
    labels[labels == 1] = 0
    gone = measure_labels(
        volume,
        labels,
        table,
        QUIET,
        earlier={m.label_id: m for m in again},
        changed=Region((2, 2, 2), (9, 9, 9)),
    )
    assert [m.label_id for m in gone] == [2]
    assert gone[0] is again[1]


def test_bounds_are_found_across_slabs():
    labels = np.zeros((70, 8, 8), np.uint16)
    labels[3, 1, 2] = labels[66, 6, 5] = 1000
    assert label_regions(labels, QUIET) == {1000: Region((3, 1, 2), (67, 7, 6))}


def test_measuring_stops_when_nobody_wants_it():
    class Impatient(NullContext):
        calls = 0

        def check(self) -> None:
            self.calls += 1
            if self.calls > 5:
                raise Cancelled

    labels = ellipsoid((15, 15, 15), (1, 1, 1)).astype(np.uint8)
    volume = Volume(labels.astype(np.int16), grid(labels.shape, (1, 1, 1)))
    with pytest.raises(Cancelled):
        measure_labels(volume, labels, LabelTable(), Impatient())
