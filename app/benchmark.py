"""This machine's own figures, by the same session, engine and commands that people use.

What has to start cold (the window, a command) is measured in processes of its own.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from app import __version__
from app.core.geometry import Geometry
from app.core.prompts import AXIAL, BoxPrompt, slice_region
from app.core.tasks import JobContext, NullContext
from app.core.volume import Volume
from app.io.reader import read_volume
from app.io.writer import write_volume
from app.settings import user_models_dir
from models.automatic.spec import automatic_spec
from models.base import InstalledModel, ModelKind
from models.engine import DEFAULT_MODEL, InferenceEngine, SegmentationRequest
from models.preprocess import intensity_window
from models.runtime import cpu_name
from models.weights import list_models
from resources import resource_path

logger = logging.getLogger(__name__)

SAMPLE = "samples/torso_ct.nii.gz"
# What automatic models are timed on: a planning CT of the head and neck; 200 slices of a trunk.
HEAD_NECK_ZYX, TRUNK_ZYX = (128, 128, 128), (200, 512, 512)
# A usual CT of the trunk.
LARGE_ZYX = (160, 512, 512)
N_BOXES = 40
N_CARRIED = 40
# What is asked of a laptop with two cores; shown beside the figures, never asserted.
GOALS = {
    "window_usable_s": "at most 2 s",
    "first_box_s": "at most 3 s",
    "box_to_mask_p95_ms": "at most 150 ms",
    "stall_ms": "at most 50 ms",
    "opening_stall_ms": "at most 50 ms",
    "carrying_stall_ms": "at most 50 ms",
    "saving_stall_ms": "at most 50 ms",
    "surface_stall_ms": "at most 50 ms",
    "largest_work_ms": "at most 50 ms",
    "surface_follows_s": "at most 1 s",
    "brush_move_p95_ms": "at most 10 ms",
    "scroll_fps": "at least 60",
    "peak_rss_mb": "at most twice the raw volume + 1200 MB",
    "automatic_volume_s": "at most 20 s",
    "automatic_slices_s": "at most 60 s",
    "automatic_mb": "at most 4000 MB",
}


def run_benchmark(engine: InferenceEngine, ctx: JobContext | None = None) -> dict[str, Any]:
    """Return this machine's figures as plain dictionaries; None where one was not measured.

    Takes about a minute. Writes a large scan to a temporary folder.
    """
    ctx = ctx or NullContext()
    ctx.report(0.0, "the model")
    model = engine.load(DEFAULT_MODEL).model
    sample = read_volume(resource_path(SAMPLE))
    figures: dict[str, Any] = {
        "machine": _machine(model.device),
        "model": {"id": DEFAULT_MODEL, "load_s": engine.seconds_loading},
    }
    large = enlarged(sample, LARGE_ZYX)
    ctx.report(0.1, "boxes")
    figures["box_to_mask"] = _boxes(engine, large)
    ctx.report(0.25, "carrying through")
    figures["carry_through"] = _carrying(engine, large)
    with tempfile.TemporaryDirectory(prefix="maskwright-bench-") as folder:
        ctx.report(0.4, "opening")
        path = Path(folder) / "large.nii"
        write_volume(path, large)
        figures["open"] = _opening(path, large)
        raw_mb = large.nbytes / 1e6
        del large, sample
        ctx.report(0.6, "a cold command")
        figures["segment_command"] = _command(path, raw_mb)
        ctx.report(0.65, "automatic models")
        installed = list_models(user_models_dir())
        figures["automatic"] = automatic_figures(installed, Path(folder)) or None
        ctx.report(0.7, "the window")
        figures["window"] = _window(path)
        if figures["window"] is None:
            figures["notes"] = ["The window could not be started here; --debug shows why."]
    figures["goals"] = GOALS
    return figures


def figures_text(figures: dict[str, Any]) -> str:
    """Return the figures as lines of text, with what is asked of them."""
    boxes, carry, opened = figures["box_to_mask"], figures["carry_through"], figures["open"]
    command, window = figures["segment_command"], figures["window"]
    machine = figures["machine"]
    rows = [
        ("machine", f"{machine['cpu']}, {machine['cores']} cores, {machine['device']}", ""),
        ("model loaded in", f"{figures['model']['load_s']:.2f} s", ""),
        ("box to mask, median", f"{boxes['p50_ms']:.0f} ms", ""),
        ("box to mask, 95th percentile", f"{boxes['p95_ms']:.0f} ms", GOALS["box_to_mask_p95_ms"]),
        ("carried through, a slice", f"{carry['ms_per_slice']:.0f} ms", ""),
        (f"opened, {opened['raw_mb']:.0f} MB", f"{opened['seconds']:.2f} s", ""),
        ("segment command, cold", f"{command['seconds']:.2f} s", ""),
        ("peak memory of it", f"{command['peak_rss_mb']:.0f} MB", GOALS["peak_rss_mb"]),
    ]
    for name, own in (figures["automatic"] or {}).items():
        size = " x ".join(str(n) for n in own["size_zyx"])
        rows.append((name, f"{own['seconds']:.1f} s for {size}", GOALS[own["goal"]]))
        rows.append(("peak memory of it", f"{own['peak_rss_mb']:.0f} MB", GOALS["automatic_mb"]))
    units = {"s": ".2f", "ms": ".0f", "fps": ".0f"}
    for name, value in (window or {}).items():
        unit = name.rpartition("_")[2]
        rows.append((f"window: {name}", f"{value:{units[unit]}} {unit}", GOALS.get(name, "")))
    rows += [("note", sentence, "") for sentence in figures.get("notes", ())]
    wide = max(len(r[0]) for r in rows)
    return "\n".join(
        f"{name:{wide}}  {value}{f'   ({goal})' if goal else ''}" for name, value, goal in rows
    )


def enlarged(volume: Volume, shape_zyx: tuple[int, int, int]) -> Volume:
    """Return the scan on a finer grid of the same extent, nearest neighbour, with fresh noise.

    Noise, so that no two slices are the same and no file compresses to nothing.
    """
    pick = [(np.arange(n) * m) // n for n, m in zip(shape_zyx, volume.voxels.shape, strict=True)]
    voxels = volume.voxels[np.ix_(*pick)].astype(np.int16)
    noise = np.random.default_rng(0).integers(-8, 9, shape_zyx, np.int16)
    np.add(voxels, noise, out=voxels)
    affine = np.array(volume.geometry.affine)
    affine[:3, :3] *= np.array(volume.voxels.shape) / shape_zyx
    return Volume(
        voxels,
        Geometry(shape_zyx, affine),
        volume.modality,
        volume.source_orientation,
        "large",
    )


def part_within(volume: Volume, extent_mm: Sequence[tuple[float, float]]) -> Volume:
    """Return the first part of a scan that is no larger than the upper limits, mm along z, y, x."""
    shape = list(volume.voxels.shape)
    for axis, (mm, (_, high)) in enumerate(
        zip(volume.geometry.spacing_zyx, extent_mm, strict=False)
    ):
        shape[axis] = min(shape[axis], round(high / mm))
    z, y, x = shape
    return Volume(
        volume.voxels[:z, :y, :x].copy(),
        Geometry((z, y, x), volume.geometry.affine),
        volume.modality,
        volume.source_orientation,
        volume.name,
    )


# -- inside -------------------------------------------------------------------------------------


def _machine(device: str) -> dict[str, Any]:
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        # What else runs here: well above 0 at the start, the figures are too slow.
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "openvino": version("openvino"),
        "maskwright": __version__,
        "device": device,
    }


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _boxes(engine: InferenceEngine, volume: Volume) -> dict[str, Any]:
    """Return how long one box takes, on slices of every plane, each of its own."""
    window = intensity_window(volume.voxels, volume.modality)
    rng = np.random.default_rng(0)
    took = []
    for n in range(N_BOXES + 2):
        axis = n % 3
        index = int(rng.integers(volume.voxels.shape[axis] // 4, volume.voxels.shape[axis] // 2))
        rows, columns = (s for a, s in enumerate(volume.voxels.shape) if a != axis)
        r0, c0 = int(rng.integers(0, rows // 2)), int(rng.integers(0, columns // 2))
        box = (r0, c0, r0 + rows // 4, c0 + columns // 4)
        prompt = BoxPrompt(slice_region(axis, index, box), axis)
        request = SegmentationRequest(volume, DEFAULT_MODEL, (prompt,), window)
        took.append(_seconds(partial(engine.run, request, NullContext())))
    # The first two warm up.
    milliseconds = 1000 * np.array(took[2:])
    return {
        "n": N_BOXES,
        "slice": list(volume.voxels.shape[1:]),
        "p50_ms": float(np.percentile(milliseconds, 50)),
        "p95_ms": float(np.percentile(milliseconds, 95)),
        "max_ms": float(milliseconds.max()),
    }


def _carrying(engine: InferenceEngine, volume: Volume) -> dict[str, Any]:
    """Return how long a slice takes that a mask is carried to."""
    n, rows, columns = volume.voxels.shape
    middle = n // 2
    # The liver of the sample, in shares of its size.
    box = (int(0.24 * rows), int(0.13 * columns), int(0.65 * rows), int(0.71 * columns))
    through = (max(0, middle - N_CARRIED // 2), min(n, middle + N_CARRIED // 2))
    prompt = BoxPrompt(slice_region(AXIAL, middle, box), AXIAL, through)
    window = intensity_window(volume.voxels, volume.modality)
    request = SegmentationRequest(volume, DEFAULT_MODEL, (prompt,), window)
    began = time.perf_counter()
    result = engine.run(request, NullContext())
    seconds = time.perf_counter() - began
    n_slices = len(result.scores)
    return {"slices": n_slices, "ms_per_slice": 1000 * seconds / n_slices}


def _opening(path: Path, volume: Volume) -> dict[str, Any]:
    return {"raw_mb": volume.nbytes / 1e6, "seconds": min(
        _seconds(lambda: read_volume(path)) for _ in range(2)
    )}  # fmt: skip


def _command(path: Path, raw_mb: float) -> dict[str, Any]:
    """Return time and memory of a fresh ``maskwright segment`` with one box on a large scan."""
    _, rows, columns = LARGE_ZYX
    prompts = path.with_name("prompts.json")
    box = {
        "label": "liver",
        "kind": "box",
        "start_ijk": [columns // 8, rows // 4, 80],
        "stop_ijk": [columns * 5 // 8, rows * 5 // 8, 81],
    }
    prompts.write_text(json.dumps({"version": 1, "prompts": [box]}), "utf-8")
    words = ["segment", str(path), "--prompts", str(prompts), "--json"]
    began = time.perf_counter()
    report = _child_json(
        ["-c", "import sys; from app.cli import main; sys.exit(main())", *words,
         "--out", str(path.with_name("mask.nii.gz"))]
    )  # fmt: skip
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "peak_rss_mb": report["peak_rss_mb"],
        "limit_mb": 2 * raw_mb + 1200,
    }


def automatic_figures(
    models: Mapping[str, InstalledModel], folder: Path
) -> dict[str, dict[str, Any]]:
    """Return time and memory of a fresh ``maskwright auto`` with each automatic model.

    A model of whole slices gets 200 of them, any other one a scan of 128 voxels a side, or as much
    of that as it was made for. The sample shows what it shows; how long a network takes does not
    depend on that.
    """
    sample = read_volume(resource_path(SAMPLE))
    found: dict[str, dict[str, Any]] = {}
    for model in models.values():
        if model.kind is not ModelKind.AUTOMATIC or "automatic" not in model.details:
            continue
        spec = automatic_spec(model)
        is_sliced = spec.spacing_zyx is None
        scan = enlarged(sample, TRUNK_ZYX if is_sliced else HEAD_NECK_ZYX)
        if not is_sliced:
            scan = part_within(scan, spec.extent_mm)
        path = folder / "automatic.nii"
        write_volume(path, scan)
        report = _child_json(
            ["-c", "import sys; from app.cli import main; sys.exit(main())", "auto", str(path),
             "--model", model.id, "--force", "--json", "--out", str(folder / "automatic.nii.gz")]
        )  # fmt: skip
        found[model.id] = {
            "seconds": report["seconds"]["decode"],
            "load_s": report["seconds"]["load"],
            "peak_rss_mb": report["peak_rss_mb"],
            "size_zyx": list(scan.voxels.shape),
            "goal": "automatic_slices_s" if is_sliced else "automatic_volume_s",
            "device": report["device"],
        }
    return found


def _window(large: Path) -> dict[str, float] | None:
    """Return what the window needs to start and to answer, and how smoothly it scrolls.

    None where it cannot be started, e.g. because the system lacks Qt's libraries.
    """
    # A home of its own: no settings, no recent files; compiled graphs are made by a first start.
    home = large.parent / "home"
    environment = {"MASKWRIGHT_HOME": str(home)}
    words = ["-m", "app.window_benchmark", str(resource_path(SAMPLE)), str(large)]
    found: dict[str, float] | None = None
    for _ in range(2):
        environment["MASKWRIGHT_STARTED"] = repr(time.time())
        try:
            found = _child_json(words, environment)
        except subprocess.CalledProcessError as error:
            logger.info("The window's benchmark ended with %s:\n%s", error, error.stderr)
            return None
    return found


def _child_json(words: list[str], environment: Mapping[str, str] = MappingProxyType({})) -> Any:
    root = Path(__file__).resolve().parent.parent
    finished = subprocess.run(
        [sys.executable, *words],
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
            **environment,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(finished.stdout)
