"""Several networks of one automatic model: their answers are averaged, whatever their grids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from app.core.errors import WeightsError
from app.core.geometry import Geometry, Region
from app.core.tasks import NullContext
from app.core.volume import Modality, Volume
from models.automatic.member import Member
from models.automatic.segmenter import AutomaticSegmenter, load_segmenter
from models.automatic.spec import automatic_members, automatic_spec
from models.runtime import Device
from models.weights import verify_model
from tests.models.automatic.networks import AIR, FIRST, SECOND, bands, install, spec_for

SHAPE = (30, 36, 44)
CPU = Device("cpu", "test", "test")


@pytest.fixture
def volume() -> Volume:
    voxels = np.full(SHAPE, AIR, np.int16)
    voxels[4:22, 6:20, 8:30] = FIRST
    voxels[22:29, 22:32, 30:40] = SECOND
    return Volume(voxels, Geometry(SHAPE, np.eye(4)[:, [2, 1, 0, 3]]), Modality.CT)


def truth(volume: Volume) -> np.ndarray:
    return 3 * (volume.voxels == FIRST) + 7 * (volume.voxels == SECOND)


def constant(*logits: float):
    """Return a network that says the same everywhere."""

    def network(tiles: np.ndarray, check=None) -> tuple[np.ndarray, ...]:
        shape = (tiles.shape[0], len(logits), *tiles.shape[2:])
        values = np.array(logits, np.float32).reshape(1, -1, *(1,) * (len(shape) - 2))
        return (np.broadcast_to(values, shape).copy(),)

    return network


def logit(*shares: float) -> list[float]:
    return np.log(shares).tolist()


def test_probabilities_are_averaged_not_votes_or_logits(volume):
    spec = spec_for(spacing=(1.0, 1.0, 1.0))
    sure, doubtful = constant(*logit(0.02, 0.97, 0.01)), constant(*logit(0.6, 0.35, 0.05))
    segmenter = AutomaticSegmenter(spec, sure, "", also=[Member(spec, doubtful)] * 2)
    result = segmenter.segment(volume, NullContext())
    # Two of three votes are for the background; the mean of the logits is surer of the organ.
    assert (result.labels == 3).all()
    assert result.structures[0].confidence == pytest.approx((0.97 + 2 * 0.35) / 3, abs=0.003)


@pytest.mark.parametrize(
    "other",
    [
        spec_for(spacing=(2.0, 1.3, 1.7)),
        spec_for("transunet", spacing=(9.0, 1.2, 1.2), tile=(1, 48, 48)),
        spec_for("transunet", spacing=None, tile=(1, 32, 32)),
    ],
)
def test_networks_on_other_grids_speak_about_the_same_places(volume, other):
    spec = spec_for(spacing=(1.0, 1.0, 1.0))
    # The first has no opinion worth the name: what is found is where the other one sees it.
    blank = constant(*logit(0.34, 0.33, 0.33))
    segmenter = AutomaticSegmenter(spec, blank, "", also=[Member(other, bands(other)[0], 4)])
    labels = segmenter.segment(volume, NullContext()).labels
    values = volume.voxels
    near = ndimage.maximum_filter(values, 5) - ndimage.minimum_filter(values, 5) > 0
    np.testing.assert_array_equal(labels[~near], truth(volume)[~near])
    roi = Region((3, 5, 9), (25, 30, 41))
    expected = np.zeros_like(labels)
    expected[roi.slices] = labels[roi.slices]
    part = segmenter.segment(volume, NullContext(), roi=roi)
    np.testing.assert_array_equal(part.labels, expected)


def installed_pair(folder, other_spec):
    first, second = install(folder, spec_for()), install(folder, other_spec, "second")
    path = second.path.rename(first.path.with_name("second.safetensors"))
    entry = {
        "file": path.name,
        "sha256": second.sha256,
        "automatic": other_spec.to_json(),
    }
    return replace(first, details={**first.details, "also": [entry]})


def test_an_installed_model_of_two_networks_runs_both(tmp_path, volume):
    pytest.importorskip("torch")
    other = spec_for("transunet", spacing=(2.0, 2.0, 2.0), tile=(1, 32, 32))
    model = installed_pair(tmp_path, other)
    verify_model(model)
    both = load_segmenter(model, CPU, None).segment(volume, NullContext())
    (second,) = automatic_members(model)
    spec = automatic_spec(model)
    apart = [
        load_segmenter(replace(m, details={"automatic": m.details["automatic"]}), CPU, None)
        for m in (model, second)
    ]
    mean = AutomaticSegmenter(
        spec, apart[0].members[0].network, "", also=[apart[1].members[0]]
    ).segment(volume, NullContext())
    np.testing.assert_array_equal(both.labels, mean.labels)
    assert (both.labels != apart[0].segment(volume, NullContext()).labels).any()


def test_a_changed_second_file_and_other_structures_are_refused(tmp_path):
    pytest.importorskip("torch")
    model = installed_pair(tmp_path / "a", spec_for("transunet", tile=(1, 32, 32)))
    model.path.with_name("second.safetensors").write_bytes(b"other")
    with pytest.raises(WeightsError, match=r"second\.safetensors"):
        verify_model(model)
    model = installed_pair(tmp_path / "b", spec_for(values=(3, 8)))
    with pytest.raises(WeightsError, match="same structures"):
        automatic_members(model)
    with pytest.raises(WeightsError, match="damaged"):
        automatic_members(replace(model, details={**model.details, "also": [{"file": "x"}]}))
