"""The organs of the belly, their vessels, and the bowel. Coordinates as in `trunk`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resources.samples.fields import Point, curve, smooth_cut, smooth_union
from resources.samples.tissue import BODY_SPACE, SOFT_SPACE, Tissue, Torso


def paint_organs(torso: Torso) -> None:
    """Paint everything that lies in the belly, the large and firm before what fills the gaps."""
    _kidneys(torso)
    _liver(torso)
    _spleen(torso)
    _stomach(torso)
    _great_vessels(torso)
    _pancreas(torso)
    _colon(torso)
    _small_bowel(torso)
    _mesentery(torso)


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
            (cx - side * 9, cy - 4, cz), (11, 6, 25), (-9, side * 13, side * 24)
        )
        sinus = sinus + 1.6 * canvas.noise(13)
        # Pyramids: columns of cortex run between them down to the sinus.
        columns = np.abs(canvas.noise(13)) < 0.28
        torso.paint((kidney < -5.5) & ~columns, Tissue.MEDULLA, over=(Tissue.CORTEX,))
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
    spleen = canvas.ellipsoid((104, 36, 64), (36, 50, 53), (18, 0, -28))
    hollow = canvas.ellipsoid((56, 10, 74), (27, 34, 58))
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
    torso.paint((stomach < 0) & (canvas.z > -40), Tissue.STOMACH_WALL, (*SOFT_SPACE, Tissue.MUSCLE))
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
            for z in np.arange(-150, -10, 23)
            for row, y in enumerate(np.arange(-74, 30, 23))
            for column, x in enumerate(np.arange(-86, 98, 25))
        ],
        float,
    )
    lattice += canvas.rng.normal(0, 3.5, lattice.shape)
    left = list(range(len(lattice)))
    while left:
        walk = [left.pop(0)]
        for _ in range(int(canvas.rng.integers(6, 16))):
            away = [np.linalg.norm(lattice[i] - lattice[walk[-1]]) for i in left]
            near = [i for i, d in zip(left, away, strict=True) if d < 38]
            if not near:
                break
            walk.append(near[int(canvas.rng.integers(min(3, len(near))))])
            left.remove(walk[-1])
        if len(walk) < 3:
            continue
        path, _ = curve([tuple(lattice[i]) for i in walk])
        radii = canvas.rng.uniform(8, 13) * np.ones(len(path))
        _bowel(torso, path, radii, wall_mm=canvas.rng.uniform(2.2, 4), filling="fluid")


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
