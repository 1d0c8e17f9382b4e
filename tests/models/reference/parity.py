"""The parity kit: deterministic weights by key name, and what the references gave for them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import torch


class ParityKit:
    """What `shared/parity` holds.

    Attributes
    ----------
    goldens : dict
        Summaries of the references' outputs, by model.
    """

    def __init__(self, folder: Path) -> None:
        spec = importlib.util.spec_from_file_location("parity_fill", folder / "fill.py")
        self._fill = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self._fill)
        self._folder = folder
        self.goldens = json.loads((folder / "goldens.json").read_text("utf-8"))

    def input(self, *shape: int, seed: int = 0) -> torch.Tensor:
        """Return the reference's input: uniform noise in [0, 1], float32."""
        return self._fill.inp(shape, seed)

    def keys(self, name: str) -> dict[str, tuple[int, ...]]:
        """Return the shapes of a published state dict by key."""
        shapes = {}
        for line in (self._folder / "keys" / f"{name}.txt").read_text("utf-8").splitlines():
            key, shape, _ = line.split()
            shapes[key] = () if shape == "scalar" else tuple(map(int, shape.split("x")))
        return shapes

    def hugging_face_names(self) -> dict[str, str]:
        """Return the original SAM names by the Hugging Face ones."""
        text = (self._folder / "keys" / "hf_sam_to_original.txt").read_text("utf-8")
        return dict(line.split() for line in text.splitlines())

    def fill(self, shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
        """Return the reference's weights for a state dict of these keys and shapes."""
        empty = {
            key: torch.zeros(shape, dtype=torch.int64)
            if key.endswith("num_batches_tracked")
            else torch.empty(shape)
            for key, shape in shapes.items()
        }
        return self._fill.fill_state_dict(empty)

    def fill_network(self, network: torch.nn.Module) -> torch.nn.Module:
        """Return the network in eval mode with the reference's weights for its own key names."""
        network.load_state_dict(self._fill.fill_state_dict(network.state_dict()))
        return network.eval()


def assert_golden(output: torch.Tensor, golden: dict, *, atol: float = 1e-5) -> None:
    """Fail unless an output agrees with the reference's summary of its own."""
    flat = output.detach().cpu().double().flatten()
    assert flat.numel() == golden["numel"]
    found = [flat.mean(), flat.std(), flat.min(), flat.max(), *flat[golden["idx"]]]
    wanted = [golden[name] for name in ("mean", "std", "min", "max")] + golden["vals"]
    np.testing.assert_allclose(np.array(found), np.array(wanted), rtol=1e-4, atol=atol)


def shapes_of(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a network's state dict by key."""
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def n_parameters(network: torch.nn.Module) -> int:
    """Return the number of values that training changes."""
    return sum(p.numel() for p in network.parameters())
