"""The V-Net of semi-supervised learning (UA-MT, SSL4MIS), written apart from ours."""

from __future__ import annotations

import torch


class AdditiveVNet(torch.nn.Module):
    """The semi-supervised V-Net with sums in place of joins, from its description."""

    def __init__(self, norm: str | None, width: int) -> None:
        super().__init__()
        nn = torch.nn

        def block(conv_type, n_in, n_out, n_convs, kernel, stride):
            layers = []
            for i in range(n_convs):
                pad = kernel // 2 if stride == 1 else 0
                n = n_in if i == 0 else n_out
                layers.append(conv_type(n, n_out, kernel, padding=pad, stride=stride))
                if norm == "batch":
                    layers.append(nn.BatchNorm3d(n_out))
                elif norm == "group":
                    layers.append(nn.GroupNorm(16, n_out))
                elif norm == "instance":
                    layers.append(nn.InstanceNorm3d(n_out))
                layers.append(nn.ReLU())
            return nn.ModuleDict({"conv": nn.Sequential(*layers)})

        words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
        sizes = [width << i for i in (0, 1, 2, 3, 4, 3, 2, 1, 0)]
        n_in = 1
        for i, (word, n, n_convs) in enumerate(
            zip(words, sizes, (1, 2, 3, 3, 3, 3, 3, 2, 1), strict=True)
        ):
            self.add_module(f"block_{word}", block(nn.Conv3d, n_in, n, n_convs, 3, 1))
            if i < 4:
                self.add_module(f"block_{word}_dw", block(nn.Conv3d, n, 2 * n, 1, 2, 2))
                n_in = 2 * n
            elif i < 8:
                up = block(nn.ConvTranspose3d, n, n // 2, 1, 2, 2)
                self.add_module(f"block_{word}_up", up)
                n_in = n // 2
        self.out_conv = nn.Conv3d(width, 2, 1)

    def forward(self, x):
        parts = {name: part["conv"] for name, part in self.named_children() if name != "out_conv"}
        kept = []
        for word in ("one", "two", "three", "four"):
            kept.append(parts[f"block_{word}"](x))
            x = parts[f"block_{word}_dw"](kept[-1])
        x = parts["block_five"](x)
        for before, word in (
            ("five", "six"),
            ("six", "seven"),
            ("seven", "eight"),
            ("eight", "nine"),
        ):
            x = parts[f"block_{word}"](parts[f"block_{before}_up"](x) + kept.pop())
        return self.out_conv(x)
