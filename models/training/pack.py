"""Turns a folder of labelled scans into compact archives that training can hold in memory.

One `.npz` per data set: 8-bit images after a modality-aware window (with what is needed to get
the raw values back), label maps, spacing, and the train / dev split as given. Reading NIfTI
needs nibabel; training itself does not.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.training.aside import patient_in, patients_aside

# Data sets whose third axis counts separate pictures: neighbours there are not neighbours.
STACKS = (
    "btcv2d_imis",
    "figshare_brain_tumour",
    "hvsmr_heart2d",
    "spider_spine2d",
    "sunnybrook_lv2d",
)
# Label maps without images.
# Kept beside the packs, and none itself.
SUPERPIXELS = "superpixels.npz"
LABEL_MAPS = "synthseg_labelmaps"
# The only plane that is a picture in those stacks, as an axis of the (z, y, x) array.
STACK_AXIS = 0

# CT in 8 bits: fine steps (2.9 HU) in soft tissue, coarse ones in lung and bone.
CT_KNOTS_HU = (-1024.0, -200.0, 300.0, 2000.0)
CT_KNOTS_CODE = (0.0, 40.0, 215.0, 255.0)


def encode_ct(hu: np.ndarray) -> np.ndarray:
    """Return Hounsfield units as uint8 codes; see `decode_ct`."""
    return np.round(np.interp(hu, CT_KNOTS_HU, CT_KNOTS_CODE)).astype(np.uint8)


CT_TABLE = np.interp(np.arange(256), CT_KNOTS_CODE, CT_KNOTS_HU).astype(np.float32)


@dataclass(frozen=True, eq=False)
class PackedCase:
    """One case: uint8 image and labels (z, y, x), spacing in mm, and what the codes mean.

    Axes grow to superior, posterior and left, as in `app.core.volume.Volume`.
    """

    name: str
    dataset: str
    is_dev: bool
    is_ct: bool
    is_stack: bool
    spacing_zyx: tuple[float, float, float]
    image: np.ndarray
    labels: np.ndarray
    known_labels: tuple[int, ...]
    raw_range: tuple[float, float]


def pack(data: Path, out: Path, report: Callable[[str], None] = lambda line: None) -> list[Path]:
    """Write one archive per data set under ``out``; return their paths."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for folder in sorted(p for p in data.iterdir() if p.is_dir()):
        cases = list(_cases(folder))
        if not cases:
            continue
        path = out / f"{folder.name}.npz"
        save_cases(path, cases)
        report(f"{folder.name}: {len(cases)} cases, {path.stat().st_size / 1e6:.1f} MB")
        written.append(path)
    return written


def save_cases(path: Path, cases: list[PackedCase]) -> None:
    """Write cases as arrays and one JSON text; no pickle."""
    arrays: dict[str, np.ndarray] = {}
    meta = []
    for i, case in enumerate(cases):
        arrays[f"image{i}"], arrays[f"labels{i}"] = case.image, case.labels
        meta.append({k: v for k, v in vars(case).items() if k not in ("image", "labels")})
    np.savez_compressed(path, meta=np.array(json.dumps(meta)), **arrays)  # type: ignore[arg-type]


def load_cases(path: Path) -> list[PackedCase]:
    """Return the cases of an archive."""
    with np.load(path, allow_pickle=False) as archive:
        meta = json.loads(str(archive["meta"]))
        cases = []
        for i, m in enumerate(meta):
            m["spacing_zyx"], m["raw_range"] = tuple(m["spacing_zyx"]), tuple(m["raw_range"])
            m["known_labels"] = tuple(m["known_labels"])
            cases.append(PackedCase(image=archive[f"image{i}"], labels=archive[f"labels{i}"], **m))
        return cases


def load_packs(folder: Path) -> list[PackedCase]:
    """Return the cases of every archive in a folder."""
    paths = sorted(p for p in folder.glob("*.npz") if p.name != SUPERPIXELS)
    return [case for path in paths for case in load_cases(path)]


def patient_of(case: PackedCase) -> str:
    """Return what identifies a patient within a data set."""
    return patient_in(case.dataset, case.name)


def tune_patients(cases: list[PackedCase]) -> set[tuple[str, str]]:
    """Return (data set, patient) pairs of the training part on which settings are chosen."""
    by_set: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        if not case.is_dev and case.labels.any() and case.dataset != LABEL_MAPS:
            by_set[case.dataset].append(case.name)
    return {(name, p) for name, own in by_set.items() for p in patients_aside(name, own)}


def take_slice(array: np.ndarray, axis: int, index: int) -> np.ndarray:
    """Return a 2-D view; training runs without the rest of the program."""
    return array[(slice(None),) * axis + (index,)]


def _cases(folder: Path) -> Iterator[PackedCase]:
    for image_path in sorted(folder.rglob("*_img.nii.gz")):
        raw, spacing = _read(image_path)
        labels, _ = _read(image_path.with_name(image_path.name.replace("_img", "_seg")))
        name = image_path.name.removesuffix("_img.nii.gz")
        is_dev = image_path.parent.name == "dev"
        yield _packed(name, folder.name, raw, labels.astype(np.uint8), spacing, is_dev=is_dev)
    for image_path in sorted(folder.glob("example_*.nii.gz")):
        # Their label maps are another model's output: the images alone are used.
        if "labels" not in image_path.name:
            raw, spacing = _read(image_path)
            name = image_path.name.removesuffix(".nii.gz")
            yield _packed(name, folder.name, raw, np.zeros(raw.shape, np.uint8), spacing)
    for seg_path in sorted(folder.glob("training_seg_*_seg.nii.gz")):
        values, spacing = _read(seg_path)
        _, dense = np.unique(values, return_inverse=True)
        labels = dense.reshape(values.shape).astype(np.uint8)
        name = seg_path.name.removesuffix(".nii.gz")
        yield _packed(name, folder.name, np.zeros(labels.shape, np.uint8), labels, spacing)


def _packed(
    name: str,
    dataset: str,
    raw: np.ndarray,
    labels: np.ndarray,
    spacing: tuple[float, float, float],
    *,
    is_dev: bool = False,
) -> PackedCase:
    is_ct = float(np.mean(raw < -500)) > 0.02
    low, high = float(raw.min()), float(raw.max())
    if is_ct:
        image = encode_ct(raw)
    elif raw.dtype == np.uint8:
        image = raw
    else:
        foreground = raw[raw > max(0.0, low)]
        first, last = np.percentile(foreground if foreground.size else raw, (0.1, 99.9))
        scaled = (raw - first) / max(last - first, 1e-6)
        image = np.round(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
    return PackedCase(
        name=name,
        dataset=dataset,
        is_dev=is_dev,
        is_ct=is_ct,
        is_stack=dataset in STACKS,
        spacing_zyx=spacing,
        image=image,
        labels=labels,
        known_labels=tuple(int(v) for v in np.unique(labels) if v),
        raw_range=(low, high),
    )


def _read(path: Path) -> tuple[np.ndarray, tuple[float, float, float]]:
    import nibabel

    image = nibabel.as_closest_canonical(nibabel.load(path))
    x, y, z = (float(mm) for mm in image.header.get_zooms()[:3])
    # NIfTI's canonical axes grow to the right, to anterior and to superior, in the order x, y, z.
    voxels = np.asarray(image.dataobj).transpose(2, 1, 0)[:, ::-1, ::-1]
    return np.ascontiguousarray(voxels), (z, y, x)
