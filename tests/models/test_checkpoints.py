"""Checkpoints of others: told from their names and shapes, loaded exactly, never trusted."""

from __future__ import annotations

import os
import pickle
import re

import pytest
import torch
from safetensors.torch import save_file

from app.core.errors import WeightsError
from models.base import ModelKind
from models.networks.prompt_unet import prompt_unet
from models.networks.sam import lite_medsam
from models.networks.transunet import transunet_r50_vit_b16
from models.networks.vnet import vnet_paper, vnet_released
from models.published.checkpoints import load_checkpoint, read_state, recognise, sam_name
from models.weights import load_network
from tests.models.reference.parity import ParityKit


@pytest.fixture(scope="module")
def kit(shared_parity):
    return ParityKit(shared_parity)


def shapes_of(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


@pytest.mark.parametrize(
    ("keys", "format_", "kind"),
    [
        ("sam_vit_b__medsam_vit_b", "medsam_vit_b", ModelKind.PROMPTABLE),
        ("lite_medsam", "lite_medsam", ModelKind.PROMPTABLE),
        ("transunet_R50-ViT-B_16_img224_cls9", "transunet", ModelKind.AUTOMATIC),
        ("monai_vnet_elu_out2", "vnet", ModelKind.AUTOMATIC),
        ("monai_vnet_prelu_out2", "vnet", ModelKind.AUTOMATIC),
        ("vnet_pytorch_mattmacy_prelu", "vnet", ModelKind.AUTOMATIC),
    ],
)
def test_published_checkpoints_are_told_from_their_names_and_fit(kit, keys, format_, kind):
    shapes = {name: tuple(shape) for name, shape in kit.keys(keys).items()}
    found = recognise(shapes)
    assert (found.format, found.kind) == (format_, kind)
    with torch.device("meta"):
        wanted = shapes_of(found.make())
    offered = {ours: shapes[theirs] for theirs, ours in found.names.items()}
    assert {name: offered.get(name) for name in wanted} == wanted


def test_hugging_face_names_become_the_original_ones(kit, shared_parity):
    pairs = (shared_parity / "keys" / "hf_sam_to_original.txt").read_text().split("\n")
    pairs = [line.split() for line in pairs if line.strip()]
    assert len(pairs) == 314
    assert [sam_name(theirs) for theirs, _ in pairs] == [ours for _, ours in pairs]
    original = {name: tuple(shape) for name, shape in kit.keys("sam_vit_b__medsam_vit_b").items()}
    shapes = {theirs: original[ours] for theirs, ours in pairs}
    shapes["shared_image_embedding.positional_embedding"] = (2, 128)
    found = recognise(shapes)
    assert found.format == "medsam_vit_b"
    assert sorted(found.names.values()) == sorted(original)
    # Shared tensors are kept once in safetensors files, under the first of their names.
    del shapes["prompt_encoder.shared_embedding.positional_embedding"]
    assert sorted(recognise(shapes).names.values()) == sorted(original)


@pytest.mark.parametrize("build", [vnet_paper, vnet_released])
@pytest.mark.parametrize(("channels", "n_classes", "width"), [(1, 2, 4), (2, 8, 6)])
def test_our_own_v_nets_of_any_width_are_told_apart(build, channels, n_classes, width):
    network = build(channels, n_classes, width=width)
    found = recognise(shapes_of(network))
    assert shapes_of(found.make()) == shapes_of(network)


@pytest.mark.parametrize("wrap", ["plain", "model", "state_dict", "parallel", "safetensors"])
def test_wrappers_and_prefixes_change_nothing(tmp_path, wrap):
    torch.manual_seed(0)
    network = vnet_paper(1, 3, width=2).eval()
    state = network.state_dict()
    path = tmp_path / ("net.safetensors" if wrap == "safetensors" else "net.pth")
    if wrap == "safetensors":
        save_file({name: value.clone() for name, value in state.items()}, path)
    else:
        parallel = {f"module.{name}": value for name, value in state.items()}
        stored = {"plain": state, "parallel": {"epoch": 3, "state_dict": parallel}}
        torch.save(stored.get(wrap, {"epoch": 3, wrap: state}), path)
    loaded = load_network(path)
    assert not loaded.training
    image = torch.randn(1, 1, 16, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(image), network(image))


@pytest.mark.parametrize(
    "make",
    [lambda: prompt_unet("XS"), pytest.param(lite_medsam, marks=pytest.mark.slow)],
    ids=["prompt_unet", "lite_medsam"],
)
def test_half_precision_weights_come_back_as_they_were_saved(tmp_path, make):
    torch.manual_seed(0)
    state = make().state_dict()
    half = {n: v.half() if v.is_floating_point() else v for n, v in state.items()}
    torch.save({"model": half}, tmp_path / "half.pth")
    loaded = load_network(tmp_path / "half.pth").state_dict()
    assert loaded.keys() == state.keys()
    for name, value in half.items():
        assert torch.equal(loaded[name], value.float() if value.is_floating_point() else value)


class Harmful:
    """Makes a file when it is unpickled without care."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("save", ["torch", "pickle"])
def test_code_in_a_checkpoint_is_never_run(tmp_path, save):
    marker, path = tmp_path / "marker", tmp_path / "bad.pth"
    if save == "torch":
        torch.save({"model": Harmful(marker)}, path)
    else:
        path.write_bytes(pickle.dumps(Harmful(marker)))
    with pytest.raises(WeightsError, match=r"bad\.pth"):
        load_network(path)
    assert not marker.exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_was_cut_short_is_refused(tmp_path, suffix, share):
    state = {name: v.clone() for name, v in vnet_paper(1, 2, width=2).state_dict().items()}
    whole = tmp_path / f"whole{suffix}"
    if suffix == ".safetensors":
        save_file(state, whole)
    else:
        torch.save(state, whole)
    stored = whole.read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(stored[: int(share * len(stored))])
    with pytest.raises(WeightsError, match=r"cut short|no checkpoint"):
        load_network(path)


def test_other_files_are_refused_with_what_was_expected(tmp_path):
    notes = tmp_path / "notes.pth"
    notes.write_text("not weights at all")
    other = tmp_path / "other.pth"
    torch.save(torch.nn.Linear(3, 4).state_dict(), other)
    numbers = tmp_path / "numbers.pth"
    torch.save({"epoch": 3, "loss": [0.1]}, numbers)
    for path in (notes, other, numbers):
        with pytest.raises(WeightsError, match="MedSAM"):
            load_network(path)
    with pytest.raises(WeightsError, match="no file"):
        load_network(tmp_path / "missing.pth")


def test_a_network_of_another_size_is_refused_before_it_is_used(tmp_path):
    state = {n: v.clone() for n, v in vnet_paper(1, 2, width=2).state_dict().items()}
    del state["head.bias"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(WeightsError):
        load_network(tmp_path / "part.pth")
    state = prompt_unet("XS").state_dict()
    state["quality.2.bias"] = torch.zeros(7)
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match="do not fit"):
        load_network(tmp_path / "odd.pth")


@pytest.mark.parametrize(
    "sizes",
    [
        {"stem.0.weight": (), "quality.0.weight": (1,)},
        {"encoder.0.layers.0.conv.weight": (2, 1, 5, 5, 5), "head.weight": ()},
        {"encoder.0.layers.0.conv.weight": (0, 1, 5, 5, 5), "head.weight": (2, 0, 1, 1, 1)},
        {
            "transformer.embeddings.position_embeddings": (1, 0, 768),
            "segmentation_head.0.weight": (9, 16, 3, 3),
        },
    ],
)
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_known_names_with_sizes_of_no_network_are_refused(tmp_path, sizes):
    torch.save({name: torch.zeros(size) for name, size in sizes.items()}, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match="fit no network"):
        load_network(tmp_path / "odd.pth")


def test_a_tensor_that_only_claims_to_be_huge_is_refused(tmp_path):
    sizes = torch.zeros(1).expand(10**13, 1, 1, 1)
    positions = torch.zeros(1, 4, 768)
    state = {
        "transformer.embeddings.position_embeddings": positions,
        "segmentation_head.0.weight": sizes,
    }
    torch.save(state, tmp_path / "huge.pth")
    with pytest.raises(WeightsError, match="fit no network"):
        load_network(tmp_path / "huge.pth")


def test_a_file_in_the_old_form_with_a_wrong_byte_is_refused(tmp_path):
    path = tmp_path / "old.pth"
    state = {"stem.0.weight": torch.zeros(3)}
    torch.save(state, path, _use_new_zipfile_serialization=False)
    stored = path.read_bytes()
    # The name of the tensor's storage, which has to be found again at the end of the file.
    key = re.search(rb"FloatStorage.{0,16}?(\d{6,})", stored, re.DOTALL).group(1)
    path.write_bytes(stored.replace(key, b"1" * len(key), 1))
    with pytest.raises(WeightsError, match=r"old\.pth"):
        load_network(path)


def test_a_file_in_the_old_form_that_ends_within_a_length_is_refused(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(b"\x80\x02X\x01\x00")  # a text, of whose four bytes of length two are there
    with pytest.raises(WeightsError, match="damaged, cut short or no checkpoint"):
        read_state(path)


def test_a_file_saved_on_a_gpu_is_read_without_one(tmp_path, monkeypatch):
    network = vnet_paper(1, 2, width=2)
    path = tmp_path / "gpu.pth"
    with monkeypatch.context() as patch:
        patch.setattr("torch.serialization.location_tag", lambda storage: "cuda:0")
        torch.save(network.state_dict(), path)
    assert b"cuda:0" in path.read_bytes()
    loaded = load_network(path)
    assert torch.equal(loaded.head.weight, network.head.weight)
    assert loaded.head.weight.device.type == "cpu"


def test_averaged_weights_are_preferred_to_the_last_ones(tmp_path):
    last = {"a.weight": torch.zeros(2)}
    torch.save({"net": last, "ema": {"a.weight": torch.ones(2)}}, tmp_path / "c.pt")
    assert read_state(tmp_path / "c.pt")["a.weight"].tolist() == [1, 1]


@pytest.mark.slow
def test_transunet_with_another_number_of_classes(tmp_path):
    network = transunet_r50_vit_b16(4, 32)
    torch.save(network.state_dict(), tmp_path / "t.pth")
    found, loaded = load_checkpoint(tmp_path / "t.pth")
    assert "4 classes, 32 pixels" in found.title
    assert torch.equal(
        loaded.segmentation_head[0].weight, network.segmentation_head[0].weight.detach()
    )


@pytest.mark.parametrize(("width", "size"), [(1024, "ViT-L"), (1280, "ViT-H")])
def test_a_larger_sam_is_refused_by_its_size(tmp_path, width, size):
    path = tmp_path / "sam.pth"
    torch.save({"image_encoder.pos_embed": torch.zeros(1, 64, 64, width)}, path)
    with pytest.raises(WeightsError, match=f"SAM of size {size}"):
        load_checkpoint(path)
