"""The process that draws: ``python -m app.view3d.server``, spoken to through its input and output.

It says "ready" or "unable" first, then answers what it is asked until its input ends.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from app.view3d.camera import Camera, Ray
from app.view3d.wire import Decoder, Packet, encode

if TYPE_CHECKING:
    from app.view3d.scene import Scene

_PIECE = 1 << 20


class Server:
    """Carries out messages on a scene.

    Parameters
    ----------
    scene : Scene
    answer : callable
        Takes the answers.
    """

    def __init__(self, scene: Scene, answer: Callable[[Packet], None]) -> None:
        self._scene = scene
        self._answer = answer

    def handle(self, packet: Packet) -> None:
        """Do what a message says; its kind is the name of a method here."""
        getattr(self, f"_do_{packet.kind}")(packet.facts, packet.arrays)

    def _do_clear(self, facts: Any, arrays: Any) -> None:
        self._scene.clear()

    def _do_surface(self, facts: Any, arrays: Any) -> None:
        self._scene.set_surface(facts["label"], arrays["filled"], arrays["affine"])

    def _do_drop(self, facts: Any, arrays: Any) -> None:
        self._scene.drop_surface(facts["label"])

    def _do_style(self, facts: Any, arrays: Any) -> None:
        self._scene.style_surface(
            facts["label"], facts["colour"], facts["opacity"], facts["visible"]
        )

    def _do_plane(self, facts: Any, arrays: Any) -> None:
        self._scene.set_plane(facts["number"], arrays["corners"], arrays["grey"], facts["colour"])

    def _do_hide_planes(self, facts: Any, arrays: Any) -> None:
        self._scene.hide_planes()

    def _do_volume(self, facts: Any, arrays: Any) -> None:
        self._scene.set_volume(arrays["values"], arrays["affine"])

    def _do_preset(self, facts: Any, arrays: Any) -> None:
        self._scene.render_volume(facts["opacity"], facts["colour"])

    def _do_draw(self, facts: Any, arrays: Any) -> None:
        began = time.perf_counter()
        camera = Camera(*arrays["camera"])
        picture = self._scene.draw(
            camera, facts["width"], facts["height"], is_moving=facts["moving"]
        )
        took_ms = 1000 * (time.perf_counter() - began)
        answered = {"tag": facts["tag"], "moving": facts["moving"], "took_ms": took_ms}
        self._answer(Packet("picture", answered, {"rgb": picture}))

    def _do_pick(self, facts: Any, arrays: Any) -> None:
        origin, direction = arrays["ray"]
        hit = self._scene.surface_hit(Ray(origin, direction), facts["reach_mm"])
        label, distance = hit if hit is not None else (0, 0.0)
        answered = {"tag": facts["tag"], "label": label, "distance_mm": distance}
        self._answer(Packet("picked", answered))


def packets(source: BinaryIO) -> Iterator[Packet]:
    """Yield the messages of a stream until it ends."""
    decoder = Decoder()
    while piece := os.read(source.fileno(), _PIECE):
        yield from decoder.feed(piece)


def main() -> None:
    """Serve the program that started this process."""
    # Drivers write to the standard output as they like; what goes there lands with the errors.
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(packet: Packet) -> None:
        output.write(encode(packet))
        output.flush()

    try:
        from app.view3d.scene import NoOpenGLError, Scene
    except ImportError as error:
        answer(Packet("unable", {"why": str(error)}))
        return
    try:
        scene = Scene()
    except NoOpenGLError as error:
        answer(Packet("unable", {"why": str(error)}))
        return
    server = Server(scene, answer)
    answer(Packet("ready", {"opengl": scene.opengl, "is_software": scene.is_software}))
    for packet in packets(sys.stdin.buffer):
        server.handle(packet)


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
