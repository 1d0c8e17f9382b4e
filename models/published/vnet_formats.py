"""How other implementations of V-Net name and size their weights. No torch import.

Each reader takes the shapes of a state dict and returns the arguments of our `VNet` and the
translation of names, or None if the file is of another kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Shapes = Mapping[str, tuple[int, ...]]

_NUMBER_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class VNetReading(NamedTuple):
    """A V-Net found in a state dict.

    Attributes
    ----------
    title : str
    options : dict
        Arguments of `VNet`.
    names : dict
        Our state-dict name by theirs; what is missing in it is not needed.
    """

    title: str
    options: dict[str, Any]
    names: dict[str, str]


def read_monai(shapes: Shapes) -> VNetReading | None:
    """Return the V-Net of a MONAI state dict (``monai.networks.nets.VNet``)."""
    if "in_tr.conv_block.conv.weight" not in shapes:
        return None
    names = _TransitionNames("conv_block.conv", "conv_block.adn.N", "act_function", "act_function")
    return _read_transitions(shapes, names, "V-Net (MONAI)", norm="batch")


def read_mattmacy(shapes: Shapes, *, statistics: str = "sample") -> VNetReading | None:
    """Return the V-Net of a state dict of github.com/mattmacy/vnet.pytorch.

    ``statistics`` is "sample" for that program's own predictions, which always normalise with the
    statistics of the volume at hand, or "batch" for the running statistics in the file.
    """
    if "in_tr.conv1.weight" not in shapes:
        return None
    names = _TransitionNames("conv1", "bn1", "relu1", "relu")
    return _read_transitions(shapes, names, "V-Net (vnet.pytorch)", norm=statistics)


def read_additive(shapes: Shapes) -> VNetReading | None:
    """Return the V-Net of a state dict of UA-MT or SSL4MIS: kernels of 3, sums instead of joins."""
    first = shapes.get("block_one.conv.0.weight")
    if first is None or len(first) != 5:
        return None
    # A Sequential of (convolution, norm, activation) counts by three, without a norm by two;
    # only batch norm has running statistics, only instance norm has no parameters at all.
    if "block_one.conv.1.running_mean" in shapes:
        norm: str | None = "batch"
    elif "block_one.conv.1.weight" in shapes:
        norm = "group"
    else:
        norm = "instance" if "block_two.conv.3.weight" in shapes else None
    step = 2 if norm is None else 3
    blocks = [f"block_{word}.conv" for word in _NUMBER_WORDS]
    n_convs = [_count(shapes, f"{block}.{{}}.weight", step) for block in blocks]
    if 0 in n_convs or "out_conv.weight" not in shapes:
        return None
    pairs: list[tuple[str, str]] = [("out_conv", "head")]
    for i, (block, n) in enumerate(zip(blocks, n_convs, strict=True)):
        ours = f"encoder.{i}" if i < 5 else f"decoder.{i - 5}"
        for j in range(n):
            pairs.append((f"{block}.{step * j}", f"{ours}.layers.{j}.conv"))
            pairs.append((f"{block}.{step * j + 1}", f"{ours}.layers.{j}.norm"))
    for i in range(4):
        for theirs, ours in (
            (f"block_{_NUMBER_WORDS[i]}_dw.conv", f"down.{i}"),
            (f"block_{_NUMBER_WORDS[i + 4]}_up.conv", f"up.{i}"),
        ):
            pairs += [(f"{theirs}.0", f"{ours}.conv"), (f"{theirs}.1", f"{ours}.norm")]
    options = {
        "in_channels": first[1],
        "n_classes": shapes["out_conv.weight"][0],
        "width": first[0],
        "encoder": tuple(n_convs[:5]),
        "decoder": tuple(n_convs[5:]),
        "kernel": first[2],
        "norm": norm,
        "act": "relu",
        "residual": False,
        "skip": "add",
    }
    return VNetReading("V-Net with additive skips (UA-MT, SSL4MIS)", options, _names(shapes, pairs))


def read_released(shapes: Shapes) -> VNetReading | None:
    """Return the V-Net of a state dict with the layer names of the released network.

    The names of its activations are free; they count in the order of the file.
    """
    first = shapes.get("conv_in128_chan16.weight")
    if first is None or "conv_in128_chan2_2_right.weight" not in shapes:
        return None
    pairs: list[tuple[str, str]] = []
    acts: list[str] = []
    encoder, decoder = [], []

    def layers(stem: str, ours: str) -> int:
        names = [stem, f"{stem}_2", f"{stem}_3"]
        found = [name for name in names if f"{name}.weight" in shapes]
        for j, name in enumerate(found):
            pairs.append((name, f"{ours}.layers.{j}.conv"))
        acts.extend(f"{ours}.layers.{j}.act" for j in range(len(found) - 1))
        acts.append(f"{ours}.act")
        return len(found)

    for i in range(5):
        side, channels = 128 >> i, 16 << i
        if i > 0:
            pairs.append((f"down_pooling_{2 * side}_to_{side}", f"down.{i - 1}.conv"))
            acts.append(f"down.{i - 1}.act")
        encoder.append(layers(f"conv_in{side}_chan{channels}", f"encoder.{i}"))
    for i in range(4):
        side, channels = 16 << i, 128 >> i
        pairs.append((f"deconv_in{side // 2}_chan{channels}", f"up.{i}.conv"))
        acts.append(f"up.{i}.act")
        decoder.append(layers(f"conv_in{side}_chan{channels}_right", f"decoder.{i}"))
    pairs.append(("conv_in128_chan2_right", "hidden_head.conv"))
    pairs.append(("conv_in128_chan2_2_right", "head"))
    acts.append("hidden_head.act")
    if 0 in encoder or 0 in decoder:
        return None
    names = _names(shapes, pairs)
    theirs = [key for key in shapes if key not in names]
    if len(theirs) != len(acts):
        return None
    names |= {key: f"{act}.weight" for key, act in zip(theirs, acts, strict=True)}
    options = {
        "in_channels": first[1],
        "n_classes": shapes["conv_in128_chan2_2_right.weight"][0],
        "width": first[0],
        "encoder": tuple(encoder),
        "decoder": tuple(decoder),
        "kernel": first[2],
        "hidden_head": True,
    }
    return VNetReading("V-Net (released layout)", options, names)


class _TransitionNames(NamedTuple):
    """What a convolution, its norm and its activation are called inside a transition.

    ``numbered_act`` is the stem of the two activations of a transition.
    """

    conv: str
    norm: str
    act: str
    numbered_act: str


def _read_transitions(
    shapes: Shapes, names: _TransitionNames, title: str, *, norm: str
) -> VNetReading | None:
    """Return the V-Net of MONAI or vnet.pytorch: one layout under two sets of names."""
    downs = [f"down_tr{32 << i}" for i in range(4)]
    ups = [f"up_tr{256 >> i}" for i in range(4)]
    ops = f"ops.{{}}.{names.conv}.weight"
    encoder = [1, *(_count(shapes, f"{name}.{ops}") for name in downs)]
    decoder = [_count(shapes, f"{name}.{ops}") for name in ups]
    first = shapes[f"in_tr.{names.conv}.weight"]
    if 0 in encoder or 0 in decoder or len(first) != 5 or "out_tr.conv2.weight" not in shapes:
        return None
    pairs = [
        (f"in_tr.{names.conv}", "encoder.0.layers.0.conv"),
        (f"in_tr.{names.norm}", "encoder.0.layers.0.norm"),
        (f"in_tr.{names.act}", "encoder.0.act"),
        (f"out_tr.{names.conv}", "hidden_head.conv"),
        (f"out_tr.{names.norm}", "hidden_head.norm"),
        (f"out_tr.{names.numbered_act}1", "hidden_head.act"),
        ("out_tr.conv2", "head"),
    ]
    for i, (down, up) in enumerate(zip(downs, ups, strict=True)):
        for theirs, unit, stage, step, n in (
            (down, f"down.{i}", f"encoder.{i + 1}", "down_conv", encoder[i + 1]),
            (up, f"up.{i}", f"decoder.{i}", "up_conv", decoder[i]),
        ):
            pairs += [
                (f"{theirs}.{step}", f"{unit}.conv"),
                (f"{theirs}.bn1", f"{unit}.norm"),
                (f"{theirs}.{names.numbered_act}1", f"{unit}.act"),
                (f"{theirs}.{names.numbered_act}2", f"{stage}.act"),
            ]
            for j in range(n):
                pairs += [
                    (f"{theirs}.ops.{j}.{names.conv}", f"{stage}.layers.{j}.conv"),
                    (f"{theirs}.ops.{j}.{names.norm}", f"{stage}.layers.{j}.norm"),
                    (f"{theirs}.ops.{j}.{names.act}", f"{stage}.layers.{j}.act"),
                ]
    options = {
        "in_channels": first[1],
        "n_classes": shapes["out_tr.conv2.weight"][0],
        "width": first[0],
        "encoder": tuple(encoder),
        "decoder": tuple(decoder),
        "kernel": first[2],
        "hidden_head": True,
        "norm": norm,
        "act": "prelu" if f"in_tr.{names.act}.weight" in shapes else "elu",
        "act_before_sum": True,
        "bias": f"in_tr.{names.conv}.bias" in shapes,
        "decoder_bias": f"up_tr256.ops.0.{names.conv}.bias" in shapes,
    }
    keeps_running = norm == "batch"
    return VNetReading(
        title,
        options,
        {k: v for k, v in _names(shapes, pairs).items() if keeps_running or not _is_running(k)},
    )


def _is_running(key: str) -> bool:
    return key.endswith(("running_mean", "running_var", "num_batches_tracked"))


def _count(shapes: Shapes, pattern: str, step: int = 1) -> int:
    n = 0
    while pattern.format(n * step) in shapes:
        n += 1
    return n


def _names(shapes: Shapes, pairs: list[tuple[str, str]]) -> dict[str, str]:
    return dict(_renamed(shapes, dict(pairs)))


def _renamed(shapes: Shapes, prefixes: dict[str, str]) -> Iterator[tuple[str, str]]:
    for key in shapes:
        prefix, _, last = key.rpartition(".")
        if prefix in prefixes:
            yield key, f"{prefixes[prefix]}.{last}"
