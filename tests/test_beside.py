"""What is shown beside the scan lies where it is in the patient, or is refused."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from app.beside import Beside, overlap, sampled
from app.core.document import Document
from app.core.errors import UsageError
from app.core.geometry import Geometry
from app.core.volume import Volume
from app.io.reader import read_volume
from app.notices import Notices
from tests.manual_runner import ManualRunner


def turned(
    angles_deg: tuple[float, float, float], spacing: tuple[float, float, float], origin
) -> np.ndarray:
    """Return the affine of a grid that is turned about all three axes."""
    matrix = np.eye(4)
    for axis, degrees in enumerate(angles_deg):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        a, b = (n for n in range(3) if n != axis)
        turn = np.eye(4)
        turn[a, a], turn[a, b], turn[b, a], turn[b, b] = c, -s, s, c
        matrix = matrix @ turn
    matrix[:3, :3] *= spacing
    matrix[:3, 3] = origin
    return matrix


def plane_in_space(geometry: Geometry) -> np.ndarray:
    """Return a field that is linear in the patient: linear interpolation gives it exactly."""
    index = np.stack(np.indices(geometry.shape_zyx), axis=-1)
    return (geometry.index_to_lps(index) @ (1.0, -2.0, 0.5) + 7.0).astype(np.float64)


OPEN = Geometry((12, 20, 16), turned((0, 0, 0), (2.5, 1.0, 1.2), (-8.0, -9.0, -10.0)))
OTHER = Geometry((30, 28, 26), turned((17, -31, 52), (1.1, 1.3, 0.9), (10.0, -25.0, -8.0)))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_oblique_scan_is_shown_where_it_lies_in_the_patient(axis):
    other = Volume(plane_in_space(OTHER), OTHER)
    truth = plane_in_space(OPEN)
    to_other = OTHER.lps_to_index(OPEN.index_to_lps(np.stack(np.indices(OPEN.shape_zyx), -1)))
    last = np.array(OTHER.shape_zyx) - 1
    is_inside = ((to_other >= 1e-4) & (to_other <= last - 1e-4)).all(-1)
    is_outside = ((to_other < -1e-4) | (to_other > last + 1e-4)).any(-1)
    assert is_inside.sum() > 500
    assert is_outside.sum() > 500
    for index in range(OPEN.shape_zyx[axis]):
        shown = sampled(other, OPEN, axis, index)
        inside, outside = is_inside.take(index, axis), is_outside.take(index, axis)
        assert shown.shape == inside.shape
        np.testing.assert_allclose(shown[inside], truth.take(index, axis)[inside], atol=1e-3)
        assert np.isnan(shown[outside]).all()


def test_on_the_same_grid_every_voxel_is_itself_up_to_the_edge():
    voxels = np.random.default_rng(3).integers(-900, 900, OTHER.shape_zyx).astype(np.int16)
    scan = Volume(voxels, OTHER)
    for axis, n in enumerate(OTHER.shape_zyx):
        for index in (0, n // 2, n - 1):
            np.testing.assert_allclose(
                sampled(scan, OTHER, axis, index), voxels.take(index, axis), atol=1e-2
            )


def test_boxes_that_only_seem_to_meet_do_not_overlap():
    flat = Geometry((10, 10, 10), np.eye(4))
    touching = np.eye(4)
    touching[:3, 3] = (10, 0, 0)
    assert not overlap(flat, Geometry((10, 10, 10), touching))
    touching[0, 3] = 9.9
    assert overlap(flat, Geometry((10, 10, 10), touching))
    # Turned by 45 degrees, its corner box reaches over ours, but it itself passes beside the edge.
    beside = turned((45, 0, 0), (1, 1, 1), (0, 0, 0))
    beside[:3, 3] = (0, 16.5, 5)
    long = Geometry((10, 10, 10), beside)
    points = long.index_to_lps(np.stack(np.indices((10, 10, 10)), -1)).reshape(-1, 3)
    is_in_both = ((points > -0.5) & (points < 9.5)).all(-1).any()
    assert overlap(flat, long) == bool(is_in_both)


def write(path, voxels, origin=(0.0, 0.0, 0.0)):
    image = sitk.GetImageFromArray(voxels)
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture
def bench(tmp_path):
    runner, notices, told = ManualRunner(), Notices(), []
    notices.message.connect(told.append)

    def read(path, uid, ctx):
        return read_volume(path, ctx=ctx), (0.0, 100.0)

    beside = Beside(runner, notices, read)
    beside.told, beside.runner = told, runner
    scan = write(tmp_path / "scan.nii.gz", np.zeros((6, 8, 10), np.int16))
    beside.open(Document(read_volume(scan)))
    return beside


def test_a_scan_elsewhere_is_refused_with_a_sentence(bench, tmp_path):
    far = write(tmp_path / "far.nii.gz", np.zeros((6, 8, 10), np.int16), (500.0, 0.0, 0.0))
    bench.show_second(far)
    bench.runner.run_all()
    assert bench.second is None
    assert "do not overlap" in bench.told[-1].text
    assert bench.told[-1].is_error


def test_a_scan_is_shown_and_goes_with_the_one_it_was_shown_on(bench, tmp_path):
    voxels = np.arange(480, dtype=np.int16).reshape(6, 8, 10)
    bench.show_second(write(tmp_path / "second.nii.gz", voxels))
    bench.runner.run_all()
    np.testing.assert_allclose(np.sort(bench.second_slice(0, 2).ravel()), np.arange(160, 240))
    bench.change_second(opacity=0.25, window=(10.0, 20.0))
    assert (bench.second.opacity, bench.second.window) == (0.25, (10.0, 20.0))
    assert bench.second.colour_map == "hot"
    bench.open(None)
    assert bench.second is None
    with pytest.raises(UsageError, match="Open a scan"):
        bench.show_second(tmp_path / "second.nii.gz")


def test_an_earlier_map_has_a_label_for_every_value_and_needs_the_grid(bench, tmp_path):
    labels = np.zeros((6, 8, 10), np.uint8)
    labels[1], labels[4] = 3, 9
    bench.show_earlier(write(tmp_path / "before.nii.gz", labels))
    bench.runner.run_all()
    assert [info.id for info in bench.earlier.table] == [3, 9]
    kept = bench.earlier
    bench.show_earlier(write(tmp_path / "other.nii.gz", np.ones((5, 8, 10), np.uint8)))
    bench.runner.run_all()
    assert bench.told[-1].is_error
    assert bench.earlier is kept
