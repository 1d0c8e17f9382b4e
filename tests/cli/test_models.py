"""`maskwright models`, `auto` and `train`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys

import pytest
import torch

from app.settings import user_models_dir
from models.networks.vnet import vnet_paper
from tests.cli.conftest import refused
from tests.fake_model import bright_models

KEYS = {"id", "title", "kind", "labels", "source", "format", "sha256", "bytes", "licence"}


def test_list_as_the_contract_has_it(run, bright_model):
    (model,) = run("models", "list", "--json").json["models"]
    assert set(model) == KEYS
    assert (model["id"], model["kind"], model["source"]) == ("embedded", "promptable", "embedded")
    assert model["bytes"] == 1234
    text = run("models", "list").out
    assert "embedded" in text
    assert "Apache-2.0" in text


@pytest.fixture
def on_disk(monkeypatch, tmp_path, bright_model):
    """Put the model's file on disk and return its path."""
    path = tmp_path / "bright.bin"
    path.write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    model = dataclasses.replace(bright_models()["embedded"], path=path, sha256=sha256)
    monkeypatch.setattr("models.weights.list_models", lambda folder=None: {"embedded": model})
    return path


def test_verify_finds_a_file_that_was_changed(run, on_disk):
    assert run("models", "verify").code == 0
    assert run("models", "verify", "embedded", "--json").json["models"] == [
        {"id": "embedded", "ok": True, "reason": ""}
    ]
    on_disk.write_bytes(b"weightz")
    done = run("models", "verify", "--json")
    assert done.code == 4
    (found,) = done.json["models"]
    assert (found["ok"], "SHA-256" in found["reason"]) == (False, True)
    on_disk.unlink()
    assert run("models", "verify").code == 4
    refused(run("models", "verify", "huge"), 4, "huge")


def test_a_checkpoint_is_imported_listed_verified_and_removed(run, tmp_path, user_home):
    path = tmp_path / "trained.pth"
    torch.save({"state_dict": vnet_paper(1, 2, width=2).state_dict()}, path)
    (imported,) = run("models", "import", path, "--id", "prostate", "--json").json["models"]
    assert set(imported) == KEYS
    assert (imported["id"], imported["source"], imported["format"]) == (
        "prostate",
        "imported",
        "vnet",
    )
    listed = run("models", "list", "--json").json["models"]
    assert imported in listed
    assert run("models", "verify").code == 0
    refused(run("models", "import", path, "--id", "prostate"), 2, "prostate")
    path.write_bytes(b"nothing")
    refused(run("models", "import", path), 4, "trained.pth")
    assert run("models", "remove", "prostate").code == 0
    assert len(run("models", "list", "--json").json["models"]) == len(listed) - 1


def test_verify_tells_of_an_entry_that_was_altered(run, tmp_path, user_home, caplog):
    path = tmp_path / "trained.pth"
    torch.save({"state_dict": vnet_paper(1, 2, width=2).state_dict()}, path)
    assert run("models", "import", path).code == 0
    entry = user_models_dir() / "vnet" / "model.json"
    entry.write_text(json.dumps(json.loads(entry.read_text()) | {"id": "embedded"}))
    with caplog.at_level("WARNING"):
        done = run("models", "verify", "--json")
    assert done.code == 4
    faults = {m["id"]: m["reason"] for m in done.json["models"] if not m["ok"]}
    assert list(faults) == ["imported/vnet"]
    assert "altered" in faults["imported/vnet"]


def test_what_is_not_there_says_so(run, bright_model, scan, tmp_path):
    refused(run("models", "import", tmp_path / "sam.pth"), 4)
    refused(run("models", "remove", "huge"), 4, "huge")
    refused(run("models", "remove", "embedded"), 2, "part of the program")
    words = ("--out", tmp_path / "out.nii.gz")
    refused(run("auto", scan, "--model", "huge", *words), 4, "huge")
    refused(run("auto", scan, "--model", "embedded", *words), 4, "prompts")


def test_train_gets_what_it_is_told(run, tmp_path, monkeypatch):
    calls: list = []
    module = type(sys)("models.training.train")

    def record(recipe, **options):
        calls.append((recipe, options))
        options["report"]("10 % loss 0.5")
        return tmp_path / "o" / "last.pt"

    module.train = record  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "models.training.train", module)
    recipe = tmp_path / "r.toml"
    recipe.write_text("")
    words = ("--data", tmp_path, "--out", tmp_path / "o", "--time-budget", "20m", "--resume")
    others = ("--network", "monai_vnet", "--from", tmp_path / "w.safetensors")
    others = (*others, "--leave-out", "a", "--leave-out", "b")
    done = run("train", recipe, *words, "--device", "cpu", *others)
    assert (done.code, done.err) == (0, "10 % loss 0.5\n")
    assert done.out == f"Saved {tmp_path / 'o' / 'last.pt'}\n"
    ((path, options),) = calls
    assert path == recipe
    assert {k: v for k, v in options.items() if k != "report"} == {
        "data": tmp_path,
        "out": tmp_path / "o",
        "device": "cpu",
        "time_budget_s": 1200,
        "resume": True,
        "peer": "monai_vnet",
        "start_from": tmp_path / "w.safetensors",
        "leave_out": ("a", "b"),
    }
    refused(run("train", tmp_path / "none.toml"), 3, "none.toml")
    refused(run("train", recipe, "--time-budget", "soon"), 2, "soon")
