"""`maskwright info` and `maskwright convert`."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from tests.cli.conftest import SIZE_IJK, SPACING, bright_scan, refused, write_image


def test_info_says_what_a_file_holds(run, scan):
    (series,) = run("info", scan, "--json").json["series"]
    assert series["size"] == list(SIZE_IJK)
    assert series["spacing_mm"] == pytest.approx(SPACING, rel=1e-5)
    assert series["orientation"] == "RPS"
    assert series["transfer_syntax"] == "NIfTI"
    assert series["warnings"] == []
    assert series["is_openable"] is True
    text = run("info", scan).out
    for word in ("30 x 24 x 12", "0.8 x 0.9 x 2.5 mm", "RPS"):
        assert word in text


def test_info_reads_no_voxels(run, tmp_path, monkeypatch):
    # The header promises 30 GB; only a program that reads voxels would miss them.
    image = sitk.Image([4, 4, 4], sitk.sitkInt16)
    path = tmp_path / "huge.nii"
    sitk.WriteImage(image, str(path))

    def forbidden(*arguments):
        raise AssertionError("voxels were read")

    monkeypatch.setattr("app.io.reader.read_grid", forbidden)
    assert run("info", path, "--json").json["series"][0]["size"] == [4, 4, 4]


@pytest.mark.parametrize("flag", [(), ("--json",)])
def test_info_refuses_what_is_no_image(run, tmp_path, flag):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    for name in ("notes.txt", "empty", "missing"):
        refused(run("info", tmp_path / name, *flag), 3)


def test_info_tells_what_is_wrong_with_a_real_series(run, shared_data):
    text = run("info", shared_data / "dicom" / "ct_ge_tilt_uneven").out
    assert "0.4883 x 0.4883 x uneven mm" in text
    done = run("info", shared_data / "dicom" / "ct_ge_tilt_uneven", "--json")
    assert done.code == 0
    (series,) = done.json["series"]
    assert series["modality"] == "CT"
    said = " ".join([*series["warnings"], series["reason"]])
    assert "18.5" in said
    jpeg = run("info", shared_data / "dicom" / "ct_jpeg2000", "--json").json["series"][0]
    assert "JPEG 2000" in jpeg["transfer_syntax"]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_convert_keeps_voxels_and_geometry(run, scan, tmp_path, suffix):
    out = tmp_path / f"copy{suffix}"
    done = run("convert", scan, out)
    assert (done.code, done.out) == (0, f"Saved {out}\n")
    before, after = sitk.ReadImage(str(scan)), sitk.ReadImage(str(out))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(after), bright_scan())
    for what in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(after, what)(), getattr(before, what)(), atol=1e-5)


def test_convert_takes_the_names_of_labels_along(run, tmp_path):
    labels = (bright_scan() == 220).astype(np.uint8) * 3
    source = write_image(tmp_path / "labels.nii.gz", labels)
    names = {"version": 1, "labels": [{"value": 3, "name": "liver", "colour": [1, 2, 3]}]}
    (tmp_path / "labels.labels.json").write_text(json.dumps(names))
    assert run("convert", source, tmp_path / "copy.nrrd").code == 0
    copied = sitk.ReadImage(str(tmp_path / "copy.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(copied), labels)
    assert json.loads((tmp_path / "copy.labels.json").read_text())["labels"] == names["labels"]


def test_convert_refuses(run, scan, tmp_path):
    refused(run("convert", scan, scan), 2, "input")
    refused(run("convert", scan, tmp_path / "copy.png"), 5, "copy.png")
    refused(run("convert", scan, tmp_path / "no folder" / "copy.nii"), 5, "no folder")
    refused(run("convert", tmp_path / "missing.nii", tmp_path / "copy.nii"), 3, "missing.nii")
    refused(run("convert", scan), 2, "OUT", "--help")
    assert [p.name for p in tmp_path.iterdir()] == ["scan.nii.gz"]


def test_convert_opens_a_compressed_dicom_series(run, shared_data, tmp_path):
    out = tmp_path / "ct.nii.gz"
    assert run("convert", shared_data / "dicom" / "ct_jpeg2000", out).code == 0
    info = run("info", shared_data / "dicom" / "ct_jpeg2000", "--json").json["series"][0]
    assert list(sitk.ReadImage(str(out)).GetSize()) == info["size"]


def test_what_hardly_fits_into_memory_is_told_and_tried(run, scan, tmp_path, monkeypatch):
    monkeypatch.setattr("app.memory.free_bytes", lambda: 1000)
    done = run("convert", scan, tmp_path / "b.nrrd")
    assert done.code == 0
    assert "of memory to be worked on" in done.err
    monkeypatch.undo()
    done = run("convert", scan, tmp_path / "c.nrrd")
    assert done.err == ""


def test_uneven_slices_can_be_resampled_if_that_is_asked_for(run, shared_data, tmp_path):
    uneven, out = shared_data / "dicom" / "ct_ge_tilt_uneven", tmp_path / "ct.nii.gz"
    assert run("info", uneven, "--json").json["series"][0]["can_resample"]
    refused(run("convert", uneven, out), 3, "18.5")
    done = run("convert", uneven, out, "--resample")
    assert done.code == 0
    assert "resampled" in done.err.lower()
    made = sitk.ReadImage(str(out))
    assert made.GetSpacing()[2] == pytest.approx(4.0, abs=0.01)
    # Whoever gets the file is told, too.
    sentence = "Resampled to a regular grid, slices 4.00 mm apart; not scanned like this."
    assert made.GetMetaData("descrip").startswith(sentence)
    assert sentence in nibabel.load(out).header["descrip"].item().decode()
    for name in ("ct.nrrd", "ct.mha"):
        assert run("convert", uneven, tmp_path / name, "--resample").code == 0
        notes = sitk.ReadImage(str(tmp_path / name)).GetMetaData("ITK_FileNotes")
        assert notes.startswith(sentence)
        assert "18.5 degrees" in notes
