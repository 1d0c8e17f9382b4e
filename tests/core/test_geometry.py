"""Voxel grids: a voxel that is moved must land where its position in the patient says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import GeometryError
from app.core.geometry import (
    OPPOSITE,
    Geometry,
    Region,
    inverse_orientation,
    orientation_to,
    reorient_array,
)
from app.core.volume import CANONICAL
from tests.phantoms import ORIENTATIONS, file_affine, ramp

SHAPE_IJK = (3, 4, 5)
OBLIQUE = (12.0, -7.0, 21.0)
# The unit vector towards each letter, written out by hand: the one fact everything rests on.
TOWARDS = {"L": (1, 0, 0), "P": (0, 1, 0), "S": (0, 0, 1)}
TOWARDS |= {OPPOSITE[letter]: tuple(-v for v in vector) for letter, vector in TOWARDS.items()}

indices = st.tuples(*(st.floats(-50, 50) for _ in range(3)))
spans = st.lists(st.tuples(st.integers(-3, 6), st.integers(1, 5)), min_size=3, max_size=3)


def region_of(span: list[tuple[int, int]]) -> Region:
    return Region(tuple(a for a, _ in span), tuple(a + n for a, n in span))


def test_an_index_lands_where_the_affine_says():
    affine = np.array([[0, 0, 2.0, -7], [0, 3.0, 0, 11], [5.0, 0, 0, 100], [0, 0, 0, 1]])
    geometry = Geometry((4, 5, 6), affine)
    # One step along z is 5 mm up, along y 3 mm back, along x 2 mm to the left.
    np.testing.assert_allclose(geometry.index_to_lps((1, 2, 3)), (-7 + 6, 11 + 6, 100 + 5))
    assert geometry.spacing_zyx == (5.0, 3.0, 2.0)
    assert geometry.axis_letters == ("S", "P", "L")
    assert geometry.voxel_volume_ml == pytest.approx(0.030)


@given(index=indices)
@pytest.mark.parametrize("orientation", ["LPS", "RAS", "SLA"])
def test_lps_to_index_undoes_index_to_lps_on_an_oblique_grid(orientation, index):
    geometry = Geometry(SHAPE_IJK, file_affine(orientation, oblique_deg=OBLIQUE))
    back = geometry.lps_to_index(geometry.index_to_lps(index))
    np.testing.assert_allclose(back, index, atol=1e-9)


def test_many_positions_are_moved_at_once():
    geometry = Geometry(SHAPE_IJK, file_affine("RAS", oblique_deg=OBLIQUE))
    many = np.arange(24.0).reshape(2, 4, 3)
    one_by_one = [[geometry.index_to_lps(i) for i in row] for row in many]
    np.testing.assert_allclose(geometry.index_to_lps(many), one_by_one)


@pytest.mark.parametrize("oblique", [(0.0, 0.0, 0.0), OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_voxel_keeps_its_place_when_axes_are_reordered(orientation, oblique):
    geometry = Geometry(SHAPE_IJK, file_affine(orientation, oblique_deg=oblique))
    voxels = ramp(SHAPE_IJK)
    permutation, flips = orientation_to(geometry, CANONICAL)
    moved = reorient_array(voxels, permutation, flips)
    grid = geometry.reoriented(permutation, flips)
    assert grid.shape_zyx == moved.shape
    assert "".join(grid.axis_letters) == CANONICAL
    for index in np.ndindex(moved.shape):
        source = np.rint(geometry.lps_to_index(grid.index_to_lps(index))).astype(int)
        assert voxels[tuple(source)] == moved[index]
    back, unflip = inverse_orientation(permutation, flips)
    np.testing.assert_array_equal(reorient_array(moved, back, unflip), voxels)
    assert grid.reoriented(back, unflip).same_grid(geometry)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_letters_say_where_a_step_along_each_axis_goes(orientation):
    geometry = Geometry(SHAPE_IJK, file_affine(orientation))
    for axis, letter in enumerate(geometry.axis_letters):
        step = np.eye(3)[axis]
        moved = geometry.index_to_lps(step) - geometry.index_to_lps((0, 0, 0))
        np.testing.assert_allclose(moved / geometry.spacing_zyx[axis], TOWARDS[letter], atol=1e-12)
    assert "".join(geometry.axis_letters) == orientation


def test_letters_of_a_steep_oblique_use_each_direction_once():
    # 50 degrees about x: two axes are nearest to the same direction, only one may have it.
    letters = Geometry(SHAPE_IJK, file_affine("LPS", oblique_deg=(50.0, 30.0, 40.0))).axis_letters
    assert sorted(min(letter, OPPOSITE[letter]) for letter in letters) == ["A", "I", "L"]


def test_a_voxel_reaches_half_a_step_to_each_side():
    geometry = Geometry((2, 3, 4), np.eye(4))
    assert geometry.contains((-0.5, 0, 0))
    assert not geometry.contains((-0.51, 0, 0))
    assert geometry.contains((0, 2.49, 0))
    assert not geometry.contains((0, 2.5, 0))
    assert not geometry.contains((0, 0, 4))


def test_grids_are_the_same_only_if_the_far_corner_agrees_too():
    affine = file_affine("LPS")
    grid = Geometry((5, 6, 400), affine)
    stretched = affine.copy()
    stretched[:3, 2] *= 1 + 1e-4  # 0.00025 mm per slice, but 0.1 mm at the far end
    assert grid.same_grid(Geometry((5, 6, 400), affine.copy()))
    assert not grid.same_grid(Geometry((5, 6, 400), stretched))
    assert not grid.same_grid(Geometry((5, 6, 401), affine))


def test_a_grid_is_isolated_from_the_matrix_it_was_made_of():
    affine = np.eye(4)
    geometry = Geometry((1, 1, 1), affine)
    affine[0, 3] = 99
    assert geometry.affine[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        geometry.affine[0, 3] = 1


def _with(row: int, column: int, value: float) -> np.ndarray:
    affine = np.eye(4)
    affine[row, column] = value
    return affine


@pytest.mark.parametrize(
    ("shape", "affine", "match"),
    [
        ((0, 2, 2), np.eye(4), "no voxels"),
        ((2, 2, 2), np.eye(3), "finite numbers"),
        ((2, 2, 2), _with(0, 3, np.nan), "finite numbers"),
        ((2, 2, 2), _with(1, 1, 0.0), "do not span"),
        ((2, 2, 2), np.eye(4)[:, [0, 0, 2, 3]], "do not span"),
        ((2, 2, 2), _with(0, 1, 0.02), "right angles"),
        ((2, 2, 2), _with(3, 0, 1.0), "last row"),
    ],
)
def test_what_cannot_be_placed_in_space_is_refused(shape, affine, match):
    with pytest.raises(GeometryError, match=match):
        Geometry(shape, affine)


# -- regions ---------------------------------------------------------------------------------------


def test_a_region_is_half_open():
    voxels = ramp((4, 5, 6))
    region = Region((1, 2, 3), (2, 4, 6))
    assert voxels[region.slices].shape == region.shape_zyx == (1, 2, 3)
    assert voxels[region.slices][0, 0, 0] == voxels[1, 2, 3]
    assert region.n_voxels == 6
    with pytest.raises(GeometryError, match="no voxel"):
        Region((1, 2, 3), (2, 2, 6))


@given(a=spans, b=spans)
def test_union_intersection_and_clipping_agree_with_painted_voxels(a, b):
    def painted(region: Region | None) -> np.ndarray:
        canvas = np.zeros((16, 16, 16), bool)  # index 0 is coordinate -3
        if region is not None:
            canvas[tuple(slice(s.start + 3, s.stop + 3) for s in region.slices)] = True
        return canvas

    first, second = region_of(a), region_of(b)
    both = painted(first) & painted(second)
    np.testing.assert_array_equal(painted(first.intersection(second)), both)
    union = first.union(second)
    tight = Region.of_mask(painted(first) | painted(second))
    assert tight is not None
    assert tuple(i - 3 for i in tight.start_zyx) == union.start_zyx
    assert tuple(i - 3 for i in tight.stop_zyx) == union.stop_zyx
    clipped = first.clipped_to((4, 4, 4))
    np.testing.assert_array_equal(
        painted(clipped), painted(first) & painted(Region.whole((4,) * 3))
    )
    assert first.is_inside((4, 4, 4)) == (clipped == first)


@given(
    st.lists(st.tuples(*(st.integers(0, 4) for _ in range(3))), min_size=1, max_size=6, unique=True)
)
def test_the_region_of_a_mask_is_the_smallest_that_holds_it(points):
    mask = np.zeros((5, 5, 5), bool)
    for point in points:
        mask[point] = True
    region = Region.of_mask(mask)
    assert region is not None
    assert mask[region.slices].sum() == mask.sum()
    for axis in range(3):
        inner = np.moveaxis(mask[region.slices], axis, 0)
        assert inner[0].any()
        assert inner[-1].any()
    assert Region.of_mask(np.zeros((2, 2, 2), bool)) is None


def test_a_relative_region_counts_from_the_start_of_the_other():
    inner, outer = Region((2, 3, 4), (3, 5, 6)), Region((1, 1, 1), (9, 9, 9))
    voxels = np.arange(1000).reshape(10, 10, 10)
    np.testing.assert_array_equal(
        voxels[outer.slices][inner.relative_to(outer).slices], voxels[inner.slices]
    )
