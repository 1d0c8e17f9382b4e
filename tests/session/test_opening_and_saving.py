"""From a scan on disk to a mask on disk; scans that cannot be read, and one that is closed."""

from __future__ import annotations

import json

import numpy as np
import SimpleITK as sitk

from app import memory
from app.core.commands import EditVoxels
from app.core.geometry import Region
from app.notices import Message
from tests.io.files import write_image
from tests.phantoms import file_affine
from tests.session.conftest import tube


def test_open_prompt_save_and_read_back(setup, tmp_path):
    image = sitk.GetImageFromArray((tube() * 100).astype(np.int16))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-11.0, 22.0, 333.0))
    image.SetDirection((1, 0, 0, 0, 0, -1, 0, 1, 0))
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    setup.session.open(tmp_path / "scan.nii.gz")
    setup.files.run_all()
    document = setup.session.document
    region = np.argwhere(document.volume.voxels > 50)
    low, high = region.min(axis=0), region.max(axis=0) + 1
    index = int((low[0] + high[0]) // 2)
    setup.box(index, (low[1] - 1, low[2] - 1, high[1] + 1, high[2] + 1))
    setup.runner.run_all()
    setup.session.prompting.carry_through(0, document.volume.voxels.shape[0])
    setup.runner.run_all()
    assert document.is_modified
    setup.session.save_mask(tmp_path / "mask.nii.gz")
    setup.files.run_all()
    assert not document.is_modified
    saved = sitk.ReadImage(str(tmp_path / "mask.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(saved), tube() > 0)
    np.testing.assert_allclose(saved.GetDirection(), image.GetDirection(), atol=1e-6)
    np.testing.assert_allclose(saved.GetOrigin(), image.GetOrigin(), atol=1e-4)
    prompts = json.loads((tmp_path / "mask.prompts.json").read_text())
    assert prompts["prompts"][0]["kind"] == "box"
    assert "through" in prompts["prompts"][0]


def test_work_done_while_a_file_is_written_is_not_called_saved(setup, tmp_path):
    setup.open(tube())
    dab = Region((0, 0, 0), (1, 2, 2))
    document = setup.session.document
    document.do(EditVoxels("Paint", dab, np.ones((1, 2, 2), np.uint8)))
    setup.session.save_mask(tmp_path / "mask.nii.gz")
    setup.session.undo()
    document.do(EditVoxels("Paint", dab, np.full((1, 2, 2), 2, np.uint8)))
    setup.files.run_all()
    assert document.is_modified


def test_the_undo_budget_of_the_settings_is_kept(setup, tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(tube().astype(np.int16)), str(tmp_path / "a.nii.gz"))
    setup.session.settings.undo_megabytes = 0
    setup.session.open(tmp_path / "a.nii.gz")
    setup.files.run_all()
    for _ in range(30):
        setup.session.label_editing.add()
    assert len(setup.session.document.undo_labels) < 30


def test_a_file_that_cannot_be_read_leaves_the_open_document(setup, tmp_path):
    document = setup.open(tube())
    (tmp_path / "broken.nii.gz").write_bytes(b"not a scan")
    setup.session.open(tmp_path / "broken.nii.gz")
    setup.files.run_all()
    assert setup.session.document is document
    assert "NIfTI" in setup.messages[-1]


def test_a_scan_that_hardly_fits_into_memory_is_read_only_when_that_is_agreed_to(
    setup, tmp_path, monkeypatch
):
    document, path = setup.open(tube()), tmp_path / "large.nii.gz"
    voxels = np.zeros((8, 16, 16), np.int16)
    write_image(path, voxels, file_affine("LPS"))
    offers: list[Message] = []
    setup.session.message.connect(lambda message: offers.append(message))
    monkeypatch.setattr(memory, "free_bytes", lambda: memory.SCAN_FACTOR * voxels.nbytes - 1)
    setup.session.open(path)
    setup.files.run_all()
    assert setup.session.document is document
    (offer,) = offers
    assert offer.is_error
    assert "of memory to be worked on" in offer.text
    offer.act()
    setup.files.run_all()
    assert setup.session.document.volume.name == "large"

    monkeypatch.setattr(memory, "free_bytes", lambda: memory.SCAN_FACTOR * voxels.nbytes)
    setup.session.open(path)
    setup.files.run_all()
    assert len([o for o in offers if o.is_error]) == 1


def test_a_closed_scan_leaves_no_embeddings_in_memory(setup):
    setup.open(tube())
    setup.box()
    setup.runner.run_all()
    assert setup.engine.cache.nbytes > 0
    setup.session.set_document(None, (0.0, 1.0))
    setup.runner.run_all()
    assert setup.engine.cache.nbytes == 0
