"""A run of the program on a scan of its own, whose jobs run when told; for tests of workspaces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from app.core.commands import EditVoxels
from app.core.document import Document
from app.core.geometry import Region
from app.session import ImageWanted, Offer, Session, Trouble
from app.settings import Settings, user_data_dir
from models.engine import InferenceEngine
from tests.fake_model import bright_models
from tests.manual_runner import ManualRunner

SHAPE = (8, 10, 12)


class Bench:
    """One run of the program."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.runner, self.files, self.disk = ManualRunner(), ManualRunner(), ManualRunner()
        self.settings = settings or Settings()
        self.session = Session(
            self.runner,
            self.files,
            InferenceEngine(bright_models),
            bright_models,
            self.settings,
            self.disk,
        )
        self.said: list[str] = []
        self.offers: list[Offer | None] = []
        self.wanted: list[ImageWanted] = []
        self.session.message.connect(lambda message: self.said.append(message.text))
        self.troubles: list[Trouble | None] = []
        self.session.writing.trouble_changed.connect(self.troubles.append)
        self.session.restoring.offered.connect(self.offers.append)
        self.session.restoring.image_wanted.connect(self.wanted.append)

    @property
    def document(self) -> Document:
        assert self.session.document is not None
        return self.session.document

    def run(self) -> None:
        while self.runner.jobs or self.files.jobs or self.disk.jobs:
            for runner in (self.files, self.runner, self.disk):
                runner.run_all()

    def open(self, path: Path) -> Document:
        self.session.open(path)
        self.run()
        return self.document

    def paint(self, z: int, value: int = 1) -> None:
        region = Region((z, 1, 2), (z + 1, 6, 9))
        block = np.full(region.shape_zyx, value, np.uint8)
        self.document.do(EditVoxels(f"Paint {z}", region, block))

    def crash(self) -> None:
        """Let go of the file as the system does when a program dies."""
        journal = self.session.writing.journal
        assert journal is not None
        if journal.store is not None:
            journal.store.close()
        journal.leave()

    def end(self) -> None:
        self.session.keeper.finish()


def state(document: Document) -> tuple:
    return (
        document.labelmap.voxels.astype(np.uint16).tobytes(),
        document.label_table,
        document.prompts,
        tuple((k, d.to_bytes()) for k, d in document.written.items()),
        document.undo_labels,
        document.redo_labels,
        document.is_modified,
    )


def write_image(path: Path, seed: int) -> None:
    path.parent.mkdir(exist_ok=True)
    voxels = np.random.default_rng(seed).integers(0, 50, SHAPE).astype(np.int16)
    voxels[2:6, 3:8, 3:9] = 400
    itk_image = sitk.GetImageFromArray(voxels)
    itk_image.SetSpacing((0.8, 0.9, 2.5))
    sitk.WriteImage(itk_image, str(path))


def automatic() -> list[Path]:
    return sorted((user_data_dir() / "workspaces").glob("*.maskwright"))


def worked_on(image: Path) -> Bench:
    """Return a run in which much was done to a scan."""
    bench = Bench()
    bench.open(image)
    bench.session.prompting.place_box(0, 4, (2, 2, 9, 10))
    bench.run()
    bench.session.label_editing.add("lesion")
    bench.paint(1, 2)
    bench.session.prompting.place_point((3.25, 5.0, 6.0), 0, True)
    bench.run()
    bench.paint(6, 2)
    bench.session.undo()
    bench.run()
    assert bench.document.written
    assert len(bench.document.prompts) == 2
    assert len(bench.document.undo_labels) == 4
    return bench
