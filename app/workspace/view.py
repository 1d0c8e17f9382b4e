"""How the user looks at a scan, as JSON values; what does not fit the scan is left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from app.core.document import Document
from app.core.view_state import ViewState

Scores = Mapping[int, Mapping[int, float]]

_SWITCHES = ("overlay_visible", "outline", "crosshair_visible", "positive")


def view_content(
    state: ViewState, model_window: tuple[float, float], scores: Scores
) -> dict[str, object]:
    """Return what `apply_view` takes."""
    return {
        "cursor_zyx": [int(i) for i in state.cursor_zyx],
        "window": [float(v) for v in state.window],
        "model_window": [float(v) for v in model_window],
        "active_label": state.active_label,
        "overlay_opacity": state.overlay_opacity,
        **{name: getattr(state, name) for name in _SWITCHES},
        "scores": {
            str(object_id): {str(index): float(score) for index, score in of_slices.items()}
            for object_id, of_slices in scores.items()
        },
    }


def apply_view(content: Mapping[str, Any], state: ViewState, document: Document) -> None:
    """Look at a document as before, as far as the content makes sense."""
    cursor = _numbers(content.get("cursor_zyx"), 3)
    shape = document.volume.voxels.shape
    if cursor and all(0 <= i < n for i, n in zip(cursor, shape, strict=True)):
        state.cursor_zyx = (int(cursor[0]), int(cursor[1]), int(cursor[2]))
    state.window = window_in(content, "window") or state.window
    if content.get("active_label") in document.label_table:
        state.active_label = int(content["active_label"])
    opacity = _numbers([content.get("overlay_opacity")], 1)
    if opacity and 0 <= opacity[0] <= 1:
        state.overlay_opacity = opacity[0]
    for name in _SWITCHES:
        if isinstance(content.get(name), bool):
            setattr(state, name, content[name])


def window_in(content: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    """Return a pair of intensities, the lower one first; None if there is none."""
    pair = _numbers(content.get(name), 2)
    return (pair[0], pair[1]) if pair and pair[0] < pair[1] else None


def scores_in(content: Mapping[str, Any]) -> dict[int, dict[int, float]]:
    """Return the model's own estimates per object and slice; empty if they are not readable."""
    try:
        return {
            int(object_id): {int(index): float(score) for index, score in of_slices.items()}
            for object_id, of_slices in content["scores"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}


def _numbers(values: Any, count: int) -> list[float]:
    """Return finite numbers, as many as are wanted; an empty list for anything else."""
    if not isinstance(values, list) or len(values) != count:
        return []
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        return []
    return [float(v) for v in values] if all(math.isfinite(v) for v in values) else []
