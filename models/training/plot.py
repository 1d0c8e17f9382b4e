"""A picture of a training log: loss, training Dice and tune Dice over time."""

from __future__ import annotations

import csv
from pathlib import Path

from PIL import Image, ImageDraw

_SIZE = (960, 420)
_MARGIN = 48
_CURVES = (("loss", (239, 83, 80)), ("dice", (66, 165, 245)), ("tune_dice", (102, 187, 106)))


def plot_log(log: Path, picture: Path) -> None:
    """Write a PNG of a ``log.csv``; values are clipped to 0..1.5."""
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    image = Image.new("RGB", _SIZE, (24, 26, 30))
    draw = ImageDraw.Draw(image)
    width, height = _SIZE[0] - 2 * _MARGIN, _SIZE[1] - 2 * _MARGIN
    longest = max((float(r["seconds"]) for r in rows), default=1.0) or 1.0
    for tenth in range(0, 16, 1):
        y = _SIZE[1] - _MARGIN - height * tenth / 15
        draw.line(((_MARGIN, y), (_SIZE[0] - _MARGIN, y)), fill=(50, 54, 60))
        if tenth % 5 == 0:
            draw.text((8, y - 6), f"{tenth / 10:.1f}", fill=(150, 155, 160))
    for i, (name, colour) in enumerate(_CURVES):
        points = [
            (
                _MARGIN + width * float(r["seconds"]) / longest,
                _SIZE[1] - _MARGIN - height * min(1.5, max(0.0, float(r[name]))) / 1.5,
            )
            for r in rows
            if r[name]
        ]
        if len(points) > 1:
            draw.line(points, fill=colour, width=2)
        draw.text((_MARGIN + 110 * i, 14), name, fill=colour)
    draw.text((_SIZE[0] - 190, _SIZE[1] - 28), f"{longest / 60:.0f} minutes", fill=(150, 155, 160))
    image.save(picture)
