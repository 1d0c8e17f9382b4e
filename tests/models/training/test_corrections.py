"""Corrective clicks in training: where they go, for every example of a batch by itself."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from models.training.corrections import add_corrections, depth_in


def a_batch(n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return planes, targets and answers: 10 columns missing at the left, 12 too many right."""
    target = torch.zeros(n, 48, 48)
    target[:, 10:30, 10:30] = 1
    answer = torch.zeros(n, 48, 48)
    answer[:, 10:30, 20:42] = 1
    return torch.zeros(n, 8, 48, 48), target, answer


def test_corrections_click_where_the_answer_is_wrong():
    planes, target, answer = a_batch(40)
    add_corrections(planes, target, answer, torch.Generator().manual_seed(0))
    missing, excess = planes[:, 4] > 0, planes[:, 5] > 0
    assert (missing | excess).flatten(1).any(1).all()
    # A disk of three pixels round a point in the error.
    assert not missing[:, :, 24:].any()
    assert not excess[:, :, :26].any()
    assert missing.any()
    assert excess.any()
    assert not planes[:, [0, 1, 2, 3, 6, 7]].any()


def test_who_is_not_asked_or_right_already_gets_no_click():
    planes, target, answer = a_batch(3)
    answer[1] = target[1]
    is_asked = torch.tensor([True, True, False])
    add_corrections(planes, target, answer, torch.Generator().manual_seed(0), is_asked)
    assert planes.flatten(1).any(1).tolist() == [True, False, False]


def test_an_error_of_three_pixels_is_let_be_and_one_of_four_is_not():
    planes, target, _ = a_batch(2)
    answer = target.clone()
    answer[:, 40, 40:43] = 1
    answer[1, 41, 40] = 1
    add_corrections(planes, target, answer, torch.Generator().manual_seed(0))
    assert planes.flatten(1).any(1).tolist() == [False, True]


def test_clicks_go_to_the_deepest_point_of_the_deepest_error_and_elsewhere():
    n = 400
    planes, target = torch.zeros(n, 8, 64, 64), torch.zeros(n, 64, 64)
    answer = torch.zeros(n, 64, 64)
    answer[:, 8:29, 8:29] = 1  # deepest at 18, 18
    answer[:, 50:54, 4:60] = 1
    add_corrections(planes, target, answer, torch.Generator().manual_seed(1))
    at_middle = planes[:, 5, 18, 18] > 0
    elsewhere = planes[:, 5, 50:54].flatten(1).any(1)
    # At least a quarter at once, and many more with a second and a third click.
    assert 0.3 < float(at_middle.float().mean()) < 0.95
    assert 0.2 < float(elsewhere.float().mean()) < 0.9


def test_depth_is_nearly_the_euclidean_distance_to_the_outside():
    rng = np.random.default_rng(0)
    masks = np.stack([ndimage.gaussian_filter(rng.standard_normal((90, 90)), 6) for _ in range(4)])
    masks = masks > 0
    found = depth_in(torch.from_numpy(masks)).numpy()
    for mask, depth in zip(masks, found, strict=True):
        assert not depth[~mask].any()
        exact = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        inside = exact > 0
        assert (np.abs(depth - exact)[inside] <= 0.15 * exact[inside] + 1).all()
