"""Deformation of training tiles: geometry by moving voxels."""

from __future__ import annotations

import numpy as np
import torch

from models.training.deformation import deformed, random_bend, random_matrix

STILL = np.zeros((3, 4, 4, 4))


def test_no_deformation_is_a_crop():
    rng = np.random.default_rng(1)
    image = torch.from_numpy(rng.random((9, 11, 13), dtype=np.float32))
    labels = (image > 0.5).to(torch.uint8)
    tile, label_tile = deformed(
        image,
        labels,
        (5, 7, 9),
        centre_zyx=np.array([4, 5, 6]),
        matrix=np.eye(3),
        bend_mm=STILL,
        spacing_zyx=(2.0, 1.0, 0.5),
    )
    np.testing.assert_allclose(tile, image[2:7, 2:9, 2:11], atol=1e-5)
    np.testing.assert_array_equal(label_tile, labels[2:7, 2:9, 2:11])


def test_a_turn_happens_in_millimetres():
    image = torch.zeros(1, 21, 41)
    image[0, 10 + 4, 20] = 1.0  # 4 rows of 2 mm below the middle
    quarter = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    tile, _ = deformed(
        image,
        torch.zeros_like(image, dtype=torch.uint8),
        (1, 21, 41),
        centre_zyx=np.array([0, 10, 20]),
        matrix=quarter,
        bend_mm=STILL,
        spacing_zyx=(1.0, 2.0, 1.0),
    )
    # What was 8 mm along y is found 8 mm, 8 columns, along x.
    assert np.argwhere(tile.numpy() > 0.5).tolist() == [[0, 10, 28]]


def test_a_bend_of_one_value_is_a_shift():
    image = torch.zeros(5, 9, 9)
    image[2, 4, 6] = 1.0
    bend = np.zeros((3, 4, 4, 4))
    bend[2] = 2.0
    # Splines sum to one inside; at the edges of four control points they fall off.
    tile, _ = deformed(
        image,
        image.to(torch.uint8),
        (5, 9, 9),
        centre_zyx=np.array([2, 4, 4]),
        matrix=np.eye(3),
        bend_mm=bend,
        spacing_zyx=(1.0, 1.0, 1.0),
    )
    assert np.argmax(tile.numpy()) == np.ravel_multi_index((2, 4, 4), (5, 9, 9))


def test_slices_stay_in_their_plane():
    rng = np.random.default_rng(0)
    matrix = random_matrix(rng, 30, 0.2, is_planar=True)
    np.testing.assert_allclose(matrix[0], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(matrix[:, 0], [1, 0, 0], atol=1e-12)
    bend = random_bend(rng, 5, is_planar=True)
    assert not bend[0].any()
    np.testing.assert_array_equal(bend[:, 0], bend[:, 3])
