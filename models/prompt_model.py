"""The embedded promptable model: the network that ships with Maskwright, as a `SliceModel`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from app.core.prompts import PromptKind
from app.core.tasks import JobContext
from app.core.volume import Modality
from models.base import (
    MODEL_FORMATS,
    InstalledModel,
    KeySlice,
    ModelFormat,
    ModelKind,
    ModelSpec,
    SliceMask,
    SlicePrompts,
    SliceView,
)
from models.cache import EmbeddingCache
from models.preprocess import (
    BoxRC,
    Zoom,
    apply_window,
    network_input,
    window_for_bone,
    zoom_to_box,
    zoom_to_slice,
)
from models.prompted_object import box_around
from models.runtime import Device, Network, cpu_precision, open_graph, wrap_module
from models.volume_guide import VolumeGuide

FORMAT_ID = "prompt_unet"

# The crop is this many times the box: enough to see what the object is not.
CONTEXT = 1.75
# A mask that touches the rim of the crop is asked for again with this much more around it.
ENLARGE = 1.5
# Taken from the logits of the two passes that carry a mask on: a mask that grows a little on each
# slice has grown a lot after ten. Chosen on training patients that were set aside.
CARRY_SHIFTS = (0.5, 0.0)
# Where the network is less sure of a box's content than this, the ellipse in the box has a say, the
# more the less sure it is: most of what people box is round, and of anatomy that it has never seen
# the network leaves out parts. The numbers were chosen on training patients that were set aside:
# they cost nothing on what was learnt, and gain most with a network that did not learn their data.
SURE, ELLIPSE_WEIGHT, ELLIPSE_SOFTNESS = 0.9, 6.0, 0.5
# A hole in a mask whose mean probability is above this is no hole.
HOLE_LEVEL = 0.35


class EmbeddedModel:
    """The embedded network behind the `SliceModel` protocol.

    It looks at a crop around the box (early fusion: image and prompts enter together), so there
    is no image embedding to cache; one pass answers one prompt.
    """

    spec = ModelSpec(
        id="embedded",
        title="Maskwright embedded",
        kind=ModelKind.PROMPTABLE,
        prompt_kinds=frozenset(PromptKind),
    )

    def __init__(
        self, network: Network, size: int, device: str, guide: VolumeGuide | None = None
    ) -> None:
        self._network = network
        self._size = size
        self._device = device
        self._guide = guide

    @property
    def device(self) -> str:
        return self._device

    def prepare(self, views: Sequence[SliceView], cache: EmbeddingCache, ctx: JobContext) -> None:
        """Do nothing: the network has no separate image encoder."""

    def predict(self, view: SliceView, prompts: SlicePrompts, cache: EmbeddingCache) -> SliceMask:
        is_carried = prompts.neighbour is not None and prompts.previous is None
        if is_carried and not prompts.has_clicks:
            return self._carried(view, prompts)
        return self._answer(view, prompts)

    def guide(
        self, view: SliceView, keys: Mapping[int, KeySlice], start: int, stop: int
    ) -> Mapping[int, np.ndarray]:
        if self._guide is None:
            return {}
        spacing = view.volume.geometry.spacing_zyx
        order = (view.axis, *(a for a in range(3) if a != view.axis))
        voxels = view.volume.voxels.transpose(order)
        window = view.window
        if view.volume.modality is Modality.CT:
            drawn = np.concatenate([voxels[index][key.mask] for index, key in keys.items()])
            window = window_for_bone(drawn, window)
        return self._guide.probabilities(
            voxels,
            (spacing[order[0]], spacing[order[1]], spacing[order[2]]),
            window,
            keys,
            start,
            stop,
        )

    def _carried(self, view: SliceView, prompts: SlicePrompts) -> SliceMask:
        """Return the continuation of a neighbour's mask: found first, then outlined afresh.

        The first pass says where the object went. The second gets that mask and its box, so that
        the image decides about the outline; without it errors add up from slice to slice.
        """
        first = self._answer(view, SlicePrompts(neighbour=prompts.neighbour), CARRY_SHIFTS[0])
        box = box_around(first.mask, margin=0.0)
        if box is None:
            return first
        again = SlicePrompts(box_rc=box, neighbour=first.mask.astype(np.float32))
        return self._answer(view, again, CARRY_SHIFTS[1])

    def _answer(self, view: SliceView, prompts: SlicePrompts, shift: float = 0.0) -> SliceMask:
        """Return the answer to prompts; ``shift`` is taken from the logits."""
        zoom = self._first_zoom(view, prompts)
        probability, score, touches_rim = self._run(view, prompts, zoom, shift)
        if touches_rim and prompts.box_rc is None:
            wider = zoom.enlarged(ENLARGE)
            if wider != zoom:
                probability, score, _ = self._run(view, prompts, wider, shift)
        elif prompts.box_rc is None and zoom == zoom_to_slice(
            view.spacing_rc, view.shape_rc, self._size
        ):
            # A click alone is answered on the whole slice first, then again closer up.
            found = box_around(probability > 0.5, margin=0.0)
            if found is not None:
                closer = zoom_to_box(
                    found, view.spacing_rc, view.shape_rc, self._size, factor=CONTEXT
                )
                probability, score, _ = self._run(view, prompts, closer, shift)
        return SliceMask(fill_doubtful_holes(probability), score)

    def _first_zoom(self, view: SliceView, prompts: SlicePrompts) -> Zoom:
        box = prompts.box_rc
        for mask in (prompts.previous, prompts.neighbour):
            if box is None and mask is not None:
                box = box_around(mask > 0.5, margin=0.1)
        if box is None:
            return zoom_to_slice(view.spacing_rc, view.shape_rc, self._size)
        return zoom_to_box(box, view.spacing_rc, view.shape_rc, self._size, factor=CONTEXT)

    def _run(
        self, view: SliceView, prompts: SlicePrompts, zoom: Zoom, shift: float
    ) -> tuple[np.ndarray, float, bool]:
        slices = [view.neighbour(-1), view.pixels, view.neighbour(1)]
        window = view.window
        if view.volume.modality is Modality.CT:
            window = window_for_bone(_asked_for(view.pixels, prompts), window)
        windowed = [None if s is None else apply_window(s, window) for s in slices]
        (found, *_), quality = self._network(network_input(windowed, zoom, prompts))
        score = float(1.0 / (1.0 + np.exp(-float(quality.reshape(-1)[0]))))
        logits = found[0] - np.float32(shift)
        # Bone is thin and bent, and plain to see.
        box = _box_alone(prompts)
        if box is not None and window == view.window and score < SURE:
            logits = logits + ELLIPSE_WEIGHT * (SURE - score) * _ellipse(zoom, box)
        inside = logits > 0
        rim = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
        return zoom.paste_probability(logits), score, bool(rim.any())


def _box_alone(prompts: SlicePrompts) -> BoxRC | None:
    """Return the box if nothing else is said about the object."""
    has_mask = prompts.previous is not None or prompts.neighbour is not None
    return None if has_mask or prompts.has_clicks else prompts.box_rc


def _ellipse(zoom: Zoom, box_rc: BoxRC) -> np.ndarray:
    """Return (size, size) float32: above 0 inside the ellipse in a box, below 0 outside."""
    r0, c0, r1, c1 = box_rc
    corners = zoom.to_network(np.array([[r0 - 0.5, c0 - 0.5], [r1 - 0.5, c1 - 0.5]]))
    middle, half = corners.mean(axis=0), np.maximum((corners[1] - corners[0]) / 2, 0.5)
    rows, columns = np.ogrid[: zoom.size, : zoom.size]
    radius = np.hypot((rows - middle[0]) / half[0], (columns - middle[1]) / half[1])
    return np.clip((1 - radius) / ELLIPSE_SOFTNESS, -1.5, 1.5).astype(np.float32)


def _asked_for(pixels: np.ndarray, prompts: SlicePrompts) -> np.ndarray:
    """Return the pixels under a mask of the prompts, else in their box; none for clicks alone."""
    for mask in (prompts.previous, prompts.neighbour):
        if mask is not None:
            return pixels[mask > 0.5]
    if prompts.box_rc is None:
        return pixels[:0]
    r0, c0, r1, c1 = (max(0, round(edge)) for edge in prompts.box_rc)
    return pixels[r0:r1, c0:c1]


def fill_doubtful_holes(probability: np.ndarray) -> np.ndarray:
    """Return a probability (H, W) without the holes of its mask that are holes by a hair.

    A hole stays where the network is sure of it (a vessel in an organ, the chamber in a wall).
    """
    mask = probability > 0.5
    holes = ndimage.binary_fill_holes(mask) & ~mask
    if not holes.any():
        return probability
    pieces, n_pieces = ndimage.label(holes)
    means = np.asarray(ndimage.mean(probability, pieces, range(1, n_pieces + 1)))
    doubtful = np.isin(pieces, 1 + np.flatnonzero(means > HOLE_LEVEL))
    return np.where(doubtful, np.maximum(probability, np.float32(0.501)), probability)


def build(installed: InstalledModel, device: Device, cache_dir: Path | None) -> EmbeddedModel:
    """Return the embedded model, on the OpenVINO graph on a CPU, on PyTorch on a GPU.

    Raises
    ------
    WeightsError
        Its files are missing or damaged.
    """
    size = int(str(installed.details.get("input_size", 192)))
    guide_weights = installed.details.get("guide")
    guide_path = None if guide_weights is None else installed.path.with_name(str(guide_weights))
    if device.kind == "cpu":
        network = open_graph(installed.path.with_suffix(".xml"), cache_dir=cache_dir)
        guide = None
        if guide_path is not None:
            guide = VolumeGuide(open_graph(guide_path.with_suffix(".xml"), cache_dir=cache_dir))
        text = f"OpenVINO {cpu_precision()} on {device.name}"
        return EmbeddedModel(network, size, text, guide)
    from models.weights import load_guide, load_prompt_unet

    network = wrap_module(load_prompt_unet(installed), device)
    guide = None if guide_path is None else VolumeGuide(wrap_module(load_guide(guide_path), device))
    return EmbeddedModel(network, size, f"PyTorch fp16 on {device.name}", guide)


MODEL_FORMATS.register(ModelFormat(FORMAT_ID, build))
