"""One plane of the scan on the screen: picture, crosshair, prompts. Follows the session.

View coordinates are millimetres in the plane; see `app.ui.plane_frame`.
"""

from __future__ import annotations

from collections.abc import Callable

import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRect, QRectF, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QWidget

from app.automatic import AutomaticPreview
from app.core.document import Document
from app.core.events import Aspect, Change
from app.session import Preview, Session
from app.tools import TOOLS, Shape, Tool
from app.ui.annotations import Scene, paint_annotations
from app.ui.magnifier import Magnifier
from app.ui.plane_frame import PlaneFrame, clamp
from app.ui.slice_layers import Layer, SliceLayers
from app.ui.slice_painter import BACKGROUND, LETTER_PX, PLANE_COLOURS, PixelMap

# Farthest and closest zoom: a whole slice, and one voxel, on the screen.
MIN_SLICE_PX = 40
MAX_VOXEL_PX = 80


class SliceCanvas(pg.GraphicsView):
    """Shows the slice through the linked cursor along one axis.

    What happens only marks what is out of date; the next paint event computes and paints it. Qt
    merges paint requests until control is back in its event loop.

    Signals
    -------
    looked_elsewhere
        The user zoomed or moved the slice.
    """

    looked_elsewhere = Signal()

    def __init__(self, session: Session, axis: int, parent: QWidget | None = None) -> None:
        super().__init__(parent, background=BACKGROUND)
        self.session = session
        self.axis = axis
        self._frame: PlaneFrame | None = None
        self._is_fitted = True
        self._is_active = False
        self.magnifier = Magnifier()

        self._box = pg.ViewBox(lockAspect=True, enableMouse=False, enableMenu=False)
        self._box.disableAutoRange()
        self._layers = SliceLayers(session.beside)
        self._box.addItem(self._layers, ignoreBounds=True)
        self.setCentralItem(self._box)
        self.setViewportUpdateMode(self.ViewportUpdateMode.FullViewportUpdate)
        self.setMinimumSize(120, 120)
        # Files that are dropped on a view are for the window.
        self.setAcceptDrops(False)
        self.viewport().setAcceptDrops(False)

        self._leave_document: Callable[[], None] = _nothing
        self._leave_session = (
            session.document_changed.connect(self._on_document_changed),
            session.view_state.changed.connect(self._on_view_changed),
            session.prompting.preview_changed.connect(self._on_preview_changed),
            session.automatic.preview_changed.connect(self._on_arriving),
            session.prompting.pending_changed.connect(lambda _: self.repaint_later()),
            session.prompting.scores_changed.connect(lambda _: self.repaint_later()),
            session.review.changed.connect(lambda _: self.repaint_later()),
            session.measurements.changed.connect(lambda _: self.repaint_later()),
            session.beside.changed.connect(self._on_beside_changed),
        )
        self._on_document_changed(session.document)

    def close_view(self) -> None:
        """Stop listening to the session."""
        for leave in (*self._leave_session, self._leave_document):
            leave()

    # -- where things are ----------------------------------------------------------------------

    @property
    def frame(self) -> PlaneFrame | None:
        """How the plane lies on the screen; None without a scan."""
        return self._frame

    @property
    def index(self) -> int:
        """The slice that is shown."""
        return self.session.view_state.cursor_zyx[self.axis]

    @property
    def n_slices(self) -> int:
        return 0 if self._frame is None else self._frame.n_slices

    @property
    def tool(self) -> Tool:
        """The tool in hand."""
        tools = TOOLS.load()
        return tools.get(self.session.view_state.active_tool, tools["navigate"])

    def shapes(self) -> tuple[Shape, ...]:
        """Return what is drawn for the tool in hand."""
        return self.tool.shapes()

    def index_at(self, point: QPointF) -> tuple[float, float, float]:
        """Return the continuous voxel index under a point of the widget; may lie outside."""
        at = self._box.mapSceneToView(point)
        return self._require_frame().position_zyx(at.x(), at.y(), self.index)

    def point_at(self, index_zyx: tuple[float, float, float]) -> QPointF:
        """Return the point of the widget over a voxel index; the inverse of `index_at`."""
        return self._pixels(self._require_frame()).voxel(index_zyx)

    # -- zoom and pan --------------------------------------------------------------------------

    @property
    def px_per_mm(self) -> float:
        """The zoom."""
        return 1.0 / float(self._box.viewPixelSize()[0])

    def fit(self) -> None:
        """Show the whole slice."""
        self._is_fitted = True
        if self._frame is None:
            return
        x, y, width_mm, height_mm = self._frame.rect_mm
        width, height = max(1, self.width()), max(1, self.height())
        inner = max(1, width - 2 * LETTER_PX), max(1, height - 2 * LETTER_PX)
        px_per_mm = min(inner[0] / width_mm, inner[1] / height_mm)
        shown = QRectF(0, 0, width / px_per_mm, height / px_per_mm)
        shown.moveCenter(QPointF(x + width_mm / 2, y + height_mm / 2))
        self._box.setRange(shown, padding=0)

    def zoom(self, factor: float, at: QPointF) -> None:
        """Enlarge by a factor; what is under a point of the widget stays there."""
        if self._frame is None:
            return
        now = self.px_per_mm
        farthest = MIN_SLICE_PX / max(self._frame.rect_mm[2:])
        closest = MAX_VOXEL_PX / min(self._frame.spacing_rc)
        wanted = min(max(now * factor, farthest), closest)
        self._is_fitted = False
        self._box.scaleBy((now / wanted, now / wanted), center=self._box.mapSceneToView(at))
        self.looked_elsewhere.emit()
        self.repaint_later()

    def pan(self, moved_px: QPointF) -> None:
        """Move the slice with the pointer."""
        self._is_fitted = False
        before, after = (self._box.mapSceneToView(p) for p in (QPointF(0, 0), moved_px))
        self._box.translateBy(x=before.x() - after.x(), y=before.y() - after.y())
        self.looked_elsewhere.emit()
        self.repaint_later()

    @property
    def centre_zyx(self) -> tuple[float, float, float]:
        """The voxel index in the middle of the view."""
        return self.index_at(QPointF(self.width() / 2, self.height() / 2))

    def look_at(self, centre_zyx: tuple[float, float, float], px_per_mm: float) -> None:
        """Put a voxel index into the middle of the view, at a zoom; tells nobody."""
        if self._frame is None:
            return
        self._is_fitted = False
        row, column = self._frame.axes_rc
        middle = QPointF(*self._frame.to_mm(centre_zyx[row], centre_zyx[column]))
        shown = QRectF(0, 0, max(1, self.width()) / px_per_mm, max(1, self.height()) / px_per_mm)
        shown.moveCenter(middle)
        self._box.setRange(shown, padding=0)
        self.repaint_later()

    def zoom_key(self, factor: float) -> None:
        """Enlarge by a factor; the crosshair stays where it is."""
        if self._frame is None:
            return
        z, y, x = self.session.view_state.cursor_zyx
        self.zoom(factor, self.point_at((float(z), float(y), float(x))))

    def bring_into_view(self, index_zyx: tuple[float, float, float]) -> None:
        """Pan, if need be, until a voxel is seen."""
        area, point = QRectF(self.viewport().rect()), self.point_at(index_zyx)
        if not area.contains(point):
            self.pan(area.center() - point)

    def show_slice(self, index: int) -> None:
        """Move the linked cursor to another slice, inside the volume."""
        if self._frame is None:
            return
        cursor = list(self.session.view_state.cursor_zyx)
        cursor[self.axis] = clamp(index, self._frame.n_slices)
        self.session.view_state.cursor_zyx = (cursor[0], cursor[1], cursor[2])

    def set_active(self, is_active: bool) -> None:
        """Show or hide the border of the active view."""
        self._is_active = is_active
        self.repaint_later()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Keep a slice whole that was shown whole."""
        super().resizeEvent(event)
        if event is not None and self._is_fitted:
            self.fit()

    # -- what happened -------------------------------------------------------------------------

    def _on_document_changed(self, document: Document | None) -> None:
        self._leave_document()
        self._leave_document = _nothing
        self._frame = None
        if document is not None:
            self._leave_document = document.changed.connect(self._on_changed)
            self._frame = PlaneFrame(document.volume.geometry, self.axis)
            self._box.invertY(self._frame.rows_go_down)
        self._layers.show_document(document, self._frame)
        self.fit()
        self.repaint_later()

    def _on_changed(self, change: Change) -> None:
        if Aspect.LABELS in change.aspects:
            self._layers.mark(Layer.OVERLAY | Layer.PREVIEW)
        elif Aspect.VOXELS in change.aspects:
            if change.region is not None:
                start, stop = (
                    corner[self.axis]
                    for corner in (change.region.start_zyx, change.region.stop_zyx)
                )
                if not start <= self._layers.index < stop:
                    return
            self._layers.mark(Layer.OVERLAY)
        self.repaint_later()

    def _on_view_changed(self, name: str) -> None:
        if name in {"window", "colour_map", "inverted", "slab_mm", "slab_kind"}:
            self._layers.mark(Layer.IMAGE)
        elif name in {"overlay_opacity", "overlay_visible", "outline", "fill"}:
            self._layers.mark(Layer.OVERLAY | Layer.PREVIEW | Layer.EARLIER)
        self.repaint_later()

    def _on_beside_changed(self, _: None) -> None:
        self._layers.mark(Layer.SECOND | Layer.EARLIER)
        self.repaint_later()

    def _on_preview_changed(self, preview: Preview | None) -> None:
        if preview is None:
            self._layers.drop_previews()
        else:
            self._layers.add_preview(preview.axis, preview.index, preview.mask, preview.label_id)
        self.repaint_later()

    def _on_arriving(self, preview: AutomaticPreview | None) -> None:
        if preview is None:
            self._layers.show_arriving(None, None)
        else:
            self._layers.show_arriving(preview.labels, preview.table)
        self.repaint_later()

    def repaint_later(self) -> None:
        """Ask for a paint event."""
        self.viewport().update()

    # -- painting ------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Compute what is out of date, then paint."""
        if self._frame is not None:
            index = clamp(self.index, self._frame.n_slices)
            self._layers.refresh(index, self.session.view_state)
        super().paintEvent(event)

    def drawForeground(self, painter: QPainter, rect: QRectF | QRect) -> None:
        """Paint over the slice what has its size in pixels."""
        area = QRectF(self.viewport().rect())
        pixels = None if self._frame is None else self._pixels(self._frame)
        scene = Scene(self.session, self.axis, self.index, area, pixels, self._is_active)
        self.magnifier.paint(painter, self._layers, PLANE_COLOURS[self.axis])
        paint_annotations(painter, scene, self.shapes())

    def _pixels(self, frame: PlaneFrame) -> PixelMap:
        self._box.updateMatrix()
        return PixelMap(frame, self._layers.sceneTransform())

    def _require_frame(self) -> PlaneFrame:
        if self._frame is None:
            raise RuntimeError("No scan is open; there is no voxel under the pointer.")
        return self._frame


def _nothing() -> None:
    """Leave a document that was never joined."""
