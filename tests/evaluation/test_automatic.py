"""Automatic models on phantoms: what is scored, what is counted, models side by side."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk

from app.core.errors import UsageError, WeightsError
from app.evaluation.auto_report import auto_counts, auto_markdown, auto_summary, auto_text
from app.evaluation.automatic import evaluate_automatic
from app.evaluation.cases import DataSet, Facts, find_data_sets
from models.automatic.intensity import hounsfield_of_bytes
from models.automatic.segmenter import AutomaticSegmenter
from models.runtime import Device
from tests.models.automatic.networks import AIR, FIRST, SECOND, bands, spec_for

SHAPE = (12, 20, 22)
NAMES = {3: "organ 3", 7: "organ 7"}


def write_case(folder, name, truth, image=None, spacing=(2.0, 2.0, 2.0)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if image is None:
        image = np.select([truth == 3, truth == 7], [FIRST, SECOND], AIR).astype(np.int16)
    for what, array in (("img", image), ("seg", truth.astype(np.uint8))):
        written = sitk.GetImageFromArray(array)
        written.SetSpacing(spacing)
        sitk.WriteImage(written, str(folder / f"{name}_{what}.nii.gz"))


def both() -> np.ndarray:
    truth = np.zeros(SHAPE, np.uint8)
    truth[2:8, 3:12, 4:12] = 3
    truth[4:10, 13:18, 13:20] = 7
    return truth


def model(sharpness: float = 60.0, **options) -> AutomaticSegmenter:
    spec = spec_for(spacing=(2.0, 2.0, 2.0), **options)
    return AutomaticSegmenter(spec, bands(spec, sharpness)[0], "test bench")


@pytest.fixture
def data(tmp_path):
    """Three cases: all as drawn; one structure missing in the truth; one in the image."""
    folder = tmp_path / "set" / "dev"
    write_case(folder, "a", both())
    without = np.where(both() == 7, 0, both())
    image = np.select([both() == 3, both() == 7], [FIRST, SECOND], AIR).astype(np.int16)
    write_case(folder, "b", without, image)
    dark = np.where(both() == 7, AIR, image).astype(np.int16)
    write_case(folder, "c", both(), dark)
    (found,) = find_data_sets(tmp_path, "dev")
    return DataSet(found.name, found.cases, Facts(NAMES))


def test_what_is_undefined_is_counted_and_not_perfect(data):
    rows = evaluate_automatic({"ours": model()}, [data])
    by_case = {(r.case, r.value): r for r in rows}
    assert len(rows) == 6
    right = by_case["a", 7]
    assert (right.dice, right.nsd, right.hd95) == (1.0, 1.0, 0.0)
    extra = by_case["b", 7]
    assert np.isnan([extra.dice, extra.nsd, extra.hd95]).all()
    assert (extra.area, extra.found > 0) == (0, True)
    missed = by_case["c", 7]
    assert (missed.dice, missed.nsd) == (0.0, 0.0)
    assert np.isnan(missed.hd95)
    summary = auto_summary(rows)
    line = next(x for x in summary.lines if x.structure == "organ 7")
    assert line.figures["dice"].mean == pytest.approx(0.5)  # of the two that have a truth
    assert line.figures["dice"].n_undefined == 1
    assert line.figures["hd95"].n_undefined == 2
    found = auto_counts(rows, line)
    assert (found.n_cases, found.n_missed, found.n_absent, found.n_extra) == (3, 1, 1, 1)


def test_two_models_in_one_table(data):
    rows = evaluate_automatic({"ours": model(), "blind": model(values=(3,))}, [data])
    assert {r.structure for r in rows if r.method == "blind"} == {"organ 3"}
    summary = auto_summary(rows)
    table = auto_markdown(summary, rows)
    head, _, *body = table.splitlines()
    assert "Dice, ours" in head
    assert "Dice, blind" in head
    columns = head.count("|")
    assert all(line.count("|") == columns for line in body if line.startswith("|"))
    organ = next(line for line in body if "organ 7" in line)
    assert "1 / 1" in organ
    assert organ.split("|")[8].strip() == "", "the other model does not look for it"
    assert "ours: Dice" in auto_text(summary, rows)


def test_intervals_widen_with_disagreement(data):
    rows = evaluate_automatic({"ours": model()}, [data])
    first, second = (x.figures["dice"] for x in auto_summary(rows).lines if x.structure)
    assert (first.low, first.high) == (1.0, 1.0)
    assert (second.low, second.high) == (0.0, 1.0)


def test_only_labelled_structures_are_scored(tmp_path):
    root = tmp_path / "openkbp_hn"
    write_case(root / "dev", "pt", np.minimum(both(), 3))
    listed = {"pt": ["RightParotid"]}
    (root / "organs_contoured.json").write_text(json.dumps(listed), "utf-8")
    spec = spec_for(spacing=(2.0, 2.0, 2.0))
    named = [
        type(label)(label.value, name)
        for label, name in zip(spec.labels, ("right parotid", "mandible"), strict=True)
    ]
    spec = type(spec)(**{**vars(spec), "labels": tuple(named)})
    segmenter = AutomaticSegmenter(spec, bands(spec)[0], "")
    rows = evaluate_automatic({"ours": segmenter}, find_data_sets(root, "dev"))
    assert [r.structure for r in rows] == ["right parotid"]


def test_in_a_stack_surfaces_are_measured_by_slice(tmp_path):
    folder = tmp_path / "stack" / "dev"
    truth = np.zeros(SHAPE, np.uint8)
    truth[1, 4:12, 4:12] = 3
    truth[6, 4:12, 6:14] = 3
    image = np.where(truth == 3, FIRST, AIR).astype(np.int16)
    image[6] = AIR
    image[6, 4:12, 7:15] = FIRST  # a column off on one of two slices
    write_case(folder, "a", truth, image)
    (found,) = find_data_sets(tmp_path, "dev")
    data = DataSet(found.name, found.cases, Facts(NAMES, is_stack=True, has_spacing=False))
    flat = model(family="transunet", tile=(1, 32, 32))
    with pytest.raises(UsageError, match="labelled"):
        evaluate_automatic({"volume": model()}, [data])
    spec = type(flat.spec)(**{**vars(flat.spec), "spacing_zyx": (2.0, 2.0, 2.0)})
    flat = AutomaticSegmenter(spec, bands(spec)[0], "")
    rows = evaluate_automatic({"flat": flat}, [data])
    (row,) = [r for r in rows if r.value == 3]
    assert row.dice == pytest.approx(2 * (64 + 56) / (128 + 128))
    assert row.hd95 == pytest.approx((0 + 1) / 2)
    assert row.unit == "px"


def test_bytes_of_ct_become_hounsfield_units():
    assert hounsfield_of_bytes(np.array([0, 255], np.uint8)).tolist() == pytest.approx(
        [-160.0, 240.0]
    )


def test_cases_without_what_is_found_are_refused(data):
    named = DataSet(data.name, data.cases, Facts({3: "liver"}))
    with pytest.raises(UsageError, match="organ 3"):
        evaluate_automatic({"ours": model()}, [named])


def test_checkpoints_of_ours_and_of_monai_are_told_apart(tmp_path):
    torch = pytest.importorskip("torch")
    nets = pytest.importorskip("monai.networks.nets")
    from models.automatic.network import new_module
    from models.automatic.peers import _monai_vnet, load_checkpoint

    spec, cpu = spec_for(tile=(32, 32, 32)), Device("cpu", "test", "test")
    about = json.dumps({"id": "hn", "title": "t", "automatic": spec.to_json()})
    tiles = np.random.default_rng(0).random((1, 1, 32, 32, 32), np.float32)
    peers = {
        "ours": new_module(spec),
        "unet": nets.BasicUNet(3, 1, 3, features=(4, 4, 8, 8, 8, 4)),
    }
    names = []
    for file, module in peers.items():
        module.eval()
        path = tmp_path / f"{file}.pt"
        torch.save({"about": about, "ema": module.state_dict()}, path)
        name, segmenter = load_checkpoint(path, cpu)
        names.append(name)
        assert segmenter.spec == spec
        with torch.inference_mode():
            expected = module(torch.from_numpy(tiles)).numpy()
        (found,) = segmenter.members[0].network(tiles)
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999
    assert names == ["ours (hn)", "MONAI BasicUNet (hn)"]
    # MONAI's V-Net has one size, too large to be run here: names and shapes must do.
    with torch.device("meta"):
        theirs = nets.VNet(in_channels=1, out_channels=3).state_dict()
        made = _monai_vnet(spec).state_dict()
    assert "in_tr.conv_block.conv.weight" in theirs
    assert {k: v.shape for k, v in made.items()} == {k: v.shape for k, v in theirs.items()}
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"broken\.pt"):
        load_checkpoint(broken, cpu)
