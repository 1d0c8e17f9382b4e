"""Masks that are shown before they are in the document, cut along any plane. No Qt."""

from __future__ import annotations

import numpy as np


class SlicePreviews:
    """Masks of slices along one axis, as a model answers them; all in the colour of one label."""

    def __init__(self) -> None:
        self._axis = 0
        self._label_id = 0
        self._masks: dict[int, np.ndarray] = {}

    def add(self, axis: int, index: int, mask: np.ndarray, label_id: int) -> None:
        """Take the mask of a slice, (rows, columns) bool; another axis or label starts afresh."""
        if (axis, label_id) != (self._axis, self._label_id):
            self._axis, self._label_id, self._masks = axis, label_id, {}
        self._masks[index] = mask

    def clear(self) -> bool:
        """Forget all masks; False if there were none."""
        had_some, self._masks = bool(self._masks), {}
        return had_some

    def on_plane(
        self, axis: int, index: int, shape_zyx: tuple[int, int, int]
    ) -> tuple[np.ndarray, int] | None:
        """Return what of the masks lies on a slice of any plane, and their label.

        Parameters
        ----------
        axis, index : int
            The slice.
        shape_zyx : tuple of 3 int
            Of the whole volume.

        Returns
        -------
        tuple of (rows, columns) bool and int
            None where no mask touches the slice.
        """
        if axis == self._axis:
            mask = self._masks.get(index)
            return None if mask is None else (mask, self._label_id)
        rows, columns = (a for a in range(3) if a != axis)
        cut = np.zeros((shape_zyx[rows], shape_zyx[columns]), bool)
        # Of a mask's own two axes, the one that the wanted slice lies across.
        across = [a for a in range(3) if a != self._axis].index(axis)
        lines = cut if self._axis == rows else cut.T
        for at, mask in self._masks.items():
            lines[at] = mask.take(index, across)
        return (cut, self._label_id) if cut.any() else None
