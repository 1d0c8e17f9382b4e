"""Two label maps beside each other: which labels belong together, and how they agree."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.labels import LabelInfo, LabelTable
from app.core.tasks import NullContext
from app.measuring.comparison import compare_labels, disagreement, matched

QUIET = NullContext()
SPACING = (3.0, 1.0, 2.0)


def table(**names: int) -> LabelTable:
    return LabelTable(tuple(LabelInfo(i, name, (1, 2, 3)) for name, i in names.items()))


def boxes(shape=(12, 30, 30), **values) -> np.ndarray:
    """Return a map of boxes: value1=(z0, z1, y0, y1, x0, x1)."""
    labels = np.zeros(shape, np.uint8)
    for name, (z0, z1, y0, y1, x0, x1) in values.items():
        labels[z0:z1, y0:y1, x0:x1] = int(name.removeprefix("v"))
    return labels


def test_a_shifted_box_agrees_as_far_as_it_overlaps():
    one, other = boxes(v1=(2, 8, 5, 15, 5, 15)), boxes(v1=(2, 8, 7, 17, 5, 15))
    (row,) = compare_labels(one, other, table(Liver=1), SPACING, 3.0, QUIET)
    assert row.name == "Liver"
    assert row.agreement.dice == pytest.approx(0.8)
    assert row.agreement.hd95 == pytest.approx(2.0)
    assert row.agreement.nsd == pytest.approx(1.0)
    assert row.volume_ml == row.other_ml == pytest.approx(600 * 6 / 1000)
    (strict,) = compare_labels(one, other, table(Liver=1), SPACING, 1.0, QUIET)
    assert strict.agreement.nsd < 0.9


def test_a_label_in_one_map_only_has_a_row_of_its_own():
    one, other = boxes(v1=(2, 8, 5, 15, 5, 15)), boxes(v7=(2, 8, 7, 17, 20, 25))
    rows = compare_labels(one, other, table(Liver=1, Spleen=2), SPACING, 1.0, QUIET)
    assert [(r.label_id, r.agreement.dice, r.agreement.nsd) for r in rows] == [(1, 0, 0), (7, 0, 0)]
    assert rows[0].other_ml == 0
    assert np.isnan(rows[0].difference_percent)
    assert rows[1].difference_percent == pytest.approx(-100)
    assert rows[1].name == "Label 7"


def test_labels_belong_together_by_name_then_by_value():
    labels = boxes(v1=(0, 2, 0, 9, 0, 9), v2=(3, 6, 0, 9, 0, 9))
    other = boxes(v1=(3, 6, 0, 9, 0, 9), v5=(0, 2, 0, 9, 0, 9), v2=(7, 9, 0, 9, 0, 9))
    names = table(Spleen=1, Liver=5, Tumour=2)
    mapped, merged = matched(other, names, labels, table(Liver=1, Spleen=2), QUIET)
    assert (mapped[0:2, :9, :9] == 1).all()
    assert (mapped[3:6, :9, :9] == 2).all()
    tumour = merged.named("Tumour")
    assert tumour is not None
    assert tumour.id not in (1, 2, 5)
    assert (mapped[7:9, :9, :9] == tumour.id).all()
    assert np.count_nonzero(mapped) == np.count_nonzero(other)
    bare, merged = matched(other, LabelTable(), labels, table(Liver=1, Spleen=2), QUIET)
    assert np.array_equal(bare, other)
    assert merged.get(5).name == "Label 5"


def test_a_lone_label_is_compared_with_a_lone_label():
    labels, other = boxes(v3=(0, 2, 0, 9, 0, 9)), boxes(v255=(0, 2, 0, 9, 0, 8))
    mapped, _ = matched(other, table(Lesion=255), labels, table(Tumour=3), QUIET)
    assert set(np.unique(mapped)) == {0, 3}


def test_disagreement_tells_who_has_what():
    labels = np.array([[[0, 1, 1, 0, 2]]], np.uint8)
    other = np.array([[[0, 1, 0, 1, 1]]], np.uint16)
    assert disagreement(labels, other).tolist() == [[[0, 0, 1, 2, 3]]]


def test_an_empty_map_beside_an_empty_one_has_no_rows():
    empty = boxes()
    mapped, merged = matched(empty, LabelTable(), empty, table(Liver=1), QUIET)
    assert not mapped.any()
    assert compare_labels(empty, mapped, merged, SPACING, 1.0, QUIET) == ()
