"""The 3-D view's place in the window. Nothing is started before it is first seen."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from PySide6.QtCore import QIODevice, QPointF, QSaveFile, Qt, QTimer, Signal
from PySide6.QtGui import QActionGroup, QHideEvent, QImageWriter, QPainter, QShowEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.core.document import Document
from app.session import Message, Session
from app.ui import dialogs
from app.ui.actions import ActionSpec
from app.ui.scene_client import SceneClient
from app.ui.scene_feed import SceneFeed
from app.ui.scene_view import SceneView, draw_compass, image_of
from app.view3d.camera import SIDES
from app.view3d.presets import VolumePreset
from app.view3d.wire import Packet

_STYLE = """
#planeTitle { color: #a9c7dc; font-weight: 600; }
#side, #show, #maximise { border: none; padding: 0 4px; color: #808a96; }
#side:hover, #show:hover, #maximise:hover { color: #d8dde3; }
#side:focus, #show:focus { color: #d8dde3; }
#show::menu-indicator { image: none; }
#sentence { color: #8b96a1; }
"""
_FIRST_SIDE = "A"
_STILL_DELAY_MS = 180
# Slower than this, pictures of the moving scene are drawn smaller; faster, larger again.
_SLOW_MS, _QUICK_MS = 45.0, 12.0
_MAX_SHRINK = 3
_PICTURE_PX = 1600
_PICTURE_TAG = "file"


class ScenePanel(QWidget):
    """The 3-D view with its title: six sides, what is shown, and the button that maximises it.

    Attributes
    ----------
    view : SceneView

    Signals
    -------
    maximise_requested
    """

    maximise_requested = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.view = SceneView()
        self.client = SceneClient(self)
        self.feed = SceneFeed(session, self.client, self)
        self._sentence = QLabel()
        self._again = QPushButton(self.tr("Try again"))
        self._stack = QStackedWidget()
        self._maximise = QToolButton()
        self._document: Document | None = None
        # Then it waits for the user to start it again.
        self._has_stopped = False
        self._shrink = 1
        self._is_drawing = False
        # What to draw when the present picture has come: None, or whether it is one of many.
        self._wanted: bool | None = None
        self._picture_path: Path | None = None
        self._still_timer = QTimer(self, singleShot=True, interval=_STILL_DELAY_MS)
        self._still_timer.timeout.connect(lambda: self._draw(is_moving=False))
        self._build()
        self.client.ready.connect(self._on_ready)
        self.client.unable.connect(self._on_unable)
        self.client.stopped.connect(self._on_stopped)
        self.client.answered.connect(self._on_answered)
        self.feed.changed.connect(lambda: self._draw(is_moving=True))
        self.view.camera_changed.connect(lambda: self._draw(is_moving=True))
        self.view.clicked.connect(self._on_clicked)
        self.view.reset_requested.connect(self.reset_camera)
        self.view.maximise_requested.connect(self.maximise_requested)
        self._again.clicked.connect(self._start)
        self._leave = session.document_changed.connect(lambda _: self._take_document())

    # -- what can be done ----------------------------------------------------------------------

    @property
    def is_drawn(self) -> bool:
        """Whether the scene of an open scan is on the screen."""
        return self.client.is_ready and self._document is not None and self.isVisible()

    def look_from(self, side: str) -> None:
        """See all of the scan from one side: A, P, L, R, S or I."""
        corners = self.feed.corners_lps
        if corners is not None:
            self.view.look_from(side, corners)

    def reset_camera(self) -> None:
        """See all of the scan from the front."""
        self.look_from(_FIRST_SIDE)

    def next_preset(self) -> None:
        """Render the scan in the next way; after the last not at all."""
        ways = (None, *self.feed.presets)
        now = ways.index(self.feed.preset) if self.feed.preset in ways else 0
        self.feed.preset = ways[(now + 1) % len(ways)]

    def save_picture(self) -> None:
        """Ask where, and save what is seen as a PNG."""
        folder = Path(self.session.settings.last_folder or ".")
        path = dialogs.ask_save_picture(self, folder / "view.png")
        size = self.view.size_px
        if path is None or not self.is_drawn:
            return
        self._picture_path = path if path.suffix.lower() == ".png" else path.with_suffix(".png")
        scale = max(1.0, _PICTURE_PX / size.width())
        self._ask(round(size.width() * scale), round(size.height() * scale), False, _PICTURE_TAG)

    def action_specs(self) -> list[ActionSpec]:
        """Return everything that the view can do; only the picture stands in a menu of the bar."""

        def is_drawn() -> bool:
            return self.is_drawn

        needs = self.tr("Show the 3-D view first (View, layout: four).")
        names = {
            "A": self.tr("3-D from the front"),
            "P": self.tr("3-D from the back"),
            "L": self.tr("3-D from the patient's left"),
            "R": self.tr("3-D from the patient's right"),
            "S": self.tr("3-D from above"),
            "I": self.tr("3-D from below"),
        }  # fmt: skip

        def spec(name: str, text: str, act, menu: str = "3-D view", is_on=None) -> ActionSpec:
            return ActionSpec(f"scene_{name}", menu, text, "", act, is_drawn, is_on, needs)

        return [
            spec("picture", self.tr("Save picture of the 3-D view…"), self.save_picture, "View"),
            spec("planes", self.tr("Slices in 3-D"), self._flip_planes,
                 is_on=lambda: self.feed.has_planes),
            spec("volume", self.tr("Next volume rendering"), self.next_preset),
            spec("reset", self.tr("Reset the 3-D camera"), self.reset_camera),
            *(spec(f"from_{s}", names[s], partial(self.look_from, s)) for s in SIDES),
        ]  # fmt: skip

    def set_maximised(self, is_maximised: bool) -> None:
        """Let the button in the title offer the way back."""
        self._maximise.setText("▣" if is_maximised else "□")
        self._maximise.setToolTip(
            self.tr("Show all views") if is_maximised else self.tr("Show this view alone")
        )

    def close_panel(self) -> None:
        """Stop listening to the session, and end the process that draws."""
        self._still_timer.stop()
        self._leave()
        self.feed.close_feed()
        self.client.close()

    # -- starting ------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.feed.set_shown(True)
        self._take_document()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.feed.set_shown(False)

    def _take_document(self) -> None:
        """Show the session's scan, if anybody looks; start what draws it, the first time."""
        document = self.session.document
        if document is None and self._document is not None:
            self._document = None
            self.view.clear()
            self.feed.fill(None)
        if document is None or not self.isVisible():
            return
        if not self.client.is_ready:
            if not self.client.is_started and not self._has_stopped:
                self._start()
        elif document is not self._document:
            self._fill(document)
        else:
            self._draw(is_moving=False)

    def _start(self) -> None:
        self._has_stopped = False
        self._say(self.tr("Starting the 3-D view…"))
        self.client.start()

    def _on_ready(self) -> None:
        self._is_drawing, self._wanted, self._shrink = False, None, 1
        self._stack.setCurrentWidget(self.view)
        self._document = None
        self._take_document()

    def _on_unable(self) -> None:
        self._say(
            self.tr(
                "The 3-D view needs OpenGL 3.2, which this computer does not offer. "
                "Everything else works without it; a newer graphics driver, or Mesa, "
                "brings it back."
            )
        )

    def _on_stopped(self) -> None:
        self._document, self._has_stopped = None, True
        self._say(self.tr("The 3-D view has stopped. Your work is not affected."))

    def _fill(self, document: Document) -> None:
        self._document = document
        self.view.clear()
        self.feed.fill(document)
        self.reset_camera()

    def _say(self, sentence: str) -> None:
        self._sentence.setText(sentence)
        self._again.setVisible(self._has_stopped)
        self._stack.setCurrentIndex(0)

    # -- drawing -------------------------------------------------------------------------------

    def _draw(self, *, is_moving: bool) -> None:
        """Ask for a picture; while one is on its way, only the latest wish counts."""
        if not self.is_drawn or self.view.camera is None:
            return
        if self._is_drawing:
            self._wanted = is_moving
            return
        if is_moving:
            self._still_timer.start()
        self._is_drawing = True
        size, shrink = self.view.size_px, self._shrink if is_moving else 1
        self._ask(size.width() // shrink, size.height() // shrink, is_moving, "view")

    def _ask(self, width: int, height: int, is_moving: bool, tag: str) -> None:
        camera = self.view.camera
        assert camera is not None
        facts = {"width": max(1, width), "height": max(1, height), "moving": is_moving, "tag": tag}
        seen_from = np.stack([camera.eye_lps, camera.target_lps, camera.up])
        self.client.send(Packet("draw", facts, {"camera": seen_from}))

    def _on_answered(self, packet: Packet) -> None:
        if packet.kind != "picture":
            return
        if packet.facts["tag"] == _PICTURE_TAG:
            self._write_picture(packet.arrays["rgb"])
            return
        self._is_drawing = False
        if self._document is not None:
            self.view.show_picture(packet.arrays["rgb"])
        if packet.facts["moving"] and self.client.is_software:
            self._adapt(packet.facts["took_ms"])
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            self._draw(is_moving=wanted)

    def _adapt(self, took_ms: float) -> None:
        """Keep the moving scene fluid."""
        if took_ms > _SLOW_MS:
            self._shrink = min(_MAX_SHRINK, self._shrink + 1)
        elif took_ms < _QUICK_MS:
            self._shrink = max(1, self._shrink - 1)

    def _write_picture(self, rgb: np.ndarray) -> None:
        path, self._picture_path = self._picture_path, None
        if path is None or self.view.camera is None:
            return
        image = image_of(rgb)
        painter = QPainter(image)
        scale = image.height() / max(1, self.view.height())
        draw_compass(painter, self.view.camera, image.height(), scale)
        painter.end()
        file = QSaveFile(str(path))
        is_saved = file.open(QIODevice.OpenModeFlag.WriteOnly)
        is_saved = is_saved and QImageWriter(file, b"png").write(image) and file.commit()
        if is_saved:
            text = self.tr("Saved {name}.").format(name=path.name)
        else:
            text = self.tr("“{name}” cannot be saved: {why}. Choose another folder.").format(
                name=path.name, why=file.errorString()
            )
        self.session.message.emit(Message(text, is_error=not is_saved))

    def _on_clicked(self, where: QPointF) -> None:
        if self.view.camera is not None and self.client.is_ready:
            size = self.view.size()
            self.feed.pick(self.view.camera.ray(where.x(), where.y(), size.width(), size.height()))

    # -- inside --------------------------------------------------------------------------------

    def _flip_planes(self) -> None:
        self.feed.has_planes = not self.feed.has_planes

    def _use_preset(self, preset: VolumePreset | None) -> None:
        self.feed.preset = preset

    def _fill_menu(self, menu: QMenu) -> None:
        """List what can be shown, as it is now."""
        menu.clear()
        planes = menu.addAction(self.tr("Slices"))
        planes.setCheckable(True)
        planes.setChecked(self.feed.has_planes)
        planes.triggered.connect(self._flip_planes)
        menu.addSeparator()
        group = QActionGroup(menu)
        entries: list[tuple[str, VolumePreset | None]] = [(self.tr("No volume rendering"), None)]
        entries += [(self.tr("Volume: {name}").format(name=p.name), p) for p in self.feed.presets]
        for text, preset in entries:
            action = group.addAction(menu.addAction(text))
            action.setCheckable(True)
            action.setChecked(self.feed.preset == preset)
            action.triggered.connect(partial(self._use_preset, preset))
        menu.addSeparator()
        menu.addAction(self.tr("Reset the camera (R)")).triggered.connect(self.reset_camera)
        menu.addAction(self.tr("Save picture…")).triggered.connect(self.save_picture)

    def _build(self) -> None:
        self.setStyleSheet(_STYLE)
        self.view.setAccessibleName(self.tr("3-D view"))
        title = QHBoxLayout()
        title.setContentsMargins(8, 2, 4, 2)
        title.setSpacing(2)
        name = QLabel(self.tr("3-D"))
        name.setObjectName("planeTitle")
        title.addWidget(name)
        title.addStretch(1)
        sides = {
            "A": self.tr("From the front (anterior)"),
            "P": self.tr("From the back (posterior)"),
            "L": self.tr("From the patient's left"),
            "R": self.tr("From the patient's right"),
            "S": self.tr("From above (superior)"),
            "I": self.tr("From below (inferior)"),
        }
        for side in SIDES:
            button = QToolButton()
            button.setObjectName("side")
            button.setText(side)
            button.setToolTip(sides[side])
            button.setAccessibleName(sides[side])
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.clicked.connect(partial(self._look_from_button, side))
            title.addWidget(button)
        show = QToolButton()
        show.setObjectName("show")
        show.setText(self.tr("Show ▾"))
        show.setAccessibleName(self.tr("What the 3-D view shows"))
        show.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        show.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(show)
        menu.aboutToShow.connect(lambda: self._fill_menu(menu))
        show.setMenu(menu)
        title.addWidget(show)
        self._maximise.setObjectName("maximise")
        self._maximise.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._maximise.clicked.connect(self.maximise_requested)
        self.set_maximised(False)
        title.addWidget(self._maximise)
        self._sentence.setObjectName("sentence")
        self._sentence.setWordWrap(True)
        self._sentence.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._again.hide()
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(24, 24, 24, 24)
        column.addStretch(1)
        column.addWidget(self._sentence)
        column.addWidget(self._again, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(1)
        self._stack.addWidget(page)
        self._stack.addWidget(self.view)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(title)
        layout.addWidget(self._stack, 1)

    def _look_from_button(self, side: str, _: bool = False) -> None:
        self.look_from(side)
