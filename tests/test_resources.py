"""What ships beside the code can be found, read, and means what it says."""

from __future__ import annotations

import json

import pytest
from pydicom.sr.codedict import codes

from app.io.label_sidecar import read_sidecar
from resources import resource_path

PRESETS = sorted(resource_path("labels").glob("*.json"))


def test_a_missing_resource_is_named():
    with pytest.raises(FileNotFoundError, match=r"no/such\.file"):
        resource_path("no/such.file")


@pytest.mark.parametrize("path", PRESETS, ids=lambda p: p.stem)
def test_label_preset_is_a_label_table_with_a_title(path):
    table = read_sidecar(path)
    assert json.loads(path.read_text("utf-8"))["title"]
    assert len({info.name for info in table}) == len(table)
    assert len({info.colour for info in table}) == len(table)


def test_codes_of_presets_are_in_the_dicom_dictionary():
    known: dict[str, set[str]] = {}
    for keyword in filter(str.isidentifier, dir(codes.SCT)):
        if keyword[0].isupper():  # the rest are methods
            code = getattr(codes.SCT, keyword)
            known.setdefault(code.value, set()).add(code.meaning)
    wrong = [
        f"{path.stem}: {info.name} {info.code}"
        for path in PRESETS
        for info in read_sidecar(path)
        if info.code[:1] != ("SCT",) or info.code[2] not in known.get(info.code[1], ())
    ]
    assert not wrong


def test_ct_windows_are_the_usual_ones():
    windows = json.loads(resource_path("windows.json").read_text("utf-8"))
    names = [window["name"] for window in windows["CT"]]
    assert names == ["Soft tissue", "Lung", "Bone", "Brain", "Liver"]
    assert all(window["width"] > 0 for window in windows["CT"])
    for window in windows["MR"]:
        low, high = window["percentiles"]
        assert 0 <= low < high <= 100
