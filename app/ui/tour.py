"""The tour of the first start: five bubbles that point at the real thing and wait for nobody.

A step is over when it is done, in whatever way, or when “Next” is pressed; Esc ends the tour. A
bubble takes no focus, covers no question, and hides while something is drawn under it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QPoint, QPointF, QRect, QRectF, Qt, QTimer
from PySide6.QtGui import (
    QColor,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QToolBar, QVBoxLayout, QWidget

from app.core.document import Document
from app.core.prompts import BoxPrompt, Prompt
from app.session import Status

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow

_WIDTH = 300
_ARROW = 9
_FILL, _EDGE = QColor("#1d4460"), QColor("#3585b8")
# Panels are moved and bars wrapped without telling; looking this often is enough.
_FOLLOW_MS = 250


@dataclass(frozen=True)
class Step:
    """One bubble.

    Attributes
    ----------
    text : str
    target : callable
        Returns the widget that it points at.
    is_done : callable
        Returns whether the user has done it, asked whenever something happened.
    """

    text: str
    target: Callable[[], QWidget | None]
    is_done: Callable[[], bool]


class Tour(QObject):
    """Shows the steps one after the other, once for each user.

    Attributes
    ----------
    bubble : Bubble
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._session = window.session
        self._at = -1
        self._before = (0, 0)  # prompts and edits when the step began
        self._has_saved = False
        self._can_cancel = False
        self._is_away = False
        self._leave_document: Callable[[], None] = lambda: None
        self._steps = self._make_steps()
        self.bubble = Bubble(window)
        self.bubble.hide()
        self.bubble.next_button.clicked.connect(self._next)
        self.bubble.skip_button.clicked.connect(self.stop)
        self.bubble.put_away = self._put_away
        self._timer = QTimer(self, interval=_FOLLOW_MS)
        self._timer.timeout.connect(self._place)
        window.installEventFilter(self)
        for panel in window.grid.panels:
            panel.view.viewport().installEventFilter(self)
        session = window.session
        session.document_changed.connect(self._on_document_changed)
        session.prompting.pending_changed.connect(lambda _: self._look())
        session.saved.connect(lambda _: self._on_saved())
        session.status_changed.connect(self._on_status)

    @property
    def step(self) -> int:
        """The number of the step that is shown, from 0; -1 when the tour is not on."""
        return self._at

    def start_once(self) -> None:
        """Start on the very first start of the program."""
        settings = self._session.settings
        if not settings.tour_done and not settings.recent_files:
            self.start()

    def start(self) -> None:
        """Start from the first step that is not done."""
        self._has_saved = False
        self._timer.start()
        self._go(0)

    def stop(self) -> None:
        """End the tour; it does not come again by itself."""
        if self._at < 0:
            return
        self._at = -1
        self._timer.stop()
        self.bubble.hide()
        self._session.settings.tour_done = True
        self._session.settings.save()

    # -- the steps -----------------------------------------------------------------------------

    def _make_steps(self) -> tuple[Step, ...]:
        window, session = self._window, self._session
        return (
            Step(
                self.tr(
                    "Open a CT or MR here, or drop it on the window. The sample will do for a look."
                ),
                lambda: window.start_page.open_button,
                lambda: session.document is not None,
            ),
            Step(
                self.tr("Drag a box round an organ or a lesion, on any plane. Its mask appears."),
                lambda: self._tool_button("tool_box"),
                lambda: any(isinstance(prompt, BoxPrompt) for prompt in self._prompts()),
            ),
            Step(
                self.tr(
                    "Something missing, or too much? Click it with the point tool: left adds, "
                    "right takes away. Brush and lasso work by hand."
                ),
                lambda: self._tool_button("tool_point"),
                self._has_corrected,
            ),
            Step(
                self.tr(
                    "Carry the mask through the neighbouring slices. N then leads to those that "
                    "need a second look."
                ),
                lambda: window.segment_panel.carry_button,
                self._has_carried,
            ),
            Step(
                self.tr(
                    "Save the mask to a file. Your work is kept at every step, even if you do not. "
                    "Any other command: Ctrl+Shift+P."
                ),
                lambda: self._tool_button("save"),
                lambda: self._has_saved,
            ),
        )

    def _prompts(self) -> list[Prompt]:
        """Return the prompts that were given, with those that wait for their masks."""
        document = self._session.document
        given = [] if document is None else list(document.prompts)
        return given + [prompt for prompt in self._session.prompting.pending if prompt not in given]

    def _n_edits(self) -> int:
        """Return the steps beside those of prompts: a prompt's own answer corrects nothing."""
        document = self._session.document
        return 0 if document is None else len(document.undo_labels) - len(document.prompts)

    def _has_corrected(self) -> bool:
        n_prompts, n_edits = self._before
        return len(self._prompts()) > n_prompts or self._n_edits() > n_edits

    def _has_carried(self) -> bool:
        document = self._session.document
        return document is not None and any(
            isinstance(prompt, BoxPrompt) and prompt.through is not None
            for prompt in document.prompts
        )

    def _tool_button(self, action_id: str) -> QWidget | None:
        bar = self._window.findChild(QToolBar, "tools")
        return None if bar is None else bar.widgetForAction(self._window.actions_table[action_id])

    # -- going on ------------------------------------------------------------------------------

    def _next(self) -> None:
        self._go(self._at + 1)

    def _go(self, number: int) -> None:
        if number >= len(self._steps):
            self.stop()
            return
        self._at = number
        self._is_away = False
        self._before = (len(self._prompts()), self._n_edits())
        if self._steps[number].is_done():
            self._go(number + 1)
            return
        is_last = number + 1 == len(self._steps)
        count = self.tr("{number} of {n}").format(number=number + 1, n=len(self._steps))
        self.bubble.show_text(self._steps[number].text, count, is_last=is_last)
        self._place()

    def _look(self) -> None:
        """Go on if the step was done."""
        if self._at < 0:
            return
        if self._steps[self._at].is_done():
            self._next()

    def _on_document_changed(self, document: Document | None) -> None:
        self._leave_document()
        self._leave_document = lambda: None
        if document is not None:
            self._leave_document = document.changed.connect(lambda _: self._look())
        self._look()

    def _on_saved(self) -> None:
        self._has_saved = True
        self._look()

    def _on_status(self, status: Status) -> None:
        self._can_cancel = status.can_cancel

    # -- on the screen -------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take Esc, unless it has something to cancel; step aside while something is drawn."""
        if self._at < 0:
            return False
        kind = event.type()
        if watched is self._window:
            if isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Escape:
                if kind == QEvent.Type.ShortcutOverride and not self._is_esc_needed():
                    event.accept()
                    return True
                if kind == QEvent.Type.KeyPress:
                    self.stop()
                    return True
            elif kind == QEvent.Type.Resize:
                self._place()
        elif kind == QEvent.Type.MouseButtonPress:
            self.bubble.hide()
            self._timer.stop()
        elif kind == QEvent.Type.MouseButtonRelease:
            self._timer.start()
        return False

    def _is_esc_needed(self) -> bool:
        return self._can_cancel or bool(self._session.prompting.pending)

    def _put_away(self) -> None:
        """Hide this bubble; the next step shows its own."""
        self._is_away = True
        self.bubble.hide()

    def _place(self) -> None:
        """Let the bubble point at its target, wherever that is now."""
        if self._at < 0 or self._is_away:
            return
        target = self._steps[self._at].target()
        if target is None or not target.isVisible():
            self.bubble.place_low()
        else:
            corner = target.mapTo(self._window, QPoint(0, 0))
            self.bubble.point_at(QRect(corner, target.size()))
        self.bubble.show()
        self.bubble.raise_()


class Bubble(QWidget):
    """A few words in a box with an arrow, over the window.

    Attributes
    ----------
    put_away : callable
        Called when somebody clicks beside the buttons: it is in the way.
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self.put_away: Callable[[], None] = self.hide
        self._window = window
        self._arrow: QPoint | None = None
        self.setObjectName("bubble")
        self.setFixedWidth(_WIDTH)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.count = QLabel()
        self.count.setObjectName("quiet")
        self.skip_button = QPushButton(self.tr("Skip tour"))
        self.skip_button.setToolTip(self.tr("Esc; Help has the tour again"))
        self.next_button = QPushButton(self.tr("Next"))
        for button in (self.skip_button, self.next_button):
            # Keys stay with the views; Esc and the steps themselves need no focus.
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        row = QHBoxLayout()
        row.addWidget(self.count)
        row.addStretch()
        row.addWidget(self.skip_button)
        row.addWidget(self.next_button)
        layout = self._column = QVBoxLayout(self)
        layout.setContentsMargins(14, 12 + _ARROW, 14, 12 + _ARROW)
        layout.addWidget(self.text)
        layout.addLayout(row)

    def show_text(self, text: str, count: str, *, is_last: bool) -> None:
        """Take the words of a step."""
        self.text.setText(text)
        self.count.setText(count)
        self.next_button.setText(self.tr("Done") if is_last else self.tr("Next"))
        self.skip_button.setVisible(not is_last)
        self.setAccessibleName(f"{count}: {text}")
        self.adjustSize()

    def point_at(self, target: QRect) -> None:
        """Stand below a rectangle of the window, or above it where there is no room below."""
        self.resize(_WIDTH, self._column.totalHeightForWidth(_WIDTH))
        room = self._window.rect().adjusted(6, 6, -6, -6)
        left = target.center().x() - _WIDTH // 2
        left = min(max(left, room.left()), room.right() - _WIDTH)
        is_below = target.bottom() + self.height() <= room.bottom()
        top = target.bottom() + 2 if is_below else target.top() - self.height() - 2
        self.move(left, top)
        tip = min(max(target.center().x() - left, 3 * _ARROW), _WIDTH - 3 * _ARROW)
        self._arrow = QPoint(tip, 0 if is_below else self.height())
        self.update()

    def place_low(self) -> None:
        """Stand at the bottom of the window and point at nothing."""
        self.resize(_WIDTH, self._column.totalHeightForWidth(_WIDTH))
        room = self._window.rect()
        self.move((room.width() - _WIDTH) // 2, room.height() - self.height() - 40)
        self._arrow = None
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Make way."""
        event.accept()
        self.put_away()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the box and its arrow."""
        path = QPainterPath()
        body = QRectF(self.rect()).adjusted(1, _ARROW, -1, -_ARROW)
        path.addRoundedRect(body, 7, 7)
        if self._arrow is not None:
            x = self._arrow.x()
            foot = body.top() + 1 if self._arrow.y() == 0 else body.bottom() - 1
            tip = QPointF(x, 1 if self._arrow.y() == 0 else self.height() - 1)
            arrow = QPainterPath()
            arrow.addPolygon(QPolygonF([QPointF(x - _ARROW, foot), tip, QPointF(x + _ARROW, foot)]))
            arrow.closeSubpath()
            path = path.united(arrow)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(_EDGE, 1.2))
        painter.fillPath(path, _FILL)
        painter.drawPath(path)
        painter.end()
