"""The review strip under the views: one cell per slice of an object, coloured by confidence."""

from __future__ import annotations

from itertools import pairwise

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, QTimer
from PySide6.QtGui import QColor, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app.core.document import Document
from app.core.prompts import BoxPrompt
from app.review import Cell
from app.session import Message, Preview, Session
from app.ui.actions import ActionSpec
from app.ui.mouse import LEFT
from app.ui.slice_painter import MUTED, POSITIVE, with_alpha
from models.base import UNSURE

HEIGHT_PX = 34
_CELLS_TOP, _CELLS_HEIGHT = 9, 13
_SIDE_PX = 10
_WIDEST_CELL_PX = 26
_NAME_PX = 150
_EMPTY = QColor(38, 44, 51)
_RUNNING = QColor(86, 108, 128)
# From certainly wrong over the limit of doubt to certainly right.
_RAMP: tuple[tuple[float, QColor], ...] = (
    (0.0, QColor(196, 70, 58)),
    (UNSURE, QColor(226, 172, 66)),
    (UNSURE + 0.08, QColor(118, 146, 128)),
    (1.0, QColor(70, 128, 138)),
)


class ReviewStrip(QWidget):
    """Shows the slices of the object in hand; a click goes to one, a drag along them.

    A triangle marks a key slice, a tick one that was accepted, a dot one that was corrected, and a
    light line above a cell one that the latest answer changed.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(self.tr("Review of slices"))
        self._cells: tuple[Cell, ...] = ()
        self._axis = 0
        # Slices of the mask that is being carried through right now.
        self._running: set[int] = set()
        self._timer = QTimer(self, singleShot=True, interval=0)
        self._timer.timeout.connect(self._refresh)
        session.document_changed.connect(self._on_document_changed)
        session.review.changed.connect(lambda _: self._timer.start())
        session.prompting.pending_changed.connect(lambda _: self._timer.start())
        session.prompting.preview_changed.connect(self._on_preview)
        session.view_state.changed.connect(self._on_view_changed)
        self._on_document_changed(session.document)

    # -- what it can do --------------------------------------------------------------------------

    @property
    def cells(self) -> tuple[Cell, ...]:
        """What is shown."""
        return self._cells

    def show_next(self) -> None:
        """Go to the slice that most needs a look; from there to the next such one."""
        if not self._go_on():
            self.session.message.emit(Message(self.tr("No slice needs a second look.")))

    def accept_slice(self) -> None:
        """Mark the shown slice as looked at, and go on to what needs a look next.

        When nothing does, on to the next slice that was not accepted.
        """
        session, target = self.session, self._target()
        here = session.view_state.cursor_zyx[session.review.axis_of(target)]
        cell = next((c for c in session.review.cells(target) if c.index == here), None)
        if target is None or cell is None:
            session.message.emit(Message(self.tr("There is no carried mask on this slice.")))
            return
        session.review.accept(target, here)
        if not self._go_on():
            self._go_to_unseen(target, here)

    def reopen_slice(self) -> None:
        """Take the mark of the shown slice back."""
        review, target = self.session.review, self._target()
        if target is not None:
            here = self.session.view_state.cursor_zyx[review.axis_of(target)]
            review.accept(target, here, is_accepted=False)

    def action_specs(self) -> list[ActionSpec]:
        """Return the menu entries of the review."""

        def is_open() -> bool:
            return self.session.document is not None

        entries = (
            ("next_doubt", self.tr("Next slice to check"), "N", self.show_next),
            ("accept_slice", self.tr("Accept slice and go on"), "A", self.accept_slice),
            (
                "reopen_slice",
                self.tr("Slice not accepted after all"),
                "Shift+A",
                self.reopen_slice,
            ),
        )
        return [
            ActionSpec(name, "Segment", text, keys, act, is_open)
            for name, text, keys, act in entries
        ]

    # -- where cells are -------------------------------------------------------------------------

    def cell_rect(self, number: int) -> QRectF:
        """Return where the n-th cell is painted."""
        width = self._cell_width()
        return QRectF(_NAME_PX + number * width, _CELLS_TOP, width, _CELLS_HEIGHT)

    def _cell_width(self) -> float:
        room = max(1.0, self.width() - _NAME_PX - _SIDE_PX)
        return min(_WIDEST_CELL_PX, room / max(1, len(self._cells)))

    def _cell_at(self, point: QPointF) -> Cell | None:
        number = int((point.x() - _NAME_PX) // self._cell_width())
        return self._cells[number] if 0 <= number < len(self._cells) else None

    # -- events ----------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        """Return the usual size."""
        return QSize(400, HEIGHT_PX)

    def minimumSizeHint(self) -> QSize:
        """Return the smallest size that can be used."""
        return QSize(200, HEIGHT_PX)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go to the slice under the pointer."""
        if event.button() == LEFT:
            self._go_under(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the pointer."""
        if event.buttons() & LEFT:
            self._go_under(event)

    def event(self, event: QEvent) -> bool:
        """Tell about the cell under the pointer."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            cell = self._cell_at(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), "" if cell is None else self.describe(cell), self)
            return True
        return bool(super().event(event))

    def describe(self, cell: Cell) -> str:
        """Return a cell in words."""
        parts = []
        if cell.confidence is None:
            parts.append(self.tr("no mask"))
        else:
            percent = f"{100 * cell.confidence:.0f} %"
            parts.append(
                {
                    "score": self.tr("confidence {percent}, by the model's own estimate"),
                    "agreement": self.tr("confidence {percent}: two ways to it differ"),
                    "overlap": self.tr("confidence {percent}: unlike the slices beside it"),
                }[cell.weakest].format(percent=percent)
            )
        for is_so, text in (
            (cell.is_key, self.tr("key slice")),
            (cell.is_accepted, self.tr("accepted")),
            (cell.is_corrected, self.tr("corrected by hand")),
            (cell.is_changed, self.tr("changed by the latest answer")),
        ):
            if is_so:
                parts.append(text)
        return self.tr("Slice {number}: {text}").format(
            number=cell.index + 1, text="; ".join(parts)
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint cells and marks."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPixelSize(12)
        painter.setFont(font)
        painter.setPen(MUTED)
        area = QRectF(_SIDE_PX, 0, self.width() - 2 * _SIDE_PX, HEIGHT_PX)
        level = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        if not self._cells:
            hint = self.tr("Review: draw a box and carry it through; its slices are listed here.")
            painter.drawText(area, level, hint)
            return
        seen = sum(c.is_accepted or c.is_corrected for c in self._cells)
        masks = sum(c.confidence is not None or c.is_corrected for c in self._cells)
        text = self.tr("Checked {seen} of {count}").format(seen=seen, count=masks)
        painter.drawText(area, level, text)
        for number, cell in enumerate(self._cells):
            self._paint_cell(painter, self.cell_rect(number), cell)

    def _paint_cell(self, painter: QPainter, where: QRectF, cell: Cell) -> None:
        gap = 1.0 if where.width() >= 4 else 0.0
        inside = where.adjusted(0, 0, -gap, 0)
        colour = _EMPTY if cell.confidence is None else colour_of(cell.confidence)
        if cell.index in self._running:
            colour = _RUNNING
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawRect(inside)
        middle = where.center().x() - gap / 2
        if cell.is_changed:
            painter.setBrush(POSITIVE)
            painter.drawRect(QRectF(inside.left(), inside.top() - 2, inside.width(), 1.5))
        if cell.is_key:
            painter.setBrush(POSITIVE)
            top = where.top() - 7
            corners = [QPointF(middle - 3.5, top), QPointF(middle + 3.5, top)]
            painter.drawPolygon(QPolygonF([*corners, QPointF(middle, top + 5)]))
        below = where.bottom() + 5
        if cell.is_accepted:
            painter.setPen(with_alpha(POSITIVE, 0.9))
            corner = QPointF(middle - 1, below + 2)
            painter.drawLine(QPointF(middle - 3, below), corner)
            painter.drawLine(corner, QPointF(middle + 3.5, below - 3))
        elif cell.is_corrected:
            painter.setBrush(with_alpha(POSITIVE, 0.9))
            painter.drawEllipse(QPointF(middle, below), 2, 2)
        if cell.index == self.session.view_state.cursor_zyx[self._axis]:
            painter.setPen(POSITIVE)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(inside.adjusted(-0.5, -0.5, 0.5, 0.5))

    # -- keeping up ------------------------------------------------------------------------------

    def _on_document_changed(self, document: Document | None) -> None:
        self.setVisible(document is not None)
        self._running.clear()
        self._timer.start()

    def _on_preview(self, preview: Preview | None) -> None:
        if preview is None:
            self._running.clear()
        elif self.session.prompting.pending and preview.axis == self._axis:
            self._running.add(preview.index)
        self._timer.start()

    def _on_view_changed(self, name: str) -> None:
        if name in ("cursor_zyx", "active_label"):
            self._timer.start()

    def _refresh(self) -> None:
        target = self._target()
        self._axis = self.session.review.axis_of(target)
        self._cells = self._with_running(self.session.review.cells(target))
        self.update()

    def _with_running(self, cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
        """Return cells that reach as far as what is being carried through."""
        pending = self.session.prompting.pending
        ranges = [p.through for p in pending if isinstance(p, BoxPrompt) and p.through]
        if not ranges:
            return cells
        known = {c.index: c for c in cells}
        low = min([*known, *(r[0] for r in ranges)])
        high = max([*known, *(r[1] - 1 for r in ranges)])
        return tuple(known.get(i, Cell(i)) for i in range(low, high + 1))

    # -- inside ----------------------------------------------------------------------------------

    def _target(self) -> int | None:
        session = self.session
        return session.review.target(
            session.prompting.current_object, session.view_state.active_label
        )

    def _go_on(self) -> bool:
        """Go to what most needs a look; False if nothing does."""
        found = self.session.review.next_to_check(
            self._target(), self.session.view_state.cursor_zyx
        )
        if found is not None:
            self._go_to(*found)
        return found is not None

    def _go_to_unseen(self, target: int, here: int) -> None:
        review = self.session.review
        unseen = [
            c.index
            for c in review.cells(target)
            if c.confidence is not None and not c.is_accepted and not c.is_corrected
        ]
        if not unseen:
            self.session.message.emit(Message(self.tr("Every slice of this object is checked.")))
            return
        later = [i for i in unseen if i > here]
        self._go_to(review.axis_of(target), min(later or unseen))

    def _go_under(self, event: QMouseEvent) -> None:
        cell = self._cell_at(event.position())
        if cell is not None:
            self._go_to(self._axis, cell.index)

    def _go_to(self, axis: int, index: int) -> None:
        cursor = list(self.session.view_state.cursor_zyx)
        cursor[axis] = index
        self.session.view_state.cursor_zyx = (cursor[0], cursor[1], cursor[2])


def colour_of(confidence: float) -> QColor:
    """Return the colour of a confidence, on a ramp that turns at the limit of doubt."""
    for (low, first), (high, last) in pairwise(_RAMP):
        if confidence <= high:
            share = max(0.0, (confidence - low) / (high - low))
            pairs = ((first.red(), last.red()), (first.green(), last.green()))
            red, green = (round(a + share * (b - a)) for a, b in pairs)
            blue = round(first.blue() + share * (last.blue() - first.blue()))
            return QColor(red, green, blue)
    return _RAMP[-1][1]
