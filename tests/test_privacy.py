"""Nothing that names the patient leaves, unless it has to and is said."""

from __future__ import annotations

import gzip
import logging
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest

from app.core.document import Snapshot
from app.core.errors import ExportError
from app.core.labels import LabelInfo, LabelMap, LabelTable
from app.core.privacy import Disclosure, Privacy
from app.core.prompts import PointPrompt
from app.core.tasks import NullContext
from app.exporters import EXPORTERS
from app.exporting import save_result
from app.io.reader import read_volume
from app.privacy import save, what_leaves
from tests.io.files import dicom_slice, write_dicom

SECRETS = {
    "PatientName": "Wintergruen^Adelheid",
    "PatientID": "PID-7734911",
    "PatientBirthDate": "19311224",
    "AccessionNumber": "ACC-5512087",
    "StudyDate": "20190817",
    "StudyTime": "142359",
    "StudyID": "STUDY-90125",
    "StudyDescription": "Follow-up Wintergruen",
    "ReferringPhysicianName": "Quacksalber^Otto",
    "PatientSex": "F",
    "InstitutionName": "Klinikum Hohenfels",
}
WORDS = (
    "wintergruen", "adelheid", "7734911", "19311224", "5512087", "20190817", "90125", "quacksalber",
    "hohenfels", "secretfolder",
)  # fmt: skip


@pytest.fixture
def volume(tmp_path: Path):
    ids = {"StudyInstanceUID": "1.2.3.4", "FrameOfReferenceUID": "1.2.3.5"}
    folder = tmp_path / "SecretFolder-Wintergruen"
    return read_volume(write_dicom(folder, [dicom_slice(k, **SECRETS, **ids) for k in range(4)]))


def snapshot_of(volume, name: str = "Liver") -> Snapshot:
    labels = np.zeros(volume.voxels.shape, np.uint8)
    labels[1:3, 2:6, 2:7] = 1
    table = LabelTable((LabelInfo(1, name, (200, 80, 60)),))
    prompts = (PointPrompt((1.0, 3.0, 3.0), True, 0, 1, 0),)
    return Snapshot(volume, LabelMap(volume.geometry, labels), table, prompts)


def told(folder: Path) -> set[str]:
    """Return which of the words are in any byte of the files of a folder, or in their names."""
    found = set()
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            content += gzip.decompress(content) if path.name.endswith(".gz") else b""
            text = (str(path.relative_to(folder)).encode() + content).lower()
            utf16 = text.replace(b"\0", b"")
            found |= {w for w in WORDS if w.encode() in text or w.encode() in utf16}
    return found


SUFFIXES = sorted({s for e in EXPORTERS.load().values() for s in e.suffixes})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_told_is_said_before_and_the_anonymised_form_tells_nothing(
    tmp_path, volume, suffix, caplog
):
    caplog.set_level(logging.DEBUG)
    snapshot, plain = snapshot_of(volume), tmp_path / "plain"
    plain.mkdir()
    said = what_leaves(snapshot, plain / f"mask{suffix}", NullContext())
    assert list(plain.iterdir()) == []
    save_result(snapshot, plain / f"mask{suffix}", NullContext())
    assert bool(said) == bool(told(plain))
    if suffix.endswith(".dcm"):
        assert not any(d.is_in_name for d in said)
        assert Disclosure("the patient's name", f"mask{suffix}") in said
        assert Disclosure("the date of birth", f"mask{suffix}") in said
    else:
        assert said == ()
    clean = tmp_path / "clean"
    clean.mkdir()
    save(snapshot, clean / f"mask{suffix}", NullContext(), Privacy.ANONYMOUS)
    assert {p.name for p in clean.iterdir()} == {p.name for p in plain.iterdir()}
    assert told(clean) == set()
    assert not [w for w in WORDS if w in caplog.text.lower()]


@pytest.mark.parametrize("suffix", [".dcm", ".rtstruct.dcm"])
def test_an_anonymised_object_still_belongs_to_its_scan_and_reads_back(tmp_path, volume, suffix):
    from app.io.reader import read_labels

    path = tmp_path / f"mask{suffix}"
    snapshot = snapshot_of(volume)
    save(snapshot, path, NullContext(), Privacy.ANONYMOUS)
    made = pydicom.dcmread(path)
    assert made.StudyInstanceUID == "1.2.3.4"
    assert made.FrameOfReferenceUID == "1.2.3.5"
    assert made.PatientIdentityRemoved == "YES"
    np.testing.assert_array_equal(read_labels(path, volume.geometry), snapshot.labelmap.voxels)


@pytest.mark.parametrize(("label", "name"), [("Tumour Adelheid", "mask"), ("Liver", "Wintergruen")])
def test_names_that_the_user_gave_are_told_and_not_saved_as_anonymous(
    tmp_path, volume, label, name
):
    snapshot, path = snapshot_of(volume, label), tmp_path / f"{name}.nii.gz"
    told = what_leaves(snapshot, path, NullContext())
    assert Disclosure("the patient's name", path.name, is_in_name=True) in told
    for privacy in (Privacy.ANONYMOUS, Privacy.REFUSE):
        with pytest.raises(ExportError, match=r"the patient's name .*\. Rename it"):
            save(snapshot, path, NullContext(), privacy)
    assert list(tmp_path.glob("*.*")) == []


def test_nothing_is_written_where_an_object_would_tell_the_patient(tmp_path, volume):
    path = tmp_path / "mask.dcm"
    with pytest.raises(ExportError, match="It would tell the patient's name, the patient's id"):
        save(snapshot_of(volume), path, NullContext(), Privacy.REFUSE)
    assert list(tmp_path.glob("*.*")) == []


def test_numbers_and_dates_of_an_object_are_not_taken_for_the_patient(tmp_path):
    # As coordinates are written, and the dates of what is made now.
    today = f"{datetime.now():%Y%m%d}"
    ids = {"StudyInstanceUID": f"1.2.{today}.4", "FrameOfReferenceUID": "1.2.3.5"}
    more = SECRETS | {
        "PatientID": "12.5",
        "StudyDate": today,
    }
    slices = [dicom_slice(k, ImagePositionPatient=[12.5, 0, 2.5 * k], **more, **ids)
              for k in range(4)]  # fmt: skip
    volume = read_volume(write_dicom(tmp_path / "s", slices))
    for suffix in (".dcm", ".rtstruct.dcm"):
        path = tmp_path / f"mask{suffix}"
        save(snapshot_of(volume), path, NullContext(), Privacy.ANONYMOUS)
        assert path.exists()


def test_a_resampled_scan_is_known_by_its_headers_too(tmp_path):
    ids = {"StudyInstanceUID": "1.2.3.4", "FrameOfReferenceUID": "1.2.3.5"}
    tilted = [dicom_slice(k, ImagePositionPatient=[0, k, 2.5 * k], **SECRETS, **ids)
              for k in range(4)]  # fmt: skip
    volume = read_volume(write_dicom(tmp_path / "s", tilted), resample=True)
    snapshot = snapshot_of(volume, "Tumour Adelheid")
    told = what_leaves(snapshot, tmp_path / "mask.nii.gz", NullContext())
    assert [d.what for d in told] == ["the patient's name"]
