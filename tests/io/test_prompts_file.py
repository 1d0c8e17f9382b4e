"""Prompts files: the contract's example, both directions on turned files, and every refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.document import Document
from app.core.errors import ExportError, PromptError, ReadError
from app.core.geometry import Region
from app.core.labels import DrawOver, LabelInfo, LabelTable
from app.core.prompts import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    BoxPrompt,
    PointPrompt,
    ScribblePrompt,
)
from app.core.volume import Volume
from app.io.itk_bridge import canonical_geometry, file_geometry, from_file_array, to_source_index
from app.io.label_sidecar import read_sidecar
from app.io.prompts_file import parse_prompts, read_prompts
from app.io.prompts_writer import write_prompts
from tests.phantoms import ORIENTATIONS, file_affine, torso_like

SIZE_IJK = (24, 20, 12)


def turned(orientation: str) -> Volume:
    """Return a volume of a file of SIZE_IJK voxels whose axes grow to three letters."""
    grid = file_geometry(SIZE_IJK, file_affine(orientation, spacing_ijk=(0.8, 1.1, 3.0)))
    geometry, letters = canonical_geometry(grid)
    voxels = from_file_array(np.zeros(SIZE_IJK[::-1], np.uint8), letters)
    return Volume(np.ascontiguousarray(voxels), geometry, source_orientation=letters)


def parse(*entries: dict[str, Any], volume: Volume | None = None, **top: Any):
    return parse_prompts({"version": 1, "prompts": list(entries), **top}, volume or torso_like())


def box(start: list[int], stop: list[int], label: str = "liver", **more: Any) -> dict[str, Any]:
    return {"label": label, "kind": "box", "start_ijk": start, "stop_ijk": stop, **more}


def point(index: list[float], label: str = "liver", **more: Any) -> dict[str, Any]:
    return {"label": label, "kind": "point", "index_ijk": index, **more}


def covered_ijk(volume: Volume, region: Region) -> set[tuple[int, ...]]:
    """Return the file indices of a region's voxels, one by one."""
    zyx = np.argwhere(np.ones(region.shape_zyx)) + region.start_zyx
    return {tuple(int(v) for v in ijk) for ijk in to_source_index(volume, zyx)}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_box_covers_the_same_voxels_of_the_file_in_every_orientation(orientation):
    volume = turned(orientation)
    (prompt,) = parse(box([3, 5, 7], [9, 8, 8], through=[2, 10]), volume=volume).prompts
    expected = {(i, j, 7) for i in range(3, 9) for j in range(5, 8)}
    assert covered_ijk(volume, prompt.region) == expected
    carried = prompt.region.with_axis(prompt.axis, *prompt.through)
    assert {ijk[2] for ijk in covered_ijk(volume, carried)} == set(range(2, 10))


def test_the_example_of_the_contract():
    big = Volume(np.zeros((60, 200, 200), np.uint8), torso_like((60, 200, 200)).geometry)
    found = parse(
        box([60, 50, 40], [180, 160, 41]),
        point([90, 80, 40], positive=False),
        box([10, 20, 30], [40, 60, 31], "kidney", through=[22, 45]),
        box([10, 20, 10], [40, 60, 30], "spleen", value=7),
        {"label": "lesion", "kind": "box", "start_lps_mm": [10.0, 10.5, 112.0],
         "stop_lps_mm": [60.0, 60.0, 112.0]},
        volume=big,
    )  # fmt: skip
    assert [(i.name, i.id) for i in found.labels] == [
        ("spleen", 7), ("liver", 1), ("kidney", 2), ("lesion", 3),
    ]  # fmt: skip
    liver, click, kidney, spleen, lesion = found.prompts
    assert liver.region == Region((40, 50, 60), (41, 160, 180))
    assert not click.positive
    assert click.object_id == liver.object_id
    assert kidney.through == (22, 45)
    assert spleen.is_3d
    # Origin -15, -14, 100 and spacing 1.25, 1.5, 3 mm: (112 - 100) / 3 is slice 4.
    assert lesion.region == Region((4, 17, 20), (5, 50, 61))
    assert lesion.axis == AXIAL


def test_labels_without_value_take_free_values():
    found = parse(
        box([1, 1, 1], [5, 5, 2], "a", value=1),
        box([1, 1, 2], [5, 5, 3], "b"),
        box([1, 1, 3], [5, 5, 4], "c"),
    )
    assert [found.labels.named(name).id for name in "abc"] == [1, 2, 3]


class TestAxis:
    def test_thin_axis_is_the_slice_axis(self):
        assert parse(box([3, 2, 2], [4, 9, 9])).prompts[0].axis == SAGITTAL
        assert parse(box([2, 3, 2], [9, 4, 9])).prompts[0].axis == CORONAL
        assert parse(box([2, 2, 3], [9, 9, 4])).prompts[0].axis == AXIAL

    def test_of_several_thin_axes_the_coarsest(self):
        # Spacing z 3.0, y 1.5, x 1.25 mm.
        assert parse(box([3, 3, 2], [4, 4, 9])).prompts[0].axis == CORONAL
        assert parse(box([3, 3, 2], [4, 4, 3])).prompts[0].axis == AXIAL

    def test_a_file_of_one_slice_keeps_its_slice_axis(self):
        flat = torso_like((1, 20, 24), spacing_zyx=(0.5, 2.0, 2.0))
        assert parse(box([3, 3, 0], [9, 4, 1]), volume=flat).prompts[0].axis == AXIAL

    def test_thick_box_takes_the_coarsest_spacing_and_of_equals_the_last_file_axis(self):
        assert parse(box([3, 3, 2], [9, 9, 9])).prompts[0].axis == AXIAL
        for orientation, last in (("LPS", AXIAL), ("SPL", SAGITTAL), ("LSP", CORONAL)):
            volume = torso_like(spacing_zyx=(2, 2, 2), source_orientation=orientation)
            prompt = parse(box([2, 2, 2], [6, 6, 6]), volume=volume).prompts[0]
            assert prompt.axis == last
            assert prompt.is_3d

    def test_given_axis_wins(self):
        assert parse(box([3, 3, 2], [4, 4, 3], axis=0)).prompts[0].axis == SAGITTAL


class TestMillimetres:
    def test_box_from_first_to_last_centre(self):
        volume = torso_like()
        start, stop = volume.geometry.index_to_lps([[2, 3, 4], [5, 9, 9]])
        entry = {
            "label": "a", "kind": "box", "start_lps_mm": list(start), "stop_lps_mm": list(stop),
        }  # fmt: skip
        assert parse(entry).prompts[0].region == Region((2, 3, 4), (6, 10, 10))

    def test_flat_box_lies_on_one_slice_of_an_oblique_file(self):
        grid = file_geometry(SIZE_IJK, file_affine("LPS", oblique_deg=(4.0, 3.0, 0.0)))
        volume = Volume(np.zeros(grid.shape_zyx, np.uint8), grid)
        centre, half = grid.index_to_lps([6, 10, 12]), np.array([3, 3, 0])
        entry = {
            "label": "a", "kind": "box",
            "start_lps_mm": list(centre - half), "stop_lps_mm": list(centre + half),
        }  # fmt: skip
        (prompt,) = parse(entry, volume=volume).prompts
        assert (prompt.axis, prompt.slice_index, prompt.is_3d) == (AXIAL, 6, False)


class TestObjects:
    def ids(self, *entries: dict[str, Any], volume: Volume | None = None) -> list[int]:
        return [p.object_id for p in parse(*entries, volume=volume).prompts]

    def test_boxes_of_a_label_on_different_slices_are_one_object(self):
        assert self.ids(box([1, 1, 1], [9, 9, 2]), box([1, 1, 5], [9, 9, 6])) == [0, 0]

    def test_a_second_box_on_a_slice_is_another_object(self):
        assert self.ids(box([1, 1, 1], [9, 9, 2]), box([11, 1, 1], [19, 9, 2])) == [0, 1]

    def test_other_axis_other_label_and_3d_start_objects(self):
        assert self.ids(
            box([1, 1, 1], [9, 9, 2]),
            box([1, 4, 1], [9, 5, 9]),
            box([1, 1, 3], [9, 9, 4], "spleen"),
            box([1, 1, 3], [9, 9, 6]),
            box([1, 1, 7], [9, 9, 8]),
        ) == [0, 1, 2, 3, 4]

    def test_ranges_that_lie_apart_are_not_joined(self):
        near, far = (
            box([1, 1, 1], [9, 9, 2], through=[0, 4]),
            box([1, 1, 8], [9, 9, 9], through=[7, 10]),
        )
        assert self.ids(near, far) == [0, 1]
        assert self.ids(near, {**far, "through": [4, 10]}) == [0, 0]

    def test_carried_boxes_that_do_not_overlap_in_the_plane_are_not_joined(self):
        left = box([1, 1, 4], [9, 9, 5], through=[2, 8])
        right = box([12, 1, 5], [20, 9, 6], through=[2, 8])
        assert self.ids(left, right) == [0, 1]

    def test_clicks_join_the_box_that_holds_them_wherever_they_stand_in_the_file(self):
        found = self.ids(
            point([15, 5, 1]), box([1, 1, 1], [9, 9, 2]), box([11, 1, 1], [19, 9, 2]),
            point([5, 5, 1]), point([10, 5, 1]),
        )  # fmt: skip
        assert found == [1, 0, 1, 0, 1]

    def test_click_on_a_carried_slice_joins_the_object_that_is_carried_there(self):
        found = self.ids(
            box([1, 1, 1], [9, 9, 2], through=[0, 6]), box([1, 1, 9], [9, 9, 10], "spleen"),
            point([5, 5, 4]),
        )  # fmt: skip
        assert found == [0, 1, 0]

    def test_clicks_without_a_box_are_one_object_on_the_coarsest_axis(self):
        found = parse(point([5, 5, 4]), point([9, 9, 4], positive=False), point([5, 5, 5]))
        assert {p.object_id for p in found.prompts} == {0}
        assert {p.axis for p in found.prompts} == {AXIAL}

    def test_object_numbers_are_kept_and_others_stay_clear_of_them(self):
        entries = (box([1, 1, 1], [9, 9, 2], object=4), box([1, 1, 1], [9, 9, 2]))
        assert self.ids(*entries) == [4, 5]

    def test_objects_come_in_the_order_of_the_file(self):
        found = parse(
            box([1, 1, 1], [9, 9, 2], object=9, draw_over="all"),
            box([1, 1, 1], [9, 9, 2], "spleen", object=2),
        )
        assert [(i, len(p), d) for i, p, d in found.objects] == [
            (9, 1, DrawOver.ALL),
            (2, 1, DrawOver.EMPTY),
        ]


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "SRP", "IAL", "PIR"])
def test_round_trip(tmp_path: Path, orientation: str):
    volume = turned(orientation)
    table = LabelTable(
        (
            LabelInfo(9, "tumour", (1, 2, 3), code=("SCT", "108369006", "Neoplasm")),
            LabelInfo(2, "tumour", (4, 5, 6)),
        )
    )
    n = volume.geometry.shape_zyx
    document = Document(volume, None, table)
    document.prompts = (
        BoxPrompt(Region((1, 2, 3), (2, 7, 8)), AXIAL, (0, 5), 9, 3),
        BoxPrompt(Region((3, 2, 3), (4, 7, 8)), AXIAL, None, 9, 3),
        PointPrompt((1.25, 3.5, 4.0), False, AXIAL, 9, 3),
        BoxPrompt(Region((1, 2, 3), (7, 7, 4)), SAGITTAL, (2, n[2]), 2, 0),
        ScribblePrompt(((2.0, 5.0, 3.0), (2.5, 5.0, 3.5)), 2.5, True, CORONAL, 2, 1),
        BoxPrompt(Region((1, 2, 3), (7, 7, 7)), CORONAL, None, 2, 8),
        BoxPrompt(Region((1, 2, 3), (2, 3, 4)), CORONAL, None, 2, 6),
    )
    snapshot = document.snapshot(
        model_id="m", model_sha256="abc", window=(-160.0, 240.0), app_version="1.2",
        draw_over=DrawOver.EMPTY, draw_over_of_object={3: DrawOver.ALL},
    )  # fmt: skip
    path = tmp_path / "mask.prompts.json"
    write_prompts(path, snapshot)
    found = read_prompts(path, volume)
    assert found.prompts == document.prompts
    assert found.labels == table
    assert (found.model_id, found.model_sha256, found.app_version) == ("m", "abc", "1.2")
    assert found.window == (-160.0, 240.0)
    assert {object_id: policy for object_id, _, policy in found.objects} == {
        3: DrawOver.ALL, 0: DrawOver.EMPTY, 1: DrawOver.EMPTY, 8: DrawOver.EMPTY, 6: DrawOver.EMPTY,
    }  # fmt: skip
    assert found.warnings == ()


def test_written_indices_are_those_of_the_file(tmp_path: Path):
    volume = turned("RAI")
    i, j, k = SIZE_IJK
    document = Document(volume)
    document.prompts = (PointPrompt((0.0, 0.0, 0.0), True, AXIAL, 1, 0),)
    write_prompts(tmp_path / "p.json", document.snapshot())
    entry = json.loads((tmp_path / "p.json").read_text())["prompts"][0]
    # Canonical zero lies to the right, anterior, inferior: the far end of axes that grow there.
    assert entry["index_ijk"] == [i - 1, j - 1, k - 1]


def test_unknown_keys_are_told():
    found = parse(box([1, 1, 1], [9, 9, 2], trough=[0, 3]))
    assert "trough" in found.warnings[0]


GOOD = box([1, 1, 1], [9, 9, 2])


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (7, "Prompt 1 is no object"),
        ({"kind": "box"}, "Prompt 1 has no “label”"),
        ({**GOOD, "label": "  "}, "has no “label”"),
        ({**GOOD, "kind": "lasso"}, "Prompt 1 (liver) has the kind 'lasso'"),
        ({**GOOD, "value": 0}, "a whole number from 1 to 65535"),
        ({**GOOD, "value": True}, "a whole number from 1 to 65535"),
        ({**GOOD, "start_ijk": [1, 1]}, "needs “start_ijk” with 3 numbers"),
        ({**GOOD, "start_ijk": "111"}, "needs “start_ijk” with 3 numbers"),
        ({**GOOD, "start_ijk": [1.5, 1, 1]}, "whole numbers are needed"),
        ({**GOOD, "start_ijk": [float("nan"), 1, 1]}, "needs “start_ijk” with 3 numbers"),
        (box([1, 1, 1], [9, 9, 1]), "is empty: from [1, 1, 1] to [9, 9, 1]"),
        (box([-1, 1, 1], [9, 9, 2]), "leaves the image"),
        (box([1, 1, 1], [25, 9, 2]), "leaves the image: from [1, 1, 1] to [25, 9, 2] of 24 x 20"),
        ({"label": "a", "kind": "box"}, "needs “start_ijk” and “stop_ijk”, or"),
        ({**GOOD, "start_lps_mm": [0, 0, 0]}, "needs “start_ijk” and “stop_ijk”, or"),
        ({**GOOD, "through": [3, 3]}, "a range from 0 to 12 is needed"),
        ({**GOOD, "through": [0, 13]}, "a range from 0 to 12 is needed"),
        (box([1, 1, 1], [9, 9, 5], through=[0, 9]), "is a 3-D box with “through”"),
        ({**GOOD, "draw_over": "some"}, "“all” or “empty” is needed"),
        ({**GOOD, "axis": 3}, "a whole number from 0 to 2"),
        ({**GOOD, "object": -1}, "has “object”: -1"),
        (point([1, 1]), "needs “index_ijk” with 3 numbers"),
        (point([1, 1, 12]), "lies outside the image"),
        (point([1, 1, 1], positive="yes"), "true or false is needed"),
        ({"label": "a", "kind": "scribble", "points_ijk": []}, "has no list “points_ijk”"),
        ({"label": "a", "kind": "scribble", "points_ijk": [[1, 1, 1]], "radius_mm": 0}, "in mm"),
        ({"label": "a", "kind": "scribble", "points_ijk": [[1, 1, 1], [2, 2, 2]]}, "on one slice"),
        (
            {"label": "a", "kind": "box", "start_lps_mm": [0, 0, 0], "stop_lps_mm": [-1, 0, 0]},
            "ends before it starts",
        ),
        (
            {"label": "a", "kind": "box", "start_lps_mm": [0, 0, 0], "stop_lps_mm": [1, 0, 0]},
            "leaves the image",
        ),
    ],
)
def test_wrong_entries_are_named(entry: Any, sentence: str):
    with pytest.raises(PromptError) as caught:
        parse(entry)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": float("inf")},
        {"value": float("nan")},
        {"value": 2.5},
        {"value": "two"},
        {"colour": [1, 2, float("-inf")]},
        {"colour": [1, 2]},
        {"colour": 7},
        {"code": 7},
        {"name": ""},
    ],
    ids=str,
)
def test_listed_labels_that_make_no_sense_are_refused(wrong: dict[str, Any], tmp_path: Path):
    """In a prompts file, and beside a label map."""
    label = {"value": 2, "name": "liver", "colour": [255, 0, 0], **wrong}
    content = {"version": 1, "labels": [label], "prompts": [GOOD]}
    with pytest.raises(PromptError, match="Label 1 of the prompts file"):
        parse_prompts(content, torso_like())
    beside = tmp_path / "a.labels.json"
    beside.write_text(json.dumps(content), "utf-8")
    with pytest.raises(ReadError, match=r"a\.labels\.json"):
        read_sidecar(beside)


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ((box([1, 1, 1], [9, 9, 2], "a", value=1), box([1, 1, 2], [9, 9, 3], "b", value=1)),
         "which is “a” already"),
        ((box([1, 1, 1], [9, 9, 2], "a", object=1), box([1, 1, 2], [9, 9, 3], "b", object=1)),
         "of another label"),
        ((box([1, 1, 1], [9, 9, 2], object=1), box([1, 2, 1], [9, 3, 9], object=1)),
         "lies on coronal slices, its object 1 on axial slices"),
        ((box([1, 1, 1], [9, 9, 2], value=1), box([1, 1, 2], [9, 9, 3], value=2),
          box([1, 1, 3], [9, 9, 4])), "have the same name"),
    ],
)  # fmt: skip
def test_contradictions_are_named(entries: tuple[dict[str, Any], ...], sentence: str):
    with pytest.raises(PromptError) as caught:
        parse(*entries)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"version": 2, "prompts": []}', '{"version": true, "prompts": [{}]}',
     '{"version": 1}', '{"version": 1, "prompts": []}', '{"version": 1, "prompts": {}}',
     '{"version": 1, "labels": 3, "prompts": [{}]}',
     '{"version": 1, "labels": [3], "prompts": [1]}',
     "[" * 100_000, '{"version": 1, "window": [1], "prompts": [1]}'],
)  # fmt: skip
def test_files_that_are_no_prompts(tmp_path: Path, text: str):
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(PromptError):
        read_prompts(path, torso_like())


def test_binary_and_missing_files(tmp_path: Path):
    path = tmp_path / "p.json"
    with pytest.raises(PromptError, match="cannot be read"):
        read_prompts(path, torso_like())
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PromptError, match="not JSON"):
        read_prompts(path, torso_like())


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path):
    with pytest.raises(ExportError, match="does not exist"):
        write_prompts(tmp_path / "no" / "p.json", Document(torso_like()).snapshot())
    assert list(tmp_path.iterdir()) == []
