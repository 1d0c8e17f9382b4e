"""From a checkpoint to what ships: fp16 weights, the graph that OpenVINO runs, the manifest.

``python -m models.training.export CHECKPOINT --size 160 --packs FOLDER`` writes all of it; a test
proves that the graph and the PyTorch network give the same logits.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from app.core.errors import WeightsError
from models.base import InstalledModel
from models.networks.prompt_unet import N_INPUTS, prompt_unet
from models.training.calibration import calibrate
from models.training.manifest import put_entry, read_entries
from models.training.pack import load_packs
from models.training.tuning import TuneSet
from models.weights import installed_model, sha256_of

STEM = "embedded_prompt_unet"


def export(
    checkpoint: Path,
    out: Path,
    *,
    network_size: str,
    input_size: int,
    details: dict[str, object],
    tune: TuneSet | None = None,
    mixed_with: tuple[Path, float] | None = None,
) -> Path:
    """Write weights, graph and manifest under ``out``; return the manifest's path.

    Parameters
    ----------
    checkpoint : Path
        A training checkpoint; its averaged weights ("ema") are taken.
    out : Path
    network_size : "XS", "S" or "M"
    input_size : int
        Pixels per side in use.
    details : dict
        Goes into the manifest: training data, metrics and the like.
    tune : TuneSet, optional
        Calibrates the network first; what was found goes into the manifest.
    mixed_with : (Path, float), optional
        An earlier checkpoint of the same training and the share that its weights get: between two
        ends of one training lies what is good at both.
    """
    import openvino
    from openvino.tools.ovc import convert_model
    from safetensors.torch import save_file

    network = prompt_unet(network_size)
    state = _averaged_weights(checkpoint)
    if mixed_with is not None:
        earlier, share = _averaged_weights(mixed_with[0]), mixed_with[1]
        state = {
            name: torch.lerp(tensor, earlier[name], share) if tensor.is_floating_point() else tensor
            for name, tensor in state.items()
        }
    network.load_state_dict(state)
    if tune is not None:
        details = {**details, "calibration": asdict(calibrate(network, tune, input_size))}
    # The shipped precision is half; the graph is made from the rounded weights, so both agree.
    half = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    out.mkdir(parents=True, exist_ok=True)
    weights = out / f"{STEM}.safetensors"
    save_file(half, weights)
    network.load_state_dict({n: t.float() if t.is_floating_point() else t for n, t in half.items()})
    network.eval()
    example = torch.zeros(1, N_INPUTS, input_size, input_size)
    with torch.no_grad():
        graph = convert_model(network, example_input=example)
    graph.reshape([1, N_INPUTS, input_size, input_size])
    graph_path = weights.with_suffix(".xml")
    openvino.save_model(graph, graph_path, compress_to_fp16=True)
    manifest = out / "manifest.json"
    guide = _guide_of(manifest)
    graph_files = (graph_path, graph_path.with_suffix(".bin"))
    entry: dict[str, object] = {
        "id": "embedded",
        "title": "Maskwright embedded",
        "kind": "promptable",
        "format": "prompt_unet",
        "labels": [],
        "file": weights.name,
        "sha256": sha256_of(weights),
        "bytes": weights.stat().st_size,
        "graph": {path.name: sha256_of(path) for path in graph_files} | guide.pop("graph", {}),
        "licence": "Apache-2.0",
        "size": network_size,
        "input_size": input_size,
        **guide,
        **details,
    }
    put_entry(manifest, entry)
    return manifest


def _averaged_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(checkpoint, map_location="cpu", weights_only=True)[
        "ema"
    ]
    return state


def _guide_of(manifest: Path) -> dict[str, Any]:
    """Return what an earlier entry says of its guide, which stays."""
    for entry in read_entries(manifest):
        if entry["id"] == "embedded" and "guide" in entry:
            stem = Path(entry["guide"]).stem
            files = {n: sha for n, sha in entry["graph"].items() if Path(n).stem == stem}
            return {"guide": entry["guide"], "graph": files}
    return {}


def exported_model(checkpoint: Path, folder: Path) -> InstalledModel:
    """Return a checkpoint as a model that can be run, whose files lie in ``folder``.

    It is not calibrated and has no guide. Its details say which data sets were left out of its
    training, "left_out".

    Raises
    ------
    WeightsError
        It is no checkpoint of the promptable network.
    """
    try:
        about = json.loads(torch.load(checkpoint, map_location="cpu", weights_only=True)["about"])
        details = {"left_out": about["left_out"]}
        manifest = export(
            checkpoint,
            folder,
            network_size=about["network"],
            input_size=about["input_size"],
            details=details,
        )
    except (OSError, KeyError, ValueError, RuntimeError, UnpicklingError) as error:
        raise WeightsError(
            f"“{checkpoint.name}” is no checkpoint of the promptable network; give the file that "
            "its training wrote, last.pt."
        ) from error
    (entry,) = read_entries(manifest)
    return installed_model(entry, folder)


def main() -> None:
    """Export a checkpoint from the command line."""
    parser = argparse.ArgumentParser(description=export.__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, default=Path("resources/weights"))
    parser.add_argument("--network", default="S")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--details", type=Path, help="JSON that goes into the manifest.")
    parser.add_argument("--packs", type=Path, help="Packs, to calibrate by.")
    parser.add_argument("--mixed-with", type=Path, help="An earlier checkpoint.")
    parser.add_argument("--share", type=float, default=0.3, help="Of the earlier one's weights.")
    given = parser.parse_args()
    tune = TuneSet(load_packs(given.packs)) if given.packs else None
    details = json.loads(given.details.read_text()) if given.details else {}
    export(
        given.checkpoint,
        given.out,
        network_size=given.network,
        input_size=given.size,
        details=details,
        tune=tune,
        mixed_with=(given.mixed_with, given.share) if given.mixed_with else None,
    )


if __name__ == "__main__":
    main()
