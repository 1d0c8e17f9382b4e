"""Which patients of a training part are set aside: to choose settings on, never to learn from.

By name alone, so that an evaluation finds the same ones as a training.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_SHARE = 0.08
# How many words of a case's name are the patient's, where it is not all of it.
_N_WORDS = {"sts_sarcoma": 2, "hvsmr_heart2d": 1, "spider_spine2d": 1}


def patient_in(dataset: str, case: str) -> str:
    """Return what identifies a patient within a data set."""
    n = _N_WORDS.get(dataset)
    return "_".join(case.split("_")[:n]) if n else case


def patients_aside(dataset: str, cases: Iterable[str]) -> frozenset[str]:
    """Return the patients of a data set that are set aside: 8 % of them, at least one.

    Parameters
    ----------
    dataset : str
    cases : iterable of str
        Names of all labelled cases of its training part.
    """
    patients = sorted({patient_in(dataset, case) for case in cases})
    n = max(1, round(_SHARE * len(patients)))
    return frozenset(np.random.default_rng(7).permutation(patients)[:n].tolist())
