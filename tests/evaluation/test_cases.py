"""Finding labelled cases, and what is known about data sets."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk

from app.core.errors import GeometryError, ReadError
from app.evaluation.cases import KNOWN, find_data_sets, read_case, single_slice
from app.io.reader import read_volume
from models.base import SliceView
from models.training.pack import load_cases, pack, tune_patients
from tests.phantoms import torso_like


def write(path, array_kji, spacing=(1.0, 1.5, 3.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array_kji)
    image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))


def write_pair(folder, name, suffix=".nii.gz", shape=(4, 5, 6)):
    image = np.arange(np.prod(shape)).reshape(shape).astype(np.int16)
    write(folder / f"{name}_img{suffix}", image)
    write(folder / f"{name}_seg{suffix}", (image % 3).astype(np.uint8))


def test_one_data_set_with_and_without_subfolders(tmp_path):
    write_pair(tmp_path / "a" / "dev", "one")
    write_pair(tmp_path / "a" / "train", "two")
    write_pair(tmp_path / "b", "three", ".nrrd")
    for folder in ("a", "a/dev"):
        (found,) = find_data_sets(tmp_path / folder, "dev")
        assert (found.name, [c.name for c in found.cases]) == ("a", ["one"])
    (found,) = find_data_sets(tmp_path / "a", "train")
    assert [c.name for c in found.cases] == ["two"]
    (found,) = find_data_sets(tmp_path / "b", "dev")
    assert [c.name for c in found.cases] == ["three"]


def test_the_parent_of_many_leaves_out_what_has_no_such_part(tmp_path):
    write_pair(tmp_path / "a" / "dev", "one")
    write_pair(tmp_path / "b" / "train", "two")
    write_pair(tmp_path / "c", "three")
    (tmp_path / "c" / "lonely_img.nii.gz").write_bytes(b"")
    (tmp_path / "d").mkdir()
    found = find_data_sets(tmp_path, "dev")
    assert [(d.name, [c.name for c in d.cases]) for d in found] == [
        ("a", ["one"]),
        ("c", ["three"]),
    ]


def test_patients_set_aside_are_some_of_the_training_part(tmp_path):
    root = tmp_path / "sts_sarcoma"
    for n in range(16):
        for modality in ("CT", "T1"):
            write_pair(root / "train", f"STS_{n:03d}_{modality}")
    write_pair(root / "dev", "STS_100_CT")
    (found,) = find_data_sets(root, "aside")
    names = [case.name for case in found.cases]
    # One patient of sixteen, with both of the scans.
    assert len(names) == 2
    assert len({name.rsplit("_", 1)[0] for name in names}) == 1
    with pytest.raises(ReadError, match="aside"):
        find_data_sets(root / "dev", "aside")


def test_a_folder_without_pairs_is_refused_with_what_is_needed(tmp_path):
    with pytest.raises(ReadError, match="_img and <case>_seg"):
        find_data_sets(tmp_path, "dev")
    with pytest.raises(ReadError, match="not a folder"):
        find_data_sets(tmp_path / "missing", "dev")


def test_organs_that_nobody_drew_are_unknown(tmp_path):
    root = tmp_path / "openkbp_hn"
    write_pair(root / "dev", "p1")
    write_pair(root / "dev", "p2")
    (root / "organs_contoured.json").write_text(json.dumps({"p1": ["SpinalCord", "Mandible"]}))
    (found,) = find_data_sets(root, "dev")
    assert [c.labelled for c in found.cases] == [frozenset({2, 7}), None]
    assert found.structure(2) == "spinal cord"
    (root / "organs_contoured.json").write_text('["p1"]')
    with pytest.raises(ReadError, match="organs by case"):
        find_data_sets(root, "dev")


def test_a_case_comes_back_on_one_grid(tmp_path):
    write_pair(tmp_path, "one")
    (found,) = find_data_sets(tmp_path, "dev")
    volume, truth = read_case(found.cases[0])
    np.testing.assert_array_equal(volume.voxels % 3, truth)


def test_a_truth_on_another_grid_is_refused(tmp_path):
    write_pair(tmp_path, "one")
    write(tmp_path / "one_seg.nii.gz", np.zeros((4, 5, 6), np.uint8), (1.0, 1.5, 2.0))
    (found,) = find_data_sets(tmp_path, "dev")
    with pytest.raises(GeometryError, match="grid"):
        read_case(found.cases[0])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_single_slice_has_no_neighbours_and_keeps_its_place(axis):
    volume = torso_like()
    alone = single_slice(volume, axis, 3)
    view = SliceView(alone, axis, 0, (0, 1))
    np.testing.assert_array_equal(view.pixels, volume.slice_at(axis, 3))
    assert view.neighbour(-1) is None
    assert view.neighbour(1) is None
    corner = [0, 0, 0]
    there = [3 if a == axis else 0 for a in range(3)]
    np.testing.assert_allclose(
        alone.geometry.index_to_lps(corner), volume.geometry.index_to_lps(there)
    )


def test_an_evaluation_finds_the_patients_that_trainings_set_aside(shared_data, tmp_path):
    name = "sunnybrook_lv2d"
    (tmp_path / name).symlink_to(shared_data / name)
    cases = [
        case for path in pack(tmp_path, tmp_path / "packs", print) for case in load_cases(path)
    ]
    held = tune_patients(cases)
    (found,) = find_data_sets(shared_data / name, "aside")
    assert {(name, case.name) for case in found.cases} == held


def test_what_is_known_fits_the_real_scans(shared_data):
    present = {d.name: d for d in find_data_sets(shared_data, "dev")}
    for name, facts in KNOWN.items():
        found = present[name]
        values = np.unique(read_case(found.cases[0])[1])
        assert set(values[values > 0].tolist()) <= set(facts.structures)
        spacing = read_volume(found.cases[0].image_path).geometry.spacing_zyx
        if not facts.has_spacing:
            assert spacing == pytest.approx((1, 1, 1))
