"""From a checkpoint of the guide to what ships beside the embedded model.

``python -m models.training.guide_export CHECKPOINT`` writes fp16 weights, the graph that OpenVINO
runs, and their hashes into the manifest's entry of the embedded model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from models.networks.vnet import guide_vnet
from models.training.manifest import put_entry, read_entries
from models.volume_guide import GRID, N_CHANNELS
from models.weights import sha256_of

STEM = "embedded_volume_guide"


def export_guide(checkpoint: Path, out: Path) -> Path:
    """Write the guide's files under ``out``; return the path of its weights.

    Parameters
    ----------
    checkpoint : Path
        Of `GuideTraining`; its averaged weights ("ema") are taken.
    out : Path
        Holds the manifest with the embedded model.
    """
    import openvino
    from openvino.tools.ovc import convert_model
    from safetensors.torch import save_file

    stored = torch.load(checkpoint, map_location="cpu", weights_only=True)["ema"]
    network = guide_vnet(width=len(stored["encoder.0.act.weight"]))
    half = {name: tensor.half().contiguous() for name, tensor in stored.items()}
    weights = out / f"{STEM}.safetensors"
    save_file(half, weights)
    weights.chmod(0o644)  # safetensors keeps its files to their owner
    # The graph is made from the rounded weights, so that both agree.
    network.load_state_dict({name: tensor.float() for name, tensor in half.items()})
    network.eval()
    shape = [1, N_CHANNELS, *GRID]
    with torch.no_grad():
        graph = convert_model(network, example_input=torch.zeros(shape))
    graph.reshape(shape)
    path = weights.with_suffix(".xml")
    openvino.save_model(graph, path, compress_to_fp16=True)
    manifest = out / "manifest.json"
    entry = next(m for m in read_entries(manifest) if m["id"] == "embedded")
    files = (weights, path, path.with_suffix(".bin"))
    graphs = {**entry["graph"], **{p.name: sha256_of(p) for p in files}}
    put_entry(manifest, {**entry, "graph": graphs, "guide": weights.name})
    return weights


def main() -> None:
    """Export a checkpoint from the command line."""
    parser = argparse.ArgumentParser(description=export_guide.__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, default=Path("resources/weights"))
    given = parser.parse_args()
    export_guide(given.checkpoint, given.out)


if __name__ == "__main__":
    main()
