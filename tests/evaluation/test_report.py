"""Means of means and their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from app.evaluation.report import calibration_error, summarise
from app.evaluation.trial import Row


def row(data_set, case, value, dice, method="model", step="box", score=np.nan, index=0, hd95=1.0):
    return Row(
        data_set, case, "CT", f"s{value}", value, index, 0, 0, step, method, 100, dice, dice, hd95,
        "mm", score, 0.01,
    )  # fmt: skip


def test_neither_many_slices_nor_many_cases_nor_many_structures_decide():
    rows = [row("a", "c1", 1, 0.0, index=n) for n in range(10)]
    rows += [row("a", "c2", 1, 1.0)]  # structure 1: (0 + 1) / 2
    rows += [row("a", f"c{n}", 2, 0.8) for n in range(5)]  # structure 2: 0.8
    rows += [row("b", "c1", n, 0.2) for n in range(1, 4)]  # data set b: 0.2
    summary = summarise(rows)
    assert summary.data_set("a", "box", "model").figures["dice"].mean == pytest.approx(0.65)
    assert summary.overall("box", "model").figures["dice"].mean == pytest.approx((0.65 + 0.2) / 2)
    assert summary.overall("box", "model").figures["dice"].n_masks == len(rows)


def test_what_is_undefined_is_counted_and_left_out_of_the_mean():
    rows = [row("a", "c1", 1, 0.5, hd95=4.0), row("a", "c2", 1, 0.0, hd95=np.nan)]
    figures = summarise(rows).overall("box", "model").figures
    assert (figures["hd95"].mean, figures["hd95"].n_undefined) == (4.0, 1)
    assert (figures["dice"].mean, figures["dice"].n_undefined) == (0.25, 0)


def test_the_interval_is_that_of_a_mean_over_cases():
    rng = np.random.default_rng(0)
    values = rng.normal(0.8, 0.05, 100)
    # Ten slices of each case say the same thing: they are no ten independent cases.
    rows = [row("a", f"c{n}", 1, v, index=k) for n, v in enumerate(values) for k in range(10)]
    figure = summarise(rows).overall("box", "model").figures["dice"]
    half = 1.96 * values.std() / 10
    assert figure.mean == pytest.approx(values.mean())
    assert figure.mean - figure.low == pytest.approx(half, rel=0.15)
    assert figure.high - figure.mean == pytest.approx(half, rel=0.15)


def test_the_margin_over_the_ellipse_is_paired():
    rng = np.random.default_rng(1)
    difficulty = rng.uniform(0.2, 0.9, 40)
    rows = [row("a", f"c{n}", 1, d + 0.05) for n, d in enumerate(difficulty)]
    rows += [row("a", f"c{n}", 1, d, "inscribed ellipse") for n, d in enumerate(difficulty)]
    line = summarise(rows).overall("box", "model")
    # Every case gains 0.05, so the margin is certain although the means are not.
    assert line.margin.mean == pytest.approx(0.05)
    assert line.margin.high - line.margin.low < 1e-9
    assert line.figures["dice"].high - line.figures["dice"].low > 0.05
    assert summarise(rows).overall("box", "inscribed ellipse").margin is None


def test_calibration_error():
    assert calibration_error([0.75] * 10, [0.75] * 10) == pytest.approx(0)
    assert calibration_error([0.95] * 10 + [0.55] * 30, [0.75] * 40) == pytest.approx(0.2)
    assert np.isnan(calibration_error([np.nan], [0.5]))


def test_steps_stay_apart():
    rows = [row("a", "c", 1, 0.5), row("a", "c", 1, 0.9, step="+3")]
    summary = summarise(rows)
    assert summary.steps == ("box", "+3")
    assert summary.overall("+3", "model").figures["dice"].mean == pytest.approx(0.9)
