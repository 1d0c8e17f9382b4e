"""Real scans, counted in other ways by their files, by a network whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from app.core.tasks import NullContext
from app.io.itk_bridge import to_file_array
from app.io.reader import read_volume
from models.automatic.result import AutomaticRequest
from models.automatic.segmenter import AutomaticSegmenter
from models.automatic.spec import IntensityScale
from models.engine import InferenceEngine
from models.weights import list_models
from tests.models.automatic.networks import bands, spec_for
from tests.phantoms import ORIENTATIONS


def _labels(path, family: str) -> tuple[np.ndarray, sitk.Image]:
    """Return label values (k, j, i) of a file, and the image."""
    tile = (16, 32, 32) if family == "vnet" else (1, 32, 32)
    spec = spec_for(family, spacing=(4.0, 5.0, 5.0), tile=tile, n_components=2, fill_holes=True)
    scale = IntensityScale("percentiles", (1.0, 99.5), (0.0, 1.0))
    spec = type(spec)(**{**vars(spec), "intensity": scale})
    volume = read_volume(path)
    result = AutomaticSegmenter(spec, bands(spec)[0], "").segment(volume, NullContext())
    assert len(result.structures) == 2
    return to_file_array(result.labels, volume.source_orientation), sitk.ReadImage(str(path))


@pytest.mark.parametrize("family", ["vnet", "transunet"])
@pytest.mark.parametrize("data_set", ["openkbp_hn", "msd_hippocampus"])
def test_the_same_scan_counted_otherwise_has_the_same_labels_in_space(
    shared_data, tmp_path, data_set, family
):
    path = min((shared_data / data_set / "dev").glob("*_img.nii.gz"))
    expected, image = _labels(path, family)
    placed = sitk.GetImageFromArray(expected)
    placed.CopyInformation(image)
    twins = {
        "left and right": sitk.Flip(image, (True, False, False)),
        "every axis": sitk.Flip(image, (True, True, True)),
        "other order": sitk.PermuteAxes(sitk.Flip(image, (False, True, False)), (1, 2, 0)),
    }
    for name, twin in twins.items():
        other = tmp_path / "twin.nii.gz"
        sitk.WriteImage(twin, str(other))
        found, written = _labels(other, family)
        found_image = sitk.GetImageFromArray(found)
        found_image.CopyInformation(written)
        back = sitk.Resample(found_image, placed, sitk.Transform(), sitk.sitkNearestNeighbor)
        np.testing.assert_array_equal(sitk.GetArrayViewFromImage(back), expected, err_msg=name)


def _hippocampus(path) -> np.ndarray:
    """Return what the shipped network finds, (k, j, i) of the file."""
    volume = read_volume(path)
    engine = InferenceEngine(list_models, device="cpu")
    request = AutomaticRequest(volume, "vnet_hippocampus", None)
    labels = engine.run_automatic(request, NullContext()).labels
    return to_file_array(labels, volume.source_orientation)


@pytest.mark.slow
@pytest.mark.parametrize("orientation", ORIENTATIONS[::6])
def test_the_hippocampus_is_found_in_a_scan_of_any_orientation(shared_data, tmp_path, orientation):
    """The network that ships, on a scan of its own kind."""
    path = min((shared_data / "msd_hippocampus" / "dev").glob("*_img.nii.gz"))
    image = sitk.ReadImage(str(path))
    truth = sitk.ReadImage(str(path).replace("_img", "_seg"))
    sitk.WriteImage(sitk.DICOMOrient(image, orientation), str(tmp_path / "twin.nii.gz"))
    found = _hippocampus(tmp_path / "twin.nii.gz")
    wanted = sitk.GetArrayFromImage(sitk.DICOMOrient(truth, orientation))
    for value in (1, 2):
        a, b = found == value, wanted == value
        assert 2 * np.count_nonzero(a & b) > 0.75 * (np.count_nonzero(a) + np.count_nonzero(b))
    placed = sitk.GetImageFromArray(_hippocampus(path))
    placed.CopyInformation(image)
    same = sitk.GetArrayFromImage(sitk.DICOMOrient(placed, orientation))
    np.testing.assert_array_equal(found, same)
