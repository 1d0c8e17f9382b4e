"""PyTorch modules as OpenVINO graphs: converted once, kept on disk, opened without PyTorch after.

Published checkpoints come as weights alone. Converting one runs the network once and takes from
seconds to minutes, so the graph is kept beside the compiled graphs and found by the hash of the
weights.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from app.core.errors import WeightsError
from models.cache import drop_oldest
from models.runtime import (
    Device,
    Network,
    compile_graph,
    cpu_precision,
    open_graph,
    openvino_core,
    wrap_module,
)

if TYPE_CHECKING:
    import openvino
    import torch

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Counts changes of what is converted; graphs of older versions are not found any more.
_VERSION = 1
# In place of a graph: PyTorch was quicker.
_SLOWER = ".slower"
# A MedSAM encoder takes 0.4 GB, and as much again compiled.
MAX_DISK_BYTES = 4 << 30


def cpu_network(
    make_module: Callable[[], torch.nn.Module],
    example: tuple[np.ndarray, ...],
    device: Device,
    *,
    name: str,
    cache_dir: Path | None,
    precision: str | None = None,
) -> tuple[Network, str]:
    """Return a module as a function of arrays on a CPU, and how it runs, in words.

    Parameters
    ----------
    make_module : callable
        Returns the module in eval mode; called only if there is no graph of it yet.
    example : tuple of float32 arrays
        Inputs; the graph takes arrays of these shapes only.
    device : Device
    name : str
        A file name that says whose weights these are.
    cache_dir : Path, optional
        Where graphs are kept between starts.
    precision : "bf16" or "f32", optional
        What the CPU computes in; its fastest by default.

    Returns
    -------
    Network, str
        OpenVINO; or PyTorch in float32 if the module cannot be converted, or was quicker here when
        both were timed, once, as it was converted.
    """
    precision = precision or cpu_precision()
    words = f"OpenVINO {precision} on {device.name}"
    path = None if cache_dir is None else cache_dir / f"{name}-{_VERSION}.xml"
    if path is not None and path.with_suffix(_SLOWER).exists():
        return wrap_module(make_module(), device), _pytorch_words(device)
    if path is not None and path.exists():
        with contextlib.suppress(WeightsError):  # damaged: it is converted again
            kept = open_graph(path, precision=precision, cache_dir=cache_dir)
            for file in (path, path.with_suffix(".bin")):
                with contextlib.suppress(OSError):
                    os.utime(file)
            return kept, words
    module = make_module()
    try:
        # Tracing runs the module once in PyTorch.
        script, plain_s = _timed(lambda: traced(module, example))
        graph = graph_of(script, example)
    except _conversion_errors() as error:
        logger.info("OpenVINO cannot convert %s: %s", name, error)
        return wrap_module(module, device), f"PyTorch float32 on {device.name}"
    network: Network | None = None
    if path is not None:
        _save(graph, path)
        with contextlib.suppress(WeightsError):
            network = open_graph(path, precision=precision, cache_dir=cache_dir)
    if network is None:
        network = compile_graph(graph, precision=precision)
    # The first run is slower than those to come.
    graph_s = min(_timed(lambda: network(*example))[1] for _ in range(2))
    logger.info("%s: %.3f s by OpenVINO, %.3f s by PyTorch", name, graph_s, plain_s)
    if graph_s <= plain_s:
        return network, words
    if path is not None:
        _replace_by_note(path)
    return wrap_module(module, device), _pytorch_words(device)


def _pytorch_words(device: Device) -> str:
    return f"PyTorch float32 on {device.name}, quicker here than OpenVINO"


def _timed(action: Callable[[], T]) -> tuple[T, float]:
    """Return what an action returns, and the seconds it took."""
    began = time.perf_counter()
    value = action()
    return value, time.perf_counter() - began


def _conversion_errors() -> tuple[type[Exception], ...]:
    from openvino import frontend

    # OpenVINO's own share no base class but Exception.
    return (
        frontend.GeneralFailure,
        frontend.NotImplementedFailure,
        frontend.OpConversionFailure,
        frontend.OpValidationFailure,
        ImportError,
        RuntimeError,
    )


def convert(module: torch.nn.Module, example: tuple[np.ndarray, ...]) -> openvino.Model:
    """Return a module in eval mode as an OpenVINO graph for inputs of the example's shapes."""
    return graph_of(traced(module, example), example)


def traced(module: torch.nn.Module, example: tuple[np.ndarray, ...]) -> torch.jit.ScriptModule:
    """Return what a module in eval mode does with inputs of the example's shapes; runs it once."""
    import torch

    tensors = tuple(torch.from_numpy(array) for array in example)
    with torch.inference_mode(), warnings.catch_warnings():
        # Tracing warns of every Python number that it takes for a constant; here they are.
        warnings.simplefilter("ignore")
        # Traced here: OpenVINO would run the network three times to check the trace.
        return torch.jit.trace(module, tensors, check_trace=False)


def graph_of(script: torch.jit.ScriptModule, example: tuple[np.ndarray, ...]) -> openvino.Model:
    """Return a traced module as an OpenVINO graph."""
    import torch

    openvino_core()
    from openvino.tools.ovc import convert_model

    tensors = tuple(torch.from_numpy(array) for array in example)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return convert_model(
            script, example_input=tensors, input=[list(array.shape) for array in example]
        )


def _replace_by_note(path: Path) -> None:
    """Put a note in the place of a graph: PyTorch was quicker."""
    try:
        path.with_suffix(_SLOWER).touch()
        for suffix in (".xml", ".bin"):
            path.with_suffix(suffix).unlink(missing_ok=True)
    except OSError as error:
        logger.info("It cannot be kept that %s is slower: %s", path.name, error)


def _save(graph: openvino.Model, path: Path) -> None:
    import openvino

    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as beside:
            written = Path(beside) / path.name
            openvino.save_model(graph, written, compress_to_fp16=False)
            # The graph comes last: where it is, its weights are complete.
            for suffix in (".bin", ".xml"):
                os.replace(written.with_suffix(suffix), path.with_suffix(suffix))
        drop_oldest((p for p in folder.iterdir() if p.is_file()), MAX_DISK_BYTES)
    except (OSError, RuntimeError) as error:
        # It is converted again at the next start.
        logger.info("The graph %s cannot be kept: %s", path.name, error)
