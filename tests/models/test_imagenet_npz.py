"""The ImageNet archive fills a TransUNet: every array arrives, turned the right way."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import torch

from app.core.errors import WeightsError
from models.networks.transunet import TransUNet
from models.published.imagenet_npz import load_imagenet_npz, stretch_positions

HIDDEN, HEADS, MLP, WIDTH, DEPTH, UNITS, GRID = 12, 3, 20, 8, 2, (2, 1, 2), 4


def network(image_size: int = 64) -> TransUNet:
    """Return a small network of the sizes above."""
    torch.manual_seed(0)
    return TransUNet(
        2,
        image_size,
        width=WIDTH,
        units=UNITS,
        hidden=HIDDEN,
        depth=DEPTH,
        heads=HEADS,
        mlp=MLP,
        n_first=8,
        decoder_channels=(8, 8, 8, 4),
    ).eval()


def archive() -> dict[str, np.ndarray]:
    """Return arrays with the published names and axes, for the sizes above."""
    rng = np.random.default_rng(5)
    shapes: dict[str, tuple[int, ...]] = {
        "conv_root/kernel": (7, 7, 3, WIDTH),
        "gn_root/scale": (1, 1, 1, WIDTH),
        "gn_root/bias": (1, 1, 1, WIDTH),
        "embedding/kernel": (1, 1, 16 * WIDTH, HIDDEN),
        "embedding/bias": (HIDDEN,),
        "cls": (1, 1, HIDDEN),
        "head/kernel": (HIDDEN, 10),
        "Transformer/posembed_input/pos_embedding": (1, 1 + GRID**2, HIDDEN),
        "Transformer/encoder_norm/scale": (HIDDEN,),
        "Transformer/encoder_norm/bias": (HIDDEN,),
    }
    n_in = WIDTH
    for b, n_units in enumerate(UNITS):
        n_out = 4 * WIDTH << b
        n_mid = n_out // 4
        for u in range(n_units):
            unit = f"block{b + 1}/unit{u + 1}"
            convs = [(1, n_in, n_mid), (3, n_mid, n_mid), (1, n_mid, n_out)]
            for i, (side, a, o) in enumerate(convs):
                shapes[f"{unit}/conv{i + 1}/kernel"] = (side, side, a, o)
                shapes[f"{unit}/gn{i + 1}/scale"] = shapes[f"{unit}/gn{i + 1}/bias"] = (1, 1, 1, o)
            if u == 0:
                shapes[f"{unit}/conv_proj/kernel"] = (1, 1, n_in, n_out)
                shapes[f"{unit}/gn_proj/scale"] = (1, 1, 1, n_out)
                shapes[f"{unit}/gn_proj/bias"] = (1, 1, 1, n_out)
            n_in = n_out
    for i in range(DEPTH):
        block = f"Transformer/encoderblock_{i}"
        for norm in ("LayerNorm_0", "LayerNorm_2"):
            shapes[f"{block}/{norm}/scale"] = shapes[f"{block}/{norm}/bias"] = (HIDDEN,)
        attention = f"{block}/MultiHeadDotProductAttention_1"
        for part in ("query", "key", "value"):
            shapes[f"{attention}/{part}/kernel"] = (HIDDEN, HEADS, HIDDEN // HEADS)
            shapes[f"{attention}/{part}/bias"] = (HEADS, HIDDEN // HEADS)
        shapes[f"{attention}/out/kernel"] = (HEADS, HIDDEN // HEADS, HIDDEN)
        shapes[f"{attention}/out/bias"] = (HIDDEN,)
        shapes[f"{block}/MlpBlock_3/Dense_0/kernel"] = (HIDDEN, MLP)
        shapes[f"{block}/MlpBlock_3/Dense_0/bias"] = (MLP,)
        shapes[f"{block}/MlpBlock_3/Dense_1/kernel"] = (MLP, HIDDEN)
        shapes[f"{block}/MlpBlock_3/Dense_1/bias"] = (HIDDEN,)
    return {name: rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}


@pytest.fixture
def path(tmp_path):
    target = tmp_path / "R50+ViT.npz"
    np.savez(target, **archive())
    return target


def test_every_array_but_the_classifier_arrives(path):
    target, arrays = network(), archive()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    load_imagenet_npz(target, path)
    changed = {n for n, v in target.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == {name for name in before if name.startswith("transformer.")}
    total = sum(v.size for name, v in arrays.items() if name not in ("cls", "head/kernel"))
    loaded = sum(v.numel() for n, v in target.state_dict().items() if n in changed)
    assert loaded == total - HIDDEN  # the class token's position


def test_attention_computes_what_the_archives_einsums_do(path):
    target, arrays = network(), archive()
    load_imagenet_npz(target, path)
    x = np.random.default_rng(1).normal(size=(5, HIDDEN)).astype(np.float32)
    stem = "Transformer/encoderblock_1/MultiHeadDotProductAttention_1"

    def project(part):
        kernel, bias = arrays[f"{stem}/{part}/kernel"], arrays[f"{stem}/{part}/bias"]
        return np.einsum("nd,dhk->nhk", x, kernel) + bias

    query, key, value = project("query"), project("key"), project("value")
    scores = np.einsum("nhk,mhk->hnm", query, key) / np.sqrt(HIDDEN // HEADS)
    share = np.exp(scores - scores.max(axis=-1, keepdims=True))
    share /= share.sum(axis=-1, keepdims=True)
    mixed = np.einsum("hnm,mhk->nhk", share, value)
    wanted = np.einsum("nhk,hkd->nd", mixed, arrays[f"{stem}/out/kernel"])
    wanted += arrays[f"{stem}/out/bias"]
    with torch.inference_mode():
        found = target.transformer.encoder.layer[1].attn(torch.from_numpy(x)[None])[0]
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_convolution_kernels_are_turned_to_output_first(path):
    target, arrays = network(), archive()
    load_imagenet_npz(target, path)
    kernel = arrays["block2/unit1/conv2/kernel"]
    weight = target.transformer.embeddings.hybrid_model.body.block2.unit1.conv2.weight
    assert weight[3, 2, 1, 0].item() == kernel[1, 0, 2, 3]
    proj = target.transformer.embeddings.hybrid_model.body.block3.unit1.downsample.weight
    assert proj[5, 4, 0, 0].item() == arrays["block3/unit1/conv_proj/kernel"][0, 0, 4, 5]


def test_positions_of_the_same_grid_lose_only_the_class_token(path):
    target = network(16 * GRID)
    load_imagenet_npz(target, path)
    positions = archive()["Transformer/posembed_input/pos_embedding"]
    found = target.transformer.embeddings.position_embeddings.detach().numpy()
    np.testing.assert_array_equal(found, positions[:, 1:])


def test_positions_of_another_grid_are_stretched_linearly(path):
    target = network(16 * 7)
    load_imagenet_npz(target, path)
    positions = archive()["Transformer/posembed_input/pos_embedding"]
    old = positions[0, 1:].reshape(GRID, GRID, HIDDEN)
    new = target.transformer.embeddings.position_embeddings.detach().numpy().reshape(7, 7, HIDDEN)
    np.testing.assert_allclose(new[::2, ::2], old, atol=1e-6)  # 7 points over 4: every second
    np.testing.assert_allclose(new[1, 0], (old[0, 0] + old[1, 0]) / 2, atol=1e-6)


def test_a_stretched_ramp_stays_a_ramp():
    ramp = np.arange(4, dtype=np.float32)
    grid = np.stack(np.meshgrid(ramp, ramp, indexing="ij"), axis=-1).reshape(1, 16, 2)
    with_token = np.concatenate([np.full((1, 1, 2), 99.0, np.float32), grid], axis=1)
    for positions in (with_token, grid):
        found = stretch_positions(positions, 36).reshape(6, 6, 2)
        np.testing.assert_allclose(found[:, 2, 0], np.linspace(0, 3, 6), atol=1e-6)
        np.testing.assert_allclose(found[3, :, 1], np.linspace(0, 3, 6), atol=1e-6)
    with pytest.raises(WeightsError, match="no square"):
        stretch_positions(grid[:, :-2], 36)


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "page.npz"
    path.write_text("<!DOCTYPE html><title>Quota exceeded</title>")
    with pytest.raises(WeightsError, match=r"page\.npz.*R50\+ViT-B_16\.npz"):
        load_imagenet_npz(network(), path)


def test_a_truncated_file_is_refused(path):
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(WeightsError, match="cannot be read"):
        load_imagenet_npz(network(), path)


def test_pickled_objects_are_not_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    path = tmp_path / "trap.npz"
    np.savez(path, **{"conv_root/kernel": np.array([Trap()], dtype=object)})
    with pytest.raises(WeightsError, match="cannot be read"):
        load_imagenet_npz(network(), path)


def repacked(path, change, compression=zipfile.ZIP_STORED):
    """Write an archive again with one member changed; its checksums fit."""
    with zipfile.ZipFile(path) as old:
        members = [(name, old.read(name)) for name in old.namelist()]
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, content in members:
            new.writestr(name, change(content) if name == "cls.npy" else content)


def test_an_array_whose_header_is_damaged_is_refused(path):
    repacked(path, lambda content: content.replace(b"(1, 1, 12), }", b"(1, 1,\0\0\0\0 }"))
    with pytest.raises(WeightsError, match="cannot be read"):
        load_imagenet_npz(network(), path)


def test_an_archive_that_unpacks_to_far_more_is_refused_before_it_does(path, monkeypatch):
    repacked(path, lambda content: content + bytes(50 << 20), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 5 << 20
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(WeightsError, match="cannot be read"):
        load_imagenet_npz(network(), path)


@pytest.mark.parametrize("change", ["missing", "shape"])
def test_an_archive_of_another_network_changes_nothing(tmp_path, change):
    arrays = archive()
    if change == "missing":
        del arrays["block3/unit2/gn2/bias"]
    else:
        arrays["block3/unit2/gn2/bias"] = np.zeros((1, 1, 1, 4), np.float32)
    path = tmp_path / "other.npz"
    np.savez(path, **arrays)
    target = network()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(WeightsError, match="block3/unit2/gn2/bias"):
        load_imagenet_npz(target, path)
    assert all(torch.equal(v, before[n]) for n, v in target.state_dict().items())


def test_a_member_that_is_no_array_is_refused(path):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(n for n in members if "embedding/kernel" in n)
    members[name] = b"nothing"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    with pytest.raises(WeightsError):
        load_imagenet_npz(network(), path)
