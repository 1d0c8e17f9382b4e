"""The picture of one slice: image, second scan, masks, preview, outlines.

Computes only what changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QImage, QPainter, QPainterPath

from app.beside import Beside
from app.core.document import Document
from app.core.labels import LabelTable
from app.core.view_state import ViewState
from app.core.volume import take_slice
from app.ui.colour_maps import colour_table
from app.ui.plane_frame import PlaneFrame
from app.ui.slab import project, slab_range
from app.ui.slice_image import (
    Outlines,
    find_outlines,
    grey_levels,
    label_colours,
    overlay_pixels,
    premultiplied,
    shown_labels,
)
from app.ui.slice_painter import line_pen
from app.ui.slice_previews import SlicePreviews

OUTLINE_PX = 1.4
# A mask that is not yet in the document is fainter than one that is.
PREVIEW_OPACITY = 0.35


class Layer(Flag):
    """A part of the picture that may be out of date."""

    NONE = 0
    IMAGE = auto()
    OVERLAY = auto()
    PREVIEW = auto()
    SECOND = auto()
    EARLIER = auto()
    ALL = IMAGE | OVERLAY | PREVIEW | SECOND | EARLIER


@dataclass(frozen=True, eq=False)
class _Picture:
    """A Qt image and the array that holds its pixels, which has to live as long."""

    image: QImage
    pixels: np.ndarray

    @classmethod
    def of(cls, pixels: np.ndarray) -> _Picture:
        """Return a picture of (rows, columns) uint8 grey levels or uint32 colours."""
        kind = QImage.Format
        wanted = (
            kind.Format_Grayscale8 if pixels.itemsize == 1 else kind.Format_ARGB32_Premultiplied
        )
        rows, columns = pixels.shape
        image = QImage(pixels.data, columns, rows, pixels.strides[0], wanted)
        return cls(image, pixels)


class SliceLayers(pg.GraphicsObject):
    """Paints one slice in millimetres of its plane.

    Attributes
    ----------
    index : int
        The slice that is shown.
    """

    def __init__(self, beside: Beside) -> None:
        super().__init__()
        self._beside = beside
        self._second: _Picture | None = None
        self._earlier_outlines: list[tuple[QColor, QPainterPath]] = []
        self.index = 0
        self._frame: PlaneFrame | None = None
        self._document: Document | None = None
        self._stale = Layer.NONE
        self._image: _Picture | None = None
        self._overlay: _Picture | None = None
        self._outlines: list[tuple[QColor, QPainterPath]] = []
        self._previews = SlicePreviews()
        self._preview: _Picture | None = None
        self._arriving: tuple[np.ndarray, LabelTable] | None = None
        self._preview_outline: list[tuple[QColor, QPainterPath]] = []
        self._colours: np.ndarray | None = None
        self._colours_of: tuple[LabelTable, float, np.dtype] | None = None

    @property
    def stale(self) -> Layer:
        """What has to be computed before the next painting."""
        return self._stale

    def show_document(self, document: Document | None, frame: PlaneFrame | None) -> None:
        """Show another document, or nothing."""
        self.prepareGeometryChange()
        self._document, self._frame = document, frame
        self._image = self._overlay = self._preview = self._second = None
        self._outlines, self._preview_outline = [], []
        self._previews.clear()
        self._earlier_outlines = []
        self._arriving = None
        self.mark(Layer.ALL)

    def mark(self, layers: Layer) -> None:
        """Remember that layers are out of date."""
        self._stale |= layers

    def add_preview(self, axis: int, index: int, mask: np.ndarray, label_id: int) -> None:
        """Show a (rows, columns) bool mask of a slice, cut as this plane cuts it.

        Until `drop_previews`.
        """
        self._previews.add(axis, index, mask, label_id)
        if self._frame is not None and (axis != self._frame.axis or index == self.index):
            self.mark(Layer.PREVIEW)

    def show_arriving(self, labels: np.ndarray | None, table: LabelTable | None) -> None:
        """Show label values (z, y, x) that are not yet in the document; None hides them."""
        self._arriving = None if labels is None or table is None else (labels, table)
        self.mark(Layer.PREVIEW)

    def drop_previews(self) -> None:
        """Show no preview any more."""
        if self._previews.clear():
            self.mark(Layer.PREVIEW)

    def refresh(self, index: int, view_state: ViewState) -> None:
        """Compute what is out of date for a slice."""
        if index != self.index:
            self.index = index
            self.mark(Layer.ALL)
        stale, self._stale = self._stale, Layer.NONE
        if self._document is None:
            return
        if Layer.IMAGE in stale:
            self._refresh_image(self._document, view_state)
        if Layer.SECOND in stale:
            self._refresh_second()
        if Layer.EARLIER in stale:
            self._refresh_earlier(view_state)
        if Layer.OVERLAY in stale:
            self._refresh_overlay(self._document, view_state)
        if Layer.PREVIEW in stale:
            self._refresh_preview(self._document, view_state)

    def boundingRect(self) -> QRectF:
        """Return what is covered, in mm."""
        return QRectF() if self._frame is None else QRectF(*self._frame.rect_mm)

    def paint(self, painter: QPainter, *_: object) -> None:
        """Paint the layers."""
        area = self.boundingRect()
        hints = QPainter.RenderHint
        if self._image is not None:
            # Intensities are samples of something smooth; labels are exactly their voxels.
            painter.setRenderHint(hints.SmoothPixmapTransform, True)
            painter.drawImage(area, self._image.image)
            if self._second is not None:
                painter.drawImage(area, self._second.image)
        painter.setRenderHint(hints.SmoothPixmapTransform, False)
        for picture in (self._overlay, self._preview):
            if picture is not None:
                painter.drawImage(area, picture.image)
        painter.setRenderHint(hints.Antialiasing, True)
        for colour, path in self._outlines:
            painter.setPen(line_pen(colour, OUTLINE_PX))
            painter.drawPath(path)
        for colour, path in (*self._preview_outline, *self._earlier_outlines):
            painter.setPen(line_pen(colour, OUTLINE_PX, is_dashed=True))
            painter.drawPath(path)

    # -- inside --------------------------------------------------------------------------------

    @property
    def _frame_axis(self) -> int:
        assert self._frame is not None
        return self._frame.axis

    def _refresh_image(self, document: Document, view_state: ViewState) -> None:
        axis, voxels = self._frame_axis, document.volume.voxels
        spacing = document.volume.geometry.spacing_zyx[axis]
        start, stop = slab_range(self.index, voxels.shape[axis], spacing, view_state.slab_mm)
        pixels = project(voxels, axis, start, stop, view_state.slab_kind)
        levels = grey_levels(pixels, view_state.window)
        if view_state.colour_map != "grey" or view_state.inverted:
            table = colour_table(view_state.colour_map, inverted=view_state.inverted)
            levels = overlay_pixels(levels, table)
        self._image = _Picture.of(levels)

    def _refresh_second(self) -> None:
        self._second = None
        second = self._beside.second
        pixels = self._beside.second_slice(self._frame_axis, self.index)
        if second is None or pixels is None:
            return
        is_outside = np.isnan(pixels)
        pixels[is_outside] = second.window[0]
        table = colour_table(second.colour_map, opacity=second.opacity)
        colours = overlay_pixels(grey_levels(pixels, second.window), table)
        colours[is_outside] = 0
        self._second = _Picture.of(colours)

    def _refresh_earlier(self, view_state: ViewState) -> None:
        self._earlier_outlines = []
        earlier = self._beside.earlier
        if earlier is None or not view_state.overlay_visible:
            return
        labels = np.ascontiguousarray(take_slice(earlier.labels, self._frame_axis, self.index))
        outlines = find_outlines(labels, shown_labels(earlier.table, labels.dtype))
        self._earlier_outlines = self._paths(outlines, earlier.table)

    def _refresh_overlay(self, document: Document, view_state: ViewState) -> None:
        self._overlay, self._outlines = None, []
        labels = take_slice(document.labelmap.voxels, self._frame_axis, self.index)
        if not view_state.overlay_visible or not labels.any():
            return
        labels = np.ascontiguousarray(labels)
        table = document.label_table
        if view_state.fill:
            colours = self._label_colours(table, view_state, labels.dtype)
            self._overlay = _Picture.of(overlay_pixels(labels, colours))
        if view_state.outline:
            outlines = find_outlines(labels, shown_labels(table, labels.dtype))
            self._outlines = self._paths(outlines, table)

    def _refresh_preview(self, document: Document, view_state: ViewState) -> None:
        self._preview, self._preview_outline = None, []
        shape = document.volume.voxels.shape
        found = self._previews.on_plane(self._frame_axis, self.index, shape)
        if not view_state.overlay_visible:
            return
        if found is None:
            self._refresh_arriving()
            return
        mask, label_id = found
        info = document.label_table.get(label_id)
        colour = (255, 255, 255) if info is None else info.colour
        colours = np.array([0, premultiplied(colour, PREVIEW_OPACITY)], np.uint32)
        inside = mask.astype(np.uint8)
        self._preview = _Picture.of(overlay_pixels(inside, colours))
        outlines = find_outlines(inside, np.array([False, True]))
        self._preview_outline = [(QColor(*colour), self._path(pieces)) for _, pieces in outlines]

    def _refresh_arriving(self) -> None:
        """Show what an automatic segmentation has found on this slice so far."""
        if self._arriving is None:
            return
        values, table = self._arriving
        labels = take_slice(values, self._frame_axis, self.index)
        if labels.any():
            colours = label_colours(table, PREVIEW_OPACITY, labels.dtype)
            self._preview = _Picture.of(overlay_pixels(labels, colours))

    def _label_colours(
        self, table: LabelTable, view_state: ViewState, dtype: np.dtype
    ) -> np.ndarray:
        key = (table, view_state.overlay_opacity, dtype)
        if self._colours is None or self._colours_of != key:
            self._colours = label_colours(table, view_state.overlay_opacity, dtype)
            self._colours_of = key
        return self._colours

    def _paths(self, outlines: Outlines, table: LabelTable) -> list[tuple[QColor, QPainterPath]]:
        paths = []
        for label_id, pieces in outlines:
            info = table.get(label_id)
            if info is not None:
                colour = QColor(*info.colour)
                colour.setAlphaF(info.opacity)
                paths.append((colour, self._path(pieces)))
        return paths

    def _path(self, pieces: np.ndarray) -> QPainterPath:
        assert self._frame is not None
        height, width = self._frame.spacing_rc
        x, y = pieces[:, ::2].ravel() * width, pieces[:, 1::2].ravel() * height
        return pg.arrayToQPath(x, y, connect="pairs", finiteCheck=False)
