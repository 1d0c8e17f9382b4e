"""LiteMedSAM: the published names and outputs, and attention in windows."""

from __future__ import annotations

import pytest
import torch

from models.networks.sam import lite_medsam
from models.networks.tiny_vit import TinyViT, TinyViTBlock, WindowAttention
from tests.models.reference.parity import ParityKit, assert_golden, n_parameters, shapes_of

CPU_AND_GPU = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(scope="module")
def kit(shared_parity):
    return ParityKit(shared_parity)


def test_state_dict_is_the_published_one(kit):
    network = lite_medsam()
    assert shapes_of(network) == kit.keys("lite_medsam")
    assert len(network.state_dict()) == 435
    assert n_parameters(network) == 9_791_300
    assert n_parameters(network.image_encoder) == 5_726_740


@pytest.mark.parametrize("device", CPU_AND_GPU)
def test_golden_embedding_and_logits(kit, device, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    golden = kit.goldens["lite_medsam"]
    network = kit.fill_network(lite_medsam()).to(device)
    box = torch.tensor([[20.0, 40.0, 120.0, 160.0]], device=device)
    with torch.inference_mode():
        embedding = network.image_encoder(kit.input(1, 3, 256, 256).to(device))
        low, iou = network.decode(embedding, box)
    assert_golden(embedding, golden["embedding"], atol=1e-4)
    assert_golden(low, golden["low_res_logits"])
    assert iou.item() == pytest.approx(golden["iou"], rel=1e-4, abs=1e-5)


def small() -> TinyViT:
    """Return an encoder that is quick to run."""
    torch.manual_seed(0)
    encoder = TinyViT((8, 16, 24, 32), (1, 1, 1, 1), (2, 2, 3, 4), (3, 3, 4, 3), n_out=8).eval()
    for name, value in encoder.state_dict().items():
        if name.endswith("attention_biases"):
            value.normal_()
    return encoder


@pytest.mark.parametrize("shape", [(32, 32), (16, 48)])
def test_embedding_has_a_quarter_of_the_side(shape):
    assert small()(torch.rand(1, 3, *shape)).shape == (1, 8, shape[0] // 4, shape[1] // 4)


def test_a_batch_of_two_is_two_batches_of_one():
    encoder, images = small(), torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        one_by_one = torch.cat([encoder(image[None]) for image in images])
        torch.testing.assert_close(encoder(images), one_by_one)


def test_attention_is_the_sum_over_a_window_with_a_bias_per_distance():
    torch.manual_seed(0)
    heads, side, channels = 2, 3, 8
    attention = WindowAttention(channels, heads, side).double().eval()
    torch.nn.init.normal_(attention.attention_biases)
    x = torch.rand(1, side * side, channels, dtype=torch.float64)
    qkv = attention.qkv(attention.norm(x))[0].view(side * side, heads, 3, channels // heads)
    mixed = torch.zeros(side * side, heads, channels // heads, dtype=torch.float64)
    for h in range(heads):
        for i in range(side * side):
            scores = []
            for j in range(side * side):
                rows, columns = abs(i // side - j // side), abs(i % side - j % side)
                bias = attention.attention_biases[h, rows * side + columns]
                scores.append(qkv[i, h, 0] @ qkv[j, h, 1] / (channels // heads) ** 0.5 + bias)
            share = torch.stack(scores).softmax(dim=0)
            mixed[i, h] = sum(s * qkv[j, h, 2] for j, s in enumerate(share))
    wanted = attention.proj(mixed.flatten(1))
    torch.testing.assert_close(attention(x)[0], wanted)


def test_pixels_of_different_windows_do_not_attend_to_each_other():
    torch.manual_seed(0)
    block = TinyViTBlock(8, 2, 4).eval()
    image = torch.rand(1, 8, 8, 8)
    changed = image.clone()
    changed[..., :4, 4:] = torch.rand(1, 8, 4, 4)  # the window at the top right
    moved = (block._attend(image) - block._attend(changed))[0].abs().amax(dim=0) > 1e-6
    wanted = torch.zeros(8, 8, dtype=torch.bool)
    wanted[:4, 4:] = True
    assert torch.equal(moved, wanted)


def test_zeros_beyond_the_rim_take_part_in_the_last_windows():
    torch.manual_seed(0)
    block = TinyViTBlock(8, 2, 4).eval()
    image = torch.rand(1, 8, 6, 6)
    padded = torch.zeros(1, 8, 8, 8)
    padded[..., :6, :6] = image
    torch.testing.assert_close(block._attend(image), block._attend(padded)[..., :6, :6])


def test_refuses_heads_that_do_not_divide_the_channels():
    with pytest.raises(ValueError, match="multiples of heads"):
        TinyViT(heads=(2, 4, 7, 10))
