"""The look of training images: batches in which every crop is changed by itself."""

from __future__ import annotations

import torch

from models.training.appearance import augmented


def looks(images: torch.Tensor, *, is_hu: bool, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return augmented(images, torch.full((len(images),), is_hu), generator)


def test_the_look_keeps_what_is_brighter_apart_in_nearly_every_crop():
    images = torch.full((200, 3, 32, 32), 60.0)
    images[..., 8:24, 8:24] = 180.0
    found = looks(images, is_hu=False)
    assert found.dtype == torch.float32
    assert 0 <= float(found.min()) < float(found.max()) <= 1
    contrast = found[..., 10:22, 10:22].mean((1, 2, 3)) - found[..., :6, :].mean((1, 2, 3))
    # Some are turned over: dark objects are learnt, too.
    assert (contrast.abs() > 0.15).float().mean() > 0.95
    assert 0.04 < float((contrast < 0).float().mean()) < 0.25
    assert contrast.unique().numel() > len(images) / 2


def test_hounsfield_units_are_seen_through_windows_of_readers():
    # Fat and muscle; air outside the scan is 0.
    images = torch.full((200, 1, 24, 24), 1024.0 - 100)
    images[..., 12:] = 1024.0 + 60
    images[..., :4, :] = 0.0
    found = looks(images, is_hu=True)
    muscle, fat, air = found[..., 6:, 14:], found[..., 6:, :10], found[..., :2, :]
    is_upright = muscle.mean((1, 2, 3)) > fat.mean((1, 2, 3)) + 0.02
    assert float(is_upright.float().mean()) > 0.6
    below = air.mean((1, 2, 3)) <= fat.mean((1, 2, 3)) + 0.15
    assert float(below.float().mean()) > 0.8


def test_slices_of_a_crop_are_changed_alike_but_for_their_noise():
    images = 255 * torch.rand(60, 1, 24, 24, generator=torch.Generator().manual_seed(3))
    found = looks(images.repeat(1, 3, 1, 1), is_hu=False)
    same = (found[:, 0] == found[:, 2]).flatten(1).all(1)
    assert 0.5 < float(same.float().mean()) < 0.8
    assert float((found[:, 0] - found[:, 2]).abs().max()) < 1


def test_a_seed_gives_the_same_looks_again():
    images = 255 * torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    first, again, other = (looks(images, is_hu=False, seed=s) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
