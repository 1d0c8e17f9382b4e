"""What was found in a file or folder, before any voxel is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SeriesInfo:
    """One series or image that was found, as it is offered to the user.

    Attributes
    ----------
    uid : str
        Give it to `read_volume`; unique within one folder, empty for formats without series.
    description : str
        What the scanner called it; no patient data.
    modality : str
        "CT", "MR", ... or empty.
    size_xyz : tuple of 3 int
        Voxels in the order of the file (i, j, k).
    spacing_mm : tuple of 3 float
        In the order of ``size_xyz``; the last is 0 where slices are not evenly spaced.
    orientation : str
        Where the file's axes grow to, e.g. "LPS".
    transfer_syntax : str
        How DICOM pixels are stored; the format's name for other files.
    warnings : tuple of str
        Sentences with numbers.
    is_openable, reason : bool, str
        If not, why not.
    can_resample : bool
        It does not open as it is, but it does with ``resample=True``.
    """

    uid: str
    description: str = ""
    modality: str = ""
    size_xyz: tuple[int, int, int] = (0, 0, 0)
    spacing_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    orientation: str = ""
    transfer_syntax: str = ""
    n_files: int = 1
    warnings: tuple[str, ...] = ()
    is_openable: bool = True
    reason: str = ""
    can_resample: bool = False
    is_localizer: bool = False
