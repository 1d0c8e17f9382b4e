"""Where networks run: device choice, and OpenVINO or PyTorch behind one call.

On a CPU a network is an OpenVINO graph that ships beside its weights, so that the first box is
answered without importing torch. On a GPU it is the PyTorch module.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.core.errors import ModelUnavailableError, UsageError, WeightsError

if TYPE_CHECKING:
    import openvino
    import torch

logger = logging.getLogger(__name__)

# Arrays in, arrays out. The keyword ``check`` may name a function that is asked now and then while
# the network runs; what it raises ends the run at once.
Network = Callable[..., tuple[np.ndarray, ...]]

# How often ``check`` is asked.
_CHECK_MS = 20


@dataclass(frozen=True)
class Device:
    """Where to run, and why: shown in the device chip.

    Attributes
    ----------
    kind : "cpu" or "cuda"
    name : str
        The processor's or card's name.
    reason : str
        Why this one was chosen.
    """

    kind: str
    name: str
    reason: str


def choose_device(wanted: str = "auto") -> Device:
    """Return the device for ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Whether there is a GPU is asked of its driver, so that a laptop without one never imports
    torch.

    Raises
    ------
    UsageError
        The word is none of the three.
    ModelUnavailableError
        CUDA is demanded and not there.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise UsageError(f"There is no device “{wanted}”; say auto, cpu or cuda.")
    if wanted == "cpu":
        return Device("cpu", cpu_name(), "chosen in the settings")
    why_not = _why_no_cuda()
    if not why_not:
        import torch

        return Device("cuda", torch.cuda.get_device_name(0), "an NVIDIA GPU is there")
    if wanted == "cuda":
        raise ModelUnavailableError(f"CUDA was asked for, but {why_not}. Use auto or cpu.")
    return Device("cpu", cpu_name(), why_not)


@functools.cache
def _why_no_cuda() -> str:
    """Return why CUDA cannot be used; "" if it can."""
    library = {"win32": "nvcuda.dll", "linux": "libcuda.so.1"}.get(sys.platform)
    if library is None:
        return "this system has no CUDA"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return "no NVIDIA driver was found"
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return "the NVIDIA driver does not answer"
    if count.value == 0:
        return "the NVIDIA driver reports no GPU"
    import torch

    if not torch.cuda.is_available():
        return "the installed PyTorch cannot use the GPU"
    return ""


@functools.cache
def cpu_name() -> str:
    """Return the processor's name."""
    import platform

    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "CPU"


@functools.cache
def openvino_core() -> openvino.Core:
    """Return the one OpenVINO core of this process."""
    # Its conversion tools take two thirds of the import and are needed for exporting alone.
    with _without("openvino.tools.ovc"):
        import openvino

    return openvino.Core()


@contextmanager
def _without(name: str) -> Iterator[None]:
    """Make a module look missing, unless it is there already."""
    is_loaded = name in sys.modules
    if not is_loaded:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if not is_loaded:
            del sys.modules[name]


@functools.cache
def cpu_precision() -> str:
    """Return the precision in which the CPU runs networks fastest: "bf16" or "f32".

    bfloat16 needs native instructions; emulated it would be slower than float32.
    """
    capabilities = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in capabilities else "f32"


def open_graph(
    path: Path, *, precision: str | None = None, cache_dir: Path | None = None
) -> Network:
    """Return an OpenVINO graph as a function of arrays.

    Parameters
    ----------
    path : Path
        An `.xml` with its `.bin` beside it.
    precision : "bf16" or "f32", optional
        What the CPU computes in; its fastest by default.
    cache_dir : Path, optional
        Where the compiled form is kept, which makes the next start quicker.

    Returns
    -------
    callable
        Takes one array per input; returns a tuple of arrays that it owns no longer.

    Raises
    ------
    WeightsError
        The files are missing or no graph.
    """
    core = openvino_core()
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        logger.info("OpenVINO: %s", error)
        raise WeightsError(
            f"The network {path.name} is missing or damaged; install Maskwright again."
        ) from error
    return compile_graph(model, precision=precision, cache_dir=cache_dir)


def compile_graph(
    model: openvino.Model, *, precision: str | None = None, cache_dir: Path | None = None
) -> Network:
    """Return an OpenVINO model in memory as a function of arrays; see `open_graph`."""
    config = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_PRECISION_HINT": precision or cpu_precision(),
    }
    if cache_dir is not None:
        config["CACHE_DIR"] = str(cache_dir)
    request = openvino_core().compile_model(model, "CPU", config).create_infer_request()

    def run(*inputs: np.ndarray, check: Callable[[], None] | None = None) -> tuple[np.ndarray, ...]:
        if check is None:
            request.infer(list(inputs), share_inputs=True)
        else:
            request.start_async(list(inputs), share_inputs=True)
            _wait(request, check)
        # Copies: the request writes its next result into the same memory.
        return tuple(np.array(value) for value in request.results.values())

    return run


def _wait(request: openvino.InferRequest, check: Callable[[], None]) -> None:
    """Wait for a request that runs; where ``check`` raises, it is stopped first."""
    try:
        while not request.wait_for(_CHECK_MS):
            check()
    except BaseException:
        request.cancel()
        with contextlib.suppress(RuntimeError):  # it says that it was cancelled
            request.wait()
        raise


def wrap_module(
    module: torch.nn.Module,
    device: Device,
    *,
    precision: str = "f16",
    on_cpu: Callable[[], None] | None = None,
) -> Network:
    """Return a PyTorch module as a function of arrays whose first axes are one batch.

    On a GPU it runs with channels-last memory, in half precision by default; it goes there when it
    is first called. If the GPU's memory is full, cached blocks are released; then the batch is
    halved, down to single images; then, or where not even the weights fit, the module moves to the
    CPU. The log says so.

    Parameters
    ----------
    module : torch.nn.Module
    device : Device
    precision : "f16" or "f32"
        What a GPU computes in.
    on_cpu : callable, optional
        Called once when the module has moved to the CPU.
    """
    import torch

    is_volumetric = any(p.ndim == 5 for p in module.parameters())
    layout = torch.channels_last_3d if is_volumetric else torch.channels_last
    module.eval().to(memory_format=layout)
    where = device.kind

    def call(inputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        module.to(where)
        tensors = [torch.from_numpy(np.ascontiguousarray(x)) for x in inputs]
        if where == "cuda":
            tensors = [t.pin_memory().to(where, non_blocking=True) for t in tensors]
        use_half = where == "cuda" and precision == "f16"
        with torch.inference_mode(), torch.autocast(where, torch.float16, enabled=use_half):
            outputs = module(*tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(o.float().cpu().numpy() for o in outputs)

    def run(*inputs: np.ndarray, check: Callable[[], None] | None = None) -> tuple[np.ndarray, ...]:
        nonlocal where
        if check is not None:
            check()
        if where == "cpu":
            return call(inputs)
        for _ in range(2):
            try:
                return call(inputs)
            except torch.cuda.OutOfMemoryError:
                torch.cuda.empty_cache()
        n = len(inputs[0])
        if n > 1:
            logger.warning("The GPU's memory is full; %d images go in two parts.", n)
            halves = [run(*(x[s] for x in inputs), check=check) for s in _halves(n)]
            return tuple(np.concatenate(parts) for parts in zip(*halves, strict=True))
        logger.warning("The GPU's memory is full; this network now runs on the CPU.")
        where = "cpu"
        if on_cpu is not None:
            on_cpu()
        return call(inputs)

    return run


def _halves(n: int) -> tuple[slice, slice]:
    return slice(0, n // 2), slice(n // 2, n)
