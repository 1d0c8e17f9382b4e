"""From a checkpoint of an automatic network to what ships: fp16 weights and the manifest's entry.

``python -m models.training.automatic_export CHECKPOINT`` writes both.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from models.automatic.spec import AutomaticSpec
from models.training.automatic_training import new_network
from models.training.manifest import put_entry
from models.weights import sha256_of


def export_automatic(checkpoint: Path, out: Path, details: dict[str, Any]) -> Path:
    """Write weights and the manifest's entry under ``out``; return the weights' path.

    Parameters
    ----------
    checkpoint : Path
        Of `AutomaticTraining`; its averaged weights ("ema") are taken.
    out : Path
    details : dict
        Goes into the entry: training data, metrics and the like.
    """
    from safetensors.torch import save_file

    stored = torch.load(checkpoint, map_location="cpu", weights_only=True)
    about = json.loads(stored["about"])
    spec = AutomaticSpec.from_json(about["automatic"])
    network = new_network(spec)
    network.load_state_dict(stored["ema"])
    half = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    out.mkdir(parents=True, exist_ok=True)
    weights = out / f"{about['id']}.safetensors"
    save_file(half, weights)
    weights.chmod(0o644)  # safetensors keeps its files to their owner
    put_entry(
        out / "manifest.json",
        {
            "id": about["id"],
            "title": about["title"],
            "kind": "automatic",
            "format": "automatic",
            "labels": [label.name for label in spec.labels],
            "file": weights.name,
            "sha256": sha256_of(weights),
            "bytes": weights.stat().st_size,
            "licence": "Apache-2.0",
            "automatic": spec.to_json(),
            **details,
        },
    )
    return weights


def main() -> None:
    """Export a checkpoint from the command line."""
    parser = argparse.ArgumentParser(description=export_automatic.__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, default=Path("resources/weights"))
    parser.add_argument("--details", type=Path, help="JSON that goes into the manifest.")
    given = parser.parse_args()
    details = json.loads(given.details.read_text()) if given.details else {}
    export_automatic(given.checkpoint, given.out, details)


if __name__ == "__main__":
    main()
