"""Mesh files, read back by their published layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.core.document import Document, Snapshot
from app.core.errors import ExportError
from app.core.labels import LabelInfo, LabelMap, LabelTable
from app.core.surface import surface_of
from app.core.tasks import NullContext
from app.exporters import EXPORTERS
from tests.phantoms import torso_like


@pytest.fixture
def snapshot() -> Snapshot:
    volume = torso_like()
    labels = np.zeros(volume.voxels.shape, np.uint8)
    labels[volume.voxels == 150] = 3
    labels[0:2, 0:3, 0:4] = 9
    table = LabelTable((LabelInfo(3, "left  lung", (10, 20, 30)), LabelInfo(4, "none", (0, 0, 0))))
    return Document(volume, LabelMap(volume.geometry, labels), table).snapshot()


def expected(snapshot: Snapshot) -> np.ndarray:
    """Return all triangles (n, 3 corners, 3) in the order of the labels."""
    labels, geometry = snapshot.labelmap.voxels, snapshot.volume.geometry
    surfaces = [surface_of(labels == i, geometry) for i in (3, 9)]
    return np.concatenate([s.vertices_lps[s.triangles] for s in surfaces])


def export(snapshot: Snapshot, path: Path) -> bytes:
    EXPORTERS.load()["mesh"].export(snapshot, path, NullContext())
    return path.read_bytes()


def test_stl(tmp_path: Path, snapshot: Snapshot):
    content = export(snapshot, tmp_path / "m.stl")
    triangles = expected(snapshot)
    assert int.from_bytes(content[80:84], "little") == len(triangles)
    assert len(content) == 84 + 50 * len(triangles)
    assert not content.startswith(b"solid")
    floats = np.frombuffer(content[84:], np.uint8).reshape(-1, 50)[:, :48].copy().view("<f4")
    assert np.allclose(floats[:, 3:].reshape(-1, 3, 3), triangles, atol=1e-4)
    edges = triangles[:, 1:] - triangles[:, :1]
    assert (np.einsum("ij,ij->i", np.cross(edges[:, 0], edges[:, 1]), floats[:, :3]) >= 0).all()


def test_ply(tmp_path: Path, snapshot: Snapshot):
    header, _, body = export(snapshot, tmp_path / "m.ply").partition(b"end_header\n")
    counts = [int(w.split()[2]) for w in header.decode().splitlines() if w.startswith("element")]
    vertices = np.frombuffer(body[: 15 * counts[0]], np.uint8).reshape(-1, 15)
    places = vertices[:, :12].copy().view("<f4")
    faces = np.frombuffer(body[15 * counts[0] :], np.uint8).reshape(counts[1], 13)
    corners = faces[:, 1:].copy().view("<i4")
    assert (faces[:, 0] == 3).all()
    assert np.allclose(places[corners], expected(snapshot), atol=1e-4)
    assert {tuple(c) for c in vertices[:, 12:].tolist()} == {(10, 20, 30), (200, 200, 200)}


def test_obj(tmp_path: Path, snapshot: Snapshot):
    lines = [line.split() for line in export(snapshot, tmp_path / "m.obj").decode().splitlines()]
    vertices = np.array([line[1:] for line in lines if line[0] == "v"], float)
    faces = np.array([line[1:] for line in lines if line[0] == "f"], int) - 1
    assert np.allclose(vertices[faces], expected(snapshot), atol=1e-3)
    assert [line[1] for line in lines if line[0] == "o"] == ["left_lung", "Label_9"]


@pytest.mark.parametrize(
    ("suffix", "module", "reader"),
    [
        (".stl", "vtkIOGeometry", "vtkSTLReader"),
        (".ply", "vtkIOPLY", "vtkPLYReader"),
        (".obj", "vtkIOGeometry", "vtkOBJReader"),
    ],
)
def test_vtk_reads_every_surface_where_it_lies(tmp_path, snapshot, suffix, module, reader):
    export(snapshot, tmp_path / f"a{suffix}")
    source = getattr(pytest.importorskip(f"vtkmodules.{module}"), reader)()
    source.SetFileName(str(tmp_path / f"a{suffix}"))
    source.Update()
    surface = source.GetOutput()
    corners = expected(snapshot)
    assert surface.GetNumberOfCells() == len(corners)
    low, high = corners.min((0, 1)), corners.max((0, 1))
    bounds = np.array(surface.GetBounds()).reshape(3, 2)
    np.testing.assert_allclose(bounds[:, 0], low, atol=1e-3)
    np.testing.assert_allclose(bounds[:, 1], high, atol=1e-3)


def test_nothing_to_export(tmp_path: Path):
    volume = torso_like()
    with pytest.raises(ExportError, match="no voxel has a label"):
        export(Document(volume).snapshot(), tmp_path / "m.stl")
    assert list(tmp_path.iterdir()) == []
