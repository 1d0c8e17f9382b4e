"""TransUNet: a residual CNN, a vision transformer on its last feature map, a decoder with skips.

J. Chen et al.: "TransUNet: Transformers Make Strong Encoders for Medical Image Segmentation",
arXiv 2102.04306, and MedIA 97 (2024) 103280. The state-dict names are those of the checkpoints
that its authors' program writes, ugly as some are.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional


class StdConv2d(nn.Conv2d):
    """Convolution whose weights are standardised per output channel (Qiao et al. 2019)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        var, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        weight = (self.weight - mean) / torch.sqrt(var + 1e-5)
        return functional.conv2d(x, weight, self.bias, self.stride, self.padding)


class GroupNorm(nn.GroupNorm):
    """Group norm whose gradient on a CPU does not cost more than the convolutions'.

    PyTorch's is ten times slower where the channels are stored last, as convolutions like them.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or x.is_cuda:
            return super().forward(x)
        if self.num_groups == self.num_channels:
            # Parts, not `image[None]`: of that PyTorch takes the gradient in the wrong order.
            one_by_one = [
                functional.batch_norm(
                    part, None, None, self.weight, self.bias, training=True, eps=self.eps
                )
                for part in x.split(1)
            ]
            return torch.cat(one_by_one)
        return super().forward(x.contiguous()).contiguous(memory_format=torch.channels_last)


def _group_norm(channels: int) -> GroupNorm:
    # 32 groups; narrow networks get the most that divide their channels.
    return GroupNorm(math.gcd(32, channels), channels, eps=1e-6)


class Unit(nn.Module):
    """Bottleneck residual unit, activations after the norms."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__()
        n_mid = n_out // 4
        self.gn1 = _group_norm(n_mid)
        self.conv1 = StdConv2d(n_in, n_mid, 1, bias=False)
        self.gn2 = _group_norm(n_mid)
        self.conv2 = StdConv2d(n_mid, n_mid, 3, stride, padding=1, bias=False)
        self.gn3 = _group_norm(n_out)
        self.conv3 = StdConv2d(n_mid, n_out, 1, bias=False)
        self.downsample: nn.Module | None = None
        if stride != 1 or n_in != n_out:
            self.downsample = StdConv2d(n_in, n_out, 1, stride, bias=False)
            # One group per channel and another epsilon than elsewhere: so the weights were made.
            self.gn_proj = GroupNorm(n_out, n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.gn_proj(self.downsample(x))
        y = functional.relu(self.gn1(self.conv1(x)))
        y = functional.relu(self.gn2(self.conv2(y)))
        y = self.gn3(self.conv3(y))
        return functional.relu(shortcut + y)


class ResNetV2(nn.Module):
    """The CNN in front: a sixteenth of the resolution, and three maps for the decoder."""

    def __init__(self, in_channels: int, width: int, units: tuple[int, ...]) -> None:
        super().__init__()
        self.root = nn.Sequential(
            OrderedDict(
                conv=StdConv2d(in_channels, width, 7, 2, padding=3, bias=False),
                gn=_group_norm(width),
                relu=nn.ReLU(inplace=True),
            )
        )
        self.pool = nn.MaxPool2d(3, 2)
        self.body = nn.Sequential()
        n_in = width
        for i, n_units in enumerate(units):
            n_out = 4 * width << i
            block = nn.Sequential()
            for j in range(n_units):
                stride = 2 if i > 0 and j == 0 else 1
                block.add_module(f"unit{j + 1}", Unit(n_in, n_out, stride))
                n_in = n_out
            self.body.add_module(f"block{i + 1}", block)
        self.n_out = n_in

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the coarsest features and the skips, from the coarsest to the finest."""
        side = x.shape[-1]
        x = self.root(x)  # (B, width, side/2, side/2)
        skips = [x]
        x = self.pool(x)  # one pixel short of a quarter: the pool does not pad
        for i, block in enumerate(self.body):
            x = block(x)
            if i < len(self.body) - 1:
                missing = side // (4 << i) - x.shape[-1]
                skips.append(functional.pad(x, (0, missing, 0, missing)))
        return x, skips[::-1]


class Embeddings(nn.Module):
    """Tokens: one per pixel of the CNN's last map, with a learnt position."""

    def __init__(self, cnn: ResNetV2, hidden: int, n_patches: int, dropout: float) -> None:
        super().__init__()
        self.hybrid_model = cnn
        self.patch_embeddings = nn.Conv2d(cnn.n_out, hidden, 1)
        self.position_embeddings = nn.Parameter(torch.zeros(1, n_patches, hidden))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        features, skips = self.hybrid_model(x)
        tokens = self.patch_embeddings(features).flatten(2).transpose(1, 2)  # (B, N, hidden)
        return self.dropout(tokens + self.position_embeddings), skips


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (self._heads, -1)).transpose(1, 2)  # (B, heads, N, hidden/heads)
            for layer in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(2))  # (B, N, hidden)


class Mlp(nn.Module):
    """Two linear layers around a GELU."""

    def __init__(self, hidden: int, mlp: int, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(hidden, mlp)
        self.fc2 = nn.Linear(mlp, hidden)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.fc1, self.fc2):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.dropout(functional.gelu(self.fc1(x)))
        return self.dropout(self.fc2(x))


class Layer(nn.Module):
    """A transformer layer, norms first."""

    def __init__(self, hidden: int, heads: int, mlp: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(hidden, eps=1e-6)
        self.ffn_norm = nn.LayerNorm(hidden, eps=1e-6)
        self.ffn = Mlp(hidden, mlp, dropout)
        self.attn = Attention(hidden, heads)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.attention_norm(x))
        return x + self.ffn(self.ffn_norm(x))


class Encoder(nn.Module):
    """The transformer's layers and its last norm."""

    def __init__(self, layers: list[Layer], hidden: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList(layers)
        self.encoder_norm = nn.LayerNorm(hidden, eps=1e-6)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        for layer in self.layer:
            tokens = layer(tokens)
        return self.encoder_norm(tokens)


class Transformer(nn.Module):
    """CNN and transformer."""

    def __init__(self, embeddings: Embeddings, encoder: Encoder) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.encoder = encoder

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return (B, N, hidden) tokens and the CNN's maps, coarsest first."""
        tokens, skips = self.embeddings(x)
        return self.encoder(tokens), skips


class ConvReLU(nn.Sequential):
    """3 x 3 convolution, batch norm, ReLU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(
            nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
        )


class DecoderBlock(nn.Module):
    """Twice the resolution, then the skip, then two convolutions."""

    def __init__(self, n_in: int, n_skip: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = ConvReLU(n_in + n_skip, n_out)
        self.conv2 = ConvReLU(n_out, n_out)

    def forward(self, x: torch.Tensor, skip: torch.Tensor | None) -> torch.Tensor:
        x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
        if skip is not None:
            x = torch.cat((x, skip), dim=1)
        return self.conv2(self.conv1(x))


class Decoder(nn.Module):
    """The cascaded upsampler."""

    def __init__(
        self, hidden: int, n_first: int, channels: tuple[int, ...], skip_channels: list[int]
    ) -> None:
        super().__init__()
        self.conv_more = ConvReLU(hidden, n_first)
        arriving = (n_first, *channels[:-1])
        self.blocks = nn.ModuleList(
            DecoderBlock(n_in, n_skip, n_out)
            for n_in, n_skip, n_out in zip(arriving, skip_channels, channels, strict=True)
        )
        self._has_skip = [n > 0 for n in skip_channels]

    def forward(self, tokens: torch.Tensor, skips: list[torch.Tensor]) -> torch.Tensor:
        side = math.isqrt(tokens.shape[1])
        x = tokens.transpose(1, 2).unflatten(2, (side, side))  # (B, hidden, side, side)
        x = self.conv_more(x)
        for i, block in enumerate(self.blocks):
            x = block(x, skips[i] if self._has_skip[i] else None)
        return x


class TransUNet(nn.Module):
    """TransUNet with a hybrid encoder (R50-ViT-B_16 by default).

    Parameters
    ----------
    n_classes : int
        Background included.
    image_size : int
        Side of the square image in pixels, a multiple of 16.
    in_channels : int
        What the first convolution takes; an image of one channel is repeated.
    width : int
        Channels of the CNN's first map.
    units : tuple of 3 int
        Residual units per block of the CNN.
    hidden, depth, heads, mlp : int
        The transformer's token size, layers, attention heads and size between its linear layers;
        64 values per head and four times ``hidden`` where they are left out.
    n_first : int
        Channels that the tokens are turned into.
    decoder_channels : tuple of 4 int
    n_skip : int
        How many decoder blocks get a skip, 0 to 3, from the coarsest on.
    dropout : float
        In training, on the embeddings and in the layers' linear parts.
    """

    def __init__(
        self,
        n_classes: int,
        image_size: int,
        *,
        in_channels: int = 3,
        width: int = 64,
        units: tuple[int, ...] = (3, 4, 9),
        hidden: int = 768,
        depth: int = 12,
        heads: int | None = None,
        mlp: int | None = None,
        n_first: int = 512,
        decoder_channels: tuple[int, ...] = (256, 128, 64, 16),
        n_skip: int = 3,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        heads = heads or max(1, hidden // 64)
        if image_size < 32 or image_size % 16:
            raise ValueError(f"the image size must be a multiple of 16 from 32, not {image_size}")
        if hidden % heads or len(units) != 3 or len(decoder_channels) != 4 or not 0 <= n_skip <= 3:
            raise ValueError("hidden must be a multiple of heads; 3 blocks, 4 decoder blocks")
        self.n_classes = n_classes
        self.image_size = image_size
        self.in_channels = in_channels
        cnn = ResNetV2(in_channels, width, units)
        self.transformer = Transformer(
            Embeddings(cnn, hidden, (image_size // 16) ** 2, dropout),
            Encoder(
                [Layer(hidden, heads, mlp or 4 * hidden, dropout) for _ in range(depth)], hidden
            ),
        )
        skip_channels = [8 * width, 4 * width, width, 0]
        skip_channels = [n if i < n_skip else 0 for i, n in enumerate(skip_channels)]
        self.decoder = Decoder(hidden, n_first, decoder_channels, skip_channels)
        self.segmentation_head = nn.Sequential(
            nn.Conv2d(decoder_channels[-1], n_classes, 3, padding=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits.

        Parameters
        ----------
        x : (B, 1 or in_channels, image_size, image_size)

        Returns
        -------
        (B, n_classes, image_size, image_size)

        Raises
        ------
        ValueError
            Another size or number of channels.
        """
        side = self.image_size
        if x.ndim != 4 or x.shape[1] not in (1, self.in_channels) or x.shape[2:] != (side, side):
            raise ValueError(
                f"expected (B, 1 or {self.in_channels}, {side}, {side}), got {tuple(x.shape)}"
            )
        if x.shape[1] != self.in_channels:
            x = x.repeat(1, self.in_channels, 1, 1)
        tokens, skips = self.transformer(x)
        return self.segmentation_head(self.decoder(tokens, skips))


def transunet_r50_vit_b16(
    n_classes: int = 9, image_size: int = 224, *, n_skip: int = 3
) -> TransUNet:
    """Return TransUNet as published: 105,277,081 parameters for 9 classes at 224 pixels."""
    return TransUNet(n_classes, image_size, n_skip=n_skip)
