"""The command that segments whole scans without prompts: auto."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_common import (
    DeviceName,
    DeviceOption,
    JsonOption,
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
from app.core.errors import GeometryError, ReadError, UsageError
from app.core.privacy import Privacy

if TYPE_CHECKING:
    from app.core.document import Document
    from app.core.geometry import Region
    from app.core.volume import Volume
    from models.automatic.result import AutomaticResult
    from models.automatic.spec import AutomaticSpec


def auto(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", show_default=False)],
    model: Annotated[str, typer.Option("--model", metavar="ID", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="LABELS", help="Label map to write; .dcm for DICOM.",
            show_default=False,
        ),
    ],
    device: DeviceOption = DeviceName.AUTO,
    roi: Annotated[
        str | None,
        typer.Option(
            "--roi", metavar="I0,J0,K0,I1,J1,K1",
            help="Label only these voxels of the file, from the first three to below the others.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Run on a scan that the model was not made for.")
    ] = False,
    series: SeriesOption = None,
    resample: ResampleOption = False,
    privacy: PrivacyOption = Privacy.TELL,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Segment a whole scan without prompts, with a model that can.

    A scan of another modality or of another size than those that the model was made for is
    refused; --force runs it all the same.
    """
    from app.io.reader import read_volume
    from app.memory import peak_rss_mb
    from models.automatic.checks import doubts

    began = time.perf_counter()
    check_output(out, (image,))
    with progress("Segmenting") as ctx:
        engine = make_engine(device)
        segmenter = engine.load_automatic(model)
        volume = read_volume(
            image, series_uid=series, resample=resample, room=warn_if_tight, ctx=ctx
        )
        read_at = time.perf_counter()
        region = None if roi is None else parse_roi(roi, volume)
        sentences = doubts(volume, segmenter.spec, region)
        if sentences and not force:
            raise ReadError(f"{' '.join(sentences)} Use --force to run it all the same.")
        result = segmenter.segment(volume, ctx, roi=region)
        made_at = time.perf_counter()
        document = labelled(volume, segmenter.spec, result)
        snapshot = document.snapshot(model_id=model, model_sha256=installed_models()[model].sha256)
        told = save_privately(snapshot, out, ctx, privacy)
    ended = time.perf_counter()
    by_value = {s.value: s for s in result.structures}
    names = {label.name: label.value for label in segmenter.spec.labels}
    missing = [name for name, value in names.items() if value not in by_value]
    warnings = [*volume.notes, *sentences, *told]
    if missing:
        warnings.append(f"Not found: {', '.join(missing)}.")
    for sentence in warnings:
        say(sentence)
    if not as_json:
        for structure in result.structures:
            typer.echo(
                f"{structure.name}: {structure.volume_ml:.2f} ml, confidence "
                f"{structure.confidence:.2f}"
            )
        typer.echo(f"Saved {out}")
        return
    seconds = {
        "total": ended - began,
        "load": engine.seconds_loading,
        "read": read_at - began - engine.seconds_loading,
        "encode": 0.0,
        "decode": made_at - read_at,
        "save": ended - made_at,
    }
    volumes = {n: by_value[v].volume_ml if v in by_value else 0.0 for n, v in names.items()}
    content: dict[str, Any] = {
        "image": str(image),
        "out": str(out),
        "model": model,
        "device": segmenter.device,
        "labels": names,
        "volume_ml": {name: round(ml, 6) for name, ml in volumes.items()},
        "confidence": {s.name: round(s.confidence, 4) for s in result.structures},
        "seconds": {name: round(s, 6) for name, s in seconds.items()},
        # What `segment` counts, too: an automatic network has no embeddings that are kept.
        "encodes": 0,
        "cache_hits": 0,
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "warnings": warnings,
    }
    print_json(content)


def labelled(volume: Volume, spec: AutomaticSpec, result: AutomaticResult) -> Document:
    """Return a document with the labels of a result, in the model's own values."""
    from app.core.document import Document
    from app.core.labels import LabelMap, LabelTable

    table = LabelTable()
    for label in spec.labels:
        table = table.with_added(table.new_label(label.name, label.value))
    return Document(volume, LabelMap(volume.geometry, result.labels), table)


def parse_roi(text: str, volume: Volume) -> Region:
    """Return the region of a text such as ``10,20,0,90,80,40``: voxels of the file, half-open.

    Raises
    ------
    UsageError
        It is not six whole numbers, or no block inside the scan.
    """
    from app.io.itk_bridge import from_source_region

    try:
        i0, j0, k0, i1, j1, k1 = (int(word) for word in text.split(","))
    except ValueError:
        raise UsageError(
            f"“{text}” is no region; give six whole numbers I0,J0,K0,I1,J1,K1."
        ) from None
    try:
        found = from_source_region(volume, (i0, j0, k0), (i1, j1, k1))
    except GeometryError as error:
        raise UsageError(f"“{text}” is no region of this scan: {error}") from error
    region = found.clipped_to(volume.voxels.shape)
    if region is None:
        raise UsageError(f"The region “{text}” lies outside the scan.")
    return region
