"""What fills the voxels of the synthetic torso."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from resources.samples.fields import Canvas


class Tissue(IntEnum):
    """What can fill a voxel."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    VISCERAL_FAT = 4
    LUNG = 5
    LUNG_VESSEL = 6
    HEART_MUSCLE = 7
    HEART_BLOOD = 8
    AORTA = 9
    VENA_CAVA = 10
    PORTAL_VEIN = 11
    ARTERY = 12
    VEIN = 13
    LIVER = 14
    LIVER_VESSEL = 15
    LESION = 16
    GALLBLADDER = 17
    SPLEEN = 18
    CORTEX = 19
    MEDULLA = 20
    RENAL_PELVIS = 21
    CYST = 22
    PANCREAS = 23
    ADRENAL = 24
    STOMACH_WALL = 25
    STOMACH_CONTENT = 26
    STOMACH_GAS = 27
    BOWEL_WALL = 28
    BOWEL_CONTENT = 29
    BOWEL_GAS = 30
    FAECES = 31
    OESOPHAGUS = 32
    CORTICAL_BONE = 33
    TRABECULAR_BONE = 34
    DISC = 35
    CANAL = 36
    CORD = 37
    CARTILAGE = 38
    AIRWAY = 39
    TABLE_SHELL = 40
    TABLE_FOAM = 41
    RIB_MARROW = 42


@dataclass
class Torso:
    """A canvas, what has been painted on it, and the surfaces that later organs lie against.

    Attributes
    ----------
    tissue : (z, y, x) uint8, `Tissue`
    depth : (z, y, x) float32
        Signed distance from the skin along the radius, negative inside.
    wall : (z, y, x) float32
        The same from the inner face of the body wall.
    diaphragm : (1 or z, y, x) float32
        Height of the diaphragm at each (y, x).
    kidneys : field of both kidneys, which other organs keep clear of
    """

    canvas: Canvas
    tissue: np.ndarray
    depth: np.ndarray
    wall: np.ndarray
    diaphragm: np.ndarray
    kidneys: np.ndarray

    def paint(self, where: np.ndarray, tissue: Tissue, over: Sequence[Tissue] = ()) -> None:
        """Fill voxels; where ``over`` is given, only those that hold one of these tissues."""
        if over:
            where = where & np.isin(self.tissue, over)
        self.tissue[where] = tissue

    def paint_muscle(self, field: np.ndarray, over: Sequence[Tissue]) -> None:
        """Fill a shape with muscle, and set it off from its neighbours by a plane of fat."""
        self.paint((field < 1.7) & (field >= 0), Tissue.FAT, over=(Tissue.MUSCLE,))
        self.paint(field < 0, Tissue.MUSCLE, over=over)


SOFT_SPACE = (Tissue.VISCERAL_FAT,)

BODY_SPACE = (Tissue.VISCERAL_FAT, Tissue.MUSCLE, Tissue.FAT)
