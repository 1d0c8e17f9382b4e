"""Labels from single files: they land on their scan, or are refused with what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.core.errors import GeometryError, ReadError
from app.io.reader import read_labels, read_volume
from tests.io.files import VOXELS, write_image
from tests.phantoms import file_affine


def test_labels_in_another_axis_order_land_on_the_scan(tmp_path: Path):
    scan_path = write_image(tmp_path / "scan.nii.gz", VOXELS, file_affine("LPS"))
    volume = read_volume(scan_path)
    labels = (VOXELS % 7).astype("u1")
    # The same voxels, stored with j reversed: the origin moves to the other end of that axis.
    affine = file_affine("LAS", origin_lps=(-12.0, 34.0 + 0.9 * 4, -560.0))
    path = write_image(tmp_path / "labels.mha", labels[:, ::-1], affine)
    assert np.array_equal(read_labels(path, volume.geometry), labels)


def test_label_values(tmp_path: Path):
    like = read_volume(write_image(tmp_path / "s.mha", VOXELS, file_affine("LPS"))).geometry
    for values, expected in (
        (VOXELS.astype("f4"), np.uint8),
        (VOXELS.astype("u2") * 500, np.uint16),
        (VOXELS.astype("i4") * 500, np.uint16),
    ):
        path = write_image(tmp_path / "l.mha", values, file_affine("LPS"))
        found = read_labels(path, like)
        assert found.dtype == expected
        assert np.array_equal(found, values)
    for values, words in (
        (VOXELS * 0.5 + 0.25, "such as 0.25"),
        (VOXELS.astype("i2") - 1, "from -1 to 118"),
        (VOXELS.astype("i4") * 1000, "to 119000"),
    ):
        path = write_image(tmp_path / "l.mha", values.astype(values.dtype), file_affine("LPS"))
        with pytest.raises(ReadError, match=words):
            read_labels(path, like)


@pytest.mark.parametrize(
    ("affine", "voxels", "words"),
    [
        (file_affine("LPS"), VOXELS[:3], "6 x 5 x 3 voxels instead of 6 x 5 x 4"),
        (file_affine("LPS", spacing_ijk=(0.7, 0.9, 2.6)), VOXELS,
         "0.7 x 0.9 x 2.6 instead of 0.7 x 0.9 x 2.5 mm"),
        (file_affine("LPS", origin_lps=(-12, 34, -558)), VOXELS, "shifted by 2.00 mm"),
        (file_affine("LPS", oblique_deg=(0, 0, 3)), VOXELS, "turned by 3.0 degrees"),
    ],
)  # fmt: skip
def test_labels_on_another_grid_are_refused(tmp_path: Path, affine, voxels, words: str):
    like = read_volume(write_image(tmp_path / "s.mha", VOXELS, file_affine("LPS"))).geometry
    path = write_image(tmp_path / "l.mha", voxels, affine)
    with pytest.raises(GeometryError, match=words):
        read_labels(path, like)


def test_labels_of_real_scans_fit_them(shared_data: Path):
    for folder in ("openkbp_hn", "msd_hippocampus", "sts_sarcoma", "fetal_sb_atlas"):
        path = min(shared_data.glob(f"{folder}/*/*_img.nii.gz"))
        volume = read_volume(path)
        labels = read_labels(path.with_name(path.name.replace("_img", "_seg")), volume.geometry)
        assert labels.any()
        assert labels.shape == volume.voxels.shape
