import json
from dataclasses import replace

import numpy as np
import pytest

from app.core.errors import WeightsError
from app.core.volume import Modality
from models.automatic.spec import AutomaticLabel, AutomaticSpec, IntensityScale

SPEC = AutomaticSpec(
    family="transunet",
    arguments={"width": 32, "units": (2, 3, 4)},
    labels=(AutomaticLabel(3, "right parotid", n_components=1, fill_holes=True),),
    modality=Modality.CT,
    intensity=IntensityScale("values", (-200.0, 300.0), (0.0, 1.0)),
    spacing_zyx=(2.5, 3.5, 3.5),
    tile_zyx=(1, 128, 128),
    extent_mm=((150.0, 400.0), (200.0, 500.0), (200.0, 500.0)),
    body_part="head and neck",
)


def test_a_spec_comes_back_from_a_manifest():
    assert AutomaticSpec.from_json(json.loads(json.dumps(SPEC.to_json()))) == SPEC


@pytest.mark.parametrize("name", ["family", "labels", "intensity", "tile_zyx"])
def test_an_incomplete_description_is_refused_in_a_sentence(name):
    entry = SPEC.to_json()
    del entry[name]
    with pytest.raises(WeightsError, match="incomplete"):
        AutomaticSpec.from_json(entry)


def test_a_mirror_image_exchanges_labels_that_there_are():
    labels = (AutomaticLabel(2, "cord"), AutomaticLabel(3, "right"), AutomaticLabel(4, "left"))
    spec = replace(SPEC, labels=labels, mirror_pairs=((3, 4),))
    assert spec.mirrored_channels() == [0, 1, 3, 2]
    assert AutomaticSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert replace(spec, mirror_pairs=()).mirrored_channels() == [0, 1, 2, 3]
    with pytest.raises(WeightsError, match="incomplete"):
        AutomaticSpec.from_json(replace(spec, mirror_pairs=((3, 5),)).to_json())


def test_hounsfield_units_are_scaled_between_the_knots():
    voxels = np.array([-1000, -200, 50, 300, 3000])
    scale = SPEC.intensity
    assert scale.scale(voxels, scale.values(voxels)).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_percentiles_do_not_depend_on_gain_offset_or_padding():
    rng = np.random.default_rng(0)
    voxels = np.zeros((8, 40, 40), np.float32)
    voxels[:, 5:35, 5:35] = rng.gamma(4.0, 50.0, (8, 30, 30)) + 1
    scale = IntensityScale("percentiles", (1.0, 99.0), (0.0, 1.0))
    other = 3 * voxels + 100
    wider = np.pad(other, ((0, 0), (50, 50), (50, 50)), constant_values=100)
    expected = scale.scale(voxels, scale.values(voxels))
    assert 0.3 < expected[voxels > 0].mean() < 0.7
    np.testing.assert_allclose(scale.scale(other, scale.values(other)), expected, atol=1e-5)
    np.testing.assert_allclose(
        scale.scale(wider, scale.values(wider))[:, 50:-50, 50:-50], expected, atol=1e-5
    )


def test_a_scan_of_one_value_does_not_divide_by_nothing():
    scale = IntensityScale("percentiles", (1.0, 99.0), (0.0, 1.0))
    voxels = np.full((4, 4, 4), 7.0)
    assert np.isfinite(scale.scale(voxels, scale.values(voxels))).all()
