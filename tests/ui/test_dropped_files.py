"""Files dropped onto the window: scans open, checkpoints are imported, others refused in words."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent

from app.settings import Settings, user_models_dir
from models.networks.vnet import vnet_paper

pytestmark = pytest.mark.usefixtures("no_dialogs")


def test_a_dropped_file_opens_and_is_remembered(bench, tmp_path):
    path = tmp_path / "scan.nii.gz"
    sitk.WriteImage(
        sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5)), str(path)
    )
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    copy, left = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    event = QDropEvent(QPointF(50, 50), copy, mime, left, Qt.KeyboardModifier.NoModifier)
    bench.window.dropEvent(event)
    bench.files.run_all()
    assert bench.session.document.volume.name == "scan"
    assert bench.session.settings.recent_files == [str(path)]
    assert Settings.load().recent_files == [str(path)]


@pytest.mark.parametrize("name", ["trained.pth", "vnet_model_best.pth.tar"])
def test_a_dropped_checkpoint_is_imported(bench, tmp_path, user_home, name):
    path = tmp_path / name
    torch.save(vnet_paper(1, 2, width=2).state_dict(), path)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    point = QPointF(200, 200)
    bench.window.dropEvent(QDropEvent(point, Qt.DropAction.CopyAction, data, left, none))
    bench.files.run_all()
    assert "Imported V-Net (paper)" in bench.window.message_bar.label.text()
    assert (user_models_dir() / "vnet" / "model.json").exists()
    # Bytes that are no checkpoint are refused in words.
    path.write_bytes(b"nothing")
    bench.window.dropEvent(QDropEvent(point, Qt.DropAction.CopyAction, data, left, none))
    bench.files.run_all()
    assert name in bench.window.message_bar.label.text()
    assert bench.window.message_bar.property("error") is True


def test_two_checkpoints_dropped_in_a_row_are_both_imported(bench, tmp_path, user_home):
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    for name in ("first.pth", "second.pth"):
        torch.save(vnet_paper(1, 2, width=2).state_dict(), tmp_path / name)
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(tmp_path / name))])
        drop = QDropEvent(QPointF(200, 200), Qt.DropAction.CopyAction, data, left, none)
        bench.window.dropEvent(drop)
    bench.files.run_all()
    assert sorted(p.name for p in user_models_dir().iterdir()) == ["vnet", "vnet-2"]


def test_of_several_dropped_files_all_checkpoints_are_imported_and_a_scan_opened(
    bench, tmp_path, user_home
):
    scan = tmp_path / "scan.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((4, 5, 6), np.int16)), scan)
    for name in ("first.pth", "second.pth"):
        torch.save(vnet_paper(1, 2, width=2).state_dict(), tmp_path / name)
    data = QMimeData()
    names = ("first.pth", "scan.nii.gz", "second.pth")
    data.setUrls([QUrl.fromLocalFile(str(tmp_path / name)) for name in names])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    drop = QDropEvent(QPointF(200, 200), Qt.DropAction.CopyAction, data, left, none)
    bench.window.dropEvent(drop)
    bench.files.run_all()
    assert sorted(p.name for p in user_models_dir().iterdir()) == ["vnet", "vnet-2"]
    assert bench.session.document.volume.voxels.shape == (4, 5, 6)


def test_dropped_imagenet_arrays_are_refused_with_the_reason(bench, tmp_path, user_home):
    path = tmp_path / "R50+ViT-B_16.npz"
    np.savez(path, head=np.zeros(1, np.float32))
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    drop = QDropEvent(QPointF(200, 200), Qt.DropAction.CopyAction, data, left, none)
    bench.window.dropEvent(drop)
    bench.files.run_all()
    assert "segment nothing by themselves" in bench.window.message_bar.label.text()
    assert not user_models_dir().exists()
