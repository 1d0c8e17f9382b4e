"""Labels: the table refuses nonsense, and a change of voxels can be taken back bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from app.core.errors import GeometryError, UsageError
from app.core.geometry import Geometry, Region
from app.core.labels import (
    PALETTE,
    DrawOver,
    LabelInfo,
    LabelMap,
    LabelTable,
    VoxelDelta,
    writable,
)

GRID = Geometry((4, 5, 6), np.eye(4))
WHOLE = Region.whole(GRID.shape_zyx)
# Values on both sides of a byte, and the largest that a label may have.
values = st.sampled_from([0, 1, 2, 255, 256, 65535])
label_blocks = arrays(np.uint16, GRID.shape_zyx, elements=values)


def table_of(*names: str) -> LabelTable:
    table = LabelTable()
    for name in names:
        table = table.with_added(table.new_label(name))
    return table


# -- the table -------------------------------------------------------------------------------------


def test_new_labels_take_the_first_free_value_and_a_colour_of_their_own():
    table = table_of("a", "b", "c").without(2)
    info = table.new_label()
    assert info.id == 2
    assert info.name == "Label 2"
    assert info.colour not in {other.colour for other in table}
    assert [other.id for other in table.with_added(info)] == [1, 3, 2]


def test_the_palette_starts_over_when_it_is_used_up():
    table = table_of(*(f"label {n}" for n in range(len(PALETTE) + 1)))
    assert len({info.colour for info in table}) == len(PALETTE)
    assert tuple(table)[-1].colour in PALETTE


def test_a_label_is_found_by_value_and_by_name_and_replaced_in_its_place():
    table = table_of("a", "b", "c")
    info = table.named("b")
    assert info is not None
    assert info is table.get(2)
    changed = table.with_changed(replace(info, name="z", locked=True))
    assert [label.name for label in changed] == ["a", "z", "c"]
    assert changed.locked_ids == (2,)
    assert table.locked_ids == ()  # the old table is another one
    assert 4 not in table
    with pytest.raises(UsageError, match="value 9"):
        table.with_changed(LabelInfo(9, "nine", (0, 0, 0)))


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ((LabelInfo(1, "a", (0, 0, 0)), LabelInfo(1, "b", (0, 0, 0))), "same value"),
        ((LabelInfo(0, "background", (0, 0, 0)),), "1 to 65535"),
        ((LabelInfo(65536, "too many", (0, 0, 0)),), "1 to 65535"),
        ((LabelInfo(1, "  ", (0, 0, 0)),), "name"),
    ],
)
def test_impossible_tables_are_refused(labels, match):
    with pytest.raises(UsageError, match=match):
        LabelTable(labels)


# -- changes of voxels -----------------------------------------------------------------------------


@given(old=label_blocks, new=label_blocks)
def test_a_change_is_applied_and_reverted_bit_for_bit(old, new):
    labelmap = LabelMap(GRID, old)
    delta = VoxelDelta.between(labelmap, WHOLE, new)
    if delta is None:
        np.testing.assert_array_equal(old, new)
        return
    assert delta.n_changed == (old != new).sum() == delta.mask.sum()
    np.testing.assert_array_equal(delta.old_values, old[old != new])
    np.testing.assert_array_equal(delta.new_values, new[old != new])
    for _ in range(2):
        delta.apply(labelmap)
        np.testing.assert_array_equal(labelmap.voxels, new)
        delta.revert(labelmap)
        np.testing.assert_array_equal(labelmap.voxels, old)


def test_a_change_holds_only_the_region_in_which_something_changed():
    labelmap = LabelMap(GRID)
    block = np.zeros((2, 4, 5), np.uint8)
    block[1, 2, 3] = 7
    delta = VoxelDelta.between(labelmap, Region((1, 1, 1), (3, 5, 6)), block)
    assert delta is not None
    assert delta.region == Region((2, 3, 4), (3, 4, 5))
    delta.apply(labelmap)
    assert np.argwhere(labelmap.voxels).tolist() == [[2, 3, 4]]


def test_a_value_above_255_widens_the_map_and_keeps_what_is_there():
    labelmap = LabelMap(GRID)
    first, second = np.zeros(GRID.shape_zyx, np.uint16), np.zeros(GRID.shape_zyx, np.uint16)
    first[0, 0, 0] = second[0, 0, 0] = 255
    second[1, 1, 1] = 300
    for block in (first, second):
        delta = VoxelDelta.between(labelmap, WHOLE, block)
        assert delta is not None
        delta.apply(labelmap)
    assert labelmap.voxels[0, 0, 0] == 255
    assert labelmap.voxels[1, 1, 1] == 300
    with pytest.raises(ValueError, match="read-only"):
        labelmap.voxels[0, 0, 0] = 1


def test_a_large_plain_change_costs_little_memory():
    geometry = Geometry((64, 128, 128), np.eye(4))
    labelmap = LabelMap(geometry)
    delta = VoxelDelta.between(
        labelmap, Region.whole(geometry.shape_zyx), np.ones(geometry.shape_zyx, np.uint8)
    )
    assert delta is not None
    assert delta.n_changed == 64 * 128 * 128
    assert delta.nbytes < 0.01 * labelmap.voxels.nbytes


@pytest.mark.parametrize(
    ("region", "shape"),
    [(Region((0, 0, 0), (5, 5, 6)), (5, 5, 6)), (Region((0, 0, 0), (1, 1, 1)), (1, 1, 2))],
)
def test_a_block_that_does_not_fit_is_refused(region, shape):
    with pytest.raises(GeometryError, match="fit"):
        VoxelDelta.between(LabelMap(GRID), region, np.ones(shape, np.uint8))


@given(old=label_blocks, new=label_blocks)
def test_old_values_are_painted_only_where_both_regions_meet(old, new):
    delta = VoxelDelta.from_blocks(WHOLE, old, new)
    region = Region((1, 2, 0), (3, 5, 4))
    block = new[region.slices].copy()
    if delta is None:
        return
    touched = delta.paint_old(block, region)
    np.testing.assert_array_equal(touched, (old != new)[region.slices])
    np.testing.assert_array_equal(block, old[region.slices])


@pytest.mark.parametrize("high", [3, 300])
def test_a_change_survives_being_bytes(high):
    rng = np.random.default_rng(high)
    old, new = rng.integers(0, high, (2, *GRID.shape_zyx)).astype(np.uint16)
    labelmap = LabelMap(GRID, old)
    delta = VoxelDelta.between(labelmap, WHOLE, new)
    assert delta is not None
    again = VoxelDelta.from_bytes(delta.to_bytes(), GRID.shape_zyx)
    again.apply(labelmap)
    np.testing.assert_array_equal(labelmap.voxels, new)
    again.revert(labelmap)
    np.testing.assert_array_equal(labelmap.voxels, old)
    assert again.n_changed == delta.n_changed


def test_damaged_bytes_of_a_change_are_refused_or_stay_inside_the_map():
    rng = np.random.default_rng(0)
    new = rng.integers(0, 3, GRID.shape_zyx).astype(np.uint8)
    delta = VoxelDelta.between(LabelMap(GRID), WHOLE, new)
    assert delta is not None
    good = delta.to_bytes()
    refused = 0
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 0x41
        labelmap = LabelMap(GRID)
        try:
            VoxelDelta.from_bytes(bytes(bad), GRID.shape_zyx).apply(labelmap)
        except GeometryError:
            refused += 1
    assert refused > len(good) // 2
    for cut in range(len(good)):
        with pytest.raises(GeometryError):
            VoxelDelta.from_bytes(good[:cut], GRID.shape_zyx)


def test_a_change_of_another_map_is_refused():
    new = np.ones(GRID.shape_zyx, np.uint8)
    delta = VoxelDelta.between(LabelMap(GRID), WHOLE, new)
    assert delta is not None
    smaller = tuple(n - 1 for n in GRID.shape_zyx)
    with pytest.raises(GeometryError, match="leaves"):
        VoxelDelta.from_bytes(delta.to_bytes(), smaller)


def test_a_map_is_isolated_from_its_array_and_its_copy():
    voxels = np.zeros(GRID.shape_zyx, np.uint8)
    labelmap = LabelMap(GRID, voxels)
    voxels[:] = 1
    copy = labelmap.copy()
    delta = VoxelDelta.between(labelmap, WHOLE, np.full(GRID.shape_zyx, 2, np.uint8))
    assert delta is not None
    delta.apply(labelmap)
    assert not copy.voxels.any()


@pytest.mark.parametrize(
    "voxels", [np.zeros((4, 5, 6), np.int16), np.zeros((6, 5, 4), np.uint8)], ids=["type", "shape"]
)
def test_a_map_of_another_type_or_shape_is_refused(voxels):
    with pytest.raises(GeometryError):
        LabelMap(GRID, voxels)


# -- who may write where ---------------------------------------------------------------------------


@pytest.mark.parametrize("policy", list(DrawOver))
@pytest.mark.parametrize("locked", [(), (1,), (2,), (1, 2)])
@pytest.mark.parametrize("label_id", [0, 1])
def test_draw_over_and_padlocks_decide_who_may_be_written(policy, locked, label_id):
    table = table_of("own", "other", "third")
    for number in locked:
        table = table.with_changed(replace(table.get(number), locked=True))
    present = np.array([0, 1, 2, 3], np.uint8).reshape(1, 1, 4)
    free, own, other, third = writable(present, label_id, table, policy).ravel().tolist()
    if label_id == 0:  # erasing takes any label that is not locked
        assert (free, own, other, third) == (True, 1 not in locked, 2 not in locked, True)
    elif 1 in locked:
        assert not any((free, own, other, third))
    else:
        draws_over = policy is DrawOver.ALL
        assert (free, own) == (True, True)
        assert (other, third) == (draws_over and 2 not in locked, draws_over)


def test_a_label_map_is_blank_until_something_is_written():
    geometry = Geometry((3, 4, 5), np.diag([1.0, 1.0, 1.0, 1.0]))
    fresh = LabelMap(geometry)
    assert fresh.is_blank
    assert not LabelMap(geometry, np.zeros((3, 4, 5), np.uint8)).is_blank
    source = np.zeros((3, 4, 5), np.uint8)
    own = LabelMap(geometry, source)
    source[:] = 1
    assert own.voxels.max() == 0
