"""`maskwright auto`: what it writes and says, what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk

from app import benchmark
from app.core.errors import Cancelled
from app.core.geometry import Geometry
from app.core.volume import Volume
from app.settings import user_models_dir
from models.automatic.segmenter import AutomaticSegmenter
from tests.cli.conftest import refused, write_image
from tests.models.automatic.networks import AIR, FIRST, SECOND, bands, install, spec_for
from tests.phantoms import ORIENTATIONS

SIZE_KJI = (20, 24, 30)


@pytest.fixture
def model(user_home, monkeypatch):
    """Install a model whose network is one that knows the phantom's values; return its spec."""
    from app.settings import user_models_dir

    spec = spec_for(spacing=(1.5, 1.5, 1.5))
    install(user_models_dir(), spec)
    monkeypatch.setattr(
        "models.engine.load_segmenter",
        lambda model, device, folder: AutomaticSegmenter(spec, bands(spec)[0], "test bench"),
    )
    return spec


@pytest.fixture
def ct(tmp_path):
    voxels = np.full(SIZE_KJI, AIR, np.int16)
    voxels[3:12, 4:12, 3:14] = FIRST
    voxels[14:18, 14:20, 18:26] = SECOND
    return write_image(tmp_path / "ct.nii.gz", voxels, (1.5, 1.5, 1.5))


def test_labels_json_and_sidecar(run, model, ct, tmp_path):
    out = tmp_path / "labels.nii.gz"
    done = run("auto", ct, "--model", "tiny", "--out", out, "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["labels"] == {"organ 3": 3, "organ 7": 7}
    assert {"model", "device", "seconds", "peak_rss_mb", "warnings"} <= set(found)
    assert {"total", "load", "encode", "decode", "save"} <= set(found["seconds"])
    written = sitk.ReadImage(str(out))
    assert written.GetDirection() == pytest.approx(sitk.ReadImage(str(ct)).GetDirection())
    values = sitk.GetArrayFromImage(written)
    # The network's grid is the scan's here: every voxel has the label of its value.
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(ct)))
    np.testing.assert_array_equal(values, 3 * (image == FIRST) + 7 * (image == SECOND))
    ml = np.count_nonzero(values == 3) * 1.5**3 / 1000
    assert found["volume_ml"]["organ 3"] == pytest.approx(ml, rel=1e-5)
    sidecar = json.loads((tmp_path / "labels.labels.json").read_text("utf-8"))
    assert [entry["name"] for entry in sidecar["labels"]] == ["organ 3", "organ 7"]


def test_a_region_is_counted_as_the_file_counts(run, model, ct, tmp_path):
    out = tmp_path / "labels.nrrd"
    roi = "3,4,3,8,12,12"
    done = run("auto", ct, "--model", "tiny", "--out", out, "--roi", roi, "--json")
    assert done.code == 0, done.err
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(out)))
    expected = np.zeros_like(values)
    expected[3:12, 4:12, 3:8] = 3
    np.testing.assert_array_equal(values, expected)
    assert any("organ 7" in sentence for sentence in done.json["warnings"])


@pytest.mark.parametrize("roi", ["1,2,3", "a,b,c,d,e,f", "5,5,5,5,6,6", "90,90,90,95,95,95"])
def test_a_region_that_is_none_is_refused(run, model, ct, tmp_path, roi):
    words = ("--model", "tiny", "--out", tmp_path / "l.nii.gz", "--roi", roi)
    refused(run("auto", ct, *words), 2, roi)


def test_another_kind_of_scan_is_refused_unless_forced(run, model, tmp_path):
    rng = np.random.default_rng(0)
    mr = write_image(tmp_path / "mr.nii.gz", rng.integers(0, 900, SIZE_KJI).astype(np.int16))
    out = tmp_path / "labels.nii.gz"
    words = ("auto", mr, "--model", "tiny", "--out", out)
    refused(run(*words), 3, "--force")
    assert not out.exists()
    forced = run(*words, "--force", "--json")
    assert forced.code == 0
    assert any("MR" in sentence for sentence in forced.json["warnings"])


def test_without_a_place_or_a_model_nothing_is_run(run, model, ct, tmp_path):
    refused(run("auto", ct, "--model", "tiny", "--out", tmp_path / "no" / "l.nii.gz"), 5, "folder")
    refused(run("auto", ct, "--model", "huge", "--out", tmp_path / "l.nii.gz"), 4, "huge")
    refused(run("auto", tmp_path / "no.nii", "--model", "tiny", "--out", tmp_path / "l.nii"), 3)


def test_cancelling_leaves_nothing(run, model, ct, tmp_path, monkeypatch):
    def cancelled(*args, **kwargs):
        raise Cancelled

    monkeypatch.setattr(AutomaticSegmenter, "segment", cancelled)
    out = tmp_path / "labels.nii.gz"
    assert run("auto", ct, "--model", "tiny", "--out", out).code == 130
    assert not out.exists()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_scan_of_any_orientation_has_the_same_labels_in_space(
    run, model, ct, tmp_path, orientation
):
    twin = sitk.DICOMOrient(sitk.ReadImage(str(ct)), orientation)
    path, out = tmp_path / "twin.nii.gz", tmp_path / "labels.mha"
    sitk.WriteImage(twin, str(path))
    assert run("auto", path, "--model", "tiny", "--out", out).code == 0
    found, values = sitk.ReadImage(str(out)), sitk.GetArrayFromImage(twin)
    assert found.GetDirection() == pytest.approx(twin.GetDirection(), abs=1e-6)
    assert found.GetOrigin() == pytest.approx(twin.GetOrigin(), abs=1e-4)
    # The network's grid is the scan's here: every voxel has the label of its value.
    expected = 3 * (values == FIRST) + 7 * (values == SECOND)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found), expected)


def test_models_are_evaluated_side_by_side(run, model, ct, tmp_path):
    folder = tmp_path / "set" / "dev"
    folder.mkdir(parents=True)
    image = sitk.ReadImage(str(ct))
    values = sitk.GetArrayFromImage(image)
    truth = sitk.GetImageFromArray((3 * (values == FIRST) + 7 * (values == SECOND)).astype("u1"))
    truth.CopyInformation(image)
    sitk.WriteImage(image, str(folder / "a_img.nii.gz"))
    sitk.WriteImage(truth, str(folder / "a_seg.nii.gz"))
    out, tables = tmp_path / "rows.csv", tmp_path / "tables.md"
    words = ("evaluate", "--data", tmp_path, "--prompt", "auto", "--model", "tiny")
    done = run(*words, "--out", out, "--tables", tables, "--json")
    assert done.code == 0, done.err
    (mean,) = done.json["mean"]
    assert mean["dice"]["mean"] == 1.0
    assert (mean["missed"], mean["absent"], mean["extra"]) == (0, 0, 0)
    assert [m["id"] for m in done.json["models"]] == ["tiny"]
    assert out.read_text("utf-8").count("\n") == 3
    assert "| organ 7 | 1 |" in tables.read_text("utf-8")
    assert "organ 3" in run(*words).out
    refused(run(*words[:-1], "tiny,huge"), 4, "huge")


def test_bench_times_each_automatic_model_in_a_process_of_its_own(user_home, tmp_path, monkeypatch):
    model = install(user_models_dir(), spec_for(spacing=(12.0, 12.0, 12.0)))
    monkeypatch.setattr(benchmark, "HEAD_NECK_ZYX", (20, 30, 30))
    found = benchmark.automatic_figures({model.id: model}, tmp_path)
    (own,) = found.values()
    assert own["seconds"] > 0
    assert own["peak_rss_mb"] > 50
    assert own["goal"] in benchmark.GOALS
    assert own["size_zyx"] == [20, 30, 30]


def test_bench_gives_a_model_of_small_parts_no_whole_scan():
    whole = Volume(np.arange(24.0).reshape(2, 3, 4), Geometry((2, 3, 4), np.diag([5, 4, 3, 1.0])))
    z, y, x = whole.geometry.spacing_zyx
    part = benchmark.part_within(whole, ((1.0, 9 * z), (1.0, 2 * y), (1.0, 2.4 * x)))
    np.testing.assert_array_equal(part.voxels, whole.voxels[:, :2, :2])
    np.testing.assert_array_equal(part.geometry.affine, whole.geometry.affine)
    assert benchmark.part_within(whole, ()).voxels.shape == (2, 3, 4)
