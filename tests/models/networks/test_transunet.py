"""TransUNet: the published names and outputs, and the traps around its skips."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.networks.transunet import GroupNorm, StdConv2d, TransUNet, transunet_r50_vit_b16
from tests.models.reference.parity import ParityKit, assert_golden, n_parameters, shapes_of

NAME = "transunet_R50-ViT-B_16_img224_cls9"
CPU_AND_GPU = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(scope="module")
def kit(shared_parity):
    return ParityKit(shared_parity)


@pytest.fixture(scope="module")
def published(kit):
    """Return the published network with the kit's weights."""
    return kit.fill_network(transunet_r50_vit_b16(9, 224))


def small(n_classes: int = 3, image_size: int = 64, **options) -> TransUNet:
    """Return a network that is quick to run."""
    sizes = {"width": 8, "units": (1, 1, 1), "hidden": 16, "depth": 1, "n_first": 16}
    torch.manual_seed(0)
    return TransUNet(
        n_classes,
        image_size,
        **{**sizes, "heads": 2, "decoder_channels": (16, 8, 8, 4), **options},
    ).eval()


def test_state_dict_is_the_published_one(kit):
    with torch.device("meta"):
        network = transunet_r50_vit_b16(9, 224)
    assert shapes_of(network) == kit.keys(NAME)
    assert len(network.state_dict()) == 409
    assert n_parameters(network) == 105_277_081


@pytest.mark.parametrize(("n_classes", "side", "n"), [(4, 224, 105_276_356), (9, 512, 105_912_985)])
def test_size_for_other_tasks(n_classes, side, n):
    with torch.device("meta"):
        assert n_parameters(transunet_r50_vit_b16(n_classes, side)) == n


@pytest.mark.parametrize("device", CPU_AND_GPU)
def test_golden_logits_tokens_and_skips(kit, published, device, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    found = {}
    published.to(device).transformer.register_forward_hook(
        lambda _, __, output: found.update(tokens=output[0], skips=output[1])
    )
    with torch.inference_mode():
        logits = published(kit.input(1, 1, 224, 224).to(device))
    published.cpu()
    golden = kit.goldens[NAME]
    assert [list(skip.shape) for skip in found["skips"]] == golden["feats"]
    assert_golden(found["tokens"], golden["tokens"])
    assert_golden(logits, golden["out"])


def test_the_middle_skip_is_padded_at_the_bottom_and_right():
    skips = small().transformer(torch.rand(1, 3, 64, 64))[1]
    assert [tuple(skip.shape[1:]) for skip in skips] == [(64, 8, 8), (32, 16, 16), (8, 32, 32)]
    padded = skips[1][0]
    assert (padded[:, -1] == 0).all()
    assert (padded[:, :, -1] == 0).all()
    assert (padded[:, :-1, :-1].amax(dim=0) > 0).all()


@pytest.mark.parametrize("n_skip", [0, 1, 2, 3])
def test_number_of_skips(n_skip):
    network = small(n_skip=n_skip)
    n_inputs = [block.conv1[0].in_channels for block in network.decoder.blocks]
    skips = [64, 32, 8, 0]
    assert n_inputs == [n + (skips[i] if i < n_skip else 0) for i, n in enumerate([16, 16, 8, 8])]
    assert network(torch.rand(1, 1, 64, 64)).shape == (1, 3, 64, 64)


def test_networks_do_not_change_each_others_configuration():
    before = shapes_of(small())
    small(n_skip=0)
    assert shapes_of(small()) == before


def test_decoder_upsamples_with_aligned_corners():
    block = small().decoder.blocks[3]
    seen = []
    block.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.rand(1, 8, 4, 4)
    block(x, None)
    assert seen[0].shape[-1] == 8
    assert torch.equal(
        seen[0][..., [0, 0, -1, -1], [0, -1, 0, -1]], x[..., [0, 0, -1, -1], [0, -1, 0, -1]]
    )
    # A third of the way between the first two pixels of seven steps over three gaps.
    torch.testing.assert_close(seen[0][0, :, 0, 1], x[0, :, 0, 0] * 4 / 7 + x[0, :, 0, 1] * 3 / 7)


def test_standardised_convolution_ignores_shift_and_scale_of_its_weights():
    torch.manual_seed(0)
    conv = StdConv2d(4, 6, 3, padding=1, bias=False).double()
    x = torch.rand(1, 4, 8, 8, dtype=torch.float64)
    wanted = conv(x)
    with torch.no_grad():
        conv.weight += 3.0
        torch.testing.assert_close(conv(x), wanted)
        conv.weight *= 1000.0
    # The variance of the fresh weights is 1 / 108; the 1e-5 beside it is what remains.
    torch.testing.assert_close(conv(x), wanted, rtol=1e-3, atol=1e-3)
    assert not torch.equal(conv(x), wanted)
    assert isinstance(conv, nn.Conv2d)


@pytest.mark.parametrize("n_groups", [4, 8])
def test_the_norm_of_training_is_pytorchs(n_groups):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(3, 8, 5, 6, generator=generator).to(memory_format=torch.channels_last)
    weight, bias = torch.randn(2, 8, generator=generator)
    slope = torch.randn(x.shape, generator=generator)
    answers = []
    for kind in (GroupNorm, nn.GroupNorm):
        norm = kind(n_groups, 8, eps=1e-6).train()
        norm.load_state_dict({"weight": weight, "bias": bias})
        given = x.clone().requires_grad_()
        found = norm(given)
        found.backward(slope)
        answers.append((found.detach(), given.grad, norm.weight.grad, norm.bias.grad))
    for own, reference in zip(*answers, strict=True):
        torch.testing.assert_close(own, reference)


def test_a_batch_of_two_is_two_batches_of_one():
    network = small()
    images = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        one_by_one = torch.cat([network(image[None]) for image in images])
        torch.testing.assert_close(network(images), one_by_one)


def test_one_channel_is_repeated():
    network = small()
    image = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(network(image), network(image.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize("shape", [(1, 1, 64, 32), (1, 1, 96, 96), (1, 2, 64, 64), (1, 64, 64)])
def test_refuses_what_does_not_fit(shape):
    with pytest.raises(ValueError, match=r"expected \(B, 1 or 3, 64, 64\)"):
        small()(torch.zeros(shape))


@pytest.mark.parametrize(
    "options", [{"image_size": 100}, {"heads": 5}, {"n_skip": 4}, {"units": (1, 1)}]
)
def test_refuses_options_that_make_no_network(options):
    with pytest.raises(ValueError, match="multiple of"):
        small(**options)
