"""`maskwright evaluate` and `maskwright bench`."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import SimpleITK as sitk

from tests.cli.conftest import bright_scan, refused


@pytest.fixture
def data(tmp_path, bright_model):
    """Return a folder of one data set with two labelled cases."""
    folder = tmp_path / "data" / "blocks" / "dev"
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        image = bright_scan()
        sitk.WriteImage(sitk.GetImageFromArray(image), str(folder / f"{name}_img.nii.gz"))
        truth = (image == 220).astype(np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(truth), str(folder / f"{name}_seg.nii.gz"))
    return folder.parent.parent


def test_evaluate_reports_the_model_beside_what_knows_nothing(run, data, tmp_path):
    out, tables = tmp_path / "rows.csv", tmp_path / "tables.md"
    words = ("--data", data, "--jitter", 0, "--max-slices-per-structure", 2)
    done = run("evaluate", *words, "--out", out, "--tables", tables, "--json")
    assert done.code == 0
    report = done.json
    assert (report["model"], report["prompt"], report["split"]) == ("embedded", "box", "dev")
    means = {line["method"]: line for line in report["mean"]}
    assert set(means) == {"model", "filled box", "inscribed ellipse", "random walker"}
    assert means["model"]["dice"]["mean"] == 1
    assert means["model"]["dice"]["interval"] == [1, 1]
    # The blocks fill their boxes, so here the box is right and the ellipse is not.
    assert means["filled box"]["dice"]["mean"] == 1
    assert means["inscribed ellipse"]["dice"]["mean"] < 0.95
    assert {line["data_set"] for line in report["data_sets"]} == {"blocks"}
    assert {line["structure"] for line in report["structures"]} == {"label 1"}
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert {r["case"] for r in rows} == {"one", "two"}
    assert {r["method"] for r in rows} == set(means)
    assert tables.read_text().startswith("### After the box")
    text = run("evaluate", *words).out
    assert "blocks" in text
    assert "1.000 (1.000-1.000)" in text


def test_the_seed_decides(run, data):
    def mean(*words):
        report = run("evaluate", "--data", data, "--jitter", 0.2, "--json", *words).json
        return [line["dice"]["mean"] for line in report["mean"]]

    assert mean("--seed", 1) == mean("--seed", 1)
    assert mean("--seed", 1) != mean("--seed", 2)


@pytest.mark.parametrize("prompt", ["box+clicks", "box3d"])
def test_other_prompts(run, data, prompt):
    report = run("evaluate", "--data", data, "--prompt", prompt, "--max-cases", 1, "--json").json
    steps = {"box+clicks": {"box", "+1", "+3", "+5"}, "box3d": {"box3d"}}[prompt]
    assert {line["step"] for line in report["mean"] if line["method"] == "model"} == steps
    assert {line["dice"]["cases"] for line in report["mean"]} == {1}


def test_evaluate_refuses(run, data, tmp_path):
    refused(run("evaluate", "--data", tmp_path / "none"), 3, "none")
    refused(run("evaluate", "--data", data, "--split", "test"), 3, "test")
    refused(run("evaluate", "--data", data, "--prompt", "lasso"), 2, "lasso")
    refused(run("evaluate", "--data", data, "--prompt", "auto"), 2, "automatic")
    refused(run("evaluate", "--data", data, "--checkpoint", "a.pt", "--model", "x"), 2, "one")
    refused(run("evaluate", "--data", data, "--checkpoint", tmp_path / "a.pt"), 4, "a.pt")
    refused(run("evaluate", "--data", data, "--model", "huge"), 4, "huge")
    refused(run("evaluate", "--data", data, "--jitter", "7"), 2, "jitter")
    refused(run("evaluate", "--data", data, "--out", tmp_path / "no" / "a.csv"), 5, "no")


def test_a_checkpoint_is_measured_in_place_of_the_model(run, data, tmp_path):
    import torch

    from models.networks.prompt_unet import prompt_unet

    network = prompt_unet("XS")
    with torch.no_grad():  # nothing is found, whatever is asked
        network.fine_out[1].weight.zero_()
        network.fine_out[1].bias.fill_(-9)
    about = json.dumps({"network": "XS", "input_size": 32, "left_out": ["blocks"]})
    path = tmp_path / "last.pt"
    torch.save({"ema": network.state_dict(), "about": about}, path)
    done = run("evaluate", "--data", data, "--checkpoint", path, "--json")
    assert done.code == 0, done.err
    means = {line["method"]: line["dice"]["mean"] for line in done.json["mean"]}
    assert means["model"] == 0
    assert means["filled box"] > 0.5
    assert (done.json["model"], done.json["left_out"]) == (str(path), ["blocks"])
    text = run("evaluate", "--data", data, "--checkpoint", path)
    assert "not trained on: blocks" in text.out


@pytest.mark.slow
def test_bench_measures_what_it_promises(run):
    done = run("bench", "--json")
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    assert figures["box_to_mask"]["p50_ms"] <= figures["box_to_mask"]["p95_ms"]
    assert figures["carry_through"]["slices"] >= 1
    assert figures["segment_command"]["peak_rss_mb"] > 100
    assert {"machine", "model", "open", "window", "goals"} <= set(figures)


def test_bench_networks_compares_with_plain_pytorch(run, monkeypatch):
    import torch

    from models import network_benchmark

    def tiny():
        module = network_benchmark.seeded(lambda: torch.nn.Conv2d(1, 2, 3))
        yield network_benchmark.measure(
            "TransUNet, a slice",
            module,
            (np.random.default_rng(0).random((1, 1, 16, 16), np.float32),),
            network_benchmark._class_masks,
            precision="f32",
        )

    monkeypatch.setattr(network_benchmark, "PARTS", {"a slice": tiny})
    (row,) = run("bench", "--networks", "--json").json["networks"]
    assert row["ratio"] == pytest.approx(row["plain_ms"] / row["ours_ms"])
    assert row["error"] < 1e-5
    assert row["iou"] == 1
    assert row["goal"] == "at least 1.6 x"
    assert "TransUNet, a slice" in run("bench", "--networks").out
