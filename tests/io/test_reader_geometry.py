"""Where the voxels of single files lie, as SimpleITK and nibabel say it, and what is noted."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from app.io.itk_bridge import (
    canonical_axis,
    from_image,
    from_source_index,
    source_axis,
    to_file_array,
    to_image,
    to_source_index,
)
from app.io.reader import read_volume, scan
from tests.io.files import DIM, QFORM_CODE, QUATERN, SROW, UNITS, VOXELS, nifti, write_image
from tests.phantoms import ORIENTATIONS, file_affine, rotation


@pytest.mark.parametrize("oblique", [(0, 0, 0), (14, -9, 21)], ids=["straight", "oblique"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_voxel_is_where_simpleitk_puts_it(tmp_path: Path, orientation: str, oblique):
    affine = file_affine(orientation, oblique_deg=oblique)
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        path = write_image(tmp_path / f"a{suffix}", VOXELS, affine)
        volume = read_volume(path)
        assert volume.source_orientation == orientation
        assert volume.geometry.axis_letters == ("S", "P", "L")
        image = sitk.ReadImage(str(path))
        for index_zyx in ((0, 0, 0), (1, 2, 3), tuple(n - 1 for n in volume.voxels.shape)):
            point = volume.geometry.index_to_lps(index_zyx)
            ijk = image.TransformPhysicalPointToIndex(point.tolist())
            assert volume.voxels[index_zyx] == image[ijk]
            assert to_source_index(volume, index_zyx).tolist() == list(ijk)
            assert from_source_index(volume, ijk).tolist() == list(index_zyx)
        assert np.array_equal(to_file_array(volume.voxels, orientation), VOXELS)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_bridge_returns_the_image_it_got(orientation: str):
    affine = file_affine(orientation, oblique_deg=(3, 5, 7))
    image = sitk.GetImageFromArray(VOXELS)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    volume = from_image(image)
    again = to_image(volume.voxels, volume)
    assert np.array_equal(sitk.GetArrayFromImage(again), VOXELS)
    assert np.allclose(again.GetOrigin(), image.GetOrigin())
    assert np.allclose(again.GetDirection(), image.GetDirection())
    assert np.allclose(again.GetSpacing(), image.GetSpacing())
    assert [canonical_axis(volume, source_axis(volume, a)) for a in range(3)] == [0, 1, 2]


def test_an_axis_at_45_degrees_comes_back_as_it_came(tmp_path: Path):
    affine = file_affine("LPS", spacing_ijk=(1, 1, 1), oblique_deg=(45, 0, 45))
    path = write_image(tmp_path / "a.mha", VOXELS, affine)
    volume = read_volume(path)
    assert np.array_equal(to_file_array(volume.voxels, volume.source_orientation), VOXELS)
    index = np.array([1, 2, 3])
    point = volume.geometry.index_to_lps(index)
    ijk = sitk.ReadImage(str(path)).TransformPhysicalPointToIndex(point.tolist())
    assert list(ijk) == to_source_index(volume, index).tolist()


@pytest.mark.parametrize("version", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("big", [False, True])
def test_nifti_agrees_with_nibabel(tmp_path: Path, version, big: bool):
    affine = np.eye(4)
    affine[:3, :3] = rotation((10, 20, 30)) @ np.diag([-0.7, 0.9, 2.5])
    affine[:3, 3] = (5, 6, 7)
    voxels = np.asfortranarray(VOXELS.transpose(2, 1, 0))
    image = version(voxels, affine)
    if big:
        image = version(voxels, affine, image.header.as_byteswapped(">"))
    for set_form, other in ((image.set_qform, image.set_sform), (image.set_sform, image.set_qform)):
        set_form(affine, 1)
        other(None, 0)
        path = tmp_path / "a.nii.gz"
        image.to_filename(path)
        volume = read_volume(path)
        ras = nibabel.load(path).affine @ (4, 3, 2, 1)
        index = from_source_index(volume, (4, 3, 2))
        lps = volume.geometry.index_to_lps(index)
        assert np.allclose(lps * (-1, -1, 1), ras[:3], atol=1e-4)
        assert volume.voxels[tuple(index.astype(int))] == voxels[4, 3, 2]


def test_slices_of_one_file_and_two_axes(tmp_path: Path):
    path = nifti(tmp_path, VOXELS[:1], dim=(DIM, "8h", (2, 6, 5, 1, 1, 1, 1, 1)))
    assert read_volume(path).voxels.shape == (1, 5, 6)
    flat = (-2, 0, 0, 10, 0, -2, 0, 20, 0, 0, 0, 30)
    volume = read_volume(nifti(tmp_path, VOXELS[:1], srow=(SROW, "12f", flat)))
    assert volume.geometry.spacing_zyx == (1.0, 2.0, 2.0)
    assert "thickness" in volume.notes[0]


def test_units_other_than_mm_are_converted(tmp_path: Path):
    volume = read_volume(nifti(tmp_path, units=(UNITS, "B", (3,))))
    assert np.allclose(volume.geometry.spacing_zyx, (0.003, 0.002, 0.002))
    assert "0.001 mm" in volume.notes[0]


def test_two_positions_that_differ_are_told(tmp_path: Path):
    volume = read_volume(nifti(tmp_path, code=(QFORM_CODE, "h", (1,))))
    assert "differ by" in volume.notes[0]
    assert volume.source_orientation == "LPS"


def test_an_empty_sform_leaves_the_qform(tmp_path: Path):
    path = nifti(
        tmp_path, code=(QFORM_CODE, "h", (1,)), srow=(SROW, "12f", (0,) * 12),
        quatern=(QUATERN, "6f", (0, 0, 0, 1, 2, 3)),
    )  # fmt: skip
    volume = read_volume(path)
    assert volume.source_orientation == "RAS"
    assert volume.geometry.spacing_zyx == (3.0, 2.0, 2.0)


def test_placeholder_geometry_is_noted(tmp_path: Path):
    path = write_image(tmp_path / "a.nii.gz", VOXELS, np.eye(4))
    assert "1 mm voxels at the origin" in read_volume(path).notes[0]
    assert scan(path)[0].warnings == read_volume(path).notes


def test_real_scans_lie_where_nibabel_puts_them(shared_data: Path):
    for path in [min(shared_data.glob(f"{f}/**/*_img.nii.gz")) for f in (
        "openkbp_hn", "msd_hippocampus", "fetal_sb_atlas", "sts_sarcoma"
    )]:  # fmt: skip
        volume, image = read_volume(path), nibabel.load(path)
        for ijk in ((0, 0, 0), tuple(n // 3 for n in image.shape)):
            index = from_source_index(volume, ijk)
            lps = volume.geometry.index_to_lps(index)
            assert np.allclose(lps * (-1, -1, 1), (image.affine @ (*ijk, 1))[:3], atol=1e-3)
            assert volume.voxels[tuple(index.astype(int))] == image.dataobj[ijk]
