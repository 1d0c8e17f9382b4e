"""V-Net and its relatives: one configurable network, and the two originals.

F. Milletari, N. Navab, S.-A. Ahmadi: "V-Net: Fully Convolutional Neural Networks for Volumetric
Medical Image Segmentation", 3DV 2016, arXiv 1606.04797. The layer counts of `vnet_paper` follow
from the receptive fields in the paper's Table 1; the network that its authors released counts
differently (`vnet_released`).

There are no published PyTorch weights of either, so the state-dict names are our own; the names of
other implementations are translated in `models.published.vnet_formats`.
"""

from __future__ import annotations

import torch
from torch import nn

NORMS = (None, "batch", "instance", "group", "sample")
ACTIVATIONS = ("prelu", "elu", "relu")


class Convolution(nn.Conv3d):
    """A convolution that learns in float32 where bfloat16 would spoil the network.

    Over exactly two padded planes the gradient of its weights is left uninitialised by oneDNN's
    bfloat16 kernels (seen with PyTorch 2.15 on AVX-512): huge numbers, or none, in one tensor, and
    with the clipped gradient nothing learns.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        is_reduced = self.training and torch.is_autocast_enabled("cpu") and not x.is_cuda
        if is_reduced and x.shape[2] == 2:
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        return super().forward(x)


class ConvUnit(nn.Module):
    """A convolution with what follows it: conv, norm, act."""

    def __init__(self, conv: nn.Module, norm: nn.Module, act: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm
        self.act = act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm(self.conv(x)))


class Stage(nn.Module):
    """The convolutions at one resolution, with the sum of their input and output at the end."""

    def __init__(self, layers: list[ConvUnit], act: nn.Module | None, n_repeats: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.act = act
        self._n_repeats = n_repeats

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layers(x)
        if self.act is None:
            return y
        # The first stage has more channels than the image, which is repeated to match.
        return self.act(y + x.repeat(1, self._n_repeats, 1, 1, 1))


class VNet(nn.Module):
    """V-Net: five resolutions, volumetric kernels, a sum around each stage.

    Parameters
    ----------
    in_channels, n_classes : int
    width : int
        Channels at full resolution; doubled at each of the four steps down. A multiple of
        ``in_channels`` if ``residual``.
    encoder : tuple of 5 int
        Convolutions per stage, from the finest to the coarsest.
    decoder : tuple of 4 int
        Convolutions per stage, from the coarsest to the finest.
    kernel : int
        Side of the convolutions' kernel, odd.
    hidden_head : bool
        Whether a convolution to ``n_classes`` channels with its activation precedes the last one.
    norm : None, "batch", "instance", "group" or "sample"
        After each convolution but the last. "instance" has no parameters, "group" has 16 groups;
        "sample" takes each volume's own statistics and a learnt scale and shift, which is what
        batch normalisation does that is left in training mode and sees one volume at a time.
    act : "prelu", "elu" or "relu"
        PReLU has one slope per channel.
    residual : bool
        Whether a stage's input is added to its output.
    act_before_sum : bool
        Whether the last convolution of a stage has its own activation before the sum, except on
        the first stage. Not in the original.
    skip : "concat" or "add"
        How the encoder's features join the decoder's: behind them on the channel axis, or added.
    bias, decoder_bias : bool
        Whether convolutions have biases; ``decoder_bias`` is about those in the decoder's stages.
        Transposed convolutions and the last convolution always have them.
    """

    def __init__(
        self,
        in_channels: int = 1,
        n_classes: int = 2,
        *,
        width: int = 16,
        encoder: tuple[int, ...] = (1, 2, 3, 3, 3),
        decoder: tuple[int, ...] = (3, 3, 2, 1),
        kernel: int = 5,
        hidden_head: bool = False,
        norm: str | None = None,
        act: str = "prelu",
        residual: bool = True,
        act_before_sum: bool = False,
        skip: str = "concat",
        bias: bool = True,
        decoder_bias: bool = True,
    ) -> None:
        super().__init__()
        if len(encoder) != 5 or len(decoder) != 4 or min(*encoder, *decoder) < 1:
            raise ValueError(f"V-Net has 5 and 4 stages of convolutions, not {encoder}, {decoder}")
        if residual and width % in_channels:
            raise ValueError(f"{in_channels} channels cannot be repeated to {width}")
        if norm not in NORMS or act not in ACTIVATIONS or skip not in ("concat", "add"):
            raise ValueError(f"unknown option among norm={norm!r}, act={act!r}, skip={skip!r}")
        self.in_channels = in_channels
        self.n_classes = n_classes
        self._skip = skip

        def unit(conv: nn.Module, channels: int, has_act: bool = True) -> ConvUnit:
            active = _make_act(act, channels) if has_act else nn.Identity()
            return ConvUnit(conv, _make_norm(norm, channels), active)

        def stage(n_in: int, n_out: int, n_convs: int, has_bias: bool, has_last_act: bool) -> Stage:
            layers = []
            for i in range(n_convs):
                conv = Convolution(
                    n_in if i == 0 else n_out, n_out, kernel, padding=kernel // 2, bias=has_bias
                )
                layers.append(unit(conv, n_out, has_last_act or i < n_convs - 1))
            if not residual:
                return Stage(layers, None)
            return Stage(layers, _make_act(act, n_out), n_repeats=n_out // n_in)

        has_last_act = act_before_sum or not residual
        widths = [width << i for i in range(5)]
        self.encoder = nn.ModuleList(
            [stage(in_channels, width, encoder[0], bias, has_last_act=not residual)]
        )
        self.down = nn.ModuleList()
        for channels, n_convs in zip(widths[1:], encoder[1:], strict=True):
            conv = nn.Conv3d(channels // 2, channels, 2, stride=2, bias=bias)
            self.down.append(unit(conv, channels))
            self.encoder.append(stage(channels, channels, n_convs, bias, has_last_act))
        self.up = nn.ModuleList()
        self.decoder = nn.ModuleList()
        arriving = widths[4]
        for channels, n_convs in zip(reversed(widths[:4]), decoder, strict=True):
            self.up.append(unit(nn.ConvTranspose3d(arriving, channels, 2, stride=2), channels))
            arriving = 2 * channels if skip == "concat" else channels
            self.decoder.append(stage(arriving, arriving, n_convs, decoder_bias, has_last_act))
        self.hidden_head: nn.Module = nn.Identity()
        if hidden_head:
            conv = Convolution(arriving, n_classes, kernel, padding=kernel // 2, bias=bias)
            self.hidden_head = unit(conv, n_classes)
            arriving = n_classes
        self.head = nn.Conv3d(arriving, n_classes, 1)
        self._initialise()

    def _initialise(self) -> None:
        # He et al. 2015 (PReLU slope 0.25 at the start), biases 0, as the released training did.
        for module in self.modules():
            if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
                nn.init.kaiming_normal_(module.weight, a=0.25, nonlinearity="leaky_relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits.

        Parameters
        ----------
        x : (B, in_channels, D, H, W)
            D, H and W divisible by 16.

        Returns
        -------
        (B, n_classes, D, H, W)

        Raises
        ------
        ValueError
            The channels or the sides do not fit.
        """
        if x.ndim != 5 or x.shape[1] != self.in_channels or any(n % 16 for n in x.shape[2:]):
            raise ValueError(
                f"expected (B, {self.in_channels}, D, H, W) with sides divisible by 16, "
                f"got {tuple(x.shape)}"
            )
        skips = []
        for i, stage in enumerate(self.encoder):
            if i > 0:
                skips.append(x)
                x = self.down[i - 1](x)
            x = stage(x)
        for up, stage in zip(self.up, self.decoder, strict=True):
            skip = skips.pop()
            x = up(x)
            x = torch.cat((x, skip), dim=1) if self._skip == "concat" else x + skip
            x = stage(x)
        return self.head(self.hidden_head(x))


def vnet_paper(in_channels: int = 1, n_classes: int = 2, *, width: int = 16) -> VNet:
    """Return the V-Net of the paper (Fig. 2, Table 1): 65,175,314 parameters by default."""
    return VNet(in_channels, n_classes, width=width)


def vnet_released(in_channels: int = 1, n_classes: int = 2, *, width: int = 16) -> VNet:
    """Return the V-Net that the paper's authors released: 61,982,682 parameters by default."""
    return VNet(
        in_channels,
        n_classes,
        width=width,
        encoder=(1, 1, 2, 3, 3),
        decoder=(3, 2, 1, 1),
        hidden_head=True,
    )


def guide_vnet(*, width: int) -> VNet:
    """Return the narrow V-Net that guides the embedded model; see `models.volume_guide`."""
    return VNet(4, 1, width=width, kernel=3, norm="sample")


def _make_norm(norm: str | None, channels: int) -> nn.Module:
    if norm is None:
        return nn.Identity()
    if norm == "batch":
        return nn.BatchNorm3d(channels)
    if norm == "group":
        return nn.GroupNorm(16, channels)
    return nn.InstanceNorm3d(channels, affine=norm == "sample")


def _make_act(act: str, channels: int) -> nn.Module:
    if act == "prelu":
        return nn.PReLU(channels)
    return nn.ELU() if act == "elu" else nn.ReLU()
