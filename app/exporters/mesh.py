"""One surface for each label: STL, PLY, OBJ, in LPS mm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.core.document import Snapshot
from app.core.errors import ExportError
from app.core.labels import LabelInfo
from app.core.surface import Surface, surface_of
from app.core.tasks import JobContext
from app.exporters import EXPORTERS
from app.io.atomic import write_bytes

Part = tuple[LabelInfo, Surface]
_HEADER = "maskwright, millimetres, LPS (x to the left, y to the back, z to the head)"


@dataclass(frozen=True)
class MeshExporter:
    """Writes closed surfaces; PLY keeps colours, OBJ keeps names, STL neither."""

    id: str = "mesh"
    title: str = "Surfaces"
    suffixes: tuple[str, ...] = (".stl", ".ply", ".obj")

    def export(self, snapshot: Snapshot, path: Path, ctx: JobContext) -> None:
        """Write the surfaces of all labels that have voxels; see `Exporter.export`."""
        labels = snapshot.labelmap.voxels
        found = [int(i) for i in np.unique(labels) if i]
        if not found:
            raise ExportError(f"“{path.name}” cannot be saved: no voxel has a label yet.")
        parts: list[Part] = []
        for n, label_id in enumerate(found):
            ctx.report(n / len(found), "Making surfaces")
            info = snapshot.label_table.get(label_id)
            if info is None:
                info = LabelInfo(label_id, f"Label {label_id}", (200, 200, 200))
            surface = surface_of(labels == label_id, snapshot.labelmap.geometry)
            parts.append((info, surface))
        write_bytes(path, _FORMATS[path.suffix.lower()](parts))


def stl_bytes(parts: list[Part]) -> bytes:
    """Return a binary STL file of all parts."""
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("extra", "<u2")])
    corners = np.concatenate([s.vertices_lps[s.triangles] for _, s in parts])
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    triangles = np.zeros(len(corners), record)
    triangles["normal"] = normals / np.where(length > 0, length, 1)
    triangles["corners"] = corners
    return _HEADER.encode().ljust(80) + np.uint32(len(corners)).tobytes() + triangles.tobytes()


def ply_bytes(parts: list[Part]) -> bytes:
    """Return a binary PLY file of all parts with the labels' colours."""
    vertex = np.dtype([("place", "<f4", 3), ("colour", "u1", 3)])
    face = np.dtype([("n", "u1"), ("corners", "<i4", 3)])
    vertices = np.concatenate([_coloured(info, s, vertex) for info, s in parts])
    counts = np.cumsum([0, *(len(s.vertices_lps) for _, s in parts)])
    triangles = np.concatenate(
        [s.triangles + start for (_, s), start in zip(parts, counts, strict=False)]
    )
    faces = np.zeros(len(triangles), face)
    faces["n"], faces["corners"] = 3, triangles
    header = (
        f"ply\nformat binary_little_endian 1.0\ncomment {_HEADER}\n"
        f"element vertex {len(vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    return header.encode() + vertices.tobytes() + faces.tobytes()


def obj_bytes(parts: list[Part]) -> bytes:
    """Return an OBJ file with one named object for each label."""
    lines = [f"# {_HEADER}"]
    first = 1
    for info, surface in parts:
        lines.append(f"o {'_'.join(info.name.split())}")
        lines += [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in surface.vertices_lps.tolist()]
        lines += [f"f {a} {b} {c}" for a, b, c in (surface.triangles + first).tolist()]
        first += len(surface.vertices_lps)
    return ("\n".join(lines) + "\n").encode()


def _coloured(info: LabelInfo, surface: Surface, dtype: np.dtype) -> np.ndarray:
    vertices = np.zeros(len(surface.vertices_lps), dtype)
    vertices["place"], vertices["colour"] = surface.vertices_lps, info.colour
    return vertices


_FORMATS: dict[str, Callable[[list[Part]], bytes]] = {
    ".stl": stl_bytes,
    ".ply": ply_bytes,
    ".obj": obj_bytes,
}
EXPORTERS.register(MeshExporter())
