"""TinyViT as LiteMedSAM's image encoder: convolutions first, then attention in windows.

K. Wu et al.: "TinyViT: Fast Pretraining Distillation for Small Vision Transformers", ECCV 2022,
arXiv 2207.10666. LiteMedSAM changes the stem (two 1 x 1 convolutions that keep the resolution) and
the last step (which keeps it, too), and ends in SAM's neck. The state-dict names are those of its
checkpoints.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import nn
from torch.nn import functional


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch norm."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        conv = nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(OrderedDict(c=conv, bn=nn.BatchNorm2d(n_out)))


class Stem(nn.Module):
    """From the image to the first features, at the image's resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(
            ConvNorm(3, channels // 2), nn.GELU(), ConvNorm(channels // 2, channels)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.seq(x)


class InvertedBottleneck(nn.Module):
    """Four times the channels, a convolution per channel, and back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 4 * channels
        self.conv1 = ConvNorm(channels, wide)
        self.conv2 = ConvNorm(wide, wide, 3, groups=wide)
        self.conv3 = ConvNorm(wide, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.gelu(self.conv1(x))
        y = functional.gelu(self.conv2(y))
        return functional.gelu(x + self.conv3(y))


class Downsample(nn.Module):
    """To the next stage's channels and, with a stride of 2, to half the resolution."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(n_in, n_out)
        self.conv2 = ConvNorm(n_out, n_out, 3, stride, groups=n_out)
        self.conv3 = ConvNorm(n_out, n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.gelu(self.conv1(x))
        return self.conv3(functional.gelu(self.conv2(y)))


class WindowAttention(nn.Module):
    """Self-attention in a square window, with one bias per head and distance."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self._heads = heads
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window**2))
        # Distances along rows and columns without sign; row by row, as the weights count them.
        at = torch.arange(window)
        apart = (at[:, None] - at).abs()
        distance = apart[:, None, :, None] * window + apart[None, :, None, :]
        self.register_buffer("_distance", distance.reshape(window**2, window**2), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Per head: query, key and value side by side.
        qkv = self.qkv(self.norm(x)).unflatten(-1, (self._heads, 3, -1))  # (n, N, heads, 3, size)
        q, k, v = qkv.permute(3, 0, 2, 1, 4)  # (n, heads, N, size) each
        bias = self.attention_biases[:, self._distance]  # (heads, N, N)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(mixed.transpose(1, 2).flatten(2))  # (n, N, channels)


class Mlp(nn.Module):
    """Norm and two linear layers around a GELU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(functional.gelu(self.fc1(self.norm(x))))


class TinyViTBlock(nn.Module):
    """Attention in windows, a convolution per channel, an MLP; each but the second with a sum."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self._window = window
        self.attn = WindowAttention(channels, heads, window)
        self.mlp = Mlp(channels)
        self.local_conv = ConvNorm(channels, channels, 3, groups=channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self._attend(x)
        x = self.local_conv(x)
        return x + self.mlp(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def _attend(self, x: torch.Tensor) -> torch.Tensor:
        (height, width), side = x.shape[2:], self._window
        # Zeros join the attention: the published network was trained so.
        x = functional.pad(x, (0, -width % side, 0, -height % side))
        n_rows, n_columns = x.shape[2] // side, x.shape[3] // side
        x = x.unflatten(3, (n_columns, side)).unflatten(2, (n_rows, side))
        x = x.permute(0, 2, 4, 3, 5, 1)  # (B, rows, columns, side, side, C)
        batch, channels = x.shape[0], x.shape[5]
        x = self.attn(x.reshape(-1, side * side, channels))
        x = x.view(batch, n_rows, n_columns, side, side, channels)
        x = x.permute(0, 5, 1, 3, 2, 4)  # (B, C, rows, side, columns, side)
        x = x.reshape(batch, channels, n_rows * side, n_columns * side)
        return x[:, :, :height, :width]


class Stage(nn.Module):
    """Blocks at one resolution, then the step to the next."""

    def __init__(self, blocks: list[nn.Module], downsample: Downsample | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class TinyViT(nn.Module):
    """LiteMedSAM's image encoder.

    Parameters
    ----------
    channels, depths : tuple of 4 int
        Of the stages; the first one is convolutional.
    heads, windows : tuple of 4 int
        Attention heads and window sides; the first stage has none.
    n_out : int
        Channels of the embedding.
    """

    def __init__(
        self,
        channels: tuple[int, ...] = (64, 128, 160, 320),
        depths: tuple[int, ...] = (2, 2, 6, 2),
        heads: tuple[int, ...] = (2, 4, 5, 10),
        windows: tuple[int, ...] = (7, 7, 14, 7),
        n_out: int = 256,
    ) -> None:
        super().__init__()
        if any(c % h for c, h in zip(channels, heads, strict=True)):
            raise ValueError(f"channels {channels} must be multiples of heads {heads}")
        self.patch_embed = Stem(channels[0])
        self.layers = nn.ModuleList()
        for i, n in enumerate(channels):
            blocks: list[nn.Module] = [
                InvertedBottleneck(n) if i == 0 else TinyViTBlock(n, heads[i], windows[i])
                for _ in range(depths[i])
            ]
            is_last = i == len(channels) - 1
            # The last step keeps the resolution: the embedding has a quarter of the image's.
            stride = 1 if i == len(channels) - 2 else 2
            downsample = None if is_last else Downsample(n, channels[i + 1], stride)
            self.layers.append(Stage(blocks, downsample))
        self.neck = nn.Sequential(
            nn.Conv2d(channels[-1], n_out, 1, bias=False),
            LayerNorm2d(n_out),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            LayerNorm2d(n_out),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return image embeddings (B, n_out, H/4, W/4) of images (B, 3, H, W)."""
        x = self.patch_embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.neck(x)
