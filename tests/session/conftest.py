"""What tests of the session share: one whose jobs run when told, and a scan of a tube."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.document import Document
from app.core.geometry import Geometry
from app.core.labels import LabelTable
from app.core.volume import Modality, Volume
from app.session import Session
from app.settings import Settings
from models.base import MODEL_FORMATS, InstalledModel, ModelFormat, ModelKind
from models.engine import InferenceEngine
from tests.fake_model import BrightModel
from tests.manual_runner import ManualRunner


class Setup:
    """A session whose jobs run when told, and what it said."""

    def __init__(self, tmp_path, monkeypatch) -> None:
        model = InstalledModel(
            "embedded",
            "Bright",
            ModelKind.PROMPTABLE,
            "bright",
            tmp_path / "none",
            "0" * 64,
            0,
            "none",
            "embedded",
        )
        self.built = 0

        def build(installed, device, cache_dir):
            self.built += 1
            return BrightModel()

        formats = {"bright": ModelFormat("bright", build)}
        monkeypatch.setattr(MODEL_FORMATS, "load", lambda: formats)
        self.runner, self.files = ManualRunner(), ManualRunner()
        self.engine = InferenceEngine(lambda: {"embedded": model})
        self.session = Session(
            self.runner, self.files, self.engine, lambda: {"embedded": model}, Settings()
        )
        self.messages: list[str] = []
        self.session.message.connect(lambda message: self.messages.append(message.text))

    def open(self, voxels: np.ndarray) -> Document:
        volume = Volume(voxels.astype(np.float32), Geometry(voxels.shape, np.eye(4)), Modality.MR)
        table = LabelTable()
        for name in ("organ", "lesion"):
            table = table.with_added(table.new_label(name))
        document = Document(volume, label_table=table)
        self.session.set_document(document, (0.0, 1.0))
        return document

    def box(self, index=10, box_rc=(6, 7, 16, 19), axis=0) -> None:
        self.session.prompting.place_box(axis, index, box_rc)


@pytest.fixture
def setup(tmp_path, monkeypatch) -> Setup:
    return Setup(tmp_path, monkeypatch)


def tube(start=5, stop=15) -> np.ndarray:
    voxels = np.zeros((20, 24, 28))
    voxels[start:stop, 8:14, 9:17] = 1
    return voxels
