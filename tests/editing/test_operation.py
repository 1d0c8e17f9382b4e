"""Operations on labels: what each does to the document, and what padlocks and policy keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from app.core.errors import UsageError
from app.core.geometry import Geometry, Region
from app.core.labels import DrawOver, LabelMap, LabelTable
from app.core.tasks import NullContext
from app.core.volume import Volume
from app.editing.operation import (
    Combine,
    CopySlice,
    EditInput,
    FillBetween,
    FillHoles,
    FloodFill,
    Grow,
    How,
    KeepLargest,
    Operation,
    RemoveIslands,
    Smooth,
    Smoothing,
    Threshold,
    Where,
    plan,
)

SHAPE = (8, 12, 14)
SPACING = (3.0, 2.0, 1.0)
OWN, OTHER, LOCKED = 1, 2, 3
_AFFINE = np.eye(4)[[2, 1, 0, 3]] * (*SPACING, 1.0)
GEOMETRY = Geometry(SHAPE, _AFFINE)


def scan_of(labels: np.ndarray, voxels: np.ndarray | None = None, **options) -> EditInput:
    table = LabelTable()
    for name in ("own", "other", "kept"):
        table = table.with_added(table.new_label(name))
    kept = table.get(LOCKED)
    assert kept is not None
    table = table.with_changed(replace(kept, locked=True))
    voxels = np.zeros(SHAPE, np.float32) if voxels is None else voxels
    return EditInput(Volume(voxels, GEOMETRY), labels.astype(np.uint8), OWN, table, **options)


def done(operation: Operation, scan: EditInput) -> np.ndarray:
    """Return the label values after an operation."""
    labelmap = LabelMap(GEOMETRY, scan.labels)
    delta = plan(operation, scan, NullContext())
    if delta is not None:
        delta.apply(labelmap)
    return labelmap.voxels


def empty() -> np.ndarray:
    return np.zeros(SHAPE, np.uint8)


def box(z: slice, y: slice, x: slice, value: int = OWN, on: np.ndarray | None = None) -> np.ndarray:
    labels = empty() if on is None else on.copy()
    labels[z, y, x] = value
    return labels


def ramp_x() -> np.ndarray:
    return np.broadcast_to(np.arange(SHAPE[2], dtype=np.float32) * 10, SHAPE)


OPERATIONS: list[Operation] = [
    Threshold(20, 60),
    Threshold(20, 60, Where.MASK),
    Threshold(20, 60, Where.NEAR, near_mm=4.0),
    FloodFill((4, 6, 7), 25.0),
    FloodFill((4, 6, 7), 25.0, axis=1),
    FloodFill((4, 6, 7), 0.0, is_erasing=True),
    FillHoles(),
    FillHoles(axis=0),
    KeepLargest(),
    RemoveIslands(0.02),
    Grow(2.5),
    Grow(-2.5),
    Smooth(2.0),
    Smooth(2.0, Smoothing.GAUSSIAN),
    FillBetween(axis=0),
    CopySlice(axis=2, source=7, target=8),
    Combine(OTHER, How.UNITE),
    Combine(OTHER, How.UNITE, margin_mm=2.0),
    Combine(OTHER, How.SUBTRACT, margin_mm=2.0),
    Combine(LOCKED, How.INTERSECT, margin_mm=2.0),
]
blocks = arrays(np.uint8, SHAPE, elements=st.integers(0, 3), fill=st.sampled_from([0, 1]))


@settings(max_examples=12)
@given(labels=blocks, policy=st.sampled_from(list(DrawOver)))
@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_only_the_edited_label_changes_and_locked_ones_never_do(operation, labels, policy):
    before = labels.copy()
    scan = scan_of(labels, ramp_x(), draw_over=policy)
    try:
        after = done(operation, scan)
    except UsageError:
        assert not (labels == OTHER).any() or not (labels == LOCKED).any()
        return
    np.testing.assert_array_equal(scan.labels, before)
    changed = after != before
    # A voxel changes only by becoming the label's or by being given back.
    assert set(np.unique(after[changed])) <= {0, OWN}
    assert (before[changed & (after == 0)] == OWN).all()
    assert not changed[before == LOCKED].any()
    if policy is DrawOver.EMPTY and operation.taken_id is None:
        assert not changed[before == OTHER].any()


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_editing_a_locked_label_is_refused_in_words(operation):
    labels = box(slice(1, 7), slice(1, 10), slice(1, 6))
    labels = box(slice(1, 7), slice(1, 10), slice(9, 12), OTHER, labels)
    labels = box(slice(0, 1), slice(0, 1), slice(0, 1), LOCKED, labels)
    scan = scan_of(labels, ramp_x())
    table = scan.label_table
    scan = replace(scan, label_table=table.with_changed(replace(table.get(OWN), locked=True)))
    with pytest.raises(UsageError, match="“own” is locked"):
        done(operation, scan)


@pytest.mark.parametrize(
    "operation", [o for o in OPERATIONS if not isinstance(o, Threshold | FloodFill)], ids=str
)
def test_nothing_comes_of_nothing(operation):
    labels = box(slice(0, 1), slice(0, 1), slice(0, 1), OTHER)
    labels = box(slice(2, 3), slice(0, 1), slice(0, 1), LOCKED, labels)
    if operation.taken_id is None:
        np.testing.assert_array_equal(done(operation, scan_of(labels)), labels)


# -- by intensity ----------------------------------------------------------------------------------


def test_a_threshold_adds_in_the_scan_keeps_inside_the_mask_and_reaches_near_it():
    labels = box(slice(2, 4), slice(3, 6), slice(0, 5))
    scan = scan_of(labels, ramp_x())
    in_range = (ramp_x() >= 30) & (ramp_x() <= 60)
    own = labels == OWN
    np.testing.assert_array_equal(done(Threshold(30, 60), scan) == OWN, own | in_range)
    inside = done(Threshold(30, 60, Where.MASK), scan)
    np.testing.assert_array_equal(inside == OWN, own & in_range)
    near = done(Threshold(30, 60, Where.NEAR, near_mm=2.0), scan) == OWN
    points = np.moveaxis(np.indices(SHAPE), 0, -1) * SPACING
    gap = np.linalg.norm(points[..., None, :] - points[own], axis=-1).min(axis=-1)
    np.testing.assert_array_equal(near, own | (in_range & (gap <= 2.0)))
    with pytest.raises(UsageError, match="above"):
        done(Threshold(60, 30), scan)


def two_rooms() -> np.ndarray:
    """Return bright rooms that a dark wall parts; a door joins them on slice 5 alone."""
    voxels = np.full(SHAPE, 100.0, np.float32)
    voxels[:, :, 7] = 0
    voxels[5, 4, 7] = 100
    return voxels


def test_flooding_stays_within_the_tolerance_and_on_its_slice_if_asked():
    voxels = two_rooms()
    voxels[0] = 106
    scan = scan_of(empty(), voxels)
    bright = voxels == 100
    flooded = done(FloodFill((5, 4, 2), 5.0), scan) == OWN
    np.testing.assert_array_equal(flooded, bright)
    np.testing.assert_array_equal(done(FloodFill((5, 4, 2), 6.0), scan) == OWN, voxels > 0)
    on_slice = done(FloodFill((3, 4, 2), 5.0, axis=0), scan) == OWN
    left = np.zeros(SHAPE, bool)
    left[3, :, :7] = True
    np.testing.assert_array_equal(on_slice, left)


def test_flooding_stops_at_other_labels_as_at_a_wall():
    voxels = two_rooms()
    door = box(slice(5, 6), slice(4, 5), slice(7, 8), OTHER)
    flooded = done(FloodFill((5, 4, 2), 5.0), scan_of(door, voxels)) == OWN
    assert flooded.sum() == SHAPE[0] * SHAPE[1] * 7
    over = scan_of(door, voxels, draw_over=DrawOver.ALL)
    np.testing.assert_array_equal(done(FloodFill((5, 4, 2), 5.0), over) == OWN, voxels == 100)


def test_erasing_a_piece_leaves_the_others():
    labels = box(slice(1, 3), slice(1, 3), slice(1, 3))
    labels = box(slice(5, 7), slice(5, 9), slice(5, 9), OWN, labels)
    after = done(FloodFill((6, 6, 6), 0.0, is_erasing=True), scan_of(labels))
    np.testing.assert_array_equal(after, box(slice(1, 3), slice(1, 3), slice(1, 3)))
    one_slice = done(FloodFill((6, 6, 6), 0.0, axis=0, is_erasing=True), scan_of(labels))
    assert (one_slice[5] == labels[5]).all()
    assert not one_slice[6].any()


# -- by shape and by slices ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("margin_mm", "steps"), [(2.0, (0, 1, 2)), (1.0, (0, 0, 1)), (0.9, (0, 0, 0))]
)
def test_growing_and_shrinking_count_in_millimetres(margin_mm, steps):
    labels = box(slice(2, 5), slice(4, 8), slice(5, 10))
    grown = done(Grow(margin_mm), scan_of(labels)) == OWN
    for axis, step in enumerate(steps):
        others = tuple(a for a in range(3) if a != axis)
        assert grown.any(axis=others).sum() == labels.any(axis=others).sum() + 2 * step
    shrunk = done(Grow(-margin_mm), scan_of(labels)) == OWN
    z, y, x = steps
    inner = box(slice(2 + z, 5 - z), slice(4 + y, 8 - y), slice(5 + x, 10 - x)) == OWN
    np.testing.assert_array_equal(shrunk, inner)
    assert Grow(margin_mm).title == f"Grow by {margin_mm:g} mm"
    assert Grow(-margin_mm).title == f"Shrink by {margin_mm:g} mm"


@pytest.mark.parametrize(
    "operation", [o for o in OPERATIONS if not isinstance(o, Combine)], ids=str
)
def test_working_on_a_part_of_the_scan_gives_what_the_whole_would(operation, monkeypatch):
    rng = np.random.default_rng(8)
    labels = box(slice(2, 6), slice(3, 9), slice(4, 10))
    labels[rng.random(SHAPE) < 0.2] = 0
    scan = scan_of(labels, ramp_x())
    part = done(operation, scan)
    monkeypatch.setattr(EditInput, "extent", lambda *_, **__: Region.whole(SHAPE))
    np.testing.assert_array_equal(done(operation, scan), part)


def test_slices_are_copied_and_filled_along_any_axis():
    labels = box(slice(2, 5), slice(3, 4), slice(4, 9))
    copied = done(CopySlice(1, 3, 4), scan_of(labels))
    np.testing.assert_array_equal(copied, box(slice(2, 5), slice(3, 5), slice(4, 9)))
    labels = box(slice(2, 5), slice(9, 10), slice(4, 9), OWN, labels)
    filled = done(FillBetween(axis=1), scan_of(labels))
    np.testing.assert_array_equal(filled, box(slice(2, 5), slice(3, 10), slice(4, 9)))
    with pytest.raises(UsageError, match="no slice"):
        done(CopySlice(1, 11, 12), scan_of(labels))


# -- with another label ----------------------------------------------------------------------------


def test_labels_are_united_subtracted_and_intersected_with_a_margin():
    labels = box(slice(1, 7), slice(1, 9), slice(0, 8))
    labels = box(slice(1, 7), slice(1, 9), slice(8, 12), OTHER, labels)
    scan = scan_of(labels)
    united = done(Combine(OTHER, How.UNITE), scan)
    np.testing.assert_array_equal(united, box(slice(1, 7), slice(1, 9), slice(0, 12)))
    # Two voxels of 1 mm along x lie within 2 mm of the neighbour.
    taken = done(Combine(OTHER, How.SUBTRACT, margin_mm=2.0), scan)
    expected = box(slice(1, 7), slice(1, 9), slice(6, 8), 0, labels)
    np.testing.assert_array_equal(taken, expected)
    kept = done(Combine(OTHER, How.INTERSECT, margin_mm=2.0), scan)
    np.testing.assert_array_equal(kept == OWN, (labels == OWN) & (expected == 0))
    np.testing.assert_array_equal(kept == OTHER, labels == OTHER)


def test_combining_with_nothing_with_itself_or_a_locked_label_is_refused_in_words():
    labels = box(slice(1, 2), slice(1, 2), slice(1, 2))
    for other, match in ((OWN, "another label"), (9, "another label"), (OTHER, "no voxels")):
        with pytest.raises(UsageError, match=match):
            done(Combine(other, How.UNITE), scan_of(labels))
    labels = box(slice(3, 4), slice(3, 4), slice(3, 4), LOCKED, labels)
    for how in (How.SUBTRACT, How.INTERSECT):
        with pytest.raises(UsageError, match="margin"):
            done(Combine(LOCKED, how), scan_of(labels))
    with pytest.raises(UsageError, match="“kept” is locked"):
        done(Combine(LOCKED, How.UNITE), scan_of(labels))
