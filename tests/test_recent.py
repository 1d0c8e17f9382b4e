"""Recent scans: their pictures are private, nameless, and gone when the list is cleared."""

from __future__ import annotations

import stat
import sys

import numpy as np
import pytest
from PIL import Image

from app.core.geometry import Geometry
from app.core.volume import Modality, Volume
from app.notices import Notices
from app.recent import PICTURE_PX, RecentFiles, picture_of, png
from app.settings import MAX_RECENT, Settings
from tests.manual_runner import ManualRunner


def a_volume(spacing=(3.0, 2.0, 1.0), shape=(5, 20, 30)) -> Volume:
    affine = np.zeros((4, 4))
    for axis, lps in enumerate((2, 1, 0)):
        affine[lps, axis] = spacing[axis]
    affine[3, 3] = 1
    voxels = np.zeros(shape, np.float32)
    voxels[shape[0] // 2, :, : shape[2] // 2] = 100
    return Volume(voxels, Geometry(shape, affine), Modality.CT, name="x")


@pytest.fixture
def recent(tmp_path) -> RecentFiles:
    return RecentFiles(ManualRunner(), Settings(), Notices(), tmp_path / "cache" / "pictures")


def pictures(recent: RecentFiles) -> list[str]:
    return sorted(p.name for p in recent._folder.glob("*"))


def test_the_picture_is_the_middle_slice_in_true_proportions(tmp_path):
    grey = picture_of(a_volume(), (0, 200))
    # 20 rows of 2 mm and 30 columns of 1 mm: taller than wide by 40 to 30.
    assert grey.shape == (PICTURE_PX, round(PICTURE_PX * 30 / 40))
    assert set(grey[:, : grey.shape[1] // 2 - 4].ravel()) == {127}
    assert set(grey[:, grey.shape[1] // 2 + 4 :].ravel()) == {0}
    (tmp_path / "x.png").write_bytes(png(grey))
    with Image.open(tmp_path / "x.png") as image:
        np.testing.assert_array_equal(np.asarray(image), grey)
        assert image.info == {}


def test_names_stay_out_of_the_cache_and_others_out_of_the_folder(recent, tmp_path):
    recent.remember(tmp_path / "DOE_JANE" / "DOE_JANE.nii.gz", a_volume(), (0, 200))
    recent._runner.run_all()
    (picture,) = recent._folder.iterdir()
    assert "DOE" not in picture.name
    assert b"DOE" not in picture.read_bytes()
    if sys.platform != "win32":
        assert stat.S_IMODE(picture.stat().st_mode) == 0o600
        assert stat.S_IMODE(recent._folder.stat().st_mode) == 0o700


def test_pictures_leave_with_their_entries(recent, tmp_path):
    for n in range(MAX_RECENT + 2):
        recent.remember(tmp_path / f"{n}.nii", a_volume(), (0, 200))
    recent._runner.run_all()
    assert pictures(recent) == sorted(recent.picture(e).name for e in recent.entries)
    assert len(pictures(recent)) == MAX_RECENT
    changes = []
    recent.changed.connect(changes.append)
    recent.clear()
    recent._runner.run_all()
    assert pictures(recent) == []
    assert recent.entries == ()
    assert Settings.load().recent_files == []
    assert Settings.load().last_folder == ""
    assert changes


def test_missing_files_are_found_missing_and_found_again(recent, tmp_path):
    here, gone = tmp_path / "here.nii", tmp_path / "gone.nii"
    here.touch()
    for path in (here, gone):
        recent.remember(path, a_volume(), (0, 200))
    recent.look()
    recent._runner.run_all()
    assert recent.missing == {str(gone)}
    recent.remember(gone, a_volume(), (0, 200))
    assert recent.missing == frozenset()


def test_a_cache_that_cannot_be_written_costs_nothing_but_the_picture(recent, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    recent.remember(tmp_path / "a.nii", a_volume(), (0, 200))
    recent._runner.run_all()
    assert recent.entries == (str(tmp_path / "a.nii"),)


def test_a_scan_without_contrast_or_with_nan_has_a_picture():
    volume = a_volume()
    broken = Volume(
        np.full(volume.voxels.shape, np.nan, np.float32), volume.geometry, Modality.CT, name="x"
    )
    assert picture_of(broken, (5, 5)).max() == 0
