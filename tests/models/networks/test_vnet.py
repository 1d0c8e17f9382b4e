"""V-Net: its size, its receptive fields as published, and how its parts are joined."""

from __future__ import annotations

import pytest
import torch

from models.networks.vnet import Convolution, VNet, vnet_paper, vnet_released
from tests.models.reference.parity import n_parameters, shapes_of


@pytest.mark.parametrize(
    ("build", "n_wanted", "n_keys"),
    [(vnet_paper, 65_175_314, 89), (vnet_released, 61_982_682, 80)],
)
def test_size_of_the_originals(build, n_wanted, n_keys):
    with torch.device("meta"):
        network = build()
    assert n_parameters(network) == n_wanted
    assert len(network.state_dict()) == n_keys


@pytest.mark.parametrize(("norm", "n_wanted"), [(None, 9_443_266), ("batch", 9_448_866)])
def test_size_of_the_additive_variant(norm, n_wanted):
    with torch.device("meta"):
        network = VNet(kernel=3, residual=False, skip="add", act="relu", norm=norm)
    assert n_parameters(network) == n_wanted


def test_receptive_fields_are_those_of_the_papers_table_1():
    with torch.device("meta"):
        network = vnet_paper()
    field, jump, fields = 1, 1, []
    for i, stage in enumerate(network.encoder):
        if i > 0:
            field += jump
            jump *= 2
        field += sum((unit.conv.kernel_size[0] - 1) * jump for unit in stage.layers)
        fields.append(field)
    for stage in network.decoder:
        jump //= 2
        field += jump + sum((unit.conv.kernel_size[0] - 1) * jump for unit in stage.layers)
        fields.append(field)
    assert fields == [5, 22, 72, 172, 372, 476, 528, 546, 551]


def test_the_encoder_looks_as_far_as_table_1_says():
    network = vnet_paper(width=1).double()
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 0.01)  # positive, so that nothing cancels out
    image = torch.ones(1, 1, 16, 16, 448, dtype=torch.float64, requires_grad=True)
    seen = []

    def look(_, __, features):
        middle = tuple(n // 2 for n in features.shape[2:])
        (gradient,) = torch.autograd.grad(features[(0, 0, *middle)], image, retain_graph=True)
        seen.append(int((gradient[0, 0].amax(dim=(0, 1)) > 0).sum()))

    for stage in network.encoder:
        stage.register_forward_hook(look)
    network(image)
    assert seen == [5, 22, 72, 172, 372]


@pytest.mark.parametrize("build", [vnet_paper, vnet_released])
def test_feature_maps_halve_and_double(build):
    network = build(1, 3, width=4)
    shapes = []
    for stage in [*network.encoder, *network.decoder]:
        stage.register_forward_hook(lambda _, __, y: shapes.append(tuple(y.shape[1:])))
    logits = network(torch.zeros(1, 1, 16, 32, 48))
    assert logits.shape == (1, 3, 16, 32, 48)
    assert shapes == [
        (4, 16, 32, 48),
        (8, 8, 16, 24),
        (16, 4, 8, 12),
        (32, 2, 4, 6),
        (64, 1, 2, 3),
        (64, 2, 4, 6),
        (32, 4, 8, 12),
        (16, 8, 16, 24),
        (8, 16, 32, 48),
    ]


def test_the_decoders_features_come_before_the_encoders():
    network = vnet_released(width=2).eval()
    joined = []
    network.decoder[3].register_forward_pre_hook(lambda _, inputs: joined.append(inputs[0]))
    ups = []
    network.up[3].register_forward_hook(lambda _, __, y: ups.append(y))
    skips = []
    network.encoder[0].register_forward_hook(lambda _, __, y: skips.append(y))
    network(torch.rand(1, 1, 16, 16, 16))
    assert torch.equal(joined[0], torch.cat((ups[0], skips[0]), dim=1))


@pytest.mark.parametrize("norm", [None, "batch", "instance", "sample"])
def test_a_batch_of_two_is_two_batches_of_one(norm):
    torch.manual_seed(0)
    network = VNet(width=2, norm=norm, hidden_head=True, act_before_sum=True).eval()
    first, second = torch.rand(2, 1, 1, 16, 32, 16).unbind()
    with torch.inference_mode():
        both = network(torch.cat((first, second)))
        one_by_one = torch.cat((network(first), network(second)))
    torch.testing.assert_close(both, one_by_one)


def test_several_channels_are_repeated_in_turn():
    network = vnet_paper(2, 2, width=4).eval()
    unit = network.encoder[0].layers[0]
    torch.nn.init.zeros_(unit.conv.weight)
    torch.nn.init.zeros_(unit.conv.bias)
    image = torch.rand(1, 2, 16, 16, 16)
    assert torch.equal(network.encoder[0](image), image[:, [0, 1, 0, 1]])


@pytest.mark.parametrize("shape", [(1, 2, 16, 16, 16), (1, 1, 16, 24, 16), (1, 1, 16, 16)])
def test_refuses_what_does_not_fit(shape):
    with pytest.raises(ValueError, match="divisible by 16"):
        vnet_paper(width=2)(torch.zeros(shape))


def test_refuses_options_that_make_no_network():
    with pytest.raises(ValueError, match="cannot be repeated"):
        vnet_paper(in_channels=3)
    with pytest.raises(ValueError, match="unknown option"):
        VNet(norm="layer")
    with pytest.raises(ValueError, match="5 and 4 stages"):
        VNet(encoder=(1, 2, 3))


def test_names_do_not_depend_on_width():
    with torch.device("meta"):
        assert shapes_of(vnet_paper()).keys() == shapes_of(vnet_paper(width=4)).keys()


def test_weights_over_two_planes_get_their_gradient_in_training_with_bfloat16():
    torch.manual_seed(0)
    convolution = Convolution(16, 16, 3, padding=1).train()
    x, slope = torch.randn(2, 4, 16, 2, 5, 5)
    convolution(x).backward(slope)
    wanted = convolution.weight.grad.clone()
    for _ in range(4):
        # Memory that was used before, to be found by whoever does not fill what he returns.
        for size in (10_000, 100_000, 1_000_000):
            torch.full((size,), 1e30)
        convolution.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            found = convolution(x)
        found.backward(slope.to(found.dtype))
        assert (convolution.weight.grad - wanted).norm() < 0.02 * wanted.norm()
