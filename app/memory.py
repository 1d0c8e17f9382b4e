"""How much memory this process has needed, how much is free, and whether a scan fits into it."""

from __future__ import annotations

import sys
from pathlib import Path

from app.core.errors import TightMemoryError

# A scan is worked on in this many times the bytes of its voxels: labels and pictures lie beside it.
SCAN_FACTOR = 2


def peak_rss_mb() -> float:
    """Return the most memory that this process has held at once, in MB (1e6 bytes)."""
    if sys.platform == "win32":
        return _peak_windows() / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, others KiB.
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def free_bytes() -> int | None:
    """Return how much memory programs can still get; None where the system does not say."""
    if sys.platform == "win32":
        return _free_windows()
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    if "MemAvailable" not in facts:
        return None
    return int(facts["MemAvailable"].split()[0]) << 10


def check_room(n_bytes: int) -> None:
    """Refuse a scan of so many bytes of voxels if that will hardly fit.

    Raises
    ------
    TightMemoryError
    """
    needed, free = SCAN_FACTOR * n_bytes, free_bytes()
    if free is not None and needed > free:
        raise TightMemoryError(
            f"This scan takes about {needed / 1e9:.1f} GB of memory to be worked on, and "
            f"{free / 1e9:.1f} GB are free: the computer may stand still or stop the program. "
            "Close other programs first, or open a part of the scan or a coarser one."
        )


def _free_windows() -> int:
    import ctypes
    from ctypes import wintypes

    class Status(ctypes.Structure):
        # MEMORYSTATUSEX of sysinfoapi.h
        _fields_ = [
            ("dwLength", wintypes.DWORD),
            ("dwMemoryLoad", wintypes.DWORD),
            *((name, ctypes.c_uint64) for name in (
                "ullTotalPhys", "ullAvailPhys", "ullTotalPageFile", "ullAvailPageFile",
                "ullTotalVirtual", "ullAvailVirtual", "ullAvailExtendedVirtual",
            )),
        ]  # fmt: skip

    status = Status()
    status.dwLength = ctypes.sizeof(status)
    ctypes.windll.kernel32.GlobalMemoryStatusEx(  # type: ignore[attr-defined]
        ctypes.byref(status)
    )
    return int(status.ullAvailPhys)


def _peak_windows() -> int:
    import ctypes
    from ctypes import wintypes

    class Counters(ctypes.Structure):
        # PROCESS_MEMORY_COUNTERS of psapi.h
        _fields_ = [
            ("cb", wintypes.DWORD),
            ("PageFaultCount", wintypes.DWORD),
            ("PeakWorkingSetSize", ctypes.c_size_t),
            ("WorkingSetSize", ctypes.c_size_t),
            ("QuotaPeakPagedPoolUsage", ctypes.c_size_t),
            ("QuotaPagedPoolUsage", ctypes.c_size_t),
            ("QuotaPeakNonPagedPoolUsage", ctypes.c_size_t),
            ("QuotaNonPagedPoolUsage", ctypes.c_size_t),
            ("PagefileUsage", ctypes.c_size_t),
            ("PeakPagefileUsage", ctypes.c_size_t),
        ]

    counters = Counters()
    counters.cb = ctypes.sizeof(counters)
    windll = ctypes.windll  # type: ignore[attr-defined]
    kernel = windll.kernel32
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    kernel.K32GetProcessMemoryInfo.argtypes = [
        wintypes.HANDLE,
        ctypes.POINTER(Counters),
        wintypes.DWORD,
    ]
    kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb)
    return int(counters.PeakWorkingSetSize)
