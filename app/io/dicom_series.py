"""DICOM series: which slices belong together, and whether they make a regular grid.

Distances come from the positions of the slices, projected on their common normal; the slice
thickness of the header is never used for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from app.core.errors import ReadError
from app.core.geometry import Geometry
from app.core.series import SeriesInfo
from app.io.dicom_header import Refused, SliceHeader
from app.io.itk_bridge import canonical_geometry, file_geometry

# A slice may lie this far from its place on the regular grid, as a share of the slice distance
# and in mm (headers round positions), whichever is larger.
MAX_UNEVEN = 0.05
MAX_UNEVEN_MM = 0.02
# Sideways drift of the whole stack that is rounding and no tilt, as a share of a pixel.
MAX_DRIFT = 0.1


@dataclass(frozen=True, eq=False)
class Series:
    """Slices that belong together, ordered along their normal.

    Attributes
    ----------
    slices : tuple of SliceHeader
    info : SeriesInfo
    geometry : Geometry, optional
        Canonical; None if the slices make no regular grid.
    source_orientation : str
    """

    slices: tuple[SliceHeader, ...]
    info: SeriesInfo
    geometry: Geometry | None = None
    source_orientation: str = "LPS"


@dataclass
class Stack:
    """Measures of ordered slices.

    Attributes
    ----------
    depths_mm : (n,) float64
        Position of each slice along the normal.
    step_lps : (3,) float64
        Mean step from slice to slice.
    """

    depths_mm: np.ndarray
    step_lps: np.ndarray
    spacing_mm: float
    tilt_deg: float
    is_even: bool
    warnings: list[str] = field(default_factory=list)


def group_series(slices: Iterable[SliceHeader], refused: Iterable[Refused]) -> list[Series]:
    """Return the series among slices: those that can be opened first, then the others."""
    groups: list[list[SliceHeader]] = []
    for item in slices:
        group = next((g for g in groups if _belong_together(g[0], item)), None)
        if group is None:
            groups.append([item])
        else:
            group.append(item)
    found: list[Series] = []
    for group in groups:
        unique, n_copies = _without_copies(group)
        for part, phase in _phases(unique):
            found.append(_series(part, phase, n_copies))
    found.sort(key=lambda s: (not s.info.is_openable, s.info.is_localizer, -len(s.slices)))
    found.extend(_refused_series(refused))
    return [_with_uid(s, n, found) for n, s in enumerate(found)]


def measure(slices: tuple[SliceHeader, ...]) -> Stack:
    """Return distances, tilt and warnings of slices that are ordered along their normal."""
    normal = slices[0].normal_lps
    positions = np.array([s.position_lps for s in slices])
    depths = positions @ normal
    if len(slices) == 1:
        thickness = slices[0].thickness_mm
        spacing = thickness if thickness > 0 else 1.0
        warnings = [] if thickness > 0 else ["The single slice has no thickness; 1 mm is used."]
        return Stack(depths, normal * spacing, spacing, 0.0, True, warnings)
    n = len(slices)
    step = (positions[-1] - positions[0]) / (n - 1)
    spacing = float(step @ normal)
    # Tilt: the slices shift sideways from one to the next.
    sideways = step - spacing * normal
    drift = float(np.linalg.norm(sideways)) * (n - 1)
    tilt = float(np.degrees(np.arctan2(np.linalg.norm(sideways), spacing)))
    if drift <= MAX_DRIFT * min(slices[0].spacing_rc):
        step, tilt = spacing * normal, 0.0
    off = np.abs(positions - (positions[0] + np.arange(n)[:, None] * step)).max(axis=1)
    allowed = max(MAX_UNEVEN * spacing, MAX_UNEVEN_MM)
    stack = Stack(depths, step, spacing, tilt, bool((off <= allowed).all()))
    if not stack.is_even:
        stack.warnings.append(_uneven_text(depths))
    if tilt > 0.0:
        stack.warnings.append(f"The slices are tilted (gantry tilt) by {tilt:.1f} degrees.")
    return stack


def _uneven_text(depths: np.ndarray) -> str:
    gaps = np.diff(depths)
    usual = float(np.median(gaps))
    low, high = int(gaps.argmin()), int(gaps.argmax())
    text = (
        f"The slices are not evenly spaced: {gaps[low]:.2f} mm between slices {low + 1} and "
        f"{low + 2}, {gaps[high]:.2f} mm between slices {high + 1} and {high + 2}"
    )
    whole = gaps / usual
    missing = np.rint(whole).astype(int) - 1
    if (missing >= 0).all() and np.abs(whole - np.rint(whole)).max() < MAX_UNEVEN:
        n_missing = int(missing.sum())
        noun = "slice seems" if n_missing == 1 else "slices seem"
        return f"{text}; {n_missing} {noun} to be missing."
    return f"{text}, {usual:.2f} mm usually."


def _belong_together(a: SliceHeader, b: SliceHeader) -> bool:
    return (
        a.series_uid == b.series_uid
        and (a.rows, a.columns) == (b.rows, b.columns)
        and a.is_localizer == b.is_localizer
        and a.modality == b.modality
        and bool(np.allclose(a.spacing_rc, b.spacing_rc, rtol=1e-3))
        and bool(np.allclose(a.row_lps, b.row_lps, atol=2e-3))
        and bool(np.allclose(a.column_lps, b.column_lps, atol=2e-3))
    )


def _without_copies(group: list[SliceHeader]) -> tuple[list[SliceHeader], int]:
    """Return the slices without copies of the same file (anonymised files may have no id)."""
    seen: set[tuple[str, int]] = set()
    unique = []
    for item in group:
        key = (item.sop_uid, item.frame)
        if item.sop_uid and key in seen:
            continue
        seen.add(key)
        unique.append(item)
    return unique, len(group) - len(unique)


def _depth(item: SliceHeader, normal: np.ndarray) -> float:
    return float(item.position_lps @ normal)


def _n_places(group: list[SliceHeader]) -> int:
    depths = np.sort([_depth(s, group[0].normal_lps) for s in group])
    return 1 + int((np.diff(depths) > 1e-2).sum())


def _phases(group: list[SliceHeader]) -> list[tuple[list[SliceHeader], str]]:
    """Split images that share places, e.g. time points or echoes, and name each part."""
    if _n_places(group) == len(group):
        return [(group, "")]
    for name in group[0].phase:
        parts: dict[str, list[SliceHeader]] = {}
        for item in group:
            parts.setdefault(item.phase[name], []).append(item)
        if len(parts) > 1 and all(_n_places(p) == len(p) for p in parts.values()):
            return [(part, f"{_PHASE_NAMES.get(name, name)} {key}") for key, part in parts.items()]
    return [(group, "")]


_PHASE_NAMES = {
    "TemporalPositionIndex": "time point",
    "TemporalPositionIdentifier": "time point",
    "EchoNumbers": "echo",
    "DiffusionBValue": "b-value",
    "TriggerTime": "trigger time",
    "ImageType": "image type",
    "AcquisitionNumber": "acquisition",
    "AcquisitionTime": "acquired at",
    "ContentTime": "made at",
}


def _series(group: list[SliceHeader], phase: str, n_copies: int) -> Series:
    normal = group[0].normal_lps
    ordered = tuple(sorted(group, key=lambda s: (_depth(s, normal), s.instance_number)))
    stack = measure(ordered)
    first = ordered[0]
    warnings = list(stack.warnings)
    reason, can_resample = "", False
    n_shared = len(ordered) - _n_places(list(ordered))
    if n_shared:
        reason = (
            f"{n_shared} of the {len(ordered)} images lie at the place of another one, and "
            "nothing tells them apart. Export the series again without duplicates."
        )
        warnings = [reason]
    elif stack.warnings and (not stack.is_even or stack.tilt_deg > 0):
        reason = (
            " ".join(stack.warnings)
            + " Export the series again with even, straight slices, or let it be resampled to a "
            "regular grid."
        )
        can_resample = True
    if n_copies:
        noun = "copy of a slice was" if n_copies == 1 else "copies of slices were"
        warnings.append(f"{n_copies} {noun} left out.")
    if first.is_inverted:
        warnings.append("The grey values are stored inverted (MONOCHROME1).")
    geometry, orientation = None, ""
    affine_ijk = np.eye(4)
    affine_ijk[:3, 0] = first.row_lps * first.spacing_rc[1]
    affine_ijk[:3, 1] = first.column_lps * first.spacing_rc[0]
    affine_ijk[:3, 2] = stack.step_lps if not reason else normal
    affine_ijk[:3, 3] = first.position_lps
    size = (first.columns, first.rows, len(ordered))
    try:
        grid = file_geometry(size, affine_ijk)
        geometry, orientation = canonical_geometry(grid)
    except ValueError as error:
        reason = reason or str(error)
    info = SeriesInfo(
        uid=first.series_uid,
        description=" ".join(p for p in (first.description, f"({phase})" if phase else "") if p),
        modality=first.modality,
        size_xyz=size,
        spacing_mm=(
            first.spacing_rc[1],
            first.spacing_rc[0],
            stack.spacing_mm if stack.is_even and not n_shared else 0.0,
        ),
        orientation=orientation,
        transfer_syntax=first.transfer_syntax,
        n_files=len({s.path for s in ordered}),
        warnings=tuple(warnings),
        is_openable=not reason,
        reason=reason,
        can_resample=can_resample,
        is_localizer=first.is_localizer,
    )
    return Series(ordered, info, None if reason else geometry, orientation)


def _refused_series(refused: Iterable[Refused]) -> list[Series]:
    parts: dict[tuple[str, str], list[Refused]] = {}
    for item in refused:
        parts.setdefault((item.series_uid, item.reason), []).append(item)
    return [
        Series(
            (),
            SeriesInfo(
                uid=uid,
                description=items[0].description,
                modality=items[0].modality,
                transfer_syntax=items[0].transfer_syntax,
                n_files=len(items),
                is_openable=False,
                reason=reason,
            ),
        )
        for (uid, reason), items in parts.items()
    ]


def _with_uid(series: Series, number: int, among: list[Series]) -> Series:
    """Return the series with an id that no other of the folder has."""
    base = series.info.uid or "series"
    earlier = sum((s.info.uid or "series") == base for s in among[:number])
    uid = base if earlier == 0 and series.info.uid else f"{base}#{earlier + 1}"
    return replace(series, info=replace(series.info, uid=uid))


def choose(series: list[Series], series_uid: str | None, *, resample: bool = False) -> Series:
    """Return the wanted series, or the only one there is to want.

    With ``resample``, those count that can be resampled.

    Raises
    ------
    ReadError
        There is none, several, or it cannot be opened.
    """
    if series_uid is not None:
        found = next((s for s in series if s.info.uid == series_uid), None)
        if found is None:
            raise ReadError(f"There is no series {series_uid} here.")
        candidates = [found]
    else:
        openable = [s for s in series if _opens(s.info, resample)]
        candidates = [s for s in openable if not s.info.is_localizer] or openable
        if not candidates:
            candidates = [s for s in series if s.slices] or series
            if len(candidates) > 1:
                reasons = list(dict.fromkeys(s.info.reason for s in candidates))
                raise ReadError(
                    f"None of the {len(candidates)} series here can be opened. {reasons[0]}"
                )
    if len(candidates) > 1:
        listing = "; ".join(
            f"{s.info.uid}: {s.info.description or s.info.modality or 'no description'}, "
            + " x ".join(map(str, s.info.size_xyz))
            for s in candidates
        )
        raise SeriesChoiceError(
            f"There are {len(candidates)} series here; choose one of them by its id. {listing}.",
            tuple(s.info for s in series),
        )
    if not _opens(candidates[0].info, resample):
        raise ReadError(candidates[0].info.reason)
    return candidates[0]


def _opens(info: SeriesInfo, resample: bool) -> bool:
    return info.is_openable or (resample and info.can_resample)


class SeriesChoiceError(ReadError):
    """Several series could be meant; ``series`` lists all of them."""

    def __init__(self, text: str, series: tuple[SeriesInfo, ...]) -> None:
        super().__init__(text)
        self.series = series
