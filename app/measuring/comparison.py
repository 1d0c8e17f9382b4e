"""How two label maps on one grid agree, label by label, and where they do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.core.labels import MAX_LABEL_ID, LabelTable
from app.core.tasks import JobContext
from app.measuring.label_measure import label_regions

if TYPE_CHECKING:
    from app.evaluation.metrics import Agreement


@dataclass(frozen=True)
class LabelComparison:
    """One label of the open map beside the other one.

    Attributes
    ----------
    label_id : int
    name : str
    agreement : Agreement
        Dice, surface Dice at the tolerance, and the 95 % Hausdorff distance in mm.
    volume_ml, other_ml : float
    """

    label_id: int
    name: str
    agreement: Agreement
    volume_ml: float
    other_ml: float

    @property
    def difference_ml(self) -> float:
        """How much more the open map holds."""
        return self.volume_ml - self.other_ml

    @property
    def difference_percent(self) -> float:
        """The same as a share of the other one; NaN where that is empty."""
        return 100 * self.difference_ml / self.other_ml if self.other_ml else np.nan


def compare_labels(
    labels: np.ndarray,
    other: np.ndarray,
    table: LabelTable,
    spacing_zyx: tuple[float, float, float],
    tolerance_mm: float,
    ctx: JobContext,
) -> tuple[LabelComparison, ...]:
    """Return a row for each label that is in either map, in the order of the table.

    Parameters
    ----------
    labels, other : (z, y, x) unsigned int
        Of one shape; a value means the same in both, see `matched`.
    table : LabelTable
        Names the values.
    spacing_zyx : tuple of 3 float
    tolerance_mm : float
        Surfaces that are this close count as the same.
    ctx : JobContext
    """
    # Here, because it would add to every start of the program.
    from app.evaluation.metrics import agreement

    of_one, of_other = label_regions(labels, ctx), label_regions(other, ctx)
    drawn = {*of_one, *of_other}
    listed = [info.id for info in table if info.id in drawn]
    wanted = [*listed, *sorted(drawn - set(listed))]
    voxel_ml = float(np.prod(spacing_zyx)) / 1000
    rows = []
    for n, label_id in enumerate(wanted):
        ctx.report(n / len(wanted), "Comparing")
        regions = [r[label_id] for r in (of_one, of_other) if label_id in r]
        region = regions[0].union(regions[-1])
        first, second = (voxels[region.slices] == label_id for voxels in (labels, other))
        info = table.get(label_id)
        rows.append(
            LabelComparison(
                label_id,
                info.name if info else f"Label {label_id}",
                agreement(first, second, spacing_zyx, tolerance_mm),
                np.count_nonzero(first) * voxel_ml,
                np.count_nonzero(second) * voxel_ml,
            )
        )
    return tuple(rows)


def matched(
    other: np.ndarray, names: LabelTable, labels: np.ndarray, table: LabelTable, ctx: JobContext
) -> tuple[np.ndarray, LabelTable]:
    """Return a label map with the values that its labels have in the open one, and a table of all.

    Labels of one name belong together; a value without a name of its own belongs to the same
    value. If each map holds one label only, these two belong together, whatever they are called.

    Parameters
    ----------
    other : (z, y, x) unsigned int
    names : LabelTable
        Of ``other``; need not name every value.
    labels : (z, y, x) unsigned int
        The open map.
    table : LabelTable
        Of ``labels``.
    ctx : JobContext
    """
    values, present = sorted(label_regions(other, ctx)), sorted(label_regions(labels, ctx))
    target_of = np.zeros(max(values, default=0) + 1, np.uint16)
    for value in values:
        info = names.get(value)
        same = None if info is None else table.named(info.name)
        if len(values) == len(present) == 1:
            target = present[0]
        elif same is not None:
            target = same.id
        elif info is None or _has_bare_name(table, value):
            target = value
        else:
            taken = {*present, *values, *(i.id for i in table), *target_of.tolist()}
            target = next(i for i in range(1, MAX_LABEL_ID + 1) if i not in taken)
        if target not in table:
            table = table.with_added(table.new_label(info.name if info else "", target))
        target_of[value] = target
    return target_of[other], table


def disagreement(labels: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return where two maps differ, as (z, y, x) uint8.

    0 where they agree, 1 what only the open map has, 2 what only the other one has, 3 where both
    have a label, but not the same.
    """
    kind = (labels > 0).astype(np.uint8)
    kind |= (other > 0).view(np.uint8) << 1
    kind[labels == other] = 0
    return kind


def _has_bare_name(table: LabelTable, value: int) -> bool:
    info = table.get(value)
    return info is None or info.name == f"Label {value}"
