"""What prompts say about intensities: the maps find the tissue, whatever its contrast."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.networks.prompt_statistics import N_MAPS, prompt_statistics
from models.preprocess import filled_box

SIZE = 64


def scene(inside: float, outside: float) -> tuple[torch.Tensor, np.ndarray]:
    """Return planes with a noisy disk and a box round it, and the disk."""
    rng = np.random.default_rng(1)
    rows, columns = np.indices((SIZE, SIZE))
    disk = (rows - 30) ** 2 + (columns - 36) ** 2 < 14**2
    image = np.where(disk, inside, outside) + rng.normal(0, 0.05, disk.shape)
    planes = np.zeros((8, SIZE, SIZE), np.float32)
    planes[:3] = np.clip(image, 0, 1)
    planes[3] = filled_box((16, 22, 45, 51), SIZE)
    return torch.from_numpy(planes)[None], disk


@pytest.mark.parametrize(("inside", "outside"), [(0.7, 0.4), (0.3, 0.6)])
def test_likelihood_ratios_are_positive_in_the_object_only(inside, outside):
    planes, disk = scene(inside, outside)
    maps = prompt_statistics(planes)[0].numpy()
    assert maps.shape == (N_MAPS, SIZE, SIZE)
    near = planes[0, 3].numpy() > 0
    for ratio in (maps[3], maps[4]):
        assert (ratio[disk] > 0).mean() > 0.95
        assert (ratio[near & ~disk] < 0).mean() > 0.9
    assert maps[2][disk].mean() < 0.5 * maps[2][near & ~disk].mean()


def test_the_nearness_map_follows_the_box():
    planes, _ = scene(0.7, 0.4)
    nearness = prompt_statistics(planes)[0, 0]
    row, column = divmod(int(nearness.argmax()), SIZE)
    assert (row, column) == pytest.approx((30, 36), abs=1)


def test_a_mask_and_clicks_speak_only_when_they_are_there():
    planes, disk = scene(0.7, 0.4)
    without = prompt_statistics(planes)[0]
    assert without[5].abs().max() == 0
    assert without[6].abs().max() == 0
    planes[0, 7] = torch.from_numpy(disk.astype(np.float32))
    planes[0, 5, 5:10, 5:10] = 1
    with_mask = prompt_statistics(planes)[0]
    assert (with_mask[5][disk] > 0).float().mean() > 0.95
    assert with_mask[7][disk].mean() > 0.2
    assert with_mask[7][8, 8] < 0.15


def test_no_prompt_and_no_contrast_give_finite_maps():
    assert prompt_statistics(torch.zeros(2, 8, 32, 32)).isfinite().all()
    full = torch.ones(1, 8, 32, 32)
    assert prompt_statistics(full).isfinite().all()
