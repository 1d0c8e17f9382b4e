"""Keeps the drawn scene the same as the session: surfaces, slices, the rendered scan, the pick."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QObject, QTimer, Signal

from app.core.document import Document
from app.core.events import Aspect, Change
from app.core.labels import LabelInfo
from app.session import Session
from app.ui.scene_client import SceneClient
from app.ui.slice_painter import PLANE_COLOURS
from app.view3d.blocks import SmallVolume
from app.view3d.camera import Ray
from app.view3d.picking import (
    box_corners,
    label_voxel,
    plane_corners,
    plane_hit,
    volume_hit,
    voxel_at,
)
from app.view3d.presets import VolumePreset, presets_for
from app.view3d.surfaces import LabelBlocks
from app.view3d.wire import Packet

# After the last change of a mask, until its surface is made anew.
_SURFACE_DELAY_MS = 150
# Scrolling through slices comes first: the scene follows this often.
_PLANE_DELAY_MS = 80
_NO_LABEL = (200, 200, 200)


class SceneFeed(QObject):
    """Sends the process that draws what changed, while the 3-D view is shown.

    Signals
    -------
    changed
        The scene is another; draw it.
    """

    changed = Signal()

    def __init__(self, session: Session, client: SceneClient, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._source = session.scene_source
        self._client = client
        self._document: Document | None = None
        self._is_shown = False
        self._has_planes = True
        self._preset: VolumePreset | None = None
        self._small: SmallVolume | None = None
        self._sent_volume = False
        self._planes_sent: dict[int, tuple[int, tuple[float, float]]] = {}
        self._labels: set[int] = set()
        self._picks: dict[int, tuple[Ray, float, Document]] = {}
        self._n_picks = 0
        self._surface_timer = QTimer(self, singleShot=True, interval=_SURFACE_DELAY_MS)
        self._surface_timer.timeout.connect(self._source.update)
        self._plane_timer = QTimer(self, singleShot=True, interval=_PLANE_DELAY_MS)
        self._plane_timer.timeout.connect(self._send_planes)
        self._leave_document: Callable[[], None] = _nothing
        self._leave_session = (
            session.view_state.changed.connect(self._on_view_changed),
            self._source.outdated.connect(lambda _: self._on_outdated()),
            self._source.updated.connect(self._on_updated),
            self._source.volume_ready.connect(self._on_volume_ready),
        )
        client.answered.connect(self._on_answered)

    # -- what is shown -------------------------------------------------------------------------

    @property
    def corners_lps(self) -> np.ndarray | None:
        """Corners (8, 3) of the scan; None without one."""
        return None if self._document is None else box_corners(self._document.volume.geometry)

    @property
    def presets(self) -> tuple[VolumePreset, ...]:
        """Ways to render the open scan."""
        document = self._session.document
        return () if document is None else presets_for(document.volume.modality)

    @property
    def preset(self) -> VolumePreset | None:
        """How the scan is rendered; None if it is not."""
        return self._preset

    @preset.setter
    def preset(self, preset: VolumePreset | None) -> None:
        self._preset = preset
        self._send_preset()

    @property
    def has_planes(self) -> bool:
        """Whether the three slices are shown."""
        return self._has_planes

    @has_planes.setter
    def has_planes(self, has_planes: bool) -> None:
        self._has_planes = has_planes
        self._planes_sent.clear()
        self._send_planes()

    def fill(self, document: Document | None) -> None:
        """Put all of a document into the empty scene of the process; None for nothing."""
        self._leave_document()
        self._leave_document = _nothing
        is_same_scan = (
            self._document is not None
            and document is not None
            and self._document.volume is document.volume
        )
        if not is_same_scan:
            self._small = None
        if document is not None and self._preset not in presets_for(document.volume.modality):
            self._preset = None
        self._document = document
        self._sent_volume = False
        self._planes_sent.clear()
        self._labels.clear()
        self._picks.clear()
        self._client.send(Packet("clear"))
        if document is not None:
            self._leave_document = document.changed.connect(self._on_changed)
        self._source.watch(document)
        self._send_planes()
        self._send_preset()

    def set_shown(self, is_shown: bool) -> None:
        """Catch up when the view comes to light; rest while it is hidden."""
        self._is_shown = is_shown
        if is_shown:
            self._send_planes()
            self._source.update()

    def close_feed(self) -> None:
        """Stop listening to the session."""
        self._surface_timer.stop()
        self._plane_timer.stop()
        for leave in (*self._leave_session, self._leave_document):
            leave()
        self._source.watch(None)

    # -- picking -------------------------------------------------------------------------------

    def pick(self, ray: Ray) -> None:
        """Move the cursor to what a line of sight meets first; nothing if it meets nothing."""
        document = self._document
        if document is None:
            return
        geometry, cursor = document.volume.geometry, self._session.view_state.cursor_zyx
        met: list[float | None] = []
        if self._has_planes:
            met += [plane_hit(geometry, axis, cursor[axis], ray) for axis in range(3)]
        if self._preset is not None and self._small is not None:
            met.append(volume_hit(self._small, self._preset, ray))
        nearest = min((d for d in met if d is not None), default=float("inf"))
        corners = box_corners(geometry)
        reach = float(np.linalg.norm(corners - ray.origin_lps, axis=1).max())
        self._n_picks += 1
        self._picks = {self._n_picks: (ray, nearest, document)}
        self._client.send(
            Packet(
                "pick",
                {"tag": self._n_picks, "reach_mm": reach},
                {"ray": np.stack([ray.origin_lps, ray.direction_lps])},
            )
        )

    def _on_answered(self, packet: Packet) -> None:
        if packet.kind != "picked":
            return
        ray, nearest, document = self._picks.pop(packet.facts["tag"], (None, 0.0, None))
        if ray is None or document is None or document is not self._document:
            return
        geometry = document.volume.geometry
        label, distance = packet.facts["label"], packet.facts["distance_mm"]
        if label and distance < nearest:
            voxels = document.labelmap.voxels
            voxel = label_voxel(voxels, geometry, label, ray, distance)
        elif np.isfinite(nearest):
            voxel = voxel_at(geometry, ray.at(nearest))
        else:
            return
        self._session.view_state.cursor_zyx = voxel

    # -- what happened -------------------------------------------------------------------------

    def _on_changed(self, change: Change) -> None:
        if change.aspects & Aspect.LABELS:
            self._send_styles(self._labels)

    def _on_view_changed(self, name: str) -> None:
        if name in ("cursor_zyx", "window") and self._is_shown and not self._plane_timer.isActive():
            self._plane_timer.start()

    def _on_outdated(self) -> None:
        # Not put off by further changes: a long stroke is followed, too.
        if self._is_shown and not self._surface_timer.isActive():
            self._surface_timer.start()

    def _on_updated(self, blocks: LabelBlocks) -> None:
        for label_id in blocks.gone:
            self._labels.discard(label_id)
            self._client.send(Packet("drop", {"label": label_id}))
        for block in blocks.made:
            self._labels.add(block.label_id)
            arrays = {"filled": block.filled, "affine": block.geometry.affine}
            self._client.send(Packet("surface", {"label": block.label_id}, arrays))
        self._send_styles({block.label_id for block in blocks.made})

    def _on_volume_ready(self, small: SmallVolume) -> None:
        self._small = small
        self._send_preset()

    # -- sending -------------------------------------------------------------------------------

    def _send_styles(self, labels: set[int]) -> None:
        if self._document is None:
            return
        for label_id in labels:
            info = self._document.label_table.get(label_id)
            if info is None:
                info = LabelInfo(label_id, f"Label {label_id}", _NO_LABEL)
            facts = {
                "label": label_id,
                "colour": [c / 255 for c in info.colour],
                "opacity": info.opacity,
                "visible": info.visible,
            }
            self._client.send(Packet("style", facts))
        self.changed.emit()

    def _send_planes(self) -> None:
        document = self._document
        if document is None or not self._is_shown:
            return
        if not self._has_planes:
            self._client.send(Packet("hide_planes"))
            self.changed.emit()
            return
        state, volume = self._session.view_state, document.volume
        for axis in range(3):
            index = state.cursor_zyx[axis]
            now = (index, state.window)
            if self._planes_sent.get(axis) == now:
                continue
            self._planes_sent[axis] = now
            arrays = {
                "corners": plane_corners(volume.geometry, axis, index),
                "grey": _grey(volume.slice_at(axis, index), state.window),
            }
            line = PLANE_COLOURS[axis]
            colour = [line.redF(), line.greenF(), line.blueF()]
            self._client.send(Packet("plane", {"number": axis, "colour": colour}, arrays))
        self.changed.emit()

    def _send_preset(self) -> None:
        document, preset, small = self._document, self._preset, self._small
        if document is None:
            return
        if preset is None:
            self._client.send(Packet("preset", {"opacity": [], "colour": []}))
        elif small is None:
            self._source.ask_volume(document.volume)
            return
        else:
            if not self._sent_volume:
                self._sent_volume = True
                arrays = {"values": small.values, "affine": small.geometry.affine}
                self._client.send(Packet("volume", {}, arrays))
            facts = {"opacity": preset.opacity, "colour": preset.colour}
            self._client.send(Packet("preset", facts))
        self.changed.emit()


def _grey(pixels: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Return a slice as it is displayed, uint8."""
    low, high = window
    scaled = (pixels.astype(np.float32) - np.float32(low)) * np.float32(255 / max(high - low, 1e-6))
    return np.clip(scaled, 0, 255).astype(np.uint8)


def _nothing() -> None:
    """Leave a document that was never joined."""
