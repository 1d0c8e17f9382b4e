"""How long things take on this machine, learnt from earlier runs and kept in the user's folder."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)

# What the newest run counts for; the rest is what was known before.
_NEWEST = 0.4


class Timings:
    """Seconds per unit of work, by name. A file that is damaged or cannot be written is logged.

    Parameters
    ----------
    path : Path
        A JSON file; its folder is made when something is learnt.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, float] | None = None

    def expected(self, name: str, amount: float) -> float | None:
        """Return the seconds that so much work should take; None if it was never done."""
        rate = self._rates().get(name)
        return None if rate is None else rate * amount

    def learn(self, name: str, amount: float, seconds: float) -> None:
        """Remember what a run took; the first run on a machine is forgotten soonest."""
        if amount <= 0 or seconds <= 0:
            return
        rates = self._rates()
        rate, before = seconds / amount, rates.get(name)
        rates[name] = rate if before is None else _NEWEST * rate + (1 - _NEWEST) * before
        part = self._path.with_name(f".{self._path.name}.part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(rates, indent=1), encoding="utf-8")
            os.replace(part, self._path)
        except OSError as error:
            logger.info("The timings cannot be kept: %s", error)

    def _rates(self) -> dict[str, float]:
        if self._known is None:
            self._known = {}
            try:
                stored = json.loads(self._path.read_text(encoding="utf-8"))
                self._known = {
                    str(name): float(rate) for name, rate in stored.items() if float(rate) > 0
                }
            except FileNotFoundError:
                pass
            except (OSError, ValueError, TypeError, AttributeError) as error:
                logger.info("The timings cannot be read: %s", error)
        return self._known
