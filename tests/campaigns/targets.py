"""Small good files of every kind that the program reads, and how it reads them."""

from __future__ import annotations

import gzip
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import JPEGLSLossless, RLELossless

from app.core.document import Snapshot, UndoStack
from app.core.geometry import Region
from app.core.labels import LabelInfo, LabelMap, LabelTable
from app.core.prompts import BoxPrompt, PointPrompt, ScribblePrompt
from app.io.label_sidecar import read_sidecar, sidecar_text
from app.io.prompts_file import read_prompts
from app.io.prompts_writer import write_prompts
from app.io.reader import read_named_labels, read_volume, scan
from app.workspace.step import restored_document
from app.workspace.store import Store
from tests.campaigns import mutations as m
from tests.exporters import test_dicom_seg, test_rtstruct
from tests.io.files import compressed, dicom_slice, enhanced, nifti_bytes, write_dicom, write_image
from tests.phantoms import file_affine
from tests.workspace.random_edits import new_document
from tests.workspace.test_store import edited


@dataclass(frozen=True)
class Target:
    """A good file, its reader, and what is done to it; ``beside`` are files that lie around it."""

    name: str
    suffix: str
    content: bytes
    read: Callable[[Path], object]
    mutations: tuple[m.Mutation, ...]
    beside: tuple[tuple[str, bytes], ...] = ()
    weight: float = 1.0


_PLAIN = (m.damage_bytes, m.cut, m.set_number)
_DICOM = (*_PLAIN, m.damage_dicom, m.damage_dicom, m.damage_dicom)


def _open_image(path: Path) -> None:
    for info in scan(path):
        read_volume(path, series_uid=info.uid or None)


def _open_series(path: Path) -> None:
    scan(path.parent)
    read_volume(path.parent, resample=True)


def _open_workspace(path: Path) -> None:
    store = Store.open(path)
    try:
        store.summary()
        work = store.load(new_document().volume.geometry)
    finally:
        store.close()
    document = restored_document(new_document().volume, work, UndoStack())
    while document.undo():
        pass


def image_targets(folder: Path) -> list[Target]:
    """Return NIfTI, NRRD and MetaImage, plain and compressed."""
    voxels = (np.arange(6 * 7 * 8).reshape(6, 7, 8) % 97).astype("i2")
    plain = nifti_bytes(voxels)
    numbers = (*_PLAIN, m.set_number)
    found = [
        Target("NIfTI", ".nii", plain, _open_image, numbers),
        Target(
            "NIfTI gzip", ".nii.gz", gzip.compress(plain), _open_image,
            (m.damage_bytes, m.cut, *(m.in_gzip(n) for n in _PLAIN), m.gzip_bomb),
        ),
    ]  # fmt: skip
    for suffix, title in ((".nrrd", "NRRD"), (".mha", "MetaImage")):
        path = write_image(folder / f"a{suffix}", voxels, file_affine("RAI"))
        image, text = sitk.ReadImage(str(path)), (*_PLAIN, m.damage_text, m.damage_text)
        found.append(Target(title, suffix, path.read_bytes(), _open_image, text))
        sitk.WriteImage(image, str(path), useCompression=True)
        found.append(Target(f"{title} packed", suffix, path.read_bytes(), _open_image, text))
    return found


def dicom_targets(folder: Path) -> list[Target]:
    """Return slices of each encoding, a series, enhanced frames, and segmentation objects."""

    def saved(dataset: pydicom.Dataset) -> bytes:
        (path,) = write_dicom(folder / "one", [dataset]).iterdir()
        content = path.read_bytes()
        path.unlink()
        return content

    def packed(syntax: str) -> pydicom.Dataset:
        dataset = dicom_slice(0)
        dataset.compress(syntax, generate_instance_uid=False)
        return dataset

    scratch = folder / "scratch"
    scratch.mkdir()
    frames = (*_DICOM, m.jpeg_bomb)
    others = tuple((f"{k}.dcm", saved(dicom_slice(k))) for k in (1, 2))
    volume = test_dicom_seg.scan_in(folder / "scan")
    seg = test_dicom_seg.export(test_dicom_seg.snapshot_of(volume), folder / "seg.dcm")
    contours = folder / "c.rtstruct.dcm"
    test_rtstruct.export(test_rtstruct.snapshot_of(volume), contours)

    def labels(path: Path) -> None:
        read_named_labels(path, volume.geometry)

    return [
        Target("DICOM slice", ".dcm", saved(dicom_slice(0)), _open_image, _DICOM),
        Target("DICOM series", ".dcm", saved(dicom_slice(0)), _open_series, _DICOM, others),
        Target("DICOM RLE", ".dcm", saved(packed(RLELossless)), _open_image, _DICOM),
        Target("DICOM JPEG-LS", ".dcm", saved(packed(JPEGLSLossless)), _open_image, frames),
        *(
            Target(f"DICOM {name}", ".dcm", saved(compressed(dicom_slice(0), name, scratch)),
                   _open_image, frames)
            for name in ("JPEG", "JPEG2000")
        ),
        Target("DICOM enhanced", ".dcm", saved(enhanced()), _open_image, _DICOM),
        Target("DICOM SEG", ".dcm", seg.read_bytes(), labels, _DICOM),
        Target("RTSTRUCT", ".dcm", contours.read_bytes(), labels, _DICOM),
    ]  # fmt: skip


def text_targets(folder: Path) -> list[Target]:
    """Return prompts and label tables."""
    volume = new_document().volume
    table = LabelTable(
        (LabelInfo(1, "Liver", (200, 80, 60), code=("SCT", "1", "Liver")),
         LabelInfo(300, "Rest", (1, 2, 3)))
    )  # fmt: skip
    prompts = (
        BoxPrompt(Region((2, 3, 4), (3, 20, 30)), 0, (0, 3), 1, 0),
        PointPrompt((2.0, 8.0, 9.0), False, 0, 1, 0),
        ScribblePrompt(((1.0, 2.5, 3.0), (1.0, 4.0, 5.0)), 1.25, True, 0, 300, 1),
    )
    snapshot = Snapshot(volume, LabelMap(volume.geometry), table, prompts)
    write_prompts(folder / "p.json", snapshot)
    mutations = (*_PLAIN, m.damage_json, m.damage_json, m.damage_json, m.damage_text)
    return [
        Target("prompts", ".json", (folder / "p.json").read_bytes(),
               lambda path: read_prompts(path, volume), mutations),
        Target("labels", ".labels.json", sidecar_text(table, ("note",)).encode(), read_sidecar,
               mutations),
    ]  # fmt: skip


def workspace_targets(folder: Path) -> list[Target]:
    """Return a workspace with a base and a history."""
    (folder / "w").mkdir()
    _, path = edited(folder / "w", n_edits=25, max_undo_bytes=20_000)
    store = Store.open(path)
    store.compact()
    store.close()
    mutations = (*_PLAIN, m.damage_sqlite, m.damage_sqlite, m.damage_sqlite)
    return [Target("workspace", ".maskwright", path.read_bytes(), _open_workspace, mutations)]


def checkpoint_targets(folder: Path) -> list[Target]:
    """Return weights of a small network in every container."""
    import torch
    from safetensors.torch import save_file

    from models.networks.vnet import vnet_paper
    from models.published.checkpoints import load_checkpoint
    from models.published.imagenet_npz import load_imagenet_npz
    from tests.models.test_imagenet_npz import archive, network

    torch.set_num_threads(1)
    torch.manual_seed(0)
    state = vnet_paper(1, 2, width=1).state_dict()
    torch.save({"state_dict": state}, folder / "a.pth")
    torch.save(state, folder / "b.pth", _use_new_zipfile_serialization=False)
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "c.safetensors")
    np.savez(folder / "d.npz", **archive())
    transunet = network()
    found = [
        Target("pth", ".pth", (folder / "a.pth").read_bytes(), load_checkpoint,
               (*_PLAIN, m.in_zip, m.in_zip, m.zip_bomb)),
        Target("pth, old form", ".pth", (folder / "b.pth").read_bytes(), load_checkpoint, _PLAIN),
        Target("safetensors", ".safetensors", (folder / "c.safetensors").read_bytes(),
               load_checkpoint, (*_PLAIN, m.damage_safetensors, m.damage_safetensors)),
        Target("npz", ".npz", (folder / "d.npz").read_bytes(),
               lambda path: load_imagenet_npz(transunet, path),
               (*_PLAIN, m.in_zip, m.in_zip, m.zip_bomb)),
    ]  # fmt: skip
    # Far larger than the others.
    return [replace(target, weight=0.25) for target in found]


def all_targets(folder: Path) -> list[Target]:
    """Return every kind of file; what it takes to make them is left in the folder."""
    makers = (image_targets, dicom_targets, text_targets, workspace_targets, checkpoint_targets)
    return [target for make in makers for target in make(folder)]


def place(folder: Path, target: Target, content: bytes) -> Path:
    """Write one input, alone with what belongs beside it; return its path."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, other in target.beside:
        (folder / name).write_bytes(other)
    path = folder / f"input{target.suffix}"
    path.write_bytes(content)
    return path


def altered(target: Target, seed: int, number: int) -> tuple[str, bytes]:
    """Return the n-th input made of a target, always the same, and what was done to it."""
    rng = random.Random(f"{target.name} {seed} {number}")
    mutation = target.mutations[number % len(target.mutations)]
    return mutation.__name__, mutation(target.content, rng)
