"""Imported models: copied whole or not at all, listed, verified, removed."""

from __future__ import annotations

import json

import pytest
import torch

from app.core.errors import UsageError, WeightsError
from models.model_store import import_model, refused_entries, remove_model
from models.networks.vnet import vnet_paper
from models.published.checkpoints import recognise
from models.weights import list_models, load_network, verify_model
from tests.manual_runner import ManualJob

# The imported ones come after them.
SHIPPED = list(list_models())


@pytest.fixture
def ctx():
    return ManualJob(lambda ctx: None, "import", print, print, None)


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "trained.pth"
    torch.save({"state_dict": vnet_paper(1, 2, width=2).state_dict()}, path)
    return path


def test_an_import_is_a_copy_that_is_listed_and_verified(tmp_path, checkpoint, ctx):
    folder = tmp_path / "models"
    model = import_model(checkpoint, folder, ctx, taken=frozenset({"embedded"}))
    checkpoint.unlink()
    found = list_models(folder)
    assert list(found) == [*SHIPPED, "vnet"]
    assert found["vnet"] == model
    assert (model.source, model.kind.value, model.format) == ("imported", "automatic", "vnet")
    verify_model(model)
    assert not load_network(model.path).training
    model.path.write_bytes(model.path.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="SHA-256"):
        verify_model(model)


def test_ids_are_free_valid_and_counted(tmp_path, checkpoint, ctx):
    folder = tmp_path / "models"
    first = import_model(checkpoint, folder, ctx, taken=frozenset())
    second = import_model(checkpoint, folder, ctx, taken=frozenset({first.id}))
    assert second.id == "vnet-2"
    named = import_model(checkpoint, folder, ctx, model_id="prostate", taken=frozenset())
    assert named.id == "prostate"
    for wrong in ("prostate", "Pro state", "../up", ""):
        if wrong:
            with pytest.raises(UsageError):
                import_model(checkpoint, folder, ctx, model_id=wrong, taken=frozenset({"prostate"}))


def test_a_refused_file_leaves_nothing_behind(tmp_path, ctx):
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"nothing")
    with pytest.raises(WeightsError):
        import_model(bad, tmp_path / "models", ctx, taken=frozenset())
    assert not (tmp_path / "models").exists()


def test_a_damaged_entry_hides_no_other_model(tmp_path, checkpoint, ctx, caplog):
    folder = tmp_path / "models"
    import_model(checkpoint, folder, ctx, taken=frozenset())
    (folder / "odd").mkdir()
    (folder / "odd" / "model.json").write_text("{")
    with caplog.at_level("WARNING"):
        assert list(list_models(folder)) == [*SHIPPED, "vnet"]
    assert "left out" in caplog.text


def test_a_folder_with_a_damaged_entry_is_not_overwritten(tmp_path, checkpoint, ctx):
    folder = tmp_path / "models"
    (folder / "vnet").mkdir(parents=True)
    (folder / "vnet" / "model.json").write_text("{")
    assert import_model(checkpoint, folder, ctx, taken=frozenset()).id == "vnet-2"
    with pytest.raises(UsageError, match="vnet"):
        import_model(checkpoint, folder, ctx, model_id="vnet", taken=frozenset())
    assert (folder / "vnet" / "model.json").read_text() == "{"


def test_an_altered_entry_cannot_point_outside_its_folder(tmp_path, checkpoint, ctx):
    folder, other = tmp_path / "models", tmp_path / "precious"
    other.mkdir()
    (other / "weights.pth").write_bytes(b"mine")
    model = import_model(checkpoint, folder, ctx, taken=frozenset())
    path = model.path.parent / "model.json"
    entry = json.loads(path.read_text())
    path.write_text(json.dumps(entry | {"file": "../../precious/weights.pth"}))
    remove_model(list_models(folder)["vnet"])
    assert (other / "weights.pth").read_bytes() == b"mine"
    assert not (folder / "vnet").exists()


def test_only_imported_models_are_removed(tmp_path, checkpoint, ctx):
    folder = tmp_path / "models"
    model = import_model(checkpoint, folder, ctx, taken=frozenset())
    remove_model(model)
    assert list(list_models(folder)) == SHIPPED
    assert not model.path.exists()
    with pytest.raises(UsageError, match="stays"):
        remove_model(list_models(folder)["embedded"])


def test_entries_say_where_a_model_came_from(tmp_path, checkpoint, ctx):
    model = import_model(checkpoint, tmp_path / "models", ctx, taken=frozenset())
    entry = json.loads((model.path.parent / "model.json").read_text())
    assert entry["imported_from"] == "trained.pth"
    assert entry["bytes"] == model.path.stat().st_size


@pytest.mark.parametrize("rename", [False, True])
def test_an_altered_entry_cannot_hide_a_model_that_ships(tmp_path, checkpoint, ctx, caplog, rename):
    folder = tmp_path / "models"
    model = import_model(checkpoint, folder, ctx, taken=frozenset())
    path = model.path.parent / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"id": "embedded"}))
    if rename:
        model.path.parent.rename(folder / "embedded")
    with caplog.at_level("WARNING"):
        found = list_models(folder)
    assert found["embedded"].source == "embedded"
    assert "vnet" not in found
    (reason,) = refused_entries(folder, frozenset({"embedded"})).values()
    assert "altered" in reason
    assert reason in caplog.text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sam_vit_b_01ec64.pth", "SAM (ViT-B), run as MedSAM: expect poorer masks"),
        ("medsam_vit_b.pth", "MedSAM or SAM (ViT-B), run as MedSAM"),
    ],
)
def test_a_title_says_what_keys_cannot_tell(tmp_path, ctx, monkeypatch, name, expected):
    # Reading 375 MB is not what is tested here.
    found = recognise({"image_encoder.pos_embed": (1, 64, 64, 768)})
    monkeypatch.setattr("models.published.checkpoints.load_checkpoint", lambda _: (found, None))
    path = tmp_path / name
    path.write_bytes(b"weights")
    assert import_model(path, tmp_path / "models", ctx, taken=frozenset()).title == expected
