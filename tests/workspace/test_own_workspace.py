"""A workspace of one's own: saved, moved, opened again, refused where it does not belong."""

from __future__ import annotations

import numpy as np
import pytest

from app import memory
from app.core.commands import EditVoxels
from app.core.geometry import Region
from app.session import ImageWanted, Message
from app.workspace import schema
from tests.io.files import dicom_slice, write_dicom
from tests.test_privacy import SECRETS
from tests.workspace.bench import Bench, automatic, state, worked_on, write_image

pytestmark = pytest.mark.usefixtures("bright_model")


def test_a_saved_workspace_travels_with_its_image(image, tmp_path):
    bench = worked_on(image)
    own = image.parent / "case.maskwright"
    bench.session.save_workspace(own)
    bench.run()
    assert automatic() == []
    assert not bench.document.is_modified
    bench.paint(7)
    bench.run()
    before = state(bench.document)
    bench.end()
    assert sorted(p.name for p in image.parent.iterdir()) == ["case.maskwright", "tube.nii.gz"]
    moved = image.parent.rename(tmp_path / "elsewhere")
    again = Bench()
    again.open(moved / own.name)
    assert state(again.document) == before
    assert str(image.parent).encode() not in (moved / own.name).read_bytes()


def test_an_image_that_moved_is_asked_for_and_another_one_refused(image, tmp_path):
    bench = worked_on(image)
    own = tmp_path / "case"
    bench.session.save_workspace(own)
    bench.run()
    before = state(bench.document)
    bench.end()
    own = own.with_suffix(".maskwright")
    moved = image.rename(tmp_path / "scans" / "renamed.nii.gz")  # not beside the workspace
    other = tmp_path / "scans" / "other.nii.gz"
    write_image(other, 4)
    again = Bench()
    again.session.open(own)
    again.run()
    assert again.wanted == [ImageWanted(own, "tube.nii.gz")]
    assert again.session.document is None
    again.session.restoring.open(own, other)
    again.run()
    assert again.session.document is None
    assert any("another image" in sentence for sentence in again.said)
    again.session.restoring.open(own, moved)
    again.run()
    assert state(again.document) == before


def test_an_image_that_was_renamed_is_found_by_its_hash(image, tmp_path):
    bench = worked_on(image)
    folder = tmp_path / "case"
    folder.mkdir()
    bench.session.save_workspace(folder / "case.maskwright")
    bench.run()
    before = state(bench.document)
    bench.end()
    # Another scan of the same size, one of another, what is no scan, and a scan of the old name.
    write_image(folder / "a.nii.gz", 4)
    write_image(folder / image.name, 5)
    (folder / "b.nii.gz").write_bytes(b"no scan")
    renamed = image.rename(folder / "z.nii.gz")
    again = Bench()
    again.open(folder / "case.maskwright")
    assert again.session.source_path == renamed
    assert state(again.document) == before
    again.end()
    renamed.unlink()
    last = Bench()
    last.session.open(folder / "case.maskwright")
    last.run()
    assert last.session.document is None
    assert any("another image" in sentence for sentence in last.said)


def test_a_workspace_need_not_say_what_its_scan_is_called(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    scan = write_dicom(folder / "Wintergruen", [dicom_slice(k, **SECRETS) for k in range(4)])
    bench = Bench()
    bench.open(scan)
    region = Region((1, 2, 2), (2, 6, 7))
    block = np.ones(region.shape_zyx, np.uint8)
    bench.document.do(EditVoxels("Paint", region, block))
    bench.run()
    questions = []
    bench.session.save_questioned.connect(questions.append)
    bench.session.save_workspace(folder / "case.maskwright")
    bench.run()
    (question,) = questions
    assert [d.what for d in question.told] == ["the patient's name"]
    assert not (folder / "case.maskwright").exists()
    question.leave_out()
    bench.run()
    before = state(bench.document)
    bench.end()
    content = (folder / "case.maskwright").read_bytes().lower()
    assert b"wintergruen" not in content
    assert str(tmp_path).lower().encode() not in content
    again = Bench()
    again.open(folder / "case.maskwright")
    assert again.session.source_path == scan
    assert state(again.document)[:6] == before[:6]


def test_a_workspace_elsewhere_finds_its_image_among_the_recent_ones(image, tmp_path):
    bench = worked_on(image)
    bench.session.save_workspace(tmp_path / "case.maskwright")
    bench.run()
    bench.end()
    again = Bench(bench.settings)
    again.open(tmp_path / "case.maskwright")
    assert again.session.source_path == image


def test_saving_over_the_file_that_is_open_changes_nothing(image, tmp_path):
    bench = worked_on(image)
    own = tmp_path / "case.maskwright"
    for _ in range(2):
        bench.session.save_workspace(own)
        bench.run()
    bench.paint(7)
    bench.run()
    before = state(bench.document)
    bench.crash()
    again = Bench(bench.settings)
    again.session.restoring.look_for_unfinished()
    again.run()
    again.session.restoring.go_on()
    again.run()
    assert state(again.document)[:6] == before[:6]


def test_a_workspace_that_another_window_holds_opens_as_a_copy(image, tmp_path):
    first = worked_on(image)
    own = image.parent / "case.maskwright"
    first.session.save_workspace(own)
    first.run()
    before = state(first.document)
    second = Bench()
    second.open(own)
    assert state(second.document)[:6] == before[:6]
    (trouble,) = second.troubles
    assert trouble.is_read_only
    assert "“case.maskwright” is open in another window" in trouble.sentence
    content = own.read_bytes()
    second.paint(7)
    second.run()
    assert second.session.writing.trouble is trouble
    assert own.read_bytes() == content
    second.session.save_workspace(image.parent / "mine.maskwright")
    second.run()
    assert second.session.writing.trouble is None
    second.end()
    assert state(first.document) == before
    first.end()
    third = Bench()
    third.open(own)
    assert state(third.document)[:6] == before[:6]


@pytest.mark.parametrize("is_renamed", [False, True])
def test_an_image_that_hardly_fits_into_memory_is_read_only_when_that_is_agreed_to(
    image, tmp_path, monkeypatch, is_renamed
):
    bench, own = worked_on(image), image.parent / "own.maskwright"
    bench.session.save_workspace(own)
    bench.run()
    worked = state(bench.document)
    bench.end()
    if is_renamed:
        image.rename(image.with_name("renamed.nii.gz"))
    again = Bench()
    offers: list[Message] = []
    again.session.message.connect(offers.append)
    monkeypatch.setattr(memory, "free_bytes", lambda: 1000)
    again.session.open(own)
    again.run()
    assert again.session.document is None
    assert not again.wanted
    (offer,) = offers
    assert "of memory to be worked on" in offer.text
    offer.act()
    again.run()
    assert state(again.document)[0] == worked[0]
    again.end()


def test_a_workspace_of_a_later_version_is_left_alone(image, tmp_path, monkeypatch):
    bench = worked_on(image)
    own = tmp_path / "case.maskwright"
    bench.session.save_workspace(own)
    bench.run()
    bench.end()
    content = own.read_bytes()
    monkeypatch.setattr(schema, "MIGRATIONS", ())
    again = Bench(bench.settings)
    again.session.open(own)
    again.run()
    assert any("later version" in sentence for sentence in again.said)
    assert own.read_bytes() == content
