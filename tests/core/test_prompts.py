"""Prompts: which slice they lie on, and which object they belong to."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.geometry import Region
from app.core.prompts import (
    BoxPrompt,
    PointPrompt,
    PromptKind,
    ScribblePrompt,
    in_object,
    next_object_id,
    slice_region,
    with_object,
)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_on_a_slice_covers_those_pixels_of_it_and_gives_them_back(axis):
    voxels = np.zeros((7, 8, 9), int)
    region = slice_region(axis, 4, (1, 2, 5, 6))
    voxels[region.slices] = 1
    picture = np.take(voxels, 4, axis=axis)
    assert voxels.sum() == picture.sum()
    assert np.argwhere(picture).min(axis=0).tolist() == [1, 2]
    assert np.argwhere(picture).max(axis=0).tolist() == [4, 5]
    box = BoxPrompt(region, axis)
    assert box.box_rc == (1, 2, 5, 6)
    assert box.slice_index == 4
    assert not box.is_3d


@pytest.mark.parametrize(("stop", "middle"), [(9, 5), (10, 6), (4, 3)])
def test_a_thick_box_is_prompted_on_its_middle_slice(stop, middle):
    box = BoxPrompt(Region((3, 0, 0), (stop, 4, 4)), axis=0)
    assert box.is_3d == (stop > 4)
    assert box.slice_index in range(3, stop)
    assert box.slice_index == middle


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_points_and_strokes_lie_on_the_slice_across_their_axis(axis):
    at = (3.4, 5.6, 6.9)
    index = (3, 6, 7)[axis]
    assert PointPrompt(at, axis=axis).slice_index == index
    assert ScribblePrompt((at, (0.0, 0.0, 0.0)), axis=axis).slice_index == index


def test_objects_keep_their_prompts_apart_and_in_order():
    box = BoxPrompt(Region((0, 0, 0), (1, 2, 2)), object_id=4)
    point = PointPrompt((0, 0, 0), object_id=2)
    stroke = with_object(ScribblePrompt(((0, 0, 0),)), 4)
    prompts = (stroke, point, box)
    assert in_object(prompts, 4) == (stroke, box)
    assert next_object_id(prompts) not in {p.object_id for p in prompts}
    assert next_object_id(()) == 0
    assert {p.kind for p in prompts} == set(PromptKind)
