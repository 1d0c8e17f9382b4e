"""Which labelled cases a folder holds: pairs of ``<case>_img`` and ``<case>_seg`` on one grid."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from app.core.errors import ReadError
from app.core.geometry import Geometry, Region
from app.core.tasks import JobContext
from app.core.volume import Volume
from app.io.reader import read_labels, read_volume
from models.training.aside import patient_in, patients_aside

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
SPLITS = ("train", "dev", "test")
# Patients of the training part on which settings are chosen, and which none is learnt from.
ASIDE = "aside"
PARTIAL_FILE = "organs_contoured.json"


@dataclass(frozen=True)
class Facts:
    """What the files of a data set do not say themselves.

    Attributes
    ----------
    structures : mapping of label value to name
    is_stack : bool
        The slices of a file are not neighbours in the patient: each one is given to the model on
        its own.
    has_spacing : bool
        Otherwise lengths are in pixels.
    is_ct_bytes : bool
        CT that was windowed for soft tissue and stored as bytes.
    """

    structures: Mapping[int, str] = field(default_factory=dict)
    is_stack: bool = False
    has_spacing: bool = True
    is_ct_bytes: bool = False


_VERTEBRAE = ("L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10", "T9")
_BTCV = (
    "spleen", "right kidney", "left kidney", "gallbladder", "oesophagus", "liver", "stomach",
    "aorta", "inferior vena cava", "portal and splenic vein", "pancreas", "right adrenal gland",
    "left adrenal gland",
)  # fmt: skip
_HEART = (
    "left ventricle", "right ventricle", "left atrium", "right atrium", "aorta",
    "pulmonary artery", "superior vena cava", "inferior vena cava",
)  # fmt: skip
_HEAD_NECK = (
    "brainstem", "spinal cord", "right parotid", "left parotid", "oesophagus", "larynx",
    "mandible",
)  # fmt: skip
# How the file that lists contoured organs spells them, in the order of the label values.
_HEAD_NECK_KEYS = (
    "Brainstem", "SpinalCord", "RightParotid", "LeftParotid", "Esophagus", "Larynx", "Mandible",
)  # fmt: skip


def _numbered(names: tuple[str, ...]) -> dict[int, str]:
    return dict(enumerate(names, 1))


KNOWN: Mapping[str, Facts] = {
    "msd_hippocampus": Facts({1: "anterior hippocampus", 2: "posterior hippocampus"}),
    "openkbp_hn": Facts(_numbered(_HEAD_NECK)),
    "sts_sarcoma": Facts({1: "tumour"}),
    "sunnybrook_lv2d": Facts({1: "left ventricle"}, is_stack=True, has_spacing=False),
    "btcv2d_imis": Facts(_numbered(_BTCV), is_stack=True, has_spacing=False, is_ct_bytes=True),
    "figshare_brain_tumour": Facts({1: "tumour"}, is_stack=True, has_spacing=False),
    "spider_spine2d": Facts(
        _numbered(_VERTEBRAE) | {n: f"disc or canal {n}" for n in range(10, 17)},
        is_stack=True,
        has_spacing=False,
    ),
    "hvsmr_heart2d": Facts(_numbered(_HEART), is_stack=True, has_spacing=False),
}


@dataclass(frozen=True)
class Case:
    """One image with its truth.

    Attributes
    ----------
    name : str
    image_path, truth_path : Path
    labelled : frozenset of int, optional
        Label values that were drawn in this case; any other one is unknown, not absent. None
        means all.
    """

    name: str
    image_path: Path
    truth_path: Path
    labelled: frozenset[int] | None = None


@dataclass(frozen=True)
class DataSet:
    """Cases that belong together.

    Attributes
    ----------
    name : str
    cases : tuple of Case
        By name.
    facts : Facts
    """

    name: str
    cases: tuple[Case, ...]
    facts: Facts = Facts()

    @property
    def unit(self) -> str:
        """The unit of lengths: "mm", or "px" where the spacing is missing."""
        return "mm" if self.facts.has_spacing else "px"

    def structure(self, value: int) -> str:
        """Return the name of a label value."""
        return self.facts.structures.get(value, f"label {value}")


def find_data_sets(folder: Path, split: str) -> tuple[DataSet, ...]:
    """Return the data sets in a folder: itself one, or the parent of several.

    Parameters
    ----------
    folder : Path
        Holds pairs, or a subfolder ``split`` with pairs, or several such folders.
    split : str
        Which subfolder is used where there are any. A data set without subfolders is used whole.
        "aside" are the cases in ``train`` of the patients that every training sets aside.

    Raises
    ------
    ReadError
        There are no pairs.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise ReadError(f"“{folder}” is not a folder.")
    own = _data_set(folder, split)
    if own is not None:
        return (own,)
    children = (_data_set(p, split) for p in sorted(folder.iterdir()) if p.is_dir())
    found = tuple(c for c in children if c is not None)
    if not found:
        raise ReadError(
            f"“{folder.name}” holds no labelled cases of the part “{split}”: pairs of files "
            "<case>_img and <case>_seg are needed."
        )
    return found


def read_case(case: Case, ctx: JobContext | None = None) -> tuple[Volume, np.ndarray]:
    """Return a case's volume and its label values (z, y, x) on the same canonical grid.

    Raises
    ------
    ReadError, GeometryError
        A file cannot be read, or the two are not on one grid.
    """
    volume = read_volume(case.image_path, ctx=ctx)
    return volume, read_labels(case.truth_path, volume.geometry, ctx=ctx)


def single_slice(volume: Volume, axis: int, index: int) -> Volume:
    """Return one slice as a volume of its own: without neighbours, at its place in space."""
    region = Region.whole(volume.voxels.shape).with_axis(axis, index, index + 1)
    affine = np.array(volume.geometry.affine)
    affine[:3, 3] += index * affine[:3, axis]
    return Volume(
        volume.voxels[region.slices],
        Geometry(region.shape_zyx, affine),
        volume.modality,
        volume.source_orientation,
        f"{volume.name} {index + 1}",
    )


# -- inside -------------------------------------------------------------------------------------


def _data_set(folder: Path, split: str) -> DataSet | None:
    part = folder / ("train" if split == ASIDE else split)
    if part.is_dir():
        pairs = list(_pairs(part))
    elif any((folder / name).is_dir() for name in SPLITS) or (
        split == ASIDE and folder.name in ("dev", "test")
    ):
        return None
    else:
        pairs = list(_pairs(folder))
    if not pairs:
        return None
    root = folder.parent if folder.name in SPLITS else folder
    if split == ASIDE:
        aside = patients_aside(root.name, [name for name, _, _ in pairs])
        pairs = [pair for pair in pairs if patient_in(root.name, pair[0]) in aside]
    labelled = _labelled(root)
    cases = tuple(
        Case(name, image, truth, labelled.get(name) if labelled else None)
        for name, image, truth in pairs
    )
    return DataSet(root.name, cases, KNOWN.get(root.name, Facts()))


def _pairs(folder: Path) -> Iterator[tuple[str, Path, Path]]:
    for image in sorted(folder.iterdir()):
        for suffix in SUFFIXES:
            if image.name.endswith(f"_img{suffix}"):
                name = image.name[: -len(f"_img{suffix}")]
                truths = [folder / f"{name}_seg{s}" for s in SUFFIXES]
                truth = next((t for t in truths if t.is_file()), None)
                if truth is not None:
                    yield name, image, truth
                break


def _labelled(root: Path) -> dict[str, frozenset[int]]:
    """Return the drawn label values by case, where a file says so; empty if there is none."""
    path = root / PARTIAL_FILE
    if not path.is_file():
        return {}
    try:
        listed = json.loads(path.read_text("utf-8"))
        return {
            str(case): frozenset(_HEAD_NECK_KEYS.index(organ) + 1 for organ in organs)
            for case, organs in listed.items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ReadError(f"“{path.name}” does not list organs by case.") from error
