"""A network with what it expects of a scan, and the mean of the answers of several.

Networks that learnt apart err apart: the mean of their probabilities is better than each
(Isensee et al., Nature Methods 2021, use it in nnU-Net). They may work on different grids. Imports
neither torch nor OpenVINO.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from app.core.geometry import Region, Triple
from app.core.volume import Volume
from models.automatic.grid import grid_shape, line, prepared, region_on_grid
from models.automatic.labelling import between_slices
from models.automatic.spec import AutomaticSpec
from models.automatic.windows import GridSlice, slide
from models.runtime import Network


@dataclass(frozen=True, eq=False)
class Member:
    """One network of an automatic model.

    Attributes
    ----------
    spec : AutomaticSpec
    network : Network
    batch : int
        How many tiles it gets at once.
    """

    spec: AutomaticSpec
    network: Network
    batch: int = 1

    def slices(
        self, volume: Volume, wanted: Region, check: Callable[[], None]
    ) -> Iterator[GridSlice]:
        """Yield the slices of a scan on this network's grid with the probability of each class.

        Parameters
        ----------
        volume : Volume
        wanted : Region
            Of the network's grid.
        check : callable
            Raises where nobody waits for the answer any more.
        """
        spec = self.spec

        def predict(tiles: np.ndarray) -> np.ndarray:
            inputs = tiles if spec.is_volumetric else tiles[:, :, 0]
            (logits,) = self.network(inputs, check=check)
            if spec.mirror_pairs is not None:
                (mirrored,) = self.network(inputs[..., ::-1].copy(), check=check)
                logits = (logits + mirrored[:, spec.mirrored_channels()][..., ::-1]) / 2
            return logits if spec.is_volumetric else logits[:, :, None]

        image = prepared(volume.voxels, volume.geometry.spacing_zyx, spec)
        n_classes = 1 + len(spec.labels)
        return slide(image, spec.tile_zyx, n_classes, predict, batch=self.batch, wanted=wanted)


def mean_slices(
    members: Sequence[Member], volume: Volume, wanted: Region, check: Callable[[], None]
) -> Iterator[GridSlice]:
    """Yield slices on the first member's grid with the mean probability of all members.

    Parameters
    ----------
    members : sequence of Member
        One or more, with the same labels in the same order.
    volume, check
        See `Member.slices`.
    wanted : Region
        Of the first member's grid.
    """
    shape, spacing = volume.geometry.shape_zyx, volume.geometry.spacing_zyx
    first, *others = members
    grid = grid_shape(shape, spacing, first.spec)
    if not others:
        yield from first.slices(volume, wanted, check)
        return
    answers = [first.slices(volume, wanted, check)]
    for other in others:
        own = grid_shape(shape, spacing, other.spec)
        there = region_on_grid(wanted, grid, own)
        answers.append(_regridded(other.slices(volume, there, check), own, grid, wanted))
    for together in zip(*answers, strict=True):
        total = sum(one.probability for one in together[1:])
        mean = (together[0].probability + total) / np.float32(len(together))
        fraction = sum(one.fraction for one in together) / len(together)
        yield GridSlice(together[0].index, mean, fraction)


def _regridded(
    slices: Iterator[GridSlice], own: Triple, grid: Triple, wanted: Region
) -> Iterator[GridSlice]:
    """Yield slices of one grid on another one over the same space, those of a region of it."""
    if own == grid:
        yield from slices
        return
    across = line(own[0], grid[0]).part(wanted.start_zyx[0], wanted.stop_zyx[0])
    rows, columns = line(own[1], grid[1]), line(own[2], grid[2])
    for one in between_slices(slices, across):
        fine = columns.apply(rows.apply(one.probability, 1), 2)
        yield GridSlice(wanted.start_zyx[0] + one.index, fine, one.fraction)
