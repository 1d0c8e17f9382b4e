"""A minute of random editing; for a long time: ``python -m tests.campaigns.soak``."""

from __future__ import annotations

import itertools

import pytest
import SimpleITK as sitk

from resources import resource_path
from tests.campaigns.soak import Soak, soak


@pytest.fixture
def scan(tmp_path):
    """Return the middle of the sample, coarser: what is edited matters little here."""
    image = sitk.ReadImage(str(resource_path("samples/torso_ct.nii.gz")))
    path = tmp_path / "scan.nii.gz"
    sitk.WriteImage(sitk.Shrink(image, (3, 3, 2)), str(path))
    return path


def test_random_editing_meets_no_fault_and_loses_nothing(qapp, scan, tmp_path):
    steps = itertools.count()
    found = soak(scan, tmp_path, 3, lambda: next(steps) < 120)
    assert found.problems == []
    assert sum(found.done.values()) >= 120
    assert found.used_mb


def test_growth_is_that_of_the_last_quarter_over_the_third():
    flat = Soak(used_mb=[(float(s), 100.0 + min(s, 50)) for s in range(100)])
    assert flat.growth == pytest.approx(0.0, abs=0.01)
    leaking = Soak(used_mb=[(float(s), 100.0 + s) for s in range(100)])
    assert leaking.growth > 0.1
