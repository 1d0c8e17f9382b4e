"""The report of one page, and the volume's range over sloppy boxes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reportlab import rl_config

from app.core.commands import EditVoxels, SetLabels
from app.core.document import Document
from app.core.errors import PromptError
from app.core.geometry import Region
from app.core.labels import LabelTable
from app.core.prompts import BoxPrompt, PointPrompt
from app.core.tasks import NullContext
from app.io.reader import read_named_labels, read_volume
from app.measuring.label_measure import measure_labels
from app.report_letters import Letters
from app.reporting import slice_pictures, write_report
from app.volume_range import volume_range
from models.base import SegmentationResult
from models.engine import SegmentationRequest
from tests.phantoms import torso_like

BLOCK = Region((2, 5, 6), (8, 15, 20))


@pytest.fixture
def document() -> Document:
    table = LabelTable()
    for name in ("Liver <right>", "脾臓"):
        table = table.with_added(table.new_label(name))
    document = Document(torso_like(), label_table=table)
    document.do(EditVoxels("Paint", BLOCK, np.ones(BLOCK.shape_zyx, np.uint8)))
    return document


def test_the_page_is_one_pdf_without_the_scans_name(document, tmp_path):
    path = tmp_path / "report.pdf"
    write_report(document.snapshot(app_version="9.9"), path, (-100, 200), NullContext())
    content = path.read_bytes()
    assert content.startswith(b"%PDF")
    assert content.count(b"/Type /Page\n") == 1
    assert document.volume.name.encode() not in content or not document.volume.name


def drawn(document: Document, names: tuple[str, ...], path: Path) -> bytes:
    table = document.label_table
    for info, name in zip(table, names, strict=True):
        table = table.with_changed(replace(info, name=name))
    document.do(SetLabels("Rename", table))
    half = Region(BLOCK.start_zyx, (5, 15, 20))
    document.do(EditVoxels("Paint", half, np.full(half.shape_zyx, 2, np.uint8)))
    write_report(document.snapshot(), path, (-100, 200), NullContext())
    return path.read_bytes()


@pytest.mark.parametrize("name", ["肝臓", "肝脏", "간", "печень", "ηπαρ"])
def test_names_in_other_alphabets_have_a_font_that_draws_them(name):
    letters = Letters()
    assert letters.markup(f"{name} <1>").startswith("<font name=")
    assert letters.markup("<1>") == "&lt;1&gt;"
    assert not letters.missing


def test_a_letter_that_no_font_draws_is_told_on_the_page(document, tmp_path, monkeypatch):
    monkeypatch.setattr(rl_config, "pageCompression", 0)
    monkeypatch.setattr(rl_config, "useA85", 0)
    hint = b"cannot be drawn"
    assert hint not in drawn(document, ("Leber", "肝臓"), tmp_path / "all.pdf")
    content = drawn(document, ("Leber", "A\U00013000"), tmp_path / "some.pdf")
    assert hint in content
    assert b"A?" in content


def test_a_path_to_csv_gets_the_table(document, tmp_path):
    path = tmp_path / "report.csv"
    write_report(document.snapshot(), path, (-100, 200), NullContext())
    assert path.read_text("utf-8").splitlines()[1].startswith("Liver <right>,1,840,")


def test_pictures_show_the_outline_in_the_middle_of_the_largest_label(document):
    snapshot = document.snapshot()
    rows = measure_labels(
        snapshot.volume, snapshot.labelmap.voxels, snapshot.label_table, NullContext()
    )
    pictures = slice_pictures(snapshot, rows, (-100, 200))
    assert [(axis, index) for axis, index, _ in pictures] == [(0, 4), (1, 9), (2, 12)]
    colour = next(iter(snapshot.label_table)).colour
    axial = pictures[0][2]
    hit = np.argwhere((axial == colour).all(axis=2))
    scale = np.array(axial.shape[:2]) / snapshot.volume.voxels.shape[1:]
    assert hit.min(axis=0) == pytest.approx(scale * (5, 6), abs=2)
    assert hit.max(axis=0) == pytest.approx(scale * (15, 20), abs=2)
    # The head is on top: voxels 2 to 7 of 12 are rows 4 to 9.
    coronal = pictures[1][2]
    hit = np.argwhere((coronal == colour).all(axis=2))[:, 0]
    scale = coronal.shape[0] / 12
    assert (hit.min(), hit.max()) == pytest.approx((4 * scale, 10 * scale), abs=2)


def test_a_real_scan_makes_a_page(shared_data: Path, tmp_path):
    volume = read_volume(shared_data / "torso_ct" / "example_ct_sm.nii.gz")
    labels, names = read_named_labels(
        shared_data / "torso_ct" / "example_ct_sm_auto_labels.nii.gz", volume.geometry
    )
    document = Document(volume, label_table=names)
    whole = Region.whole(labels.shape)
    document.do(EditVoxels("Paint", whole, labels))
    path = tmp_path / "report.pdf"
    write_report(document.snapshot(), path, (-160, 240), NullContext())
    content = path.read_bytes()
    assert content.count(b"/Type /Page\n") == 1
    assert b"example_ct" not in content


def test_the_range_is_that_of_the_boxes():
    volume = torso_like((12, 60, 60), (3.0, 1.0, 1.0))
    asked = []

    def run(request, ctx):
        box = request.prompts[0].region
        asked.append(box)
        return SegmentationResult(box, box, np.ones(box.shape_zyx, bool), 0)

    box = BoxPrompt(Region((5, 10, 10), (6, 50, 50)))
    request = SegmentationRequest(volume, "any", (box,), (0.0, 1.0))
    found = volume_range(request, run, NullContext(), n_boxes=50)
    volumes = [b.n_voxels * 0.003 for b in asked]
    assert found.mean_ml == pytest.approx(np.mean(volumes))
    assert min(volumes) <= found.low_ml < found.mean_ml < found.high_ml <= max(volumes)
    assert all(abs(b.start_zyx[1] - 10) <= 2 and abs(b.stop_zyx[2] - 50) <= 2 for b in asked)
    assert {(b.start_zyx[0], b.stop_zyx[0]) for b in asked} == {(5, 6)}
    with pytest.raises(PromptError):
        volume_range(
            SegmentationRequest(volume, "any", (PointPrompt((5, 20, 20)),), (0.0, 1.0)),
            run,
            NullContext(),
        )
