"""What an export would tell about the patient, found before anything leaves.

Masks, reports, meshes, prompts and label tables carry no patient data by themselves; names of
labels and files are the user's own words and may. DICOM objects carry the patient by the standard
(PS3.3 C.7.1.1): for these there is a form without, which keeps only what links it to its scan.
"""

from __future__ import annotations

import gzip
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.document import Snapshot
from app.core.errors import ExportError
from app.core.tasks import JobContext
from app.core.volume import Volume
from app.exporting import SaveReport, save_result
from app.io.atomic import replacing
from app.io.dicom_header import is_dicom, parse_errors

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
# Shorter texts are found in any file by chance.
_MIN_CHARACTERS = 4
KEPT = (
    "the ids (UIDs) of study, series, images and frame of reference, without which the object "
    "would not belong to its scan"
)


@dataclass(frozen=True)
class Disclosure:
    """Something that a file would tell.

    Attributes
    ----------
    what : str
        In words, e.g. "the patient's name"; never the value.
    file_name : str
    """

    what: str
    file_name: str


def what_leaves(snapshot: Snapshot, path: Path, ctx: JobContext) -> tuple[Disclosure, ...]:
    """Return what saving a result to a path would tell; nothing is written there.

    The files are made in a private folder, read byte by byte, and deleted.

    Raises
    ------
    ExportError
        It cannot be saved in this form.
    """
    with tempfile.TemporaryDirectory(prefix="maskwright-") as folder:
        save_result(snapshot, Path(folder) / path.name, ctx)
        return disclosures(snapshot.volume, sorted(Path(folder).iterdir()))


def disclosures(volume: Volume, files: list[Path]) -> tuple[Disclosure, ...]:
    """Return what files tell that the headers of a scan, or the names of its folders, tell too."""
    known = _identifiers(volume)
    found: dict[Disclosure, None] = {}
    for file in files:
        content = file.read_bytes()
        if file.name.lower().endswith(".gz"):
            content = gzip.decompress(content)
        text = (file.name.encode() + b"\n" + content).lower()
        for what, values in known.items():
            if any(value.encode(code, "ignore").lower() in text
                   for value in values for code in ("utf-8", "latin-1", "utf-16-le")
                   if len(value.encode(code, "ignore")) >= _MIN_CHARACTERS):  # fmt: skip
                found[Disclosure(what, file.name)] = None
        if is_dicom(file):
            for what in _filled_in(_load(file)):
                found[Disclosure(what, file.name)] = None
    return tuple(found)


def save_anonymised(snapshot: Snapshot, path: Path, ctx: JobContext) -> SaveReport:
    """Write a snapshot as `save_result` does, but DICOM objects without the patient.

    What is kept then is said by `KEPT`.

    Raises
    ------
    ExportError
        It cannot be written, or what would be written still tells something.
    """
    with tempfile.TemporaryDirectory(prefix="maskwright-") as folder:
        made = save_result(snapshot, Path(folder) / path.name, ctx)
        files = sorted(Path(folder).iterdir())
        for file in files:
            if is_dicom(file):
                _anonymise(file)
        left = disclosures(snapshot.volume, files)
        if left:
            raise ExportError(
                f"“{path.name}” was not saved: it would still tell {left[0].what} (in the name of "
                "the file or of a label). Rename it, then save again."
            )
        for file in files:
            with replacing(path.with_name(file.name)) as temporary:
                temporary.write_bytes(file.read_bytes())
    prompts = made.prompts_path
    return SaveReport(path, None if prompts is None else path.with_name(prompts.name))


# -- inside -------------------------------------------------------------------------------------


def _load(path: Path) -> Dataset:
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path, stop_before_pixels=True)


def _identifiers(volume: Volume) -> dict[str, set[str]]:
    """Return what identifies the patient or the user of this machine, by what it is."""
    found: dict[str, set[str]] = {}
    for path in volume.source_paths[:1]:
        found["a folder of this machine"] = {str(path.parent), path.parent.name}
        try:
            header = _load(path)
        except parse_errors():
            continue
        for name, what in _IDENTIFYING.items():
            text = str(header.get(name) or "")
            # A name is found in parts, too: "Doe^Jane" in a label that is called "Jane".
            parts = {text, *text.split("^")} if name.endswith("Name") else {text}
            found[what] = {p for p in parts if len(p) >= _MIN_CHARACTERS}
    return found


def _filled_in(dataset: Dataset) -> list[str]:
    return [what for name, what in _IDENTIFYING.items() if str(dataset.get(name) or "")]


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
