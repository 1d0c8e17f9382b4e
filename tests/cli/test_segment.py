"""`maskwright segment`: prompts to a mask that lies where it should, or one plain sentence."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from app.core.errors import ExportError
from tests.cli.conftest import bright_scan, refused, write_image
from tests.io.files import dicom_slice, write_dicom
from tests.test_privacy import SECRETS

pytestmark = pytest.mark.usefixtures("bright_model")


def expected() -> np.ndarray:
    bright = bright_scan() == 220
    labels = np.zeros(bright.shape, np.uint8)
    labels[3:9, 6:12, 5:13] = 1
    labels[4, 15:20, 18:26] = 7
    assert (bright[labels > 0]).all()
    return labels


def left_over(folder):
    """Return names of files that no command may leave behind."""
    return [p.name for p in folder.iterdir() if ".part" in p.name]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_the_mask_lies_where_the_prompts_are(run, scan, prompts, tmp_path, suffix):
    out = tmp_path / f"mask{suffix}"
    done = run("segment", scan, "--prompts", prompts, "--out", out)
    assert (done.code, done.out.splitlines()[-1]) == (0, f"Saved {out}")
    mask, image = sitk.ReadImage(str(out)), sitk.ReadImage(str(scan))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), expected())
    assert mask.GetPixelID() == sitk.sitkUInt8
    assert mask.GetSize() == image.GetSize()
    for what in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(
            getattr(mask, what)(), getattr(image, what)(), atol=1e-5, err_msg=what
        )
    names = json.loads((tmp_path / "mask.labels.json").read_text())["labels"]
    assert {n["value"]: n["name"] for n in names} == {1: "liver", 7: "kidney"}
    assert left_over(tmp_path) == []


def test_json_is_alone_on_standard_output_and_says_what_was_done(run, scan, prompts, tmp_path):
    out = tmp_path / "mask.nii.gz"
    done = run("segment", scan, "--prompts", prompts, "--out", out, "--device", "cpu", "--json")
    assert done.code == 0
    report = done.json
    assert report["model"] == "embedded"
    assert report["device"] == "test bench"
    assert report["labels"] == {"liver": 1, "kidney": 7}
    voxel_ml = 0.8 * 0.9 * 2.5 / 1000
    counts = np.bincount(expected().ravel())
    assert report["volume_ml"] == pytest.approx(
        {"liver": counts[1] * voxel_ml, "kidney": counts[7] * voxel_ml}, rel=1e-5
    )
    seconds = report["seconds"]
    assert {"total", "load", "encode", "decode", "save"} <= set(seconds)
    parts = sum(v for k, v in seconds.items() if k != "total")
    assert all(v >= 0 for v in seconds.values())
    assert parts <= seconds["total"] * 1.01
    # Six slices hold the liver, two on each side are empty and end it; the kidney is on one of
    # the same slices, which need not be encoded again.
    assert report["encodes"] == 6 + 2 + 2
    assert report["cache_hits"] >= 1
    assert report["peak_rss_mb"] > 10
    assert report["warnings"] == []


def test_a_second_run_finds_every_slice_encoded(run, scan, prompts, tmp_path):
    words = ("segment", scan, "--prompts", prompts, "--out", tmp_path / "a.nii.gz", "--json")
    first, second = run(*words).json, run(*words).json
    assert second["encodes"] == 0
    assert second["cache_hits"] == first["encodes"] + first["cache_hits"]
    assert second["volume_ml"] == first["volume_ml"]


def test_the_prompts_beside_the_mask_make_the_same_mask_again(run, scan, prompts, tmp_path):
    first, second = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    assert run("segment", scan, "--prompts", prompts, "--out", first).code == 0
    beside = tmp_path / "a.prompts.json"
    content = json.loads(beside.read_text())
    assert content["model"] == {"id": "embedded", "sha256": "ab" * 32}
    assert len(content["window"]) == 2
    assert content["app_version"]
    assert run("segment", scan, "--prompts", beside, "--out", second).code == 0
    np.testing.assert_array_equal(
        *(sitk.GetArrayFromImage(sitk.ReadImage(str(p))) for p in (first, second))
    )
    before = beside.read_bytes()
    assert run("segment", scan, "--prompts", beside, "--out", first).code == 0
    assert beside.read_bytes() == before


def test_later_labels_stay_off_earlier_ones_unless_they_draw_over(run, scan, tmp_path):
    out = tmp_path / "mask.nii.gz"
    box = {"kind": "box", "start_ijk": [4, 5, 5], "stop_ijk": [14, 13, 6]}
    for policy, value in ((None, 1), ("all", 2)):
        second = {"label": "second", **box} | ({"draw_over": policy} if policy else {})
        (tmp_path / "p.json").write_text(
            json.dumps({"version": 1, "prompts": [{"label": "first", **box}, second]})
        )
        assert run("segment", scan, "--prompts", tmp_path / "p.json", "--out", out).code == 0
        mask = sitk.GetArrayFromImage(sitk.ReadImage(str(out)))
        assert set(np.unique(mask)) == {0, value}


def test_an_object_that_is_not_there_is_a_warning_and_an_empty_label(run, scan, tmp_path):
    (tmp_path / "p.json").write_text(
        json.dumps(
            {
                "version": 1,
                "prompts": [
                    {"label": "air", "kind": "box", "start_ijk": [0, 0, 11], "stop_ijk": [4, 4, 12]}
                ],
            }
        )
    )
    out = tmp_path / "mask.nii.gz"
    done = run("segment", scan, "--prompts", tmp_path / "p.json", "--out", out, "--json")
    assert done.code == 0
    assert done.json["volume_ml"] == {"air": 0}
    assert "found nothing" in done.json["warnings"][0]
    assert "found nothing" in done.err


def test_prompts_of_another_version_of_the_model_are_told(run, scan, prompts, tmp_path):
    content = json.loads(prompts.read_text())
    content["model"] = {"id": "embedded", "sha256": "cd" * 32}
    prompts.write_text(json.dumps(content))
    words = ("segment", scan, "--prompts", prompts, "--out", tmp_path / "mask.nii.gz", "--json")
    done = run(*words)
    assert done.code == 0
    assert "another version" in done.json["warnings"][0]
    content["model"] = {"id": "special", "sha256": "cd" * 32}
    prompts.write_text(json.dumps(content))
    refused = run(*words)
    assert (refused.code, refused.out) == (4, "")
    assert "special" in refused.err
    chosen = run(*words, "--model", "embedded")
    assert chosen.code == 0
    assert "special" in chosen.json["warnings"][0]


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", [(), ("--json",)])
def test_an_image_that_cannot_be_read(run, prompts, tmp_path, flag):
    out = tmp_path / "mask.nii.gz"
    (tmp_path / "text.nii.gz").write_text("no image")
    sitk.WriteImage(sitk.Image([4, 4, 4, 3], sitk.sitkInt16), str(tmp_path / "time.nii.gz"))
    for name in ("missing.nii.gz", "text.nii.gz", "time.nii.gz"):
        refused(run("segment", tmp_path / name, "--prompts", prompts, "--out", out, *flag), 3)
        assert not out.exists()


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "{}",
        '{"version": 1, "prompts": [{"label": "a", "kind": "box"}]}',
        '{"version": 1, "prompts": [{"label": "a", "kind": "box", "start_ijk": [0, 0, 0],'
        ' "stop_ijk": [99, 9, 1]}]}',
    ],
)
def test_prompts_that_make_no_sense(run, scan, tmp_path, text):
    out = tmp_path / "mask.nii.gz"
    (tmp_path / "bad.json").write_text(text)
    refused(run("segment", scan, "--prompts", tmp_path / "bad.json", "--out", out), 3)
    refused(run("segment", scan, "--prompts", tmp_path / "no.json", "--out", out), 3, "no.json")
    assert not out.exists()


def test_a_model_that_is_not_there(run, scan, prompts, tmp_path):
    out = tmp_path / "mask.nii.gz"
    done = run("segment", scan, "--prompts", prompts, "--out", out, "--model", "huge")
    refused(done, 4, "huge", "embedded")
    assert not out.exists()


def test_an_output_that_cannot_be_written(run, scan, prompts, tmp_path):
    words = ("segment", scan, "--prompts", prompts, "--out")
    refused(run(*words, tmp_path / "no folder" / "mask.nii.gz"), 5, "no folder")
    refused(run(*words, tmp_path / "mask.jpg"), 5, "mask.jpg")
    (tmp_path / "dir.nii.gz").mkdir()
    refused(run(*words, tmp_path / "dir.nii.gz"), 5, "folder")


def test_the_input_is_never_overwritten(run, scan, prompts):
    before = scan.read_bytes()
    refused(run("segment", scan, "--prompts", prompts, "--out", scan), 2, "input")
    assert scan.read_bytes() == before


def test_a_failure_while_writing_leaves_the_old_mask(run, scan, prompts, tmp_path, monkeypatch):
    out = tmp_path / "mask.nii.gz"
    assert run("segment", scan, "--prompts", prompts, "--out", out).code == 0
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(*arguments, **options):
        raise ExportError("The disk is full.")

    monkeypatch.setattr("app.io.writer.read_volume", full)
    refused(run("segment", scan, "--prompts", prompts, "--out", out), 5, "disk is full")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--out", "mask.nii.gz"),
        ("--prompts", "p.json", "--out", "m.nii.gz", "--device", "tpu"),
        ("--prompts", "p.json", "--out", "m.nii.gz", "--lasso"),
    ],
)
def test_wrong_usage(run, scan, words):
    refused(run("segment", scan, *words), 2, "--help")


def test_cancelling_is_told_and_leaves_nothing(
    run, scan, prompts, tmp_path, bright_model, monkeypatch
):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(bright_model, "predict", interrupted)
    out = tmp_path / "mask.nii.gz"
    refused(run("segment", scan, "--prompts", prompts, "--out", out), 130, "Cancelled")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["prompts.json", "scan.nii.gz"]


def test_dicom_is_written_for_dicom_only(run, scan, prompts, tmp_path):
    refused(run("segment", scan, "--prompts", prompts, "--out", tmp_path / "m.dcm"), 5, "m.dcm")


@pytest.fixture
def series(tmp_path):
    """Return the folder of a scan of somebody, and prompts for it."""
    ids = {"StudyInstanceUID": "1.2.3.4", "FrameOfReferenceUID": "1.2.3.5"}
    pixels = np.zeros((8, 10), "<u2")
    pixels[2:6, 2:7] = 2000
    slices = [dicom_slice(k, PixelData=pixels.tobytes(), **SECRETS, **ids) for k in range(4)]
    box = {"label": "a", "kind": "box", "start_ijk": [1, 1, 1], "stop_ijk": [8, 7, 2]}
    (tmp_path / "p.json").write_text(json.dumps({"version": 1, "prompts": [box]}))
    return write_dicom(tmp_path / "series", slices)


def test_what_a_dicom_object_tells_is_said_and_can_be_left_out(run, series, tmp_path):
    words = ("segment", series, "--prompts", tmp_path / "p.json", "--out")
    plain = run(*words, tmp_path / "plain.dcm", "--json")
    assert plain.code == 0, plain
    (sentence,) = [w for w in plain.json["warnings"] if "plain.dcm" in w]
    assert "tells the patient's name, the patient's id" in sentence
    assert sentence in plain.err
    assert pydicom.dcmread(tmp_path / "plain.dcm").PatientName == SECRETS["PatientName"]

    clean = run(*words, tmp_path / "clean.dcm", "--privacy", "anonymous")
    assert clean.code == 0, clean
    assert "keeps the ids (UIDs)" in clean.err
    made = pydicom.dcmread(tmp_path / "clean.dcm")
    assert (made.PatientName, made.StudyInstanceUID) == ("", "1.2.3.4")

    no = run(*words, tmp_path / "no.dcm", "--privacy", "refuse")
    refused(no, 5, "no.dcm", "the patient's name")
    assert not list(tmp_path.glob("no.*"))
    # A label map tells nothing, unless its name does.
    assert "tells" not in run(*words, tmp_path / "m.nii.gz", "--privacy", "refuse").err
    named = run(*words, tmp_path / "Wintergruen.nii.gz", "--privacy", "anonymous")
    refused(named, 5, "the name of the file")
    assert not list(tmp_path.glob("Winter*"))


def test_a_mask_on_a_resampled_grid_says_so(run, tmp_path):
    pixels = np.zeros((8, 10), "<u2")
    pixels[2:6, 2:7] = 2000
    tilted = [dicom_slice(k, ImagePositionPatient=[0, k, 2.5 * k], PixelData=pixels.tobytes())
              for k in range(4)]  # fmt: skip
    series, out = write_dicom(tmp_path / "s", tilted), tmp_path / "mask.nii.gz"
    box = {"label": "a", "kind": "box", "start_ijk": [1, 1, 1], "stop_ijk": [8, 9, 2]}
    (tmp_path / "p.json").write_text(json.dumps({"version": 1, "prompts": [box]}))
    words = ("segment", series, "--prompts", tmp_path / "p.json", "--out", out, "--json")
    refused(run(*words), 3, "tilted")
    done = run(*words, "--resample")
    assert done.code == 0, done
    assert any("Resampled to a regular grid" in w for w in done.json["warnings"])
    assert "Resampled" in sitk.ReadImage(str(out)).GetMetaData("descrip")
    sidecar = json.loads((tmp_path / "mask.labels.json").read_text("utf-8"))
    assert "tilted" in " ".join(sidecar["notes"])


def test_a_two_dimensional_file_is_one_slice(run, tmp_path):
    flat = write_image(tmp_path / "flat.nii.gz", bright_scan()[5:6])
    (tmp_path / "p.json").write_text(
        json.dumps(
            {
                "version": 1,
                "prompts": [
                    {"label": "a", "kind": "box", "start_ijk": [4, 5, 0], "stop_ijk": [14, 13, 1]}
                ],
            }
        )
    )
    out = tmp_path / "mask.nii.gz"
    assert run("segment", flat, "--prompts", tmp_path / "p.json", "--out", out).code == 0
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(out)))
    np.testing.assert_array_equal(mask, (expected()[5:6] == 1).astype(np.uint8))
