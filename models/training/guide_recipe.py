"""What the training of the 3-D guide is told: a TOML file under `resources/recipes`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from app.core.errors import UsageError


@dataclass(frozen=True)
class GuideRecipe:
    """One training run of the guide.

    Attributes
    ----------
    width : int
        Channels of the V-Net at full resolution.
    minutes : float
        The learning rate falls to nothing over this time.
    batch : int
    learning_rate, weight_decay, clip, ema : float
    seed : int
    """

    width: int = 8
    minutes: float = 50.0
    batch: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.998
    seed: int = 0


def guide_recipe(stored: Mapping[str, Any]) -> GuideRecipe:
    """Return the recipe of a TOML file's content.

    Raises
    ------
    UsageError
        An entry is unknown or of the wrong kind.
    """
    known = {f.name: f for f in fields(GuideRecipe)}
    for name, value in stored.items():
        if name not in known:
            raise UsageError(
                f"The recipe has the entry “{name}”; known are {', '.join(sorted(known))}."
            )
        accepted = (int,) if type(known[name].default) is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise UsageError(f"The recipe's entry “{name}” should be a number.")
    return GuideRecipe(**stored)
