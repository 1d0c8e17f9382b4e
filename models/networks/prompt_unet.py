"""The embedded promptable network: image and prompts enter together, around the box.

Early fusion as in ScribblePrompt-UNet (Wong et al., ECCV 2024) and nnInteractive (Isensee et al.,
2025): prompts are channels beside the image, and so is what they say about intensities. Residual
encoder, bilinear decoder with skips, and a thin branch at full resolution for sharp edges. Tensors
in, tensors out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.prompt_statistics import N_MAPS, prompt_statistics

# z-1, z, z+1, filled box, positive clicks, negative clicks, previous mask, neighbour's mask
N_INPUTS = 8


@dataclass(frozen=True)
class Size:
    """Channels per level and residual blocks per level, finest first."""

    channels: tuple[int, ...]
    blocks: tuple[int, ...]


SIZES = {
    "XS": Size((24, 48, 96, 128, 160), (1, 1, 1, 1, 1)),
    "S": Size((32, 64, 128, 192, 256), (1, 1, 2, 2, 2)),
    "M": Size((48, 96, 192, 256, 320), (1, 2, 2, 2, 2)),
}


class ConvBlock(nn.Sequential):
    """3 x 3 convolution, batch norm, ReLU."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside an identity (or 1 x 1) path."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = ConvBlock(n_in, n_out, stride)
        self.conv2 = nn.Sequential(
            nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False), nn.BatchNorm2d(n_out)
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.conv2(self.conv1(x)) + self.shortcut(x))


class PromptUNet(nn.Module):
    """Box-zoomed 2.5-D U-Net with prompts as channels and a quality head.

    Parameters
    ----------
    size : Size

    Notes
    -----
    ``forward((B, 8, H, W) float)`` with H and W divisible by 32 returns mask logits
    (B, 1, H, W) and quality logits (B,): the sigmoid of the latter estimates the mask's Dice.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        c = size.channels
        self.stem = ConvBlock((N_INPUTS + N_MAPS) * 4, c[0])
        self.levels = nn.ModuleList()
        n_in = c[0]
        for level, (n_out, n_blocks) in enumerate(zip(c, size.blocks, strict=True)):
            stride = 1 if level == 0 else 2
            blocks = [ResidualBlock(n_in, n_out, stride)]
            blocks += [ResidualBlock(n_out, n_out) for _ in range(n_blocks - 1)]
            self.levels.append(nn.Sequential(*blocks))
            n_in = n_out
        self.ups = nn.ModuleList(
            ResidualBlock(c[i] + c[i - 1], c[i - 1]) for i in range(len(c) - 1, 0, -1)
        )
        self.fine_in = ConvBlock(N_INPUTS + N_MAPS, 16)
        self.to_fine = nn.Conv2d(c[0], 16 * 4, 1)
        self.fine_out = nn.Sequential(ConvBlock(32, 16), nn.Conv2d(16, 1, 1))
        self.quality = nn.Sequential(
            nn.Linear(c[-1] + c[0], 64), nn.ReLU(inplace=True), nn.Linear(64, 1)
        )

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(planes.device.type, enabled=False):
            maps = prompt_statistics(planes.float())
        x = torch.cat([planes, maps.to(planes.dtype)], dim=1)
        x = x.contiguous(memory_format=torch.channels_last)
        features = self.stem(functional.pixel_unshuffle(x, 2))  # (B, c0, H/2, W/2)
        skips = []
        for level in self.levels:
            features = level(features)
            skips.append(features)
        deepest = skips.pop()  # (B, c4, H/32, W/32)
        up = deepest
        for block in self.ups:
            skip = skips.pop()
            up = functional.interpolate(up, scale_factor=2.0, mode="bilinear", align_corners=False)
            up = block(torch.cat([up, skip], dim=1))
        fine = functional.pixel_shuffle(self.to_fine(up), 2)  # (B, 16, H, W)
        logits = self.fine_out(torch.cat([fine, self.fine_in(x)], dim=1))  # (B, 1, H, W)
        pooled = torch.cat([deepest.mean(dim=(2, 3)), up.mean(dim=(2, 3))], dim=1)
        return logits, self.quality(pooled)[:, 0]


def prompt_unet(size: str = "S") -> PromptUNet:
    """Return a freshly initialised network of size "XS", "S" or "M"."""
    return PromptUNet(SIZES[size])
