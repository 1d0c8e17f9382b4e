"""Trials on phantoms with a model whose answers are known."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import numpy as np
import pytest
import SimpleITK as sitk

from app.core.errors import UsageError
from app.evaluation import report
from app.evaluation.cases import DataSet, Facts, find_data_sets
from app.evaluation.trial import BASELINES, METHODS, MODEL, Plan, evaluate
from models.engine import InferenceEngine
from tests.fake_model import bright_models

SHAPE = (14, 40, 44)


def write_case(folder, name, seed=0, spacing=(1.0, 1.0, 2.0)):
    """Write two bright balls and one cylinder on a dark, noisy ground."""
    folder.mkdir(parents=True, exist_ok=True)
    k, j, i = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    truth = np.zeros(SHAPE, np.uint8)
    truth[((k - 6) * 2) ** 2 + (j - 11) ** 2 + (i - 12) ** 2 < 64] = 1
    truth[np.broadcast_to((j - 28) ** 2 + (i - 30) ** 2 < 49, SHAPE) & (k > 1) & (k < 12)] = 3
    image = np.random.default_rng(seed).integers(0, 40, SHAPE) + 200 * (truth > 0)
    for what, array in (("img", image.astype(np.int16)), ("seg", truth)):
        written = sitk.GetImageFromArray(array)
        written.SetSpacing(spacing)
        sitk.WriteImage(written, str(folder / f"{name}_{what}.nii.gz"))
    return truth


@pytest.fixture
def data(tmp_path):
    for n in range(3):
        write_case(tmp_path / "set" / "dev", f"case{n}", n)
    return find_data_sets(tmp_path, "dev")


@pytest.fixture
def engine(bright_model):
    return InferenceEngine(bright_models, device="cpu")


def test_every_box_is_answered_by_the_model_and_every_baseline(data, engine):
    rows = evaluate(engine, "embedded", data, Plan(max_slices=2))
    assert len(rows) == 3 * 2 * 2 * len(METHODS)
    boxes = {(r.case, r.value, r.slice): set() for r in rows}
    for row in rows:
        boxes[row.case, row.value, row.slice].add(row.method)
        assert row.area >= 25
    assert all(methods == set(METHODS) for methods in boxes.values())
    assert {r.structure for r in rows} == {"label 1", "label 3"}
    assert all(np.isnan(r.score) == (r.method != MODEL) for r in rows)
    own = [r.dice for r in rows if r.method == MODEL]
    # The model knows what is bright; only a box that cuts the object takes something off.
    assert np.mean(own) > 0.95
    assert max(r.nsd for r in rows if r.method == MODEL) == 1


def test_without_jitter_the_model_is_right_and_the_filled_box_is_not(data, engine):
    rows = evaluate(engine, "embedded", data, Plan(jitter=0, max_slices=3))
    assert all(r.dice == 1 and r.hd95 == 0 for r in rows if r.method == MODEL)
    discs = [r.dice for r in rows if r.method == "filled box" and r.value == 3]
    down, across = np.mgrid[-6:7, -6:7]  # a disc of radius 7 leaves out its border
    area = np.count_nonzero(down**2 + across**2 < 49)
    assert discs == pytest.approx([2 * area / (area + 13 * 13)] * 9)


def test_one_plan_measures_the_same_boxes_whatever_else_is_measured(data, engine):
    def baseline(plan):
        rows = evaluate(engine, "embedded", data, plan)
        return {(r.case, r.value, r.slice): r.dice for r in rows if r.method == "filled box"}

    few, again = (baseline(Plan(max_slices=2, seed=5)) for _ in range(2))
    assert few == again
    many = baseline(Plan(max_slices=50, seed=5))
    assert all(many[key] == value for key, value in few.items())
    assert baseline(Plan(max_slices=50, seed=6)) != many


def test_limits_hold(data, engine):
    rows = evaluate(engine, "embedded", data, Plan(max_cases=1, max_slices=1, min_area_px=60))
    assert len({r.case for r in rows}) == 1
    assert len(rows) == 2 * len(METHODS)
    assert min(r.area for r in rows) >= 60


def test_clicks_correct_what_the_box_left(data, engine):
    plan = Plan(prompt="box+clicks", jitter=0.2, max_slices=4, seed=1)
    rows = evaluate(engine, "embedded", data, plan)
    mean = {
        step: np.mean([r.dice for r in rows if r.method == MODEL and r.step == step])
        for step in ("box", "+1", "+3", "+5")
    }
    assert mean["box"] < mean["+1"] <= mean["+3"] <= mean["+5"]
    assert {r.step for r in rows if r.method in BASELINES} == {"box"}
    counts = {step: sum(r.step == step and r.method == MODEL for r in rows) for step in mean}
    assert len(set(counts.values())) == 1


def test_one_box_and_the_range_make_the_whole_object(data, engine):
    rows = evaluate(engine, "embedded", data, Plan(prompt="box3d", jitter=0))
    assert {r.step for r in rows} == {"box3d"}
    cylinders = [r for r in rows if r.value == 3]
    # The cylinder runs through slices 2 to 11; the box is on the middle one.
    assert {r.slice for r in cylinders} == {6}
    assert all(r.dice == 1 for r in cylinders if r.method == MODEL)
    assert len(rows) == 3 * 2 * len(METHODS)


def test_slices_of_a_stack_are_given_alone(data, engine, bright_model, monkeypatch):
    seen = []
    predict = bright_model.predict

    def watching(view, prompts, cache):
        seen.append((view.volume.voxels.shape[0], view.neighbour(1)))
        return predict(view, prompts, cache)

    monkeypatch.setattr(bright_model, "predict", watching)
    stack = [DataSet(d.name, d.cases, Facts(is_stack=True, has_spacing=False)) for d in data]
    rows = evaluate(engine, "embedded", stack, Plan(jitter=0, max_slices=2))
    assert seen
    assert all(shape == 1 and neighbour is None for shape, neighbour in seen)
    assert {r.unit for r in rows} == {"px"}
    assert all(r.dice == 1 for r in rows if r.method == MODEL)
    assert evaluate(engine, "embedded", stack, Plan(prompt="box3d")) == []
    assert evaluate(engine, "embedded", stack, Plan(plane="sagittal")) == []


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_planes(data, engine, plane):
    rows = evaluate(engine, "embedded", data, Plan(plane=plane, jitter=0, max_slices=2))
    assert {r.axis for r in rows} == {("axial", "coronal", "sagittal").index(plane)}
    assert all(r.dice == 1 for r in rows if r.method == MODEL)


def test_structures_that_were_not_drawn_are_left_out(data, engine):
    some = tuple(dataclasses.replace(c, labelled=frozenset({3})) for c in data[0].cases)
    rows = evaluate(engine, "embedded", [DataSet("set", some)], Plan(max_slices=1))
    assert {r.value for r in rows} == {3}


@pytest.mark.parametrize(
    "wrong", [{"prompt": "lasso"}, {"plane": "oblique"}, {"jitter": -1}, {"max_slices": 0}]
)
def test_a_plan_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UsageError):
        Plan(**wrong)


def test_the_report_of_a_trial_can_be_written(data, engine):
    rows = evaluate(engine, "embedded", data, Plan(max_slices=2))
    summary = report.summarise(rows)
    table = list(csv.DictReader(io.StringIO(report.csv_text(rows))))
    assert len(table) == len(rows)
    assert float(table[0]["dice"]) == pytest.approx(rows[0].dice, rel=1e-5)
    assert table[1]["score"] == ""
    content = json.loads(json.dumps(report.as_json(summary), allow_nan=False))
    assert {x["method"] for x in content["mean"]} == set(METHODS)
    text = report.markdown(summary)
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1
    assert "label 3" in text
