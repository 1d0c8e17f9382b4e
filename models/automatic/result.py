"""What an automatic model is asked and what it answers. Imports neither torch nor OpenVINO."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.core.geometry import Region, Triple
from app.core.volume import Volume


@dataclass(frozen=True, eq=False)
class AutomaticRequest:
    """Everything an answer depends on; immutable, so it may cross threads.

    Attributes
    ----------
    volume : Volume
    model_id : str
    roi : Region, optional
        Where labels are wanted, in voxels of the volume. Inside it they are what a run over the
        whole scan finds, except for the rules about components, which see the region alone.
    """

    volume: Volume
    model_id: str
    roi: Region | None = None


@dataclass(frozen=True, eq=False)
class LabelBlock:
    """Slices of the scan that are done, before the rules about components and holes.

    Attributes
    ----------
    start : int
        The first slice, along axis 0.
    labels : (n, y, x) uint8 or uint16
        Label values of the model; whole slices.
    """

    start: int
    labels: np.ndarray


@dataclass(frozen=True)
class Piece:
    """One connected component of a structure.

    Attributes
    ----------
    region : Region
        Tight.
    middle_zyx : tuple of 3 int
        A voxel of the piece on its largest axial slice.
    volume_ml : float
    """

    region: Region
    middle_zyx: Triple
    volume_ml: float


@dataclass(frozen=True)
class Structure:
    """One structure that was found.

    Attributes
    ----------
    value : int
        In the label map.
    name : str
    volume_ml : float
    confidence : float
        Mean probability of the structure inside it, 0 to 1.
    pieces : tuple of Piece
        Its connected components, the largest first; at most `MAX_PIECES` of them.
    """

    value: int
    name: str
    volume_ml: float
    confidence: float
    pieces: tuple[Piece, ...]


# More are noise rather than anatomy.
MAX_PIECES = 8


@dataclass(frozen=True, eq=False)
class AutomaticResult:
    """Labels of a whole scan.

    Attributes
    ----------
    labels : (z, y, x) uint8 or uint16
        Label values of the model's description, on the grid of the scan; 0 outside ``covered``.
    covered : Region, optional
        What the result speaks about: the region that was asked for, or as much of it as was done
        when it was stopped; None if nothing was.
    structures : tuple of Structure
        Those that were found, by value.
    is_complete : bool
        False if it was stopped before its end.
    mvoxels : float
        Millions of voxels that the network was given.
    seconds : float
    """

    labels: np.ndarray
    covered: Region | None
    structures: tuple[Structure, ...]
    is_complete: bool
    mvoxels: float
    seconds: float


# Gets slices as they are done, on the worker.
OnBlock = Callable[[LabelBlock], None]
