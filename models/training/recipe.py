"""What a training run is told: a TOML file under `resources/recipes`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from app.core.errors import ReadError, UsageError
from models.training.automatic_recipe import AutomaticRecipe, automatic_recipe
from models.training.guide_recipe import GuideRecipe, guide_recipe


@dataclass(frozen=True)
class Recipe:
    """One training run of the promptable network.

    Attributes
    ----------
    network : "XS", "S" or "M"
    minutes : float
        The learning rate falls to nothing over this time, whatever the machine manages in it.
    sizes, shares, batches : tuple
        Stages: side of the crops in pixels, share of the time, images per step. Small crops
        teach what to look for at a fraction of the cost; the last size is the one for use.
    fresh_share : float
        Share of each batch that is newly drawn; the rest are recent examples, mirrored or turned,
        so that drawing keeps up with learning.
    learning_rate, weight_decay, clip, ema : float
    correct_share : float
        Share of the steps that correct a first answer with clicks.
    n_superpixels : int
        Slices whose superpixels serve as targets.
    leave_out : tuple of str
        Data sets that are not trained on: evaluated afterwards, they tell how the network does on
        anatomy that it has never seen.
    seed : int
    """

    network: str = "S"
    minutes: float = 90.0
    sizes: tuple[int, ...] = (64, 96, 128)
    shares: tuple[float, ...] = (0.25, 0.3, 0.45)
    batches: tuple[int, ...] = (64, 32, 16)
    fresh_share: float = 0.5
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    correct_share: float = 0.3
    n_superpixels: int = 1600
    leave_out: tuple[str, ...] = ()
    seed: int = 0


def read_recipe(path: Path) -> Recipe | AutomaticRecipe | GuideRecipe:
    """Return the recipe of a TOML file; its ``task`` says of which kind it is.

    Its ``base`` names a recipe in the same folder that it differs from in the entries that it has.

    Raises
    ------
    ReadError
        The file is missing or no TOML.
    UsageError
        It has an entry that no recipe has, or one of the wrong kind.
    """
    stored = _stored(path)
    if "base" in stored:
        name = str(stored.pop("base"))
        base = _stored(path.with_name(name)) if Path(name).name == name else {"base": name}
        if "base" in base:
            raise UsageError(
                f"The base of a recipe is a recipe in its folder that has none, not “{name}”."
            )
        stored = _overlaid(base, stored)
    task = stored.pop("task", "prompt")
    if task == "prompt":
        return _prompt_recipe(stored)
    if task == "automatic":
        return automatic_recipe(stored)
    if task == "guide":
        return guide_recipe(stored)
    raise UsageError(f"There is no training task “{task}”; known are: automatic, guide, prompt.")


def _stored(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError(f"The recipe “{path.name}” cannot be read.") from error
    except tomllib.TOMLDecodeError as error:
        raise ReadError(f"The recipe “{path.name}” is no TOML file: {error}.") from error


def _overlaid(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the entries of ``changes``, table by table."""
    both = {
        name: _overlaid(base[name], value)
        for name, value in changes.items()
        if isinstance(value, dict) and isinstance(base.get(name), dict)
    }
    return {**base, **changes, **both}


def _prompt_recipe(stored: dict[str, Any]) -> Recipe:
    known = {f.name: f.default for f in fields(Recipe)}
    for name, value in stored.items():
        if name not in known:
            raise UsageError(
                f"The recipe has the entry “{name}”; known are {', '.join(sorted(known))}."
            )
        kind = type(known[name])
        accepted = (int, float) if kind is float else (list,) if kind is tuple else (kind,)
        if not isinstance(value, accepted) or isinstance(value, bool):
            raise UsageError(f"The recipe's entry “{name}” should be a {kind.__name__}.")
        if isinstance(value, list):
            stored[name] = tuple(value)
    recipe = Recipe(**stored)
    if recipe.network not in ("XS", "S", "M"):
        raise UsageError(f"There is no network size “{recipe.network}”; take XS, S or M.")
    if not recipe.sizes or any(s % 32 or s < 32 for s in recipe.sizes):
        raise UsageError("Crop sizes must be multiples of 32.")
    if not len(recipe.sizes) == len(recipe.shares) == len(recipe.batches):
        raise UsageError("Each crop size needs its share of the time and its batch.")
    return recipe


def stage_at(recipe: Recipe, share: float) -> int:
    """Return the index of the stage at a share of the time in [0, 1]."""
    ends = [sum(recipe.shares[: i + 1]) for i in range(len(recipe.shares))]
    return next((i for i, end in enumerate(ends[:-1]) if share < end), len(ends) - 1)
