"""What an export would tell about the patient, found before anything leaves.

Masks, reports, meshes, prompts and label tables carry no patient data by themselves; names of
labels and files are the user's own words and may. DICOM objects carry the patient by the standard
(PS3.3 C.7.1.1): for these there is a form without, which keeps only what links it to its scan.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.document import Snapshot
from app.core.errors import ExportError
from app.core.privacy import Disclosure, Privacy
from app.core.tasks import JobContext
from app.core.volume import Volume
from app.exporting import SaveReport, exporter_for, save_result
from app.io.atomic import replacing
from app.io.dicom_dataset import parse_errors

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# What PS3.15 annex E (basic profile) takes out and a scan's header commonly holds, in words.
_IDENTIFYING = {
    "PatientName": "the patient's name", "PatientID": "the patient's id",
    "OtherPatientIDs": "another id of the patient", "PatientBirthDate": "the date of birth",
    "PatientSex": "the sex", "PatientAge": "the age", "PatientAddress": "the address",
    "PatientTelephoneNumbers": "a telephone number", "PatientComments": "comments",
    "AccessionNumber": "the accession number", "StudyID": "the study's id",
    "StudyDate": "the date of the study", "StudyTime": "the time of the study",
    "StudyDescription": "the study's description",
    "ReferringPhysicianName": "the referring physician",
    "PerformingPhysicianName": "the performing physician", "OperatorsName": "the operator",
    "InstitutionName": "the institution", "InstitutionAddress": "the institution's address",
    "StationName": "the station",
}  # fmt: skip
_FOLDER = "a folder of this machine"
# Kinds of elements that hold what a person wrote; numbers, dates of today and ids are no texts.
_TEXTS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")
# Shorter texts are found in any file by chance.
_MIN_CHARACTERS = 4
KEPT = (
    "the ids (UIDs) of study, series, images and frame of reference, without which the object "
    "would not belong to its scan"
)


def save(snapshot: Snapshot, path: Path, ctx: JobContext, privacy: Privacy) -> SaveReport:
    """Write a snapshot's result as `save_result` does, with or without the patient.

    What ``ANONYMOUS`` keeps is said by `KEPT`.

    Raises
    ------
    ExportError
        It cannot be written, or would tell something that it must not.
    """
    if privacy is Privacy.ANONYMOUS:
        return _save_anonymised(snapshot, path, ctx)
    if privacy is Privacy.REFUSE:
        told = what_leaves(snapshot, path, ctx)
        if told:
            raise _refusal(path, told)
    return save_result(snapshot, path, ctx)


def what_leaves(snapshot: Snapshot, path: Path, ctx: JobContext) -> tuple[Disclosure, ...]:
    """Return what saving a result to a path would tell; nothing is written there.

    Of most files only names can tell anything. A DICOM object is made in a private folder, read,
    and deleted.

    Raises
    ------
    ExportError
        It cannot be saved in this form.
    """
    found = list(_told_by_names(snapshot, path))
    if _is_dicom_name(path):
        with tempfile.TemporaryDirectory(prefix="maskwright-") as folder:
            made = Path(folder, path.name)
            exporter_for(path).export(snapshot, made, ctx)
            said = {d.what for d in found}
            told = _told_by_object(snapshot.volume, made)
            found += [Disclosure(what, path.name) for what in told if what not in said]
    return tuple(found)


def told_by_texts(
    volume: Volume, path: Path, texts: Iterable[str], *, is_in_name: bool = False
) -> tuple[Disclosure, ...]:
    """Return what of a scan's patient and folders stands in texts that a file will hold."""
    found = _found_in(texts, _identifiers(volume))
    return tuple(Disclosure(what, path.name, is_in_name) for what in found)


def listed(told: Sequence[Disclosure]) -> str:
    """Return in words what a file would tell.

    >>> listed([Disclosure("the sex", "a.dcm"), Disclosure("the age", "a.dcm")])
    'the sex and the age'
    """
    what = list(dict.fromkeys(d.what for d in told))
    where = " (by the name of the file or of a label)" if any(d.is_in_name for d in told) else ""
    return " and ".join(p for p in (", ".join(what[:-1]), what[-1]) if p) + where


# -- inside -------------------------------------------------------------------------------------


def _save_anonymised(snapshot: Snapshot, path: Path, ctx: JobContext) -> SaveReport:
    named = _told_by_names(snapshot, path)
    if named:
        raise _refusal(path, named)
    if not _is_dicom_name(path):
        return save_result(snapshot, path, ctx)
    with tempfile.TemporaryDirectory(prefix="maskwright-") as folder:
        made = save_result(snapshot, Path(folder, path.name), ctx)
        _anonymise(made.path)
        left = _told_by_object(snapshot.volume, made.path)
        if left:
            raise _refusal(path, [Disclosure(what, path.name) for what in left])
        for file in sorted(Path(folder).iterdir()):
            with replacing(path.with_name(file.name)) as temporary:
                temporary.write_bytes(file.read_bytes())
    prompts = made.prompts_path
    return SaveReport(path, None if prompts is None else path.with_name(prompts.name))


def _refusal(path: Path, told: Sequence[Disclosure]) -> ExportError:
    cure = "Rename it" if any(d.is_in_name for d in told) else "Leave the patient out"
    return ExportError(
        f"“{path.name}” was not saved. It would tell {listed(told)}. {cure}, then save again."
    )


def _is_dicom_name(path: Path) -> bool:
    return path.name.lower().endswith(".dcm")


def _told_by_names(snapshot: Snapshot, path: Path) -> tuple[Disclosure, ...]:
    """Return what the texts tell that the user gave: the names of the file and of labels."""
    texts = [path.name]
    for info in snapshot.label_table:
        texts += [info.name, *info.code]
    return told_by_texts(snapshot.volume, path, texts, is_in_name=True)


def _told_by_object(volume: Volume, path: Path) -> list[str]:
    """Return what the elements of a DICOM object tell, at any depth."""
    dataset = _load(path)
    texts = [str(e.value) for e in dataset.iterall() if e.VR in _TEXTS and e.value]
    filled = [what for name, what in _IDENTIFYING.items() if str(dataset.get(name) or "")]
    return list(dict.fromkeys([*filled, *_found_in(texts, _identifiers(volume))]))


def _found_in(texts: Iterable[str], known: Mapping[str, set[str]]) -> list[str]:
    text = "\n".join(texts).casefold()
    return [what for what, values in known.items() if any(v.casefold() in text for v in values)]


def _load(path: Path) -> Dataset:
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path, stop_before_pixels=True)


def _identifiers(volume: Volume) -> dict[str, set[str]]:
    """Return what identifies the patient or the user of this machine, by what it is."""
    found: dict[str, set[str]] = {}
    path = volume.header_path
    if path is None:
        return found
    found[_FOLDER] = {str(path.parent.absolute())}
    try:
        header = _load(path)
    except parse_errors():
        return found
    for name, what in _IDENTIFYING.items():
        text = str(header.get(name) or "")
        # A name is found in parts, too: "Doe^Jane" in a label that is called "Jane".
        parts = {text, *text.split("^")} if name.endswith("Name") else {text}
        found[what] = {p for p in parts if len(p) >= _MIN_CHARACTERS}
    return found


def _anonymise(path: Path) -> None:
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        for name in _IDENTIFYING:
            if name in dataset:
                setattr(dataset, name, "")
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethod = "Maskwright: patient, dates and places removed; UIDs kept"
        dataset.save_as(path)
