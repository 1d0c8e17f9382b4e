"""Commands: padlocks and the draw-over policy hold, and refining an object spares hand edits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.core.commands import (
    ApplyPrediction,
    DeleteLabel,
    EditVoxels,
    SetPrompts,
    add_label,
    change_label,
    clear_region,
)
from app.core.document import Document
from app.core.errors import GeometryError, UsageError
from app.core.geometry import Geometry, Region
from app.core.labels import DrawOver, LabelInfo, LabelTable
from app.core.prompts import BoxPrompt, PointPrompt
from app.core.volume import Volume

SHAPE = (3, 4, 8)
WHOLE = Region.whole(SHAPE)


@pytest.fixture
def document() -> Document:
    table = LabelTable()
    for name in ("organ", "lesion", "vessel"):
        table = table.with_added(table.new_label(name))
    return Document(
        Volume(np.zeros(SHAPE, np.int16), Geometry(SHAPE, np.eye(4))), label_table=table
    )


def paint(document: Document, value: int, region: Region) -> None:
    document.do(EditVoxels("Paint", region, np.full(region.shape_zyx, value, np.uint16)))


def lock(document: Document, label_id: int) -> None:
    info = document.label_table.get(label_id)
    assert info is not None
    document.do(change_label(document.label_table, replace(info, locked=True), "Lock"))


def predict(
    document: Document, region: Region | None, *, label_id: int = 1, object_id: int = 0, **options
) -> None:
    mask = None if region is None else np.ones(region.shape_zyx, bool)
    options = {"covered": WHOLE, **options}
    document.do(
        ApplyPrediction(
            "Predict", object_id=object_id, label_id=label_id, region=region, mask=mask, **options
        )
    )


def painted(*parts: tuple[Region, int]) -> np.ndarray:
    """Return the label values that these blocks give, later ones over earlier ones."""
    expected = np.zeros(SHAPE, np.uint16)
    for region, value in parts:
        expected[region.slices] = value
    return expected


LEFT, RIGHT = Region((0, 0, 0), (3, 4, 4)), Region((0, 0, 4), (3, 4, 8))
MIDDLE = Region((1, 1, 2), (2, 3, 6))


# -- edits -----------------------------------------------------------------------------------------


def test_a_locked_label_keeps_its_voxels_and_takes_no_new_ones(document):
    paint(document, 1, LEFT)
    lock(document, 1)
    paint(document, 2, MIDDLE)
    right_half = Region((1, 1, 4), (2, 3, 6))
    np.testing.assert_array_equal(document.labelmap.voxels, painted((LEFT, 1), (right_half, 2)))
    before = document.labelmap.voxels.copy()
    paint(document, 1, RIGHT)  # the locked label does not grow
    paint(document, 0, LEFT)  # and is not erased
    np.testing.assert_array_equal(document.labelmap.voxels, before)


def test_a_locked_label_above_255_is_not_hurt_by_a_block_of_bytes(document):
    document.do(add_label(document.label_table, LabelInfo(300, "wide", (1, 2, 3))))
    paint(document, 300, LEFT)
    lock(document, 300)
    document.do(EditVoxels("Paint", WHOLE, np.full(SHAPE, 2, np.uint8)))
    np.testing.assert_array_equal(document.labelmap.voxels, painted((LEFT, 300), (RIGHT, 2)))


def test_a_block_outside_the_scan_is_refused_and_changes_nothing(document):
    outside = Region((2, 3, 7), (4, 5, 9))
    with pytest.raises(GeometryError):
        paint(document, 1, outside)
    assert not document.labelmap.voxels.any()
    assert document.undo_labels == ()


def test_clearing_takes_one_label_in_one_region(document):
    paint(document, 1, LEFT)
    paint(document, 2, RIGHT)
    document.do(clear_region(document, 1, MIDDLE))
    cleared = MIDDLE.intersection(LEFT)
    assert cleared is not None
    np.testing.assert_array_equal(
        document.labelmap.voxels, painted((LEFT, 1), (RIGHT, 2), (cleared, 0))
    )


# -- predictions -----------------------------------------------------------------------------------


def test_a_prediction_spares_other_labels_unless_it_may_draw_over_them(document):
    paint(document, 2, RIGHT)
    predict(document, MIDDLE)
    free = MIDDLE.intersection(LEFT)
    assert free is not None
    np.testing.assert_array_equal(document.labelmap.voxels, painted((RIGHT, 2), (free, 1)))
    predict(document, MIDDLE, draw_over=DrawOver.ALL)
    np.testing.assert_array_equal(document.labelmap.voxels, painted((RIGHT, 2), (MIDDLE, 1)))


def test_refining_gives_back_what_the_object_took_and_spares_the_rest(document):
    paint(document, 2, RIGHT)
    predict(document, MIDDLE, draw_over=DrawOver.ALL)
    dab, other = Region((0, 0, 0), (1, 1, 1)), Region((1, 1, 2), (2, 2, 3))
    paint(document, 1, dab)  # added by hand
    paint(document, 3, other)  # changed by hand inside the prediction
    smaller = Region((1, 2, 2), (2, 3, 4))
    predict(document, smaller, draw_over=DrawOver.ALL)
    expected = painted((RIGHT, 2), (dab, 1), (other, 3), (smaller, 1))
    np.testing.assert_array_equal(document.labelmap.voxels, expected)


def test_slices_that_were_not_run_keep_the_earlier_mask(document):
    predict(document, LEFT)
    first = WHOLE.with_axis(0, 0, 1)
    predict(document, Region((0, 0, 0), (1, 1, 1)), covered=first)
    expected = painted((LEFT, 1), (first, 0), (Region((0, 0, 0), (1, 1, 1)), 1))
    np.testing.assert_array_equal(document.labelmap.voxels, expected)
    predict(document, None)  # an empty answer for all slices takes everything back
    assert not document.labelmap.voxels.any()


def test_objects_of_one_label_do_not_take_back_each_others_voxels(document):
    predict(document, LEFT, object_id=0)
    predict(document, RIGHT, object_id=1)
    predict(document, None, object_id=0)
    np.testing.assert_array_equal(document.labelmap.voxels, painted((RIGHT, 1)))


def test_a_padlock_closed_after_a_prediction_keeps_its_mask(document):
    predict(document, LEFT)
    lock(document, 1)
    predict(document, MIDDLE)
    np.testing.assert_array_equal(document.labelmap.voxels, painted((LEFT, 1)))


def test_a_prediction_for_a_label_above_255_widens_the_map(document):
    paint(document, 2, RIGHT)
    predict(document, LEFT, label_id=300)
    np.testing.assert_array_equal(document.labelmap.voxels, painted((RIGHT, 2), (LEFT, 300)))


@pytest.mark.parametrize(
    ("region", "shape"), [(MIDDLE, (1, 1, 1)), (Region((2, 3, 7), (4, 5, 9)), (2, 2, 2))]
)
def test_a_mask_that_does_not_fit_is_refused(document, region, shape):
    before = document.written
    command = ApplyPrediction(
        "Predict",
        object_id=0,
        label_id=1,
        region=region,
        mask=np.ones(shape, bool),
        covered=WHOLE,
    )
    with pytest.raises(GeometryError):
        document.do(command)
    assert not document.labelmap.voxels.any()
    assert document.written is before


# -- labels and prompts ----------------------------------------------------------------------------


def test_deleting_a_label_takes_its_voxels_and_prompts_and_undo_brings_all_back(document):
    paint(document, 2, RIGHT)
    predict(document, LEFT)
    box = BoxPrompt(LEFT, label_id=1, object_id=0)
    point = PointPrompt((0, 0, 5), label_id=2, object_id=1)
    document.do(SetPrompts("Prompts", (box, point)))
    table, voxels = document.label_table, document.labelmap.voxels.copy()
    document.do(DeleteLabel(1))
    assert document.undo_labels[0] == "Delete label organ"
    assert 1 not in document.label_table
    assert document.prompts == (point,)
    np.testing.assert_array_equal(document.labelmap.voxels, painted((RIGHT, 2)))
    document.undo()
    assert document.label_table == table
    assert document.prompts == (box, point)
    np.testing.assert_array_equal(document.labelmap.voxels, voxels)
    predict(document, None)  # the object still knows what it wrote
    np.testing.assert_array_equal(document.labelmap.voxels, painted((RIGHT, 2)))


def test_a_locked_or_unknown_label_is_not_deleted(document):
    paint(document, 1, LEFT)
    lock(document, 1)
    with pytest.raises(UsageError, match="“organ” is locked"):
        document.do(DeleteLabel(1))
    with pytest.raises(UsageError, match="value 9"):
        document.do(DeleteLabel(9))
    assert 1 in document.label_table
    np.testing.assert_array_equal(document.labelmap.voxels, painted((LEFT, 1)))


def test_a_reused_value_does_not_inherit_what_a_deleted_labels_object_wrote(document):
    document.do(SetPrompts("Prompts", (BoxPrompt(LEFT, label_id=3, object_id=5),)))
    predict(document, LEFT, label_id=3, object_id=5)
    document.do(DeleteLabel(3))
    info = document.label_table.new_label("again")
    assert info.id == 3
    document.do(add_label(document.label_table, info))
    paint(document, 3, MIDDLE)
    predict(document, None, label_id=3, object_id=5)
    np.testing.assert_array_equal(document.labelmap.voxels, painted((MIDDLE, 3)))
