"""The released V-Net, row by row from its layer table, without a module: a second opinion."""

from __future__ import annotations

import torch
from torch.nn import functional

# Convolutions of each stage, then how it is left: the layer table of the released network.
DOWN = [
    (["conv_in128_chan16"], "down_pooling_128_to_64"),
    (["conv_in64_chan32"], "down_pooling_64_to_32"),
    (["conv_in32_chan64", "conv_in32_chan64_2"], "down_pooling_32_to_16"),
    (
        ["conv_in16_chan128", "conv_in16_chan128_2", "conv_in16_chan128_3"],
        "down_pooling_16_to_8",
    ),
]
BOTTOM = ["conv_in8_chan256", "conv_in8_chan256_2", "conv_in8_chan256_3"]
UP = [
    (
        "deconv_in8_chan128",
        ["conv_in16_chan128_right", "conv_in16_chan128_right_2", "conv_in16_chan128_right_3"],
    ),
    ("deconv_in16_chan64", ["conv_in32_chan64_right", "conv_in32_chan64_right_2"]),
    ("deconv_in32_chan32", ["conv_in64_chan32_right"]),
    ("deconv_in64_chan16", ["conv_in128_chan16_right"]),
]
HEAD = ["conv_in128_chan2_right", "conv_in128_chan2_2_right"]
WIDTHS = [16, 32, 64, 128, 256]


def layer_shapes() -> dict[str, tuple[int, ...]]:
    """Return the shapes of all 80 arrays by name; activations are called ``relu_<layer>``."""
    shapes: dict[str, tuple[int, ...]] = {}

    def add(name: str, shape: tuple[int, ...], n_out: int, has_act: bool = True) -> None:
        shapes[f"{name}.weight"] = shape
        shapes[f"{name}.bias"] = (n_out,)
        if has_act:
            shapes[f"relu_{name}.weight"] = (n_out,)

    n_in = 1
    for (convs, down), n in zip(DOWN, WIDTHS, strict=False):
        for name in convs:
            add(name, (n, n_in, 5, 5, 5), n)
            n_in = n
        add(down, (2 * n, n, 2, 2, 2), 2 * n)
        n_in = 2 * n
    for name in BOTTOM:
        add(name, (256, 256, 5, 5, 5), 256)
    for (up, convs), n in zip(UP, reversed(WIDTHS[:4]), strict=True):
        add(up, (n_in, n, 2, 2, 2), n)
        n_in = 2 * n
        for name in convs:
            add(name, (n_in, n_in, 5, 5, 5), n_in)
    add(HEAD[0], (2, 32, 5, 5, 5), 2)
    add(HEAD[1], (2, 2, 1, 1, 1), 2, has_act=False)
    return shapes


def released_vnet(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Return logits (1, 2, D, H, W) of an image (1, 1, D, H, W)."""

    def prelu(name: str, y: torch.Tensor) -> torch.Tensor:
        slopes = state[f"relu_{name}.weight"].view(1, -1, 1, 1, 1)
        return torch.where(y > 0, y, slopes * y)

    def conv(name: str, y: torch.Tensor, **options: int) -> torch.Tensor:
        return functional.conv3d(y, state[f"{name}.weight"], state[f"{name}.bias"], **options)

    def stage(names: list[str], y: torch.Tensor) -> torch.Tensor:
        around = y if len(y[0]) > 1 else torch.cat([y] * 16, dim=1)
        for name in names[:-1]:
            y = prelu(name, conv(name, y, padding=2))
        return prelu(names[-1], conv(names[-1], y, padding=2) + around)

    kept = []
    for convs, down in DOWN:
        x = stage(convs, x)
        kept.append(x)
        x = prelu(down, conv(down, x, stride=2))
    x = stage(BOTTOM, x)
    for up, convs in UP:
        weight, bias = state[f"{up}.weight"], state[f"{up}.bias"]
        x = prelu(up, functional.conv_transpose3d(x, weight, bias, stride=2))
        x = stage(convs, torch.cat([x, kept.pop()], dim=1))
    x = prelu(HEAD[0], conv(HEAD[0], x, padding=2))
    return conv(HEAD[1], x)
