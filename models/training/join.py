"""Makes one automatic model of several that find the same structures.

``python -m models.training.join FIRST OTHER...`` takes the others into the first one's entry of
the manifest, and their own entries go. With ``--id ID --title TITLE`` a new entry is made of all
of them, which stay beside it. Their answers are averaged, see `models.automatic.member`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from app.core.errors import UsageError
from models.automatic.spec import automatic_members
from models.training.manifest import read_entries, write_entries
from models.weights import installed_model


def join(
    folder: Path, first: str, others: Sequence[str], *, model_id: str = "", title: str = ""
) -> None:
    """Write the entry of several models into a folder's manifest.

    Parameters
    ----------
    folder : Path
        Holds the manifest and the weights.
    first : str
        Id of the model whose description of scan and structures is that of all.
    others : sequence of str
    model_id, title : str, optional
        Of a new entry; else the first one takes the others in.

    Raises
    ------
    UsageError
        There is no such model.
    WeightsError
        They do not find the same structures.
    """
    manifest = folder / "manifest.json"
    known = {entry["id"]: entry for entry in read_entries(manifest)}
    for name in (first, *others):
        if name not in known or known[name]["kind"] != "automatic":
            raise UsageError(f"There is no automatic model “{name}” in {manifest.name}.")
    also = [
        {key: part[key] for key in ("file", "sha256", "automatic")}
        for name in others
        for part in (known[name], *known[name].get("also", []))
    ]
    joined = {
        **known[first],
        "bytes": sum(known[name]["bytes"] for name in (first, *others)),
        "also": [*known[first].get("also", []), *also],
    }
    if model_id:
        joined |= {"id": model_id, "title": title or model_id, "card": f"{model_id}.md"}
    automatic_members(installed_model(joined, folder))  # raises where the structures differ
    entries = list(known.values())
    if model_id:
        # Before its parts: the better choice comes first.
        entries.insert(entries.index(known[first]), joined)
    else:
        entries = [joined if e["id"] == first else e for e in entries if e["id"] not in others]
    write_entries(manifest, entries)


def main() -> None:
    """Join models from the command line."""
    parser = argparse.ArgumentParser(description=join.__doc__)
    parser.add_argument("first")
    parser.add_argument("others", nargs="+")
    parser.add_argument("--id", default="")
    parser.add_argument("--title", default="")
    parser.add_argument("--out", type=Path, default=Path("resources/weights"))
    given = parser.parse_args()
    join(given.out, given.first, given.others, model_id=given.id, title=given.title)


if __name__ == "__main__":
    main()
