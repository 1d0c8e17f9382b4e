"""A file that would tell who the patient is: asked about before it is written."""

from __future__ import annotations

import pydicom
import pytest
from PySide6.QtWidgets import QMessageBox

from app.core.document import Document
from app.core.labels import LabelInfo, LabelMap, LabelTable
from app.io.reader import read_volume
from app.ui import dialogs
from app.ui.dialogs import Telling
from tests.io.files import dicom_slice, write_dicom
from tests.test_privacy import SECRETS, told
from tests.ui.bench import Bench


@pytest.fixture
def bench(qtbot, qapp, bright_model, tmp_path):
    """Return a window with a DICOM scan of somebody and a mask."""
    ids = {"StudyInstanceUID": "1.2.3.4", "FrameOfReferenceUID": "1.2.3.5"}
    slices = [dicom_slice(k, **SECRETS, **ids) for k in range(4)]
    volume = read_volume(write_dicom(tmp_path / "scan", slices))
    bench = Bench(qtbot, qapp)
    table = LabelTable((LabelInfo(1, "Liver", (200, 80, 60)),))
    labels = (volume.voxels > -700).astype("u1")
    document = Document(volume, LabelMap(volume.geometry, labels), table)
    bench.session.set_document(document, (-1000.0, 0.0))
    return bench


@pytest.fixture
def answers(monkeypatch):
    """Return a list: the next answers go in front, what was asked is added behind."""
    answers: list = []

    def ask(parent, question):
        answers.append(question)
        return answers.pop(0)

    monkeypatch.setattr(dialogs, "ask_telling", ask)
    return answers


def save(bench, path) -> None:
    bench.session.save_mask(path)
    bench.files.run_all()


def test_nothing_is_written_until_it_is_answered(bench, answers, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    answers.append(Telling.CANCEL)
    save(bench, out / "mask.dcm")
    (question,) = answers
    assert "the patient's name" in {d.what for d in question.told}
    assert list(out.iterdir()) == []
    answers[:] = [Telling.LEAVE_OUT]
    save(bench, out / "mask.dcm")
    assert pydicom.dcmread(out / "mask.dcm").PatientName == ""
    assert told(out) == set()
    answers[:] = [Telling.SAVE]
    save(bench, out / "mask.dcm")
    assert pydicom.dcmread(out / "mask.dcm").PatientName == SECRETS["PatientName"]


def test_a_label_map_asks_nothing_unless_a_name_tells(bench, answers, tmp_path):
    save(bench, tmp_path / "mask.nii.gz")
    assert answers == []
    assert (tmp_path / "mask.nii.gz").exists()
    answers.append(Telling.CANCEL)
    save(bench, tmp_path / "wintergruen.nii.gz")
    assert answers[0].leave_out is None
    assert not (tmp_path / "wintergruen.nii.gz").exists()


@pytest.mark.parametrize("name", ["adelheid.pdf", "adelheid.csv"])
def test_reports_and_tables_ask_too(bench, answers, tmp_path, name):
    answers.append(Telling.CANCEL)
    path = tmp_path / name
    if name.endswith("pdf"):
        bench.session.figures.save_report(path)
    else:
        bench.session.figures.save_text(path, "a,b\n")
    bench.files.run_all()
    assert [d.what for d in answers[0].told] == ["the patient's name"]
    assert not path.exists()


def test_a_window_that_waits_for_the_mask_stays_when_the_answer_is_no(
    bench, answers, tmp_path, monkeypatch
):
    session = bench.session
    session.label_editing.choose(1)
    session.label_editing.add()
    assert session.document.is_modified
    monkeypatch.setattr(dialogs, "ask_unsaved", lambda parent: dialogs.Unsaved.SAVE)
    monkeypatch.setattr(dialogs, "ask_save", lambda parent, path: tmp_path / "mask.dcm")
    answers.append(Telling.CANCEL)
    bench.window.close()
    bench.files.run_all()
    assert bench.window.isVisible()
    save(bench, tmp_path / "mask.nii.gz")
    assert bench.window.isVisible()


def test_the_dialog_says_what_and_offers_what_can_be_done(bench, monkeypatch, tmp_path):
    seen = []

    def look(box) -> int:
        seen.append((box.text(), [b.text() for b in box.buttons()]))
        return 0

    monkeypatch.setattr(QMessageBox, "exec", look)
    save(bench, tmp_path / "mask.dcm")
    save(bench, tmp_path / "Wintergruen.nii.gz")
    (text, buttons), (_, of_name) = seen
    assert "“mask.dcm” would tell: the patient's name, the patient's id" in text
    assert "Save without" in buttons
    assert "Save without" not in of_name
    assert "Save anyway" in of_name
    assert not list(tmp_path.glob("*.dcm"))
