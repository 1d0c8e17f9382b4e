"""How the labels of an automatic model enter a document that has labels of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from app.core.document import Document
from app.core.labels import DrawOver, LabelTable
from models.automatic.spec import AutomaticSpec


@dataclass(frozen=True, eq=False)
class LabelPlan:
    """Which label of the document each label of the model becomes.

    Attributes
    ----------
    ids : mapping of the model's value to the document's value
        Only of the structures that are wanted.
    table : LabelTable
        The document's labels with all of them.
    lookup : (n,) unsigned int
        The document's value by the model's; 0 where it is not wanted.
    dtype : numpy dtype
        Holds every value of the table.
    """

    ids: Mapping[int, int]
    table: LabelTable
    lookup: np.ndarray

    @property
    def dtype(self) -> np.dtype:
        return self.lookup.dtype

    def table_with(self, found: set[int], present: LabelTable) -> LabelTable:
        """Return the table without new labels of which nothing was found."""
        table = self.table
        for label_id in self.ids.values():
            is_new = present.get(label_id) != self.table.get(label_id)
            if is_new and label_id not in found:
                old = present.get(label_id)
                table = table.without(label_id) if old is None else table.with_changed(old)
        return table


def plan_labels(document: Document, spec: AutomaticSpec, names: frozenset[str]) -> LabelPlan:
    """Return the plan for the structures of these names.

    A label of the same name is used again. Otherwise the model's own value is taken if it is free
    or held by a label that nobody has used, else the next free one.
    """
    table = document.label_table
    ids: dict[int, int] = {}
    for label in spec.labels:
        if label.name not in names:
            continue
        named = next((i for i in table if i.name.casefold() == label.name.casefold()), None)
        holder = table.get(label.value)
        if named is not None:
            ids[label.value] = named.id
        elif holder is None:
            table = table.with_added(table.new_label(label.name, label.value))
            ids[label.value] = label.value
        elif holder.id not in ids.values() and _is_unused(document, holder.id):
            table = table.with_changed(replace(holder, name=label.name))
            ids[label.value] = holder.id
        else:
            info = table.new_label(label.name)
            table = table.with_added(info)
            ids[label.value] = info.id
    top = max((*ids.values(), *(i.id for i in table), 1))
    lookup = np.zeros(
        1 + max(label.value for label in spec.labels), np.uint8 if top <= 255 else np.uint16
    )
    for value, label_id in ids.items():
        lookup[value] = label_id
    return LabelPlan(ids, table, lookup)


def entered(
    before: np.ndarray, plan: LabelPlan, labels: np.ndarray, draw_over: DrawOver
) -> np.ndarray:
    """Return label values after a result has entered them.

    Parameters
    ----------
    before : (z, y, x) unsigned int
        The present values.
    plan : LabelPlan
        Locked labels of its table neither lose nor take voxels.
    labels : (z, y, x) unsigned int
        The model's values.
    draw_over : DrawOver

    Returns
    -------
    (z, y, x) unsigned int
    """
    locked = set(plan.table.locked_ids)
    wide = np.uint8 if max(int(before.max(initial=0)), int(plan.lookup.max())) < 256 else np.uint16
    size = np.iinfo(wide).max + 1
    # What the wanted labels had is given back first; then only what is free or may be taken.
    emptied = np.arange(size, dtype=wide)
    emptied[[i for i in plan.ids.values() if i not in locked]] = 0
    after = emptied[before]
    may_take = np.zeros(size, bool)
    may_take[0] = True
    if draw_over is DrawOver.ALL:
        may_take[:] = True
        may_take[list(locked)] = False
    lookup = plan.lookup.astype(wide)
    lookup[np.isin(lookup, list(locked))] = 0
    found = lookup[labels]
    taken = (found > 0) & may_take[after]
    after[taken] = found[taken]
    return after


def _is_unused(document: Document, label_id: int) -> bool:
    """Return whether a label still has the name that new ones get, no voxels and no prompts."""
    info = document.label_table.get(label_id)
    if info is None or info.locked or info.name != f"Label {label_id}":
        return False
    if any(p.label_id == label_id for p in document.prompts):
        return False
    return document.labelmap.is_blank or not bool((document.labelmap.voxels == label_id).any())
