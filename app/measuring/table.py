"""Measures as rows of text: for the clipboard, for spreadsheets, for the report."""

from __future__ import annotations

import numpy as np

from app.core.labels import LabelTable


def label_name(table: LabelTable, label_id: int) -> str:
    """Return what a label is called; values that are not listed have their number."""
    info = table.get(label_id)
    return info.name if info else f"Label {label_id}"


def plain_cell(cell: object) -> object:
    """Return a cell of a CSV table: six digits, nothing for NaN, no formulas."""
    if isinstance(cell, str):
        # A name that begins like a formula must not become one in a spreadsheet.
        return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t") else cell
    if isinstance(cell, float):
        return "" if np.isnan(cell) else f"{cell:.6g}"
    return cell
