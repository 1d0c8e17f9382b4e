"""Random edits on a document, each named by a digest of the state that it leaves.

Run as a program it edits until it is killed, and says before each step what the file must hold if
the step is there, and after each step that it is: ``python -m tests.workspace.random_edits
FOLDER SEED``.
"""

from __future__ import annotations

import hashlib
import random
import sys
from pathlib import Path

import numpy as np

from app.core.commands import (
    ApplyPrediction,
    DeleteLabel,
    EditVoxels,
    SetLabels,
    SetPrompts,
    change_label,
)
from app.core.document import Document, UndoStack
from app.core.geometry import Geometry, Region
from app.core.labels import DrawOver, LabelTable
from app.core.prompts import BoxPrompt, PointPrompt, ScribblePrompt
from app.core.tasks import NullContext
from app.core.view_state import ViewState
from app.core.volume import Volume
from app.notices import Notices
from app.workspace.keeper import Keeper
from app.workspace.recovery import image_digest
from app.workspace.restoring import Restoring
from app.workspace.store import ImageRef
from app.workspace.writing import Writing

SHAPE = (6, 30, 40)


class DirectRunner:
    """Runs each job at once."""

    def submit(self, work, *, key, done, failed, progress=None, priority=0):
        try:
            result = work(NullContext())
        except OSError as error:
            failed(error, "")
        else:
            done(result)
        return self

    def cancel(self) -> None:
        """Nothing waits here."""


def new_document(max_undo_bytes: int = 256 << 20) -> Document:
    """Return an untouched document, always of the same scan."""
    voxels = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * (2.5, 0.7, 0.7)
    table = LabelTable()
    table = table.with_added(table.new_label("organ"))
    volume = Volume(voxels, Geometry(SHAPE, affine))
    return Document(volume, label_table=table, undo_stack=UndoStack(max_undo_bytes, min_commands=3))


def writing_at_once() -> Writing:
    """Return what writes each step before its command returns."""
    return Writing(DirectRunner(), Notices())


def keeper_in(folder: Path, writing: Writing | None = None) -> Keeper:
    """Return a keeper that writes at once."""
    writing, notices = writing or writing_at_once(), Notices()
    restoring = Restoring(
        writing,
        DirectRunner(),
        ViewState(),
        notices,
        folder,
        read_image=lambda path, uid, ctx, *, room: (new_document().volume, (0.0, 1.0)),
        recent=tuple,
        show=lambda restored: None,
    )
    return Keeper(writing, restoring, notices, folder, view=lambda: {"cursor_zyx": [1, 2, 3]})


def image_of(document: Document) -> ImageRef:
    """Return how a workspace knows the document's scan."""
    return ImageRef(image_digest(document.volume), SHAPE, str(Path("scan.nii").absolute()))


def fingerprint(document: Document) -> str:
    """Return a digest of all that would be saved, and of the names of the history."""
    digest = hashlib.blake2b(digest_size=12)
    digest.update(document.labelmap.voxels.astype(np.uint16).tobytes())
    written = [(k, v.to_bytes()) for k, v in sorted(document.written.items())]
    texts = (document.label_table, document.prompts, document.undo_labels, document.redo_labels)
    digest.update(repr((texts, written)).encode())
    return digest.hexdigest()


def edit(document: Document, rng: random.Random) -> None:
    """Do one random thing; sometimes nothing comes of it."""
    start = [rng.randrange(n) for n in SHAPE]
    stop = [min(n, a + rng.randint(1, 12)) for a, n in zip(start, SHAPE, strict=True)]
    region = Region((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    mask = np.array([rng.random() < 0.7 for _ in range(region.n_voxels)]).reshape(region.shape_zyx)
    ids = [info.id for info in document.label_table] or [1]
    label_id = rng.choice(ids)
    action = rng.choice(
        ["paint"] * 4 + ["predict"] * 3 + ["label", "hide", "delete", "undo", "redo"]
    )
    if action == "paint":
        document.do(EditVoxels("Paint", region, np.where(mask, label_id, 0).astype(np.uint16)))
    elif action == "predict":
        object_id = rng.randrange(3)
        prompts = (
            *(p for p in document.prompts if p.object_id != object_id),
            BoxPrompt(region, 0, (0, 3), label_id, object_id),
            PointPrompt((start[0] + 0.25, start[1], start[2]), False, 0, label_id, object_id),
            ScribblePrompt(((1.0, 2.5, 3.0), (1, 4, 5)), 1.25, True, 0, label_id, object_id),
        )
        with document.group("Box"):
            document.do(SetPrompts("Box", prompts))
            document.do(
                ApplyPrediction(
                    "Box",
                    object_id=object_id,
                    label_id=label_id,
                    region=region,
                    mask=mask,
                    covered=Region.whole(SHAPE),
                    draw_over=rng.choice(list(DrawOver)),
                )
            )
    elif action == "label" and len(document.label_table) < 6:
        table = document.label_table
        free = next(i for i in (300, 2, 3, 4, 5, 6, 7) if i not in table)
        document.do(SetLabels("Add", table.with_added(table.new_label("Ørgan “2”", free))))
    elif action == "hide" and label_id in document.label_table:
        info = document.label_table.get(label_id)
        document.do(
            change_label(
                document.label_table, type(info)(**{**vars(info), "opacity": rng.random()}), "Fade"
            )
        )
    elif action == "delete" and len(document.label_table) > 2:
        document.do(DeleteLabel(label_id))
    elif action == "undo":
        for _ in range(rng.randint(1, 3)):
            document.undo()
    elif action == "redo":
        document.redo()


def main(folder: Path, seed: int) -> None:
    """Edit for ever."""
    document, rng = new_document(40_000), random.Random(seed)
    keeper = keeper_in(folder)
    # Before the keeper hears of a change, so that the state is announced before it is written.
    document.changed.connect(
        lambda _: None if document.is_in_group else say("may", fingerprint(document))
    )
    keeper.keep(document, image_of(document))
    while True:
        edit(document, rng)
        say("is", fingerprint(document))


def say(word: str, text: str) -> None:
    """Tell whoever is going to kill this program."""
    sys.stdout.write(f"{word} {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
