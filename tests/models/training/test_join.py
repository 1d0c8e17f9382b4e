"""Several automatic models made into one entry of a manifest."""

from __future__ import annotations

import json

import pytest

from app.core.errors import UsageError, WeightsError
from models.automatic.spec import automatic_members
from models.training.join import join
from models.training.manifest import put_entry, read_entries
from models.weights import installed_model, verify_model
from tests.models.automatic.networks import install, spec_for

pytest.importorskip("torch")


@pytest.fixture
def folder(tmp_path):
    """Two models of the same structures, and one of others, in one manifest."""
    kinds = {
        "a": spec_for(),
        "b": spec_for("transunet", tile=(1, 32, 32)),
        "c": spec_for(values=(1,)),
    }
    for name, spec in kinds.items():
        model = install(tmp_path / "made", spec, name)
        model.path.rename(tmp_path / model.path.name)
        entry = json.loads(model.path.with_name("model.json").read_text("utf-8"))
        put_entry(tmp_path / "manifest.json", entry)
    return tmp_path


def ids(folder):
    return [entry["id"] for entry in read_entries(folder / "manifest.json")]


def test_a_model_takes_another_one_in(folder):
    join(folder, "a", ["b"])
    assert ids(folder) == ["a", "c"]
    model = installed_model(read_entries(folder / "manifest.json")[0], folder)
    verify_model(model)
    (member,) = automatic_members(model)
    assert member.path == folder / "b.safetensors"


def test_a_new_model_is_made_of_two_that_stay(folder):
    before = read_entries(folder / "manifest.json")
    join(folder, "b", ["a"], model_id="both", title="Both")
    assert ids(folder) == ["a", "both", "b", "c"]
    a, both, *rest = read_entries(folder / "manifest.json")
    assert [a, *rest] == before
    assert both["bytes"] == sum(e["bytes"] for e in before[:2])
    assert installed_model(both, folder).card == folder / "both.md"
    assert (both["title"], both["file"]) == ("Both", "b.safetensors")
    assert [other["file"] for other in both["also"]] == ["a.safetensors"]
    # A joined model brings all of its networks along.
    join(folder, "a", ["both"])
    (model, *_) = read_entries(folder / "manifest.json")
    assert [other["file"] for other in model["also"]] == ["b.safetensors", "a.safetensors"]


def test_what_does_not_fit_together_changes_nothing(folder):
    before = read_entries(folder / "manifest.json")
    with pytest.raises(WeightsError, match="same structures"):
        join(folder, "a", ["c"])
    with pytest.raises(UsageError, match="nobody"):
        join(folder, "a", ["nobody"])
    assert read_entries(folder / "manifest.json") == before
