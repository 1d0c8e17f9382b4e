"""What the training of an automatic network is told: a TOML file under `resources/recipes`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from app.core.errors import UsageError, WeightsError
from models.automatic.spec import AutomaticSpec


@dataclass(frozen=True)
class AutomaticRecipe:
    """One training run of an automatic network.

    Attributes
    ----------
    model : AutomaticSpec
        What is trained; its table in the file is that of the manifest.
    id, title : str
        Of the model that is made.
    dataset : str
        Whose training part is learnt.
    minutes : float
        The learning rate falls to nothing over this time.
    batch : int
    learning_rate, weight_decay, clip, ema : float
    rotation : float
        Degrees, the largest about any axis; scans lie straighter than photographs.
    stretch : float
        Logarithm of the largest change of scale.
    bend_mm : float
        Standard deviation of the control points of the B-spline deformation (pixels where a scan
        has no spacing).
    is_turned_over : bool
        Whether front and back are exchanged half the time: for slices whose files do not say which
        way up they lie.
    match_share : float
        How often intensities are matched to the histogram of another training scan.
    phase_share : float
        How often contrast medium is taken out of the structures, see `with_phase`.
    seed : int
    """

    model: AutomaticSpec
    id: str
    title: str
    dataset: str
    minutes: float = 30.0
    batch: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.998
    rotation: float = 10.0
    stretch: float = 0.15
    bend_mm: float = 4.0
    is_turned_over: bool = False
    match_share: float = 0.2
    phase_share: float = 0.0
    seed: int = 0


def automatic_recipe(stored: Mapping[str, Any]) -> AutomaticRecipe:
    """Return the recipe of a TOML file's content.

    Raises
    ------
    UsageError
        An entry is missing, unknown or of the wrong kind.
    """
    entries = {name: value for name, value in stored.items() if name != "task"}
    known = {f.name: f for f in fields(AutomaticRecipe)}
    unknown = set(entries) - set(known)
    if unknown:
        raise UsageError(
            f"The recipe has the entry “{min(unknown)}”; known are {', '.join(sorted(known))}."
        )
    missing = {"model", "id", "title", "dataset"} - set(entries)
    if missing:
        raise UsageError(f"The recipe lacks the entry “{min(missing)}”.")
    try:
        model = AutomaticSpec.from_json(entries.pop("model"))
    except WeightsError as error:
        raise UsageError("The recipe's table “model” is incomplete or wrong.") from error
    for name, value in entries.items():
        kind = type(known[name].default)
        if kind is float and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise UsageError(f"The recipe's entry “{name}” should be a number.")
    return AutomaticRecipe(model=model, **entries)
