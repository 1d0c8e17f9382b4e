"""The sample scan: it lies in space as it says, and the script makes what ships."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk

from app.io.label_sidecar import read_sidecar
from resources import resource_path
from resources.samples import make_torso
from resources.samples.fields import Canvas, smooth_cut, smooth_union

SAMPLES = resource_path("samples")


@pytest.fixture(scope="module")
def scan() -> sitk.Image:
    return sitk.ReadImage(str(SAMPLES / "torso_ct.nii.gz"))


@pytest.fixture(scope="module")
def truth() -> sitk.Image:
    return sitk.ReadImage(str(SAMPLES / "torso_truth.nii.gz"))


@pytest.fixture(scope="module")
def masks(truth) -> dict[str, np.ndarray]:
    values = sitk.GetArrayViewFromImage(truth)
    return {
        info.name: values == info.id for info in read_sidecar(SAMPLES / "torso_truth.labels.json")
    }


def _centre_lps(image: sitk.Image, mask: np.ndarray) -> np.ndarray:
    index_xyz = np.argwhere(mask).mean(axis=0)[::-1]
    return np.array(image.TransformContinuousIndexToPhysicalPoint(index_xyz.tolist()))


def test_scan_and_truth_share_a_grid_away_from_the_origin(scan, truth):
    assert scan.GetPixelID() == sitk.sitkInt16
    assert scan.GetSize() == truth.GetSize()
    assert scan.GetOrigin() == truth.GetOrigin()
    assert scan.GetDirection() == truth.GetDirection()
    assert scan.GetSpacing() == make_torso.SPACING_ZYX[::-1]
    assert np.abs(scan.GetOrigin()).min() > 100


def test_organs_lie_where_they_belong(truth, masks):
    """LPS: x to the patient's left, y to the back, z to the head."""
    centre = {name: _centre_lps(truth, mask) for name, mask in masks.items()}
    middle_x = centre["spine"][0]
    for name in ("liver", "gallbladder", "right kidney", "right lung", "inferior vena cava"):
        assert centre[name][0] < middle_x, name
    for name in ("spleen", "stomach", "left kidney", "left lung", "heart", "aorta"):
        assert centre[name][0] > middle_x, name
    for name in ("liver", "stomach", "heart", "aorta", "pancreas"):
        assert centre[name][1] < centre["spine"][1], name
    assert centre["heart"][2] > centre["liver"][2] > centre["right kidney"][2]
    assert centre["left kidney"][2] > centre["right kidney"][2]


@pytest.mark.parametrize("name", ["liver", "spleen", "aorta", "right lung", "gallbladder"])
def test_the_inside_of_an_organ_has_its_tissue_s_units(scan, masks, name):
    from scipy.ndimage import binary_erosion

    tissues = next(tissues for _, label, _, tissues in make_torso.TRUTH if label == name)
    mean, spread = make_torso.HOUNSFIELD[tissues[0]]
    inside = binary_erosion(masks[name], iterations=2)
    assert inside.sum() > 20
    measured = np.median(sitk.GetArrayViewFromImage(scan)[inside])
    assert abs(measured - mean) < spread + 12  # 12: the noise's standard deviation


def test_every_tissue_has_units():
    assert set(make_torso.HOUNSFIELD) == set(make_torso.Tissue)


def test_example_box_holds_the_organ_on_its_slice_and_carries_it_through(masks):
    prompts = json.loads((SAMPLES / "torso_prompts.json").read_text("utf-8"))
    assert prompts["version"] == 1
    (box,) = prompts["prompts"]
    mask = masks[box["label"]]
    (x0, y0, z0), (x1, y1, z1) = box["start_ijk"], box["stop_ijk"]
    assert z1 - z0 == 1
    on_slice = mask[z0]
    assert on_slice.any()
    assert on_slice[y0:y1, x0:x1].sum() == on_slice.sum()
    first, stop = box["through"]
    assert mask[first:stop].sum() == mask.sum()


def _small_canvas() -> Canvas:
    return Canvas((20, 24, 28), (2.0, 1.5, 1.0), (-19.0, -17.25, -13.5), np.random.default_rng(5))


def test_ellipsoid_has_its_radii_along_its_turned_axes():
    canvas = _small_canvas()
    distance = canvas.ellipsoid((0, 0, 0), (6, 9, 12), (0, 0, 90))  # x and y change places
    inside = np.argwhere(distance < 0)
    extent = np.ptp(inside, axis=0) * np.array(canvas.spacing_zyx)
    assert np.all(np.abs(extent - [24, 12, 18]) <= 2 * np.array(canvas.spacing_zyx))


def test_tube_is_the_distance_to_its_path_near_it():
    canvas = _small_canvas()
    path = np.c_[np.linspace(-8, 8, 60), np.zeros(60), np.zeros(60)]
    distance = canvas.tube(path, 3.0, reach_mm=2)
    exact = np.hypot(canvas.y, canvas.z) - 3.0 + 0 * canvas.x
    near = (exact < 1) & (np.abs(canvas.x) < 7)
    np.testing.assert_allclose(distance[near], exact[near], atol=0.02)


def test_noise_is_standardised_and_as_smooth_as_asked():
    canvas = _small_canvas()
    rough, smooth = canvas.noise(2), canvas.noise(12)
    assert abs(float(rough.mean())) < 1e-3
    assert abs(float(rough.std()) - 1) < 1e-3
    assert np.abs(np.diff(smooth, axis=2)).mean() < 0.5 * np.abs(np.diff(rough, axis=2)).mean()


def test_unions_and_cuts_keep_far_distances_and_round_near_ones():
    a, b = np.array([5.0, -5.0, 0.0]), np.array([20.0, 20.0, 0.0])
    np.testing.assert_allclose(smooth_union(a, b, 4)[:2], a[:2])
    assert smooth_union(a, b, 4)[2] < 0
    np.testing.assert_allclose(smooth_cut(a, b, 4)[:2], np.maximum(a, -b)[:2])
    assert smooth_cut(a, b, 4)[2] > 0


@pytest.mark.slow
def test_the_script_makes_the_shipped_files(scan, truth):
    """Another numpy may round a few voxels to the other side; it must not make another body."""
    voxels, values = make_torso.make_scan()
    assert (values == sitk.GetArrayViewFromImage(truth)).mean() > 0.9999
    off_hu = np.abs(voxels.astype(int) - sitk.GetArrayViewFromImage(scan))
    assert (off_hu <= 1).mean() > 0.999
    shipped = json.loads((SAMPLES / "torso_prompts.json").read_text("utf-8"))
    assert make_torso.example_prompt(values) == shipped
