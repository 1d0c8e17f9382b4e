"""`maskwright train`: a recipe, scans or packs, and a time budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.errors import ReadError, UsageError

if TYPE_CHECKING:
    from models.training.automatic_recipe import AutomaticRecipe
    from models.training.pack import PackedCase
    from models.training.recipe import Recipe
    from models.training.run import RunSettings, TrainingRun

DEFAULT_DATA = Path("../shared/data")


def train(
    recipe_path: Path,
    *,
    data: Path | None,
    out: Path | None,
    device: str,
    time_budget_s: float | None,
    resume: bool,
    report: Callable[[str], None],
    peer: str | None = None,
    start_from: Path | None = None,
    leave_out: tuple[str, ...] = (),
) -> Path:
    """Train a network by a recipe; return its checkpoint.

    Parameters
    ----------
    recipe_path : Path
        TOML, see `Recipe`.
    data : Path, optional
        A folder of labelled scans, or of packs made from one; ``../shared/data`` by default.
    out : Path, optional
        ``training/<recipe>`` by default. Packs that are made go there, too.
    device : "auto", "cpu" or "cuda"
    time_budget_s : float, optional
        Instead of the recipe's.
    resume : bool
    report : callable
        Gets one line per interval.
    peer : {"monai_vnet", "monai_basic_unet"}, optional
        Trained in place of the network of the recipe, which must be of an automatic model.
    start_from : Path, optional
        Weights to begin with, see `TrainingRun.start_from`.
    leave_out : tuple of str
        Data sets that are not trained on, besides those that the recipe leaves out; of the
        promptable network alone.

    Raises
    ------
    ReadError, UsageError, WeightsError, ModelUnavailableError
    """
    from models.runtime import choose_device
    from models.training.automatic_recipe import AutomaticRecipe
    from models.training.guide_recipe import GuideRecipe
    from models.training.pack import SUPERPIXELS, load_cases, pack
    from models.training.recipe import Recipe, read_recipe
    from models.training.run import RunSettings

    recipe = read_recipe(recipe_path)
    if peer is not None and not isinstance(recipe, AutomaticRecipe):
        raise UsageError(
            f"“{recipe_path.name}” trains no automatic model; --network is for those that do."
        )
    if leave_out and not isinstance(recipe, Recipe):
        raise UsageError(
            f"“{recipe_path.name}” does not train the promptable network; --leave-out is for that."
        )
    data = data or DEFAULT_DATA
    if not data.is_dir():
        raise ReadError(f"There is no folder “{data}” with scans; name one with --data.")
    stem = recipe_path.stem if peer is None else f"{recipe_path.stem}_{peer}"
    out = out or Path("training") / stem
    out.mkdir(parents=True, exist_ok=True)
    packs = sorted(data.glob("*.npz"))
    if not packs:
        packs = pack(data, out / "packs", report)
    packs = [p for p in packs if p.name != SUPERPIXELS]
    if not packs:
        raise ReadError(f"“{data}” holds neither labelled scans (*_img.nii.gz) nor packs.")
    cases = [case for path in packs for case in load_cases(path)]
    budget_s = time_budget_s or 60 * recipe.minutes
    settings = RunSettings(out, choose_device(device).kind, budget_s, report)
    training: TrainingRun
    if isinstance(recipe, AutomaticRecipe):
        training = _automatic_training(recipe, cases, settings, peer)
    elif isinstance(recipe, GuideRecipe):
        from models.training.guide_keys import KeyMasks
        from models.training.guide_training import GuideTraining
        from models.weights import list_models, load_prompt_unet

        report(f"{len(cases)} cases, seed {recipe.seed}")
        embedded = list_models()["embedded"]
        size = int(str(embedded.details["input_size"]))
        keys = KeyMasks(load_prompt_unet(embedded), size)
        training = GuideTraining(recipe, cases, keys, settings)
    else:
        recipe = replace(recipe, leave_out=tuple(dict.fromkeys((*recipe.leave_out, *leave_out))))
        training = _prompt_training(recipe, cases, packs[0].with_name(SUPERPIXELS), settings)
    if start_from is not None:
        training.start_from(start_from)
    if resume:
        training.resume()
    return training.run()


def _automatic_training(
    recipe: AutomaticRecipe, cases: list[PackedCase], settings: RunSettings, peer: str | None
) -> TrainingRun:
    from models.automatic.peers import new_peer
    from models.training.automatic_training import AutomaticTraining, new_network

    cases = [case for case in cases if case.dataset == recipe.dataset]
    if not cases:
        raise UsageError(f"There is no data set {recipe.dataset} to train on.")
    settings.report(f"{len(cases)} cases, seed {recipe.seed}")

    def network():
        return new_network(recipe.model) if peer is None else new_peer(peer, recipe.model)

    return AutomaticTraining(recipe, cases, settings, network=network)


def _prompt_training(
    recipe: Recipe, cases: list[PackedCase], kept: Path, settings: RunSettings
) -> TrainingRun:
    from models.training.prompt_training import PromptTraining
    from models.training.superpixels import superpixels

    segments = superpixels(cases, kept, n=recipe.n_superpixels, seed=recipe.seed + 3)
    unknown = set(recipe.leave_out) - {case.dataset for case in cases}
    if unknown:
        raise UsageError(f"There is no data set {', '.join(sorted(unknown))} to leave out.")
    cases = [case for case in cases if case.dataset not in recipe.leave_out]
    segments = [s for s in segments if s.case.dataset not in recipe.leave_out]
    settings.report(
        f"{len(cases)} cases, {len(segments)} slices with superpixels, seed {recipe.seed}"
    )
    return PromptTraining(recipe, cases, segments, settings)
