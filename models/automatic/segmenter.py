"""Labels a whole scan with an automatic network. Imports neither torch nor OpenVINO."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from app.core.geometry import Region
from app.core.tasks import JobContext
from app.core.volume import Volume
from models.automatic.grid import grid_shape, region_on_grid, run_mvoxels
from models.automatic.labelling import scan_slices
from models.automatic.member import Member, mean_slices
from models.automatic.result import AutomaticResult, LabelBlock, OnBlock
from models.automatic.spec import AutomaticSpec, automatic_members, automatic_spec
from models.base import InstalledModel
from models.runtime import Device, Network

# What is done is handed on in parts of at least so many slices.
_BLOCK_SLICES = 4
# Share of the progress before the first window, and after the last one.
_BEFORE, _AFTER = 0.04, 0.04


class AutomaticSegmenter:
    """An automatic model, ready to run. Confined to the worker thread; deterministic.

    Attributes
    ----------
    spec : AutomaticSpec
        What it expects and finds; of its first network, where it has several.
    device : str
        Where and how it runs, in words.
    members : tuple of Member
        Its networks.

    Parameters
    ----------
    also : sequence of Member
        Further networks for the same labels, whose answers are averaged with the first one's.
    """

    def __init__(
        self,
        spec: AutomaticSpec,
        network: Network,
        device: str,
        batch: int = 1,
        also: Sequence[Member] = (),
    ) -> None:
        self.spec = spec
        self.device = device
        self.members = (Member(spec, network, batch), *also)

    def segment(
        self,
        volume: Volume,
        ctx: JobContext,
        *,
        roi: Region | None = None,
        is_stack: bool = False,
        on_block: OnBlock | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> AutomaticResult:
        """Return the labels of a scan.

        The scan is brought to the network's grid, the network slides over it, and probabilities
        are interpolated back and turned into labels as they arrive; then come the rules about
        components and cavities. Beside the scan this takes two bytes per voxel of it, the scan on
        the network's grid, and one tile's height of probabilities.

        Parameters
        ----------
        volume : Volume
        ctx : JobContext
        roi : Region, optional
            Inside the volume; windows that do not touch it are left out.
        is_stack : bool
            The slices are not neighbours; see `apply_rules`.
        on_block : callable, optional
            Gets slices as they are done.
        should_stop : callable
            Asked after each window; what is done then is the result.

        Raises
        ------
        Cancelled
        """
        # Imports scipy, which the window does without until something is segmented.
        from models.automatic.rules import apply_rules, structures

        began = time.perf_counter()
        spec, shape = self.spec, volume.geometry.shape_zyx
        where = roi or Region.whole(shape)
        ctx.report(0.0, "preparing the scan")
        grid = grid_shape(shape, volume.geometry.spacing_zyx, spec)
        wanted = region_on_grid(where, shape, grid)
        slices = mean_slices(self.members, volume, wanted, ctx.check)
        is_stopped = False
        channels, certainty = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        values = np.array([0, *(label.value for label in spec.labels)])
        values = values.astype(np.uint8 if values.max() < 256 else np.uint16)
        told = done = where.start_zyx[0]
        for one in scan_slices(slices, grid, shape, where):
            channels[one.index], certainty[one.index] = one.channels, one.certainty
            done = one.index + 1
            if on_block is not None and done - told >= _BLOCK_SLICES:
                on_block(LabelBlock(told, values[channels[told:done]]))
                told = done
            ctx.report(_BEFORE + (1 - _BEFORE - _AFTER) * one.fraction, f"{one.fraction:.0%}")
            if should_stop():
                is_stopped = done < where.stop_zyx[0]
                break
        if on_block is not None and done > told:
            on_block(LabelBlock(told, values[channels[told:done]]))
        del slices
        ctx.report(1 - _AFTER, "tidying up")
        voxel_ml = volume.geometry.voxel_volume_ml
        covered = None
        if done > where.start_zyx[0]:
            covered = where.with_axis(0, where.start_zyx[0], done)
            apply_rules(channels, spec, voxel_ml, is_stack=is_stack)
        found = structures(channels, certainty, spec, voxel_ml)
        del certainty
        labels = values[channels] if not np.array_equal(values, range(len(values))) else channels
        return AutomaticResult(
            labels,
            covered,
            found,
            not is_stopped,
            run_mvoxels(volume.geometry, spec, roi),
            time.perf_counter() - began,
        )


def load_segmenter(
    model: InstalledModel, device: Device, cache_dir: Path | None
) -> AutomaticSegmenter:
    """Return an installed automatic model, ready to run.

    Raises
    ------
    ModelUnavailableError, WeightsError
        See `automatic_spec` and `models.automatic.network.load_module`.
    """
    from models.automatic.network import open_network

    spec = automatic_spec(model)
    network, words, batch = open_network(model, spec, device, cache_dir)
    also = []
    for other in automatic_members(model):
        its_spec = automatic_spec(other)
        its_network, _, its_batch = open_network(other, its_spec, device, cache_dir)
        also.append(Member(its_spec, its_network, its_batch))
    return AutomaticSegmenter(spec, network, words, batch, also)
