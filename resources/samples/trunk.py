"""The frame of the torso: body wall, lungs and heart, muscles, bones, and the table below.

Body coordinates in mm: x to the patient's left, y to the back, z to the head. z = 0 lies at the
disc between the first and the second lumbar vertebra.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resources.samples.fields import Canvas, curve, smooth_union
from resources.samples.tissue import SOFT_SPACE, Tissue, Torso

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


def paint_frame(canvas: Canvas) -> Torso:
    """Return a torso from the heart to the iliac crests, with nothing but fat in its belly."""
    torso = _body_wall(canvas)
    _back_muscles(torso)
    _lungs_and_heart(torso)
    return torso


def paint_bones(torso: Torso) -> None:
    """Paint the spine, the ribs and what is seen of the pelvis."""
    _spine(torso)
    _ribs_and_pelvis(torso)


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
    back = _ramp(z, levels, (110, 107, 105, 106, 110))
    power = np.float32(2.35)
    scaled = (
        np.abs(x / half_width) ** power + np.abs(y / np.where(y < 0, front, back)) ** power
    ) ** (1 / power)
    radius = np.sqrt(x**2 + y**2)
    depth = radius * (1 - 1 / np.maximum(scaled, 0.05)) + 2.2 * canvas.noise(70)
    # The furrow along the spine, and the navel.
    depth += 6 * np.exp(-((x / 14) ** 2)) * np.clip(y / 90, 0, 1) ** 4
    depth += 9 * np.exp(-((x / 9) ** 2) - ((z + 62) / 9) ** 2) * (y < -80)

    belly = 1 / (1 + np.exp((z - 75) / 22))  # 1 below the ribs
    aside = np.abs(x) / np.maximum(radius, 1)
    to_front = np.clip(-y / np.maximum(radius, 1), 0, 1)
    to_back = np.clip(y / np.maximum(radius, 1), 0, 1)
    fat = 8 + belly * (8 + 7 * to_front**2 + 4 * aside**4 + 5 * to_back**2)
    fat = fat + 1.6 * canvas.noise(35)
    muscle = 19 - belly * (5 + 4 * to_front**3) + 1.0 * canvas.noise(30)
    # The straight muscles thin out towards the white line and towards their outer edges.
    straight_edge = np.abs(np.abs(x) - (58 + 0.05 * z + 2 * canvas.noise(40)))
    thin = 0.6 * np.exp(-((x / 7) ** 2)) + 0.55 * np.exp(-((straight_edge / 7) ** 2))
    muscle = muscle * (1 - belly * to_front**3 * thin)
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
    torso.paint(front_wall & ((np.abs(x) < 2.5) | (straight_edge < 1.8)), Tissue.FAT)
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
        behind = y + 8 + 0.004 * (x - centre) ** 2
        height = height - np.where(behind > 0, 78 * (behind / 82) ** 2, 34 * (behind / 72) ** 2)
        domes.append(height)
    bumps = canvas.noise(45)[:1] * 3.5
    return np.maximum(*domes) + bumps


def _lungs_and_heart(torso: Torso) -> None:
    canvas = torso.canvas
    x, y, z = canvas.x, canvas.y, canvas.z
    heart = canvas.ellipsoid((24, -31, 166), (59, 44, 51), (0, 24, -24)) + 2 * canvas.noise(30)
    # What lies between the lungs: spine and great vessels behind, thymus fat in front.
    behind = np.sqrt(((x - 6) / 1.0) ** 2 + ((y - 40) / 0.95) ** 2) - 33
    middle = np.sqrt(((x - 4) / 0.9) ** 2 + (y / 1.6) ** 2) - 34 + 1.5 * canvas.noise(30)
    before = np.sqrt((x / 0.55) ** 2 + ((y + 80) / 1.2) ** 2) - 26
    between = smooth_union(
        smooth_union(behind, middle, 14), smooth_union(heart - 5, before, 14), 10
    )
    lung = np.maximum(torso.wall + 2, -(between + 1.2 * canvas.noise(22)))
    lung = np.maximum(lung, torso.diaphragm - z + 2)
    torso.paint((lung < 0) & (z > 20), Tissue.LUNG, over=SOFT_SPACE)
    # The muscle sheet of the diaphragm, between lung and belly.
    sheet = (np.abs(z - torso.diaphragm) < 2.4) & (torso.wall < 0) & (between > 2)
    torso.paint(sheet, Tissue.MUSCLE)

    for side in (-1, 1):
        for turn in np.arange(0, 360, 45) + canvas.rng.uniform(-15, 15, 8):
            around = np.cos(np.radians(turn)), np.sin(np.radians(turn))
            path, radii = canvas.tree(
                (side * 42 + 6, 6 + 8 * around[0], 186 + 10 * around[1]),
                (side * canvas.rng.uniform(0.4, 1), around[0], around[1] - 0.5),
                4.6,
                n_levels=9,
                spread=0.75,
            )
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
    wall_space = (Tissue.VISCERAL_FAT, Tissue.MUSCLE)
    behind = spine_y(z)
    # What is left behind the spine belongs to the back, not to chest or belly.
    between = np.maximum(np.abs(x) - 30, behind + 20 - y) + canvas.noise(20)
    torso.paint(between < 0, Tissue.MUSCLE, over=SOFT_SPACE)
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
        torso.paint_muscle(long_muscle, wall_space)
        streaks = canvas.ridges(11, 0.06) > 0.6
        torso.paint(
            (long_muscle < -2) & streaks & (canvas.noise(30) > 0.5),
            Tissue.FAT,
            over=(Tissue.MUSCLE,),
        )

        width = _ramp(z, (-140, -90, -30, 25, 40), (24, 21, 15, 8, 2))
        psoas = (
            np.sqrt(
                ((x - side * _ramp(z, (-140, -60, 30), (52, 42, 30))) / width) ** 2
                + ((y - behind - _ramp(z, (-140, -60, 30), (-14, 2, 6))) / (width * 0.95)) ** 2
            )
            - 1
        ) * width + 1.2 * canvas.noise(26)
        torso.paint_muscle(np.maximum(psoas, z - 38), SOFT_SPACE)

        square = canvas.ellipsoid((side * 68, 50, -50), (22, 8, 72), (0, 0, side * -14))
        torso.paint_muscle(square + canvas.noise(22), wall_space)
        crus = canvas.ellipsoid((side * 13, 12, 45), (9, 16, 50), (12, 0, 0))
        torso.paint(crus < 0, Tissue.MUSCLE, over=SOFT_SPACE)


def _spine(torso: Torso) -> None:
    canvas = torso.canvas
    x, y, z = canvas.x - 2.5 * np.sin(canvas.z / 70), canvas.y, canvas.z
    centre = spine_y(z)
    size = _ramp(z, (-130, -30, 60, 220), (1.08, 1.0, 0.88, 0.68))
    waist: np.ndarray = np.zeros(z.shape, np.float32)
    gap: np.ndarray = np.full(z.shape, 100.0, np.float32)  # height above the nearest endplate
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
    torso.paint(body < 0, Tissue.DISC)
    vertebra = np.maximum(body - 0.8, gap)
    torso.paint(vertebra < 0, Tissue.CORTICAL_BONE)
    torso.paint(vertebra < -1.5, Tissue.TRABECULAR_BONE)

    canal_y = centre + 13.5 * size + 8.5
    canal = np.sqrt((x / 1.2) ** 2 + (y - canal_y) ** 2) - 7.8
    # The arch: pedicles, laminae, transverse and spinous processes, once per vertebra.
    arch: np.ndarray = np.full(canvas.shape_zyx, 1000, np.float32)
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
    torso.paint(arch < -1.6, Tissue.TRABECULAR_BONE)
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
        drop = 100 * np.clip(turn / 0.72, 0, 1) ** 1.15
        rise = 125 * np.clip(turn - 0.72, 0, 1) ** 1.1
        height = leaves - drop + rise + 2
        rib = np.sqrt((shell / 3.9) ** 2 + ((z - height) / 5.9) ** 2) - 1
        rib = rib * 3.9 + 0.35 * marrow_room
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


def paint_table(torso: Torso) -> None:
    """Paint the table top: a thin carbon shell around foam, slightly hollow."""
    x, y = torso.canvas.x, torso.canvas.y
    top = 111 - x**2 / 1500
    depth = y - top
    width = np.abs(x) < 170
    inside = width & (depth > 0) & (depth < 26)
    is_empty = torso.tissue == Tissue.AIR
    torso.paint(inside & is_empty, Tissue.TABLE_FOAM)
    shell = (depth < 4.2) | (depth > 21.8) | (np.abs(x) > 167)
    torso.paint(inside & shell & is_empty, Tissue.TABLE_SHELL)
