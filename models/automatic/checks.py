"""Whether a scan looks like what an automatic model was made for: sentences, no decisions."""

from __future__ import annotations

from app.core.geometry import Region
from app.core.volume import Modality, Volume
from models.automatic.spec import AutomaticSpec

# A side may be so many times shorter or longer than any scan of the training.
_TOLERANCE = 1.5
_SIDES = ("from feet to head", "from front to back", "from right to left")


def doubts(volume: Volume, spec: AutomaticSpec, roi: Region | None = None) -> tuple[str, ...]:
    """Return sentences about what does not fit; empty if nothing is wrong.

    Modality and field of view are looked at. What part of the body a scan shows cannot be read
    off its voxels, so the sentences name the part that the model was made for.

    Parameters
    ----------
    volume : Volume
    spec : AutomaticSpec
    roi : Region, optional
        What is looked at instead of the whole scan; a part of a scan may be of any size below.
    """
    sentences = []
    what = (
        f"{spec.modality.value} of the {spec.body_part}" if spec.body_part else spec.modality.value
    )
    if Modality.OTHER not in (volume.modality, spec.modality):
        if volume.modality is not spec.modality:
            sentences.append(
                f"This looks like {_with_article(volume.modality.value)} scan; the model was made "
                f"for {what}."
            )
    elif volume.modality is not spec.modality:
        sentences.append(f"It is not known what made this scan; the model was made for {what}.")
    sentences += _size_doubts(volume, spec, roi, what)
    return tuple(sentences)


def _size_doubts(volume: Volume, spec: AutomaticSpec, roi: Region | None, what: str) -> list[str]:
    shape = volume.geometry.shape_zyx if roi is None else roi.shape_zyx
    sides = [n * mm for n, mm in zip(shape, volume.geometry.spacing_zyx, strict=True)]
    found = []
    for side, limits, words in zip(sides, spec.extent_mm, _SIDES, strict=False):
        low, high = limits
        is_short = side < low / _TOLERANCE and roi is None
        if is_short or side > high * _TOLERANCE:
            found.append(
                f"{'The scan' if roi is None else 'The region'} measures {side:.0f} mm {words}; "
                f"the model was made for {what}, {low:.0f} to {high:.0f} mm."
            )
    return found


def _with_article(modality: str) -> str:
    return f"an {modality}" if modality.startswith("M") else f"a {modality}"
