"""Imported models: copies in a folder of the user's, each with what is known about it.

``FOLDER/ID/model.json`` is an entry as in the manifest of the models that ship; the weights lie
beside it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Container
from pathlib import Path

from app.core.errors import ExportError, UsageError
from app.core.tasks import JobContext
from models.base import InstalledModel
from models.weights import installed_model, sha256_of

logger = logging.getLogger(__name__)

ENTRY = "model.json"
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def imported_models(folder: Path, shipped: Container[str] = ()) -> list[InstalledModel]:
    """Return the imported models by id; those of `refused_entries` are left out and logged."""
    found, refused = _read_entries(folder, shipped)
    for sentence in refused.values():
        logger.warning("An imported model is left out. %s", sentence)
    return found


def refused_entries(folder: Path, shipped: Container[str] = ()) -> dict[str, str]:
    """Return why imported models are left out, by the name of their folder.

    Parameters
    ----------
    folder : Path
        Of the imported models.
    shipped : container of str
        Ids of the models that ship, which no import may take.
    """
    return _read_entries(folder, shipped)[1]


def _read_entries(
    folder: Path, shipped: Container[str]
) -> tuple[list[InstalledModel], dict[str, str]]:
    found, refused = [], {}
    for path in sorted(folder.glob(f"*/{ENTRY}")):
        name = path.parent.name
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            model = installed_model(entry, path.parent, source="imported")
        except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
            logger.info("The entry of %s: %r", name, error)
            refused[name] = (
                f"The entry of the imported model in “{name}” is damaged; delete that folder and "
                "import the checkpoint again."
            )
            continue
        if model.id in shipped or model.id != name:
            refused[name] = (
                f"The imported model in “{name}” calls itself “{model.id}”: its entry was "
                "altered. Delete that folder and import the checkpoint again."
            )
            continue
        found.append(model)
    return found, refused


def import_model(
    path: Path, folder: Path, ctx: JobContext, *, model_id: str = "", taken: frozenset[str]
) -> InstalledModel:
    """Copy a published checkpoint into the user's folder; return the installed model.

    The file is loaded once, so that what is installed is known to work. Nothing is left behind if
    that fails.

    Parameters
    ----------
    path : Path
    folder : Path
        Of the imported models.
    ctx : JobContext
    model_id : str
        By default its format, with a number if that is taken.
    taken : frozenset of str
        Ids that are in use.

    Raises
    ------
    WeightsError
        See `models.published.checkpoints.load_checkpoint`.
    UsageError
        The id is taken, or has other characters than small letters, digits, - and _.
    ExportError
        The copy cannot be written.
    """
    from models.published.checkpoints import PLAIN_SAM_TITLE, is_plain_sam, load_checkpoint

    if model_id and not _ID.fullmatch(model_id):
        raise UsageError(f"“{model_id}” is no id; use small letters, digits, - and _.")
    if model_id and (model_id in taken or (folder / model_id).exists()):
        raise UsageError(f"There is a model “{model_id}” already; choose another id.")
    ctx.report(0.1, "reading")
    found, _ = load_checkpoint(path)
    ctx.report(0.6, "copying")
    # SAM was trained on slices prepared in another way, so its masks will be worse than they could.
    is_sam = found.format == "medsam_vit_b" and is_plain_sam(path.name)
    title = PLAIN_SAM_TITLE if is_sam else found.title
    chosen = model_id or _free_id(found.format, taken, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Made beside its place and then renamed: it is there whole or not at all.
        part = Path(tempfile.mkdtemp(prefix=".import-", dir=folder))
        try:
            copy = part / f"weights{path.suffix.lower()}"
            shutil.copyfile(path, copy)
            ctx.report(0.9, "hashing")
            entry: dict[str, object] = {
                "id": chosen,
                "title": title,
                "kind": found.kind.value,
                "format": found.format,
                "labels": [],
                "file": copy.name,
                "sha256": sha256_of(copy),
                "bytes": copy.stat().st_size,
                "licence": found.licence,
                "imported_from": path.name,
            }
            (part / ENTRY).write_text(json.dumps(entry, indent=1) + "\n", encoding="utf-8")
            os.replace(part, folder / chosen)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    except OSError as error:
        raise ExportError(
            f"“{path.name}” could not be copied to {folder}: {error.strerror or error}."
        ) from error
    return installed_model(entry, folder / chosen, source="imported")


def remove_model(model: InstalledModel) -> None:
    """Delete an imported model.

    Raises
    ------
    UsageError
        It ships with the program.
    ExportError
        Its files cannot be deleted.
    """
    if model.source != "imported":
        raise UsageError(f"“{model.title}” is part of the program and stays.")
    try:
        shutil.rmtree(model.path.parent)
    except OSError as error:
        raise ExportError(
            f"“{model.title}” could not be removed: {error.strerror or error}."
        ) from error


def _free_id(wanted: str, taken: frozenset[str], folder: Path) -> str:
    number, chosen = 2, wanted
    # A folder whose entry is damaged is in no list, and yet in the way.
    while chosen in taken or (folder / chosen).exists():
        chosen, number = f"{wanted}-{number}", number + 1
    return chosen
