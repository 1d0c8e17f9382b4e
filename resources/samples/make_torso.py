"""Make the sample scan: a synthetic torso CT with its truth and an example prompt.

    python -m resources.samples.make_torso [FOLDER]

No person was scanned. Tissues are painted on a grid twice as fine as the scan's, given
Hounsfield units and texture, averaged over each voxel like a scanner's aperture does, and
covered with noise of the spectrum that filtered back-projection leaves. One seed, so the same
versions of numpy and scipy write the same files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from resources.samples.fields import Canvas
from resources.samples.organs import paint_organs
from resources.samples.tissue import Tissue, Torso
from resources.samples.trunk import paint_bones, paint_frame, paint_table

SEED = 20240611
SHAPE_ZYX = (96, 128, 128)
SPACING_ZYX = (3.5, 2.8125, 2.8125)
# Body coordinates of the first voxel's centre, and where they lie in the scanner's LPS mm.
FIRST_ZYX = (-130.0, -170.0, -178.0)
LPS_OF_BODY_ZERO = (4.5, -161.5, -238.5)
FINER = 2

# Mean HU and how strongly the texture shows (HU), in a portal venous phase.
HOUNSFIELD: dict[Tissue, tuple[float, float]] = {
    Tissue.AIR: (-1000, 0),
    Tissue.SKIN: (20, 12),
    Tissue.FAT: (-108, 7),
    Tissue.MUSCLE: (58, 9),
    Tissue.VISCERAL_FAT: (-102, 9),
    Tissue.LUNG: (-862, 22),
    Tissue.LUNG_VESSEL: (60, 30),
    Tissue.HEART_MUSCLE: (105, 8),
    Tissue.HEART_BLOOD: (152, 6),
    Tissue.AORTA: (158, 4),
    Tissue.VENA_CAVA: (138, 7),
    Tissue.PORTAL_VEIN: (166, 4),
    Tissue.ARTERY: (150, 4),
    Tissue.VEIN: (140, 5),
    Tissue.LIVER: (108, 6),
    Tissue.LIVER_VESSEL: (170, 4),
    Tissue.LESION: (52, 9),
    Tissue.GALLBLADDER: (9, 3),
    Tissue.SPLEEN: (122, 5),
    Tissue.CORTEX: (172, 8),
    Tissue.MEDULLA: (136, 8),
    Tissue.RENAL_PELVIS: (14, 6),
    Tissue.CYST: (6, 2),
    Tissue.PANCREAS: (92, 12),
    Tissue.ADRENAL: (72, 5),
    Tissue.STOMACH_WALL: (78, 9),
    Tissue.STOMACH_CONTENT: (24, 16),
    Tissue.STOMACH_GAS: (-985, 4),
    Tissue.BOWEL_WALL: (84, 10),
    Tissue.BOWEL_CONTENT: (24, 14),
    Tissue.BOWEL_GAS: (-960, 20),
    Tissue.FAECES: (20, 60),
    Tissue.OESOPHAGUS: (52, 8),
    Tissue.CORTICAL_BONE: (640, 110),
    Tissue.TRABECULAR_BONE: (150, 40),
    Tissue.DISC: (88, 9),
    Tissue.CANAL: (16, 5),
    Tissue.CORD: (40, 4),
    Tissue.CARTILAGE: (115, 25),
    Tissue.AIRWAY: (-990, 4),
    Tissue.TABLE_SHELL: (40, 20),
    Tissue.TABLE_FOAM: (-930, 6),
    Tissue.RIB_MARROW: (200, 60),
}
# Values as in resources/labels/abdomen.json; from 16 on what that preset does not have.
TRUTH: tuple[tuple[int, str, tuple[int, int, int], tuple[Tissue, ...]], ...] = (
    (1, "spleen", (157, 108, 162), (Tissue.SPLEEN,)),
    (2, "right kidney", (222, 138, 76), (Tissue.CORTEX, Tissue.MEDULLA)),
    (3, "left kidney", (235, 170, 92), (Tissue.CORTEX, Tissue.MEDULLA)),
    (4, "gallbladder", (118, 178, 84), (Tissue.GALLBLADDER,)),
    (5, "oesophagus", (211, 171, 143), (Tissue.OESOPHAGUS,)),
    (6, "liver", (206, 96, 82), (Tissue.LIVER, Tissue.LIVER_VESSEL, Tissue.LESION)),
    (
        7,
        "stomach",
        (216, 132, 158),
        (Tissue.STOMACH_WALL, Tissue.STOMACH_CONTENT, Tissue.STOMACH_GAS),
    ),
    (8, "aorta", (226, 54, 54), (Tissue.AORTA,)),
    (9, "inferior vena cava", (62, 116, 206), (Tissue.VENA_CAVA,)),
    (10, "portal and splenic vein", (72, 166, 210), (Tissue.PORTAL_VEIN,)),
    (11, "pancreas", (238, 206, 112), (Tissue.PANCREAS,)),
    (16, "right lung", (140, 178, 214), (Tissue.LUNG, Tissue.LUNG_VESSEL)),
    (17, "left lung", (168, 198, 226), (Tissue.LUNG, Tissue.LUNG_VESSEL)),
    (18, "heart", (196, 74, 96), (Tissue.HEART_MUSCLE, Tissue.HEART_BLOOD)),
    (19, "spine", (226, 218, 186), (Tissue.CORTICAL_BONE, Tissue.TRABECULAR_BONE, Tissue.DISC)),
)
SIDES = {2: -1, 16: -1, 3: 1, 17: 1}  # which half of the body; x grows to the left
EXAMPLE_LABEL = "liver"
"""The organ of the example prompt."""


def make_scan() -> tuple[np.ndarray, np.ndarray]:
    """Return the scan, (z, y, x) int16 in HU, and the truth, (z, y, x) uint8."""
    rng = np.random.default_rng(SEED)
    (n_z, n_y, n_x), (d_z, d_y, d_x), (z, y, x) = SHAPE_ZYX, SPACING_ZYX, FIRST_ZYX
    # The centre of a coarse voxel is the mean of its fine ones.
    before = (1 - 1 / FINER) / 2
    canvas = Canvas(
        (n_z * FINER, n_y * FINER, n_x * FINER),
        (d_z / FINER, d_y / FINER, d_x / FINER),
        (z - before * d_z, y - before * d_y, x - before * d_x),
        rng,
    )
    torso = paint_frame(canvas)
    paint_organs(torso)
    paint_bones(torso)
    paint_table(torso)
    return scan(torso, rng), truth(torso)


def scan(torso: Torso, rng: np.random.Generator) -> np.ndarray:
    """Return what a scanner would make of a torso, (z, y, x) int16 in HU."""
    units = np.zeros(len(Tissue), np.float32)
    strength = np.zeros(len(Tissue), np.float32)
    for tissue, (mean, spread) in HOUNSFIELD.items():
        units[tissue], strength[tissue] = mean, spread
    canvas = torso.canvas
    texture = 0.6 * canvas.noise(5) + 0.6 * canvas.noise(11) + 0.5 * canvas.noise(28)
    fine = units[torso.tissue] + strength[torso.tissue] * texture
    # Blood has not reached every part of the lung's background alike; it sinks to the back.
    fine += np.where(torso.tissue == Tissue.LUNG, 0.35 * canvas.y, 0).astype(np.float32)
    blurred = ndimage.gaussian_filter(fine, [0.9 / s for s in canvas.spacing_zyx], mode="nearest")
    n_z, n_y, n_x = SHAPE_ZYX
    coarse = blurred.reshape(n_z, FINER, n_y, FINER, n_x, FINER).mean(axis=(1, 3, 5))
    noisy = coarse + _noise(coarse, rng)
    return np.clip(np.rint(noisy), -1024, 3071).astype(np.int16)


def _noise(attenuation_hu: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return noise with the spectrum of filtered back-projection: a ramp, rolled off.

    Its strength follows how much tissue the rays to a voxel have crossed, taken as a broad
    mean of the slice's attenuation.
    """
    n_z, n_y, n_x = attenuation_hu.shape
    white = rng.standard_normal((n_z, n_y, n_x))
    f_y = np.fft.fftfreq(n_y)[:, None]
    f_x = np.fft.rfftfreq(n_x)[None, :]
    frequency = np.hypot(f_y, f_x)
    spectrum = np.sqrt(frequency) * np.exp(-((frequency / 0.30) ** 2))
    shaped = np.fft.irfft2(np.fft.rfft2(white) * spectrum, s=(n_y, n_x))
    shaped = ndimage.gaussian_filter1d(shaped, 0.45, axis=0)
    shaped /= shaped.std()
    crossed = ndimage.gaussian_filter(attenuation_hu / 1000 + 1, (2, 18, 18))
    return shaped * (3.5 + 9.0 * crossed)


def truth(torso: Torso) -> np.ndarray:
    """Return label values at the scan's resolution: who fills half of a voxel or more."""
    n_z, n_y, n_x = SHAPE_ZYX
    values = np.zeros(SHAPE_ZYX, np.uint8)
    most = np.full(SHAPE_ZYX, 0.5 - 1e-6, np.float32)
    for value, _, _, tissues in TRUTH:
        inside = np.isin(torso.tissue, tissues)
        if value in SIDES:
            inside &= torso.canvas.x * SIDES[value] > 0
        if value == 19:  # bones that belong to the spine, not ribs or pelvis
            inside = inside & (np.abs(torso.canvas.x) < 42) & (torso.canvas.y > 5)
        share = inside.reshape(n_z, FINER, n_y, FINER, n_x, FINER).mean(axis=(1, 3, 5))
        better = share > most
        values[better], most[better] = value, share[better]
    return values


def example_prompt(values: np.ndarray) -> dict:
    """Return a prompts file: a box around one organ on its widest axial slice, carried through."""
    value = next(value for value, name, _, _ in TRUTH if name == EXAMPLE_LABEL)
    inside = values == value
    slices = np.flatnonzero(inside.any(axis=(1, 2)))
    widest = int(inside.sum(axis=(1, 2)).argmax())
    rows, columns = np.nonzero(inside[widest])
    margin = 2
    return {
        "version": 1,
        "prompts": [
            {
                "label": EXAMPLE_LABEL,
                "kind": "box",
                "start_ijk": [int(columns.min()) - margin, int(rows.min()) - margin, widest],
                "stop_ijk": [
                    int(columns.max()) + 1 + margin,
                    int(rows.max()) + 1 + margin,
                    widest + 1,
                ],
                "through": [int(slices[0]), int(slices[-1]) + 1],
            }
        ],
    }


def _image(voxels: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(SPACING_ZYX[::-1])
    image.SetOrigin(
        [first + zero for first, zero in zip(FIRST_ZYX[::-1], LPS_OF_BODY_ZERO, strict=True)]
    )
    return image


def write_sample(folder: Path) -> None:
    """Write torso_ct.nii.gz, torso_truth.nii.gz, its labels and torso_prompts.json."""
    voxels, values = make_scan()
    folder.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(_image(voxels), str(folder / "torso_ct.nii.gz"), True, 9)
    sitk.WriteImage(_image(values), str(folder / "torso_truth.nii.gz"), True, 9)
    labels = [
        {"value": value, "name": name, "colour": list(colour)} for value, name, colour, _ in TRUTH
    ]
    _write_json(folder / "torso_truth.labels.json", {"version": 1, "labels": labels})
    _write_json(folder / "torso_prompts.json", example_prompt(values))


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_sample(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
