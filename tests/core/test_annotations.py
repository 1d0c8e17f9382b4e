"""Rulers and angles: what they measure on uneven grids, undone and kept like everything else."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.annotations import (
    Annotation,
    AnnotationKind,
    next_annotation_id,
    with_annotation,
    without_annotation,
)
from app.core.commands import SetAnnotations
from app.core.document import Document
from app.workspace.codec import DamagedError, State, decode_state, encode_state
from app.workspace.journal import state_of
from tests.phantoms import torso_like

SPACING = (3.0, 2.0, 0.5)
RULER = Annotation(1, AnnotationKind.RULER, 0, ((4, 0, 0), (4, 3, 16)))
ANGLE = Annotation(2, AnnotationKind.ANGLE, 1, ((1, 5, 0), (1, 5, 6.0), (3, 5, 6.0)))
LINES = Annotation(-1, AnnotationKind.DIAMETERS, 0, ((2, 0, 0), (2, 5, 0), (2, 1, 0), (2, 1, 8)))


def test_lengths_and_angles_are_physical():
    assert RULER.lengths_mm(SPACING) == (10.0,)
    assert LINES.lengths_mm(SPACING) == (10.0, 4.0)
    assert ANGLE.lengths_mm(SPACING) == (3.0, 6.0)
    assert ANGLE.degrees(SPACING) == pytest.approx(90)
    slanted = ANGLE.moved(2, (2.0, 99, 0.0))
    # 3 mm up, 3 mm back along the first arm.
    assert slanted.degrees(SPACING) == pytest.approx(45)
    assert slanted.index == 5
    assert np.isnan(ANGLE.moved(0, (1, 5, 6.0)).degrees(SPACING))
    assert np.isnan(RULER.degrees(SPACING))


def test_ids_stay_apart_from_those_of_diameters():
    assert next_annotation_id(()) == 1
    assert next_annotation_id((LINES,)) == 1
    assert next_annotation_id((LINES, ANGLE)) == 3
    moved = RULER.moved(0, (4, 1, 1))
    assert with_annotation((RULER, ANGLE), moved) == (moved, ANGLE)
    assert without_annotation((RULER, ANGLE), 1) == (ANGLE,)


def test_they_are_undone_and_are_in_snapshots():
    document = Document(torso_like())
    document.do(SetAnnotations("Ruler", (RULER,)))
    document.do(SetAnnotations("Angle", (RULER, ANGLE)))
    document.do(SetAnnotations("Nothing", (RULER, ANGLE)))
    assert document.undo_labels == ("Angle", "Ruler")
    assert document.snapshot().annotations == (RULER, ANGLE)
    document.undo()
    assert document.annotations == (RULER,)
    document.redo()
    assert document.annotations == (RULER, ANGLE)


def test_a_workspace_keeps_them_and_refuses_nonsense():
    document = Document(torso_like())
    document.do(SetAnnotations("Ruler", (RULER, ANGLE, LINES)))
    shape = document.volume.voxels.shape
    content = encode_state(state_of(document))
    assert decode_state(content, shape).annotations == (RULER, ANGLE, LINES)
    short = encode_state(State(annotations=(Annotation(1, AnnotationKind.ANGLE, 0, ((0, 0, 0),)),)))
    with pytest.raises(DamagedError):
        decode_state(short, shape)
