"""Commands about images: info, convert, segment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_common import (
    DeviceName,
    DeviceOption,
    JsonOption,
    ModelOption,
    PrivacyOption,
    ResampleOption,
    SeriesOption,
    check_output,
    installed_models,
    make_engine,
    print_json,
    progress,
    save_privately,
    say,
    warn_if_tight,
)
from app.core.privacy import Privacy

if TYPE_CHECKING:
    from app.io.dicom_series import SeriesInfo
    from app.segmenting import Segmentation

ImageArgument = Annotated[
    Path, typer.Argument(metavar="IMAGE", help="File or DICOM folder.", show_default=False)
]


def info(
    path: Annotated[Path, typer.Argument(help="File or DICOM folder.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Say what a file or folder holds, without reading voxels."""
    from app.io.reader import scan

    with progress("Looking") as ctx:
        found = scan(path, ctx=ctx)
    if as_json:
        print_json({"path": str(path), "series": [_series_json(s) for s in found]})
        return
    for series in found:
        typer.echo(_series_text(series))


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="Image or label map.", show_default=False)
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="File to write.", show_default=False)
    ],
    series: SeriesOption = None,
    resample: ResampleOption = False,
) -> None:
    """Write an image or a label map in another format, on the same grid."""
    from app.io.label_sidecar import read_sidecar, sidecar_path
    from app.io.reader import as_labels, read_volume
    from app.io.writer import write_volume

    check_output(target, (source,))
    names = sidecar_path(source)
    has_names = names.is_file() and not source.is_dir()
    with progress("Converting") as ctx:
        volume = read_volume(
            source, series_uid=series, resample=resample, room=warn_if_tight, ctx=ctx
        )
        if has_names:
            from app.core.document import Document
            from app.core.labels import LabelMap
            from app.exporting import exporter_for

            labels = LabelMap(volume.geometry, as_labels(volume.voxels))
            document = Document(volume, labels, read_sidecar(names))
            exporter_for(target).export(document.snapshot(), target, ctx)
        else:
            write_volume(target, volume, ctx)
    for note in volume.notes:
        say(note)
    typer.echo(f"Saved {target}")


def segment(
    image: ImageArgument,
    prompts: Annotated[
        Path, typer.Option("--prompts", metavar="P.json", help="Prompts file.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="MASK", help="Label map: .nii.gz, .nii, .nrrd, .mha; .dcm for DICOM.",
            show_default=False,
        ),
    ],
    model: ModelOption = None,
    device: DeviceOption = DeviceName.AUTO,
    series: SeriesOption = None,
    resample: ResampleOption = False,
    privacy: PrivacyOption = Privacy.TELL,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Make masks from prompts."""
    from app import __version__
    from app.exporting import prompts_path_beside
    from app.io.prompts_file import read_prompts
    from app.io.reader import read_volume
    from app.memory import peak_rss_mb
    from app.segmenting import segment_prompts

    began = time.perf_counter()
    check_output(out, (image, prompts))
    with progress("Segmenting") as ctx:
        volume = read_volume(
            image, series_uid=series, resample=resample, room=warn_if_tight, ctx=ctx
        )
        asked = read_prompts(prompts, volume)
        models = installed_models()
        engine = make_engine(device)
        read_at = time.perf_counter()
        done = segment_prompts(engine, volume, asked, model_id=model, models=models, ctx=ctx)
        made_at = time.perf_counter()
        installed = models.get(done.model_id)
        snapshot = done.document.snapshot(
            model_id=done.model_id,
            model_sha256=installed.sha256 if installed else "",
            window=done.window,
            app_version=__version__,
        )
        prompts_out = prompts_path_beside(out)
        if prompts_out.exists() and prompts_out.samefile(prompts):
            # Made again from the prompts beside it: they stay as they are.
            snapshot = replace(snapshot, prompts=())
        told = save_privately(snapshot, out, ctx, privacy)
    ended = time.perf_counter()
    warnings = [*volume.notes, *asked.warnings, *done.warnings, *told]
    for sentence in warnings:
        say(sentence)
    if not as_json:
        for name, ml in done.volumes_ml.items():
            typer.echo(f"{name}: {ml:.2f} ml")
        typer.echo(f"Saved {out}")
        return
    cache = engine.cache
    print_json(
        {
            "image": str(image),
            "out": str(out),
            "prompts": str(prompts_out),
            "model": done.model_id,
            "device": done.device,
            "labels": done.label_values,
            "volume_ml": _rounded(done.volumes_ml),
            "scores": _scores_json(done),
            "seconds": _rounded(
                {
                    "total": ended - began,
                    "read": read_at - began,
                    **done.seconds,
                    "save": ended - made_at,
                }
            ),
            "encodes": cache.n_computed,
            "cache_hits": cache.n_memory_hits + cache.n_disk_hits,
            "peak_rss_mb": round(peak_rss_mb(), 1),
            "warnings": warnings,
        }
    )


def _series_json(series: SeriesInfo) -> dict[str, Any]:
    return {
        "uid": series.uid,
        "description": series.description,
        "modality": series.modality,
        "size": list(series.size_xyz),
        "spacing_mm": [round(s, 6) for s in series.spacing_mm],
        "orientation": series.orientation,
        "transfer_syntax": series.transfer_syntax,
        "files": series.n_files,
        "warnings": list(series.warnings),
        "is_openable": series.is_openable,
        "can_resample": series.can_resample,
        "reason": series.reason,
    }


def _series_text(series: SeriesInfo) -> str:
    size = " x ".join(str(n) for n in series.size_xyz)
    # There is no one distance between slices that are unevenly spaced.
    spacing = " x ".join(f"{s:.4g}" if s else "uneven" for s in series.spacing_mm)
    lines = [
        series.description or "(no description)",
        f"  modality     {series.modality or 'not named'}",
        f"  size         {size} voxels",
        f"  spacing      {spacing} mm",
        f"  orientation  {series.orientation or 'unknown'}",
        f"  stored as    {series.transfer_syntax}, {series.n_files} file(s)",
    ]
    if series.uid:
        lines.append(f"  uid          {series.uid}")
    lines += [f"  note         {sentence}" for sentence in series.warnings]
    if not series.is_openable:
        lines.append(f"  not openable {series.reason}")
    return "\n".join(lines)


def _scores_json(done: Segmentation) -> list[dict[str, Any]]:
    """Return the model's own estimate of its Dice, the mean over the slices of each object."""
    names = {value: name for name, value in done.label_values.items()}
    label_of = {p.object_id: names[p.label_id] for p in done.document.prompts}
    return [
        {
            "object": n,
            "label": label_of[n],
            "score": round(sum(by_slice.values()) / len(by_slice), 4),
        }
        for n, by_slice in done.scores.items()
        if by_slice
    ]


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in values.items()}
