"""The torso: which tissue fills which voxel. Painted from the outside in.

Body coordinates in mm: x to the patient's left, y to the back, z to the head. z = 0 lies at the
disc between the first and the second lumbar vertebra.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from resources.samples.fields import Canvas, Point, curve, smooth_cut, smooth_union


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


SOFT_SPACE = (Tissue.VISCERAL_FAT,)
BODY_SPACE = (Tissue.VISCERAL_FAT, Tissue.MUSCLE, Tissue.FAT)
# Vertebral bodies: (height of the centre, half height).
VERTEBRAE = (
    (-126.0, 14.0),
    (-90.0, 14.0),
    (-54.0, 14.0),
    (-18.0, 14.0),
    (18.0, 13.5),
    (50.0, 12.0),
    (79.0, 11.5),
    (106.0, 11.0),
    (132.0, 10.5),
    (157.0, 10.0),
    (181.0, 9.7),
    (204.0, 9.3),
    (227.0, 9.0),
)
# Where ribs 12 to 3 leave the spine, and how far round they are bone and then cartilage
# (0 at the spine, 1 at the sternum).
RIBS = (
    (57.0, 0.28, 0.28),
    (86.0, 0.50, 0.50),
    (113.0, 0.66, 0.74),
    (139.0, 0.70, 0.86),
    (164.0, 0.72, 0.93),
    (188.0, 0.74, 1.00),
    (211.0, 0.76, 1.00),
    (234.0, 0.78, 1.00),
    (257.0, 0.80, 1.00),
    (280.0, 0.82, 1.00),
)


def paint_torso(canvas: Canvas) -> Torso:
    """Return a torso from the heart to the iliac crests on a canvas."""
    torso = _body_wall(canvas)
    _lungs_and_heart(torso)
    _back_muscles(torso)
    _kidneys(torso)
    _liver(torso)
    _spleen(torso)
    _stomach(torso)
    _great_vessels(torso)
    _pancreas(torso)
    _colon(torso)
    _small_bowel(torso)
    _mesentery(torso)
    _spine(torso)
    _ribs_and_pelvis(torso)
    _table(torso)
    return torso


def spine_y(z: np.ndarray | float) -> np.ndarray:
    """Return how far back the centres of the vertebral bodies lie: lordosis, then kyphosis."""
    z = np.asarray(z, np.float32)
    return 30 + 24 / (1 + np.exp(-(z - 85) / 38)) + 14 / (1 + np.exp((z + 105) / 18))


def _ramp(z: np.ndarray, heights: Sequence[float], values: Sequence[float]) -> np.ndarray:
    return np.interp(z, heights, values).astype(np.float32)


def _body_wall(canvas: Canvas) -> Torso:
    x, y, z = canvas.x, canvas.y, canvas.z
    levels = (-140, -80, 0, 80, 210)
    half_width = _ramp(z, levels, (162, 152, 150, 159, 163))
    front = _ramp(z, levels, (101, 106, 108, 106, 98))
    back = _ramp(z, levels, (102, 96, 93, 97, 104))
    power = np.float32(2.35)
    scaled = (
        np.abs(x / half_width) ** power + np.abs(y / np.where(y < 0, front, back)) ** power
    ) ** (1 / power)
    radius = np.sqrt(x**2 + y**2)
    depth = radius * (1 - 1 / np.maximum(scaled, 0.05)) + 2.2 * canvas.noise(70)
    # The furrow along the spine, and the navel.
    depth += 9 * np.exp(-((x / 16) ** 2)) * np.clip(y / 90, 0, 1) ** 4
    depth += 9 * np.exp(-((x / 9) ** 2) - ((z + 62) / 9) ** 2) * (y < -80)

    belly = 1 / (1 + np.exp((z - 75) / 22))  # 1 below the ribs
    aside = np.abs(x) / np.maximum(radius, 1)
    to_front = np.clip(-y / np.maximum(radius, 1), 0, 1)
    to_back = np.clip(y / np.maximum(radius, 1), 0, 1)
    fat = 8 + belly * (8 + 7 * to_front**2 + 4 * aside**4 + 5 * to_back**2)
    fat = fat + 1.6 * canvas.noise(35)
    muscle = 19 - belly * (5 + 4 * to_front**3) + 1.0 * canvas.noise(30)
    wall = depth + fat + muscle

    torso = Torso(
        canvas,
        np.zeros(canvas.shape_zyx, np.uint8),
        depth,
        wall,
        _diaphragm(canvas),
        np.full(canvas.shape_zyx, 1000, np.float32),
    )
    torso.paint(depth < 0, Tissue.SKIN)
    torso.paint(depth < -2.2, Tissue.FAT)
    torso.paint(depth + fat < 0, Tissue.MUSCLE)
    torso.paint(wall < 0, Tissue.VISCERAL_FAT)

    # Fat planes between the three flat muscles of the flank, the white line, and the outer
    # edges of the straight muscles in front.
    share = -(depth + fat) / muscle
    flank = (aside > 0.55) & (z < 70) & (share > 0) & (share < 1)
    for plane in (0.36, 0.68):
        torso.paint(flank & (np.abs(share - plane) < 0.06), Tissue.FAT)
    front_wall = (y < -40) & (share > 0) & (share < 1) & (z < 95)
    edge = np.abs(np.abs(x) - (58 + 0.05 * z + 2 * canvas.noise(40)))
    torso.paint(front_wall & ((np.abs(x) < 4.5) | (edge < 3.5)), Tissue.FAT)
    # Between the muscles of the chest.
    torso.paint((z > 60) & (np.abs(share - 0.3) < 0.05), Tissue.FAT, over=(Tissue.MUSCLE,))
    # Septa of the subcutaneous fat.
    septa = canvas.ridges(14, 0.035) > 0.6
    torso.paint(septa & (canvas.noise(25) > 0.4), Tissue.MUSCLE, over=(Tissue.FAT,))
    return torso


def _diaphragm(canvas: Canvas) -> np.ndarray:
    x, y = canvas.x, canvas.y
    domes = []
    for peak, centre in ((131, -72), (116, 76)):
        outward = np.clip((x - centre) * np.sign(centre), 0, None)
        inward = np.clip((centre - x) * np.sign(centre), 0, None)
        height = peak - 52 * (outward / 68) ** 2 - 20 * (inward / 74) ** 2
        height = height - np.where(y > -8, 78 * ((y + 8) / 82) ** 2, 34 * ((y + 8) / 72) ** 2)
        domes.append(height)
    bumps = canvas.noise(45)[:1] * 2.5
    return np.maximum(*domes) + bumps


def _lungs_and_heart(torso: Torso) -> None:
    canvas = torso.canvas
    x, y, z = canvas.x, canvas.y, canvas.z
    heart = canvas.ellipsoid((24, -34, 166), (62, 46, 52), (0, 24, -24)) + 2 * canvas.noise(30)
    # What lies between the lungs: spine and great vessels behind, thymus fat in front.
    behind = np.sqrt(((x - 6) / 1.0) ** 2 + ((y - 40) / 0.95) ** 2) - 33
    middle = np.sqrt(((x - 4) / 0.9) ** 2 + (y / 1.6) ** 2) - 34 + 1.5 * canvas.noise(30)
    before = np.sqrt((x / 0.55) ** 2 + ((y + 80) / 1.2) ** 2) - 26
    between = smooth_union(
        smooth_union(behind, middle, 14), smooth_union(heart - 5, before, 14), 10
    )
    lung = np.maximum(torso.wall + 2, -(between + 1.2 * canvas.noise(22)))
    lung = np.maximum(lung, torso.diaphragm - z + 2)
    torso.paint((lung < 0) & (z > 20), Tissue.LUNG)
    # The muscle sheet of the diaphragm, between lung and belly.
    sheet = (np.abs(z - torso.diaphragm) < 2.4) & (torso.wall < 0) & (between > 2)
    torso.paint(sheet, Tissue.MUSCLE)

    for start, towards in (
        ((-30, 2, 196), (-1, 0.2, -0.5)),
        ((-30, 6, 190), (-0.8, 0.5, -1)),
        ((-28, -2, 204), (-1, -0.6, 0.2)),
        ((44, 10, 194), (1, 0.4, -0.6)),
        ((42, 14, 188), (0.7, 0.6, -1)),
        ((44, 6, 202), (1, -0.5, 0.3)),
    ):
        path, radii = canvas.tree(start, towards, 6.0, n_levels=8, spread=0.62)
        vessels = canvas.tube(path, radii, reach_mm=1.5)
        torso.paint(vessels < 0, Tissue.LUNG_VESSEL, over=(Tissue.LUNG,))
    for path, radius in (
        (curve([(4, 18, 214), (-14, 15, 196), (-40, 14, 172)])[0], 6.0),
        (curve([(4, 18, 214), (24, 18, 196), (48, 20, 176)])[0], 5.5),
    ):
        bronchus = canvas.tube(path, radius)
        torso.paint(bronchus < 1.4, Tissue.MUSCLE, over=(Tissue.LUNG, Tissue.VISCERAL_FAT))
        torso.paint(bronchus < 0, Tissue.AIRWAY)

    inside = (between < 3) & (z > torso.diaphragm)
    torso.paint((heart < 0) & inside, Tissue.HEART_MUSCLE)
    fat_groove = (heart < 0) & (heart > -5) & (canvas.noise(24) > 0.5)
    torso.paint(fat_groove & inside, Tissue.VISCERAL_FAT)
    chambers = (
        canvas.ellipsoid((48, -34, 152), (34, 18, 23), (0, 28, -34)),  # left ventricle
        canvas.ellipsoid((14, -56, 156), (37, 15, 32), (0, 22, -20)),  # right ventricle
        canvas.ellipsoid((-19, -28, 168), (17, 23, 30)),  # right atrium
        canvas.ellipsoid((14, -4, 184), (30, 16, 20)),  # left atrium
    )
    for chamber in chambers:
        rough = chamber + 1.8 * canvas.noise(14)
        torso.paint(rough < 0, Tissue.HEART_BLOOD, over=(Tissue.HEART_MUSCLE,))


def _back_muscles(torso: Torso) -> None:
    canvas = torso.canvas
    x, y, z = canvas.x, canvas.y, canvas.z
    wall_space = (Tissue.VISCERAL_FAT, Tissue.MUSCLE, Tissue.FAT)
    behind = spine_y(z)
    for side in (-1, 1):
        wide = _ramp(z, (-130, -40, 60, 200), (34, 32, 27, 20))
        deep = _ramp(z, (-130, -40, 60, 200), (20, 21, 17, 13))
        long_muscle = (
            np.sqrt(
                ((x - side * (wide + 3)) / wide) ** 2
                + ((y - behind - _ramp(z, (-130, 0, 200), (38, 38, 41))) / deep) ** 2
            )
            - 1
        ) * deep + 1.2 * canvas.noise(22)
        torso.paint((long_muscle < 0) & (torso.depth < -7), Tissue.MUSCLE, over=wall_space)
        streaks = canvas.ridges(11, 0.06) > 0.6
        torso.paint((long_muscle < -2) & streaks & (canvas.noise(30) > 0.5), Tissue.FAT)

        width = _ramp(z, (-140, -90, -30, 25, 40), (27, 24, 18, 9, 2))
        psoas = (
            np.sqrt(
                ((x - side * _ramp(z, (-140, -60, 30), (50, 41, 29))) / width) ** 2
                + ((y - behind - _ramp(z, (-140, -60, 30), (-14, 2, 6))) / (width * 0.95)) ** 2
            )
            - 1
        ) * width + 1.2 * canvas.noise(26)
        torso.paint((psoas < 0) & (z < 38), Tissue.MUSCLE, over=SOFT_SPACE)

        square = canvas.ellipsoid((side * 67, 49, -50), (24, 10, 74), (0, 0, side * -14))
        torso.paint(square + canvas.noise(22) < 0, Tissue.MUSCLE, over=SOFT_SPACE)
        crus = canvas.ellipsoid((side * 13, 12, 45), (9, 16, 50), (12, 0, 0))
        torso.paint(crus < 0, Tissue.MUSCLE, over=SOFT_SPACE)


def _kidneys(torso: Torso) -> None:
    canvas = torso.canvas
    for side, centre in ((-1, (-66, 33, -6)), (1, (66, 31, 12))):
        cx, cy, cz = centre
        # Upper poles lean to the spine and back, hila face forward and to the middle.
        outline = canvas.ellipsoid(centre, (27, 24, 55), (-9, side * 13, side * 24))
        outline = outline + 1.5 * canvas.noise(20) + 0.8 * canvas.noise(11)
        hilum = canvas.ellipsoid(
            (cx - side * 22, cy - 10, cz), (19, 11, 24), (-9, side * 13, side * 24)
        )
        kidney = smooth_cut(outline, hilum + 1.5 * canvas.noise(14), 5)
        torso.kidneys = np.minimum(torso.kidneys, kidney)
        torso.paint(kidney < 0, Tissue.CORTEX, over=SOFT_SPACE)
        sinus = canvas.ellipsoid(
            (cx - side * 9, cy - 4, cz), (15, 8, 29), (-9, side * 13, side * 24)
        )
        sinus = sinus + 2.2 * canvas.noise(13)
        # Pyramids: columns of cortex run between them down to the sinus.
        columns = np.abs(canvas.noise(13)) < 0.28
        torso.paint((kidney < -6.5) & ~columns, Tissue.MEDULLA, over=(Tissue.CORTEX,))
        torso.paint(sinus < 0, Tissue.VISCERAL_FAT, over=(Tissue.CORTEX, Tissue.MEDULLA))
        pelvis = canvas.ellipsoid(
            (cx - side * 15, cy - 5, cz - 3), (12, 5, 12)
        ) + 1.5 * canvas.noise(9)
        calyces = (sinus < -1.5) & (canvas.noise(9) > 0.75)
        torso.paint((pelvis < 0) | calyces, Tissue.RENAL_PELVIS, over=SOFT_SPACE)
        ureter = curve(
            [(cx - side * 22, cy - 6, cz - 12), (side * 38, 12, -50), (side * 40, 4, -140)]
        )
        torso.paint(canvas.tube(ureter[0], 2.2) < 0, Tissue.RENAL_PELVIS, over=SOFT_SPACE)
    cyst = canvas.ellipsoid((92, 38, 30), (11, 11, 10))
    torso.paint(cyst < 0, Tissue.CYST, over=(*SOFT_SPACE, Tissue.CORTEX, Tissue.MEDULLA))
    torso.kidneys = np.minimum(torso.kidneys, cyst)
    for x0, side in ((-38, -1), (40, 1)):
        for tip in ((x0 + side * 12, 30, 52), (x0 + side * 3, 36, 50)):
            limb = canvas.tube(
                curve([(x0 - side * 2, 14, 66), (x0 + side * 2, 20, 60), tip])[0], 2.6
            )
            torso.paint(limb < 0, Tissue.ADRENAL, over=SOFT_SPACE)


def _liver(torso: Torso) -> None:
    canvas = torso.canvas
    x, y, z = canvas.x, canvas.y, canvas.z
    right = canvas.ellipsoid((-74, -4, 58), (76, 92, 92), (0, -12, 0))
    left = canvas.ellipsoid((2, -52, 92), (78, 40, 36), (0, 16, 12))
    liver = smooth_union(right, left, 24)
    # The face towards the bowels: a slanted, uneven plane that leaves the right lower tip.
    floor = 4 + 0.62 * (x + 55) - 0.10 * y + 5 * canvas.noise(42)
    liver = np.maximum(liver, (floor - z) * 0.85)
    # Behind the left lobe lie stomach and spine; the fissure of the round ligament divides.
    liver = smooth_cut(liver, canvas.ellipsoid((34, 34, 70), (46, 66, 90)), 8)
    fissure = canvas.ellipsoid((-8, -62, 66), (2.2, 32, 34), (0, 8, 10))
    liver = smooth_cut(liver, fissure, 4)
    liver = smooth_cut(liver, torso.kidneys - 4, 6)
    liver = np.maximum(liver + 1.6 * canvas.noise(24), torso.wall + 3)
    liver = np.maximum(liver, (z - torso.diaphragm + 3) * 0.8)
    liver = smooth_cut(liver, canvas.ellipsoid((-46, -50, 20), (13, 17, 27), (22, 0, 0)) - 2, 3)
    torso.paint(liver < 0, Tissue.LIVER, over=SOFT_SPACE)

    # Portal branches from the hilum, hepatic veins to the vena cava under the diaphragm.
    for start, towards, radius in (
        ((-30, -12, 50), (-1, -0.1, 0.35), 6.0),
        ((-30, -12, 50), (-0.8, 0.35, -0.3), 5.2),
        ((-28, -14, 52), (0.35, -1, 0.6), 5.0),
        ((-24, 8, 108), (-1, 0.1, -0.35), 5.4),
        ((-22, 4, 108), (-0.5, -0.9, -0.35), 5.2),
        ((-20, 2, 108), (0.5, -0.9, -0.2), 4.8),
    ):
        path, radii = canvas.tree(start, towards, radius, n_levels=6, spread=0.55)
        vessels = canvas.tube(path, radii, reach_mm=1.5)
        torso.paint(vessels < 0, Tissue.LIVER_VESSEL, over=(Tissue.LIVER,))
    lesion = canvas.ellipsoid((-98, 22, 62), (15, 13, 13)) + 1.8 * canvas.noise(10)
    torso.paint(lesion < 0, Tissue.LESION, over=(Tissue.LIVER, Tissue.LIVER_VESSEL))
    bladder = canvas.ellipsoid((-46, -50, 20), (12, 15, 25), (22, 0, 0)) + 0.9 * canvas.noise(18)
    torso.paint(bladder < 1.8, Tissue.BOWEL_WALL, over=SOFT_SPACE)
    torso.paint(bladder < 0, Tissue.GALLBLADDER)


def _spleen(torso: Torso) -> None:
    canvas = torso.canvas
    spleen = canvas.ellipsoid((103, 36, 72), (30, 46, 50), (18, 0, -28))
    hollow = canvas.ellipsoid((70, 8, 74), (34, 36, 60))
    spleen = smooth_cut(spleen, hollow, 6)
    spleen = smooth_cut(spleen, torso.kidneys - 4, 6) + 1.8 * canvas.noise(22)
    spleen = np.maximum(spleen, torso.wall + 3)
    spleen = np.maximum(spleen, (canvas.z - torso.diaphragm + 3) * 0.8)
    torso.paint(spleen < 0, Tissue.SPLEEN, over=SOFT_SPACE)


def _stomach(torso: Torso) -> None:
    canvas = torso.canvas
    path, along = curve(
        [(58, 22, 92), (64, 4, 76), (62, -30, 50), (42, -58, 22), (8, -60, 8), (-24, -44, 14)]
    )
    radii = np.interp(along, (0, 0.2, 0.5, 0.75, 1), (30, 33, 27, 20, 10))
    folds = 1.6 * canvas.noise(12) + 1.4 * canvas.noise(25)
    stomach = np.maximum(canvas.tube(path, radii) + folds, torso.wall + 2)
    stomach = np.maximum(stomach, (canvas.z - torso.diaphragm + 3) * 0.8)
    space = (*SOFT_SPACE, Tissue.MUSCLE)
    torso.paint((stomach < 0) & (canvas.z > -40), Tissue.STOMACH_WALL, over=space)
    inner = stomach + 4 + 1.2 * canvas.noise(10)
    torso.paint(inner < 0, Tissue.STOMACH_CONTENT, over=(Tissue.STOMACH_WALL,))
    # Lying on the back, gas gathers in front; its level is flat.
    torso.paint((inner < 0) & (canvas.y < -48), Tissue.STOMACH_GAS, over=(Tissue.STOMACH_CONTENT,))

    gullet, _ = curve([(10, 22, 214), (8, 18, 165), (14, 10, 118), (34, 10, 100), (52, 14, 92)])
    tube = canvas.tube(gullet, 7.5) + 0.8 * canvas.noise(12)
    space = (*SOFT_SPACE, Tissue.MUSCLE, Tissue.LUNG, Tissue.LIVER)
    torso.paint((tube < 0) & (canvas.x < 36), Tissue.OESOPHAGUS, over=space)
    torso.paint((tube < -5.4) & (canvas.z > 120), Tissue.AIRWAY)


def _great_vessels(torso: Torso) -> None:
    canvas = torso.canvas

    def tube(points: Sequence[Point], radius: float, tissue: Tissue) -> None:
        vessel = canvas.tube(curve(points)[0], radius) + 0.5 * canvas.noise(14)
        space = (
            *BODY_SPACE, Tissue.LUNG, Tissue.LIVER, Tissue.LIVER_VESSEL, Tissue.PANCREAS,
        )  # fmt: skip
        torso.paint(vessel < 0, tissue, over=space)

    tube([(26, 38, 215), (22, 34, 150), (12, 16, 70), (6, 6, 10), (3, 4, -84)], 11.0, Tissue.AORTA)
    for side in (-1, 1):
        tube([(3, 4, -82), (side * 16, 8, -106), (side * 36, 16, -145)], 6.5, Tissue.ARTERY)
        tube([(-14, 10, -92), (side * 18 - 4, 16, -112), (side * 38, 24, -145)], 7.5, Tissue.VEIN)
    tube([(-17, 12, -92), (-21, 6, -20), (-24, 4, 40), (-24, 4, 110)], 11.0, Tissue.VENA_CAVA)
    tube([(-24, 4, 106), (-20, -8, 135), (-19, -22, 160)], 11.5, Tissue.VENA_CAVA)
    tube([(8, 4, 44), (8, -16, 46), (-8, -24, 46), (-26, -22, 50)], 3.6, Tissue.ARTERY)
    tube([(7, -4, 30), (8, -18, 14), (9, -22, -40), (2, -26, -80)], 4.0, Tissue.ARTERY)
    tube([(-7, -30, -80), (-4, -24, -30), (-8, -20, 12), (-20, -16, 36), (-31, -13, 52)], 6.4,
         Tissue.PORTAL_VEIN)  # fmt: skip
    tube([(-6, -18, 16), (24, -10, 26), (56, 14, 44), (78, 24, 56)], 4.6, Tissue.PORTAL_VEIN)
    for side, z0, hilum in ((-1, -2, (-46, 26, -6)), (1, 8, (46, 24, 12))):
        tube([(4, 4, z0 + 6), (side * 24, 16, z0 + 4), hilum], 3.2, Tissue.ARTERY)
        vein = [(side * 6 - 16, 2, z0), (side * 26, 8, z0), (hilum[0], hilum[1] - 4, hilum[2])]
        if side > 0:  # in front of the aorta
            vein[:1] = [(-14, 0, z0 - 2), (4, -10, z0), (18, -4, z0)]
        tube(vein, 5.0, Tissue.VEIN)


def _pancreas(torso: Torso) -> None:
    canvas = torso.canvas
    path, along = curve(
        [(-30, -14, -14), (-26, -20, 6), (-4, -30, 18), (24, -22, 28), (54, 4, 42), (76, 14, 54)]
    )
    radii = np.interp(along, (0, 0.2, 0.4, 0.7, 1), (13, 14, 9, 10, 8))
    lobes = 2.4 * canvas.noise(8) + 1.2 * canvas.noise(16)
    pancreas = canvas.tube(path, radii) + lobes
    torso.paint(pancreas < 0, Tissue.PANCREAS, over=SOFT_SPACE)


def _bowel(
    torso: Torso,
    path: np.ndarray,
    radii: np.ndarray,
    *,
    wall_mm: float,
    filling: str,
) -> None:
    """Paint one stretch of bowel: wall, content, and gas where it would gather."""
    canvas = torso.canvas
    outer = canvas.tube(path, radii) + 1.5 * canvas.noise(13)
    outer = np.maximum(outer, torso.wall + 2)
    space = (*SOFT_SPACE,)
    where = (outer < 0) & np.isin(torso.tissue, space)
    torso.paint(where, Tissue.BOWEL_WALL)
    inner = where & (outer < -wall_mm - 0.4 * canvas.noise(9))
    if filling == "faeces":
        torso.paint(inner, Tissue.FAECES)
        pockets = canvas.noise(7) + 0.6 * canvas.noise(20) > 1.15
        torso.paint(inner & pockets, Tissue.BOWEL_GAS)
    elif filling == "gas":
        torso.paint(inner, Tissue.BOWEL_GAS)
    else:
        torso.paint(inner, Tissue.BOWEL_CONTENT)
        centre_y = np.median(path[:, 1])
        some = (canvas.y < centre_y - 4) & (canvas.noise(30) > 1.1)
        torso.paint(inner & some, Tissue.BOWEL_GAS)


def _colon(torso: Torso) -> None:
    rng = torso.canvas.rng
    stretches = (
        ([(-100, 22, -150), (-108, 22, -90), (-104, 18, -40), (-96, 4, -22)], 24, "faeces"),
        ([(-96, 0, -22), (-78, -48, -30), (-36, -76, -46), (0, -80, -50)], 19, "faeces"),
        ([(0, -80, -50), (40, -76, -42), (82, -50, -4), (104, -8, 26)], 18, "gas"),
        ([(106, -4, 26), (116, 18, 10), (115, 30, -50), (104, 34, -150)], 15, "faeces"),
    )
    for points, radius, filling in stretches:
        path, along = curve(points)
        length = len(path) * 1.5
        haustra = 1 + 0.16 * np.cos(2 * np.pi * along * length / 26 + rng.uniform(0, 6))
        _bowel(torso, path, radius * haustra, wall_mm=2.6, filling=filling)


def _small_bowel(torso: Torso) -> None:
    canvas = torso.canvas
    duodenum, _ = curve(
        [
            (-26, -42, 14),
            (-46, -24, 6),
            (-50, -10, -24),
            (-40, -2, -48),
            (-8, -12, -54),
            (30, -16, -36),
        ]
    )
    _bowel(torso, duodenum, np.full(len(duodenum), 11.0), wall_mm=3.0, filling="fluid")
    # Loops: a walk between the points of a jittered lattice, never twice to the same one.
    lattice = np.array(
        [
            (x + 14 * (row % 2), y, z + 12 * (column % 2))
            for z in np.arange(-148, -14, 26)
            for row, y in enumerate(np.arange(-66, 22, 25))
            for column, x in enumerate(np.arange(-74, 92, 28))
        ],
        float,
    )
    lattice += canvas.rng.normal(0, 4.5, lattice.shape)
    left = list(range(len(lattice)))
    while left:
        walk = [left.pop(0)]
        for _ in range(int(canvas.rng.integers(5, 12))):
            away = [np.linalg.norm(lattice[i] - lattice[walk[-1]]) for i in left]
            near = [i for i, d in zip(left, away, strict=True) if d < 40]
            if not near:
                break
            walk.append(near[int(canvas.rng.integers(min(3, len(near))))])
            left.remove(walk[-1])
        if len(walk) < 3:
            continue
        path, _ = curve([tuple(lattice[i]) for i in walk])
        radii = canvas.rng.uniform(9, 13) * np.ones(len(path))
        _bowel(torso, path, radii, wall_mm=2.6, filling="fluid")


def _mesentery(torso: Torso) -> None:
    canvas = torso.canvas
    for start, towards in (
        ((9, -24, -30), (0.6, -0.6, -0.6)),
        ((9, -24, -40), (-0.6, -0.5, -0.7)),
        ((4, -26, -60), (0.2, -0.7, -1)),
        ((9, -24, -20), (0.9, -0.3, -0.2)),
        ((-10, -20, -20), (-1, -0.4, -0.3)),
    ):
        path, radii = canvas.tree(start, towards, 3.0, n_levels=7, spread=0.6)
        torso.paint(canvas.tube(path, radii, 1.5) < 0, Tissue.VEIN, over=SOFT_SPACE)


def _spine(torso: Torso) -> None:
    canvas = torso.canvas
    x, y, z = canvas.x - 2.5 * np.sin(canvas.z / 70), canvas.y, canvas.z
    centre = spine_y(z)
    size = _ramp(z, (-130, -30, 60, 220), (1.08, 1.0, 0.88, 0.68))
    waist = np.full(z.shape, 0.0, np.float32)
    gap = np.full(z.shape, 100.0, np.float32)  # height above the nearest endplate
    for middle, half in VERTEBRAE:
        above = np.abs(z - middle)
        gap = np.minimum(gap, above - half)
        waist = np.maximum(waist, 1.8 * np.clip(1 - above / half, 0, 1))
    rough = 0.7 * canvas.noise(9)
    radial = np.sqrt((x / 1.36) ** 2 + (y - centre) ** 2 + 1e-6)
    body = radial - 16.5 * size + waist + rough
    # Flat behind, where the canal runs.
    body = np.maximum(body, y - centre - 13.5 * size)
    gap = gap + 0.5 * rough
    torso.paint((body < 0) & (np.abs(z) < 1000), Tissue.DISC)
    vertebra = np.maximum(body - 0.8, gap)
    torso.paint(vertebra < 0, Tissue.CORTICAL_BONE)
    torso.paint(vertebra < -1.9, Tissue.TRABECULAR_BONE)

    canal_y = centre + 13.5 * size + 8.5
    canal = np.sqrt((x / 1.2) ** 2 + (y - canal_y) ** 2) - 7.8
    # The arch: pedicles, laminae, transverse and spinous processes, once per vertebra.
    arch = np.full(canvas.shape_zyx, 1000, np.float32)
    for middle, half in VERTEBRAE:
        down = 0.35 if middle < 30 else 0.9  # thoracic spinous processes point downwards
        slope = z - middle + down * np.clip(y - canal_y - 6, 0, None)
        spine = np.maximum(np.abs(x) - 2.6, np.abs(slope + 6) - half * 0.62)
        spine = np.maximum(spine, np.abs(y - canal_y - 19) - 14)
        ring = np.maximum(np.abs(canal - 2.6) - 2.9, np.abs(z - middle + 3) - half * 0.85)
        pedicle = np.maximum(np.abs(np.abs(x) - 13.5 * size) - 4.2, np.abs(y - canal_y + 2) - 9)
        pedicle = np.maximum(pedicle, np.abs(z - middle - 2) - half * 0.5)
        across = np.maximum(np.abs(x) - 40 * size, np.abs(z - middle) - 4.5)
        across = np.maximum(across, np.abs(y - canal_y - 3 - 0.12 * np.abs(x)) - 3.6)
        across = np.maximum(across, 11 - np.abs(x))
        facet = np.sqrt((np.abs(x) - 16 * size) ** 2 + (y - canal_y - 8) ** 2) - 6.2
        facet = np.maximum(facet, np.abs(z - middle + half) - 8)
        for part in (spine, ring, pedicle, across, facet):
            arch = np.minimum(arch, part)
    arch = arch + rough
    torso.paint(arch < 0, Tissue.CORTICAL_BONE)
    torso.paint(arch < -2.2, Tissue.TRABECULAR_BONE)
    torso.paint(canal < 0.6, Tissue.VISCERAL_FAT)
    torso.paint(canal < -1.2, Tissue.CANAL)
    cord = np.sqrt((x / 1.25) ** 2 + (y - canal_y) ** 2) - 4.2
    torso.paint((cord < 0) & (z > 8), Tissue.CORD)


def _ribs_and_pelvis(torso: Torso) -> None:
    canvas = torso.canvas
    x, y, z = canvas.x, canvas.y, canvas.z
    # Round the chest: 0 at the spine, 1 at the sternum, alike on both sides.
    turn = np.arctan2(np.abs(x) / 1.35, y - 12) / np.pi
    shell = np.abs(torso.wall - 5.5 + 0.6 * canvas.noise(18))
    chest = (torso.depth < -4) & (torso.wall < 16)
    marrow_room = canvas.noise(8)
    for leaves, bone_until, cartilage_until in RIBS:
        drop = 82 * np.clip(turn / 0.72, 0, 1) ** 1.15
        rise = 105 * np.clip(turn - 0.72, 0, 1) ** 1.1
        height = leaves - drop + rise + 2
        rib = np.sqrt((shell / 4.3) ** 2 + ((z - height) / 7.2) ** 2) - 1
        rib = rib * 4.3 + 0.35 * marrow_room
        is_rib = (rib < 0) & chest & (turn > 0.05)
        torso.paint(is_rib & (turn < bone_until), Tissue.CORTICAL_BONE)
        torso.paint(is_rib & (turn < bone_until) & (rib < -1.5), Tissue.RIB_MARROW)
        torso.paint(is_rib & (turn >= bone_until) & (turn < cartilage_until), Tissue.CARTILAGE)
    sternum = np.maximum(np.abs(x) - 17 - 3 * canvas.noise(30), np.abs(torso.wall - 6) - 5)
    sternum = np.maximum(sternum, 118 - z)
    torso.paint((sternum < 0) & (y < 0), Tissue.CORTICAL_BONE)
    torso.paint((sternum < -1.8) & (y < 0), Tissue.RIB_MARROW)

    for side in (-1, 1):
        blade, along = curve([(side * 52, 74, 0), (side * 84, 54, 0), (side * 116, 14, 0),
                              (side * 122, -22, 0)])  # fmt: skip
        crest = np.interp(along, (0, 0.45, 1), (-112, -92, -112))
        points = np.concatenate(
            [
                np.c_[
                    blade[:, 0] - side * (crest - level) * 0.10,
                    blade[:, 1],
                    np.full(len(blade), level),
                ][crest >= level]
                for level in np.arange(-136, -90, 2.0)
            ]
        )
        pelvis = canvas.tube(points, 5.0) + 0.8 * canvas.noise(14)
        torso.paint(pelvis < 0, Tissue.CORTICAL_BONE)
        torso.paint(pelvis < -2.2, Tissue.TRABECULAR_BONE)
        iliacus = canvas.tube(points[::3] - np.array([side * 9, 3, 4]), 8) + canvas.noise(20)
        torso.paint(iliacus < 0, Tissue.MUSCLE, over=SOFT_SPACE)
        gluteus = canvas.tube(points[::3] + np.array([side * 9, 4, -6]), 9) + canvas.noise(20)
        torso.paint(gluteus < 0, Tissue.MUSCLE, over=(Tissue.FAT,))


def _table(torso: Torso) -> None:
    """Paint the table top: a thin carbon shell around foam, slightly hollow."""
    x, y = torso.canvas.x, torso.canvas.y
    top = 112 - x**2 / 1500
    depth = y - top
    width = np.abs(x) < 170
    inside = width & (depth > 0) & (depth < 26)
    is_empty = torso.tissue == Tissue.AIR
    torso.paint(inside & is_empty, Tissue.TABLE_FOAM)
    shell = (depth < 2.4) | (depth > 23.6) | (np.abs(x) > 167)
    torso.paint(inside & shell & is_empty, Tissue.TABLE_SHELL)
