"""The scene in VTK: surfaces, slices, the rendered scan. The only module that imports VTK.

Used in a process of its own (`server.py`). Everything is in LPS millimetres.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Importing these two makes the classes of the others draw with OpenGL.
import vtkmodules.vtkRenderingOpenGL2
import vtkmodules.vtkRenderingVolumeOpenGL2  # noqa: F401
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonCore import mutable, vtkPoints, vtkUnsignedCharArray
from vtkmodules.vtkCommonDataModel import (
    vtkCellArray,
    vtkImageData,
    vtkPiecewiseFunction,
    vtkPolyData,
    vtkStaticCellLocator,
)
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkFiltersCore import (
    vtkFlyingEdges3D,
    vtkPolyDataNormals,
    vtkQuadricClustering,
    vtkWindowedSincPolyDataFilter,
)
from vtkmodules.vtkRenderingCore import (
    vtkActor,
    vtkColorTransferFunction,
    vtkPolyDataMapper,
    vtkRenderer,
    vtkRenderWindow,
    vtkTexture,
    vtkVolume,
)
from vtkmodules.vtkRenderingVolume import vtkFixedPointVolumeRayCastMapper, vtkVolumeMapper
from vtkmodules.vtkRenderingVolumeOpenGL2 import vtkOpenGLGPUVolumeRayCastMapper

from app.view3d.camera import VIEW_ANGLE_DEG, Camera, Ray

BACKGROUND = (0.055, 0.067, 0.08)
# The filter of Taubin, Zhang and Golub ("Optimal surface smoothing as filter design", ECCV 1996):
# enough to hide the voxels' steps, too little to move the surface by a voxel.
_N_SMOOTHING, _PASS_BAND = 30, 0.012
# While the scene turns, a surface of more triangles is drawn from a coarser copy.
_MANY_TRIANGLES = 6_000
_COARSE_CELLS = 32
_SOFTWARE = ("llvmpipe", "softpipe", "swrast", "swiftshader", "gdi generic", "software")


class NoOpenGLError(RuntimeError):
    """This machine cannot draw with OpenGL 3.2."""


class _Part:
    """One label's surface, fine for still pictures and coarse for moving ones."""

    def __init__(self, mesh: vtkPolyData) -> None:
        self.mesh = mesh
        self.actor = vtkActor()
        self._fine = _mapper(mesh)
        is_large = mesh.GetNumberOfPolys() > _MANY_TRIANGLES
        self._coarse = _mapper(_coarser(mesh)) if is_large else self._fine
        self.actor.SetMapper(self._fine)
        self._locator: vtkStaticCellLocator | None = None

    def set_moving(self, is_moving: bool) -> None:
        self.actor.SetMapper(self._coarse if is_moving else self._fine)

    def hit(self, ray: Ray, reach_mm: float) -> float | None:
        """Return how far away in mm a ray meets the surface."""
        if self._locator is None:
            self._locator = vtkStaticCellLocator()
            self._locator.SetDataSet(self.mesh)
            self._locator.BuildLocator()
        share, number = mutable(0.0), mutable(0)
        met = self._locator.IntersectWithLine(
            tuple(ray.origin_lps), tuple(ray.at(reach_mm)), 0.0,
            share, [0.0] * 3, [0.0] * 3, number,
        )  # fmt: skip
        return float(share) * reach_mm if met else None


class Scene:
    """Draws off-screen. Confined to one thread.

    Attributes
    ----------
    opengl : str
        Who draws, e.g. "llvmpipe".
    is_software : bool
        No GPU helps.

    Raises
    ------
    NoOpenGLError
    """

    def __init__(self) -> None:
        self._window = vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetSize(16, 16)
        self._window.SetMultiSamples(0)
        self._renderer = vtkRenderer()
        self._renderer.SetBackground(*BACKGROUND)
        self._window.AddRenderer(self._renderer)
        self._window.Render()
        if not self._window.SupportsOpenGL():
            raise NoOpenGLError("This machine has no OpenGL 3.2.")
        self.opengl = _renderer_name(self._window.ReportCapabilities())
        self.is_software = any(word in self.opengl.lower() for word in _SOFTWARE)
        if not self.is_software:
            self._window.SetMultiSamples(4)
        self._renderer.GetActiveCamera().SetViewAngle(VIEW_ANGLE_DEG)
        self._parts: dict[int, _Part] = {}
        self._planes: dict[int, tuple[vtkActor, vtkActor]] = {}
        self._volume: vtkVolume | None = None
        self._volume_mapper: vtkVolumeMapper | None = None
        self._pixels = vtkUnsignedCharArray()

    # -- what there is -------------------------------------------------------------------------

    def clear(self) -> None:
        """Take everything out."""
        self._renderer.RemoveAllViewProps()
        self._parts.clear()
        self._planes.clear()
        self._volume = self._volume_mapper = None

    def set_surface(self, label_id: int, filled: np.ndarray, affine: np.ndarray) -> None:
        """Show where a label is.

        Parameters
        ----------
        label_id : int
        filled : (z, y, x) uint8
            255 inside, 0 outside and at the border.
        affine : (4, 4) float64
            From (z, y, x) to LPS mm.
        """
        part = _Part(surface_mesh(filled, affine))
        old = self._parts.get(label_id)
        if old is not None:
            part.actor.SetProperty(old.actor.GetProperty())
            part.actor.SetVisibility(old.actor.GetVisibility())
            self._renderer.RemoveActor(old.actor)
        else:
            look = part.actor.GetProperty()
            look.SetAmbient(0.12)
            look.SetDiffuse(0.85)
            look.SetSpecular(0.15)
            look.SetSpecularPower(20)
        self._parts[label_id] = part
        self._renderer.AddActor(part.actor)

    def drop_surface(self, label_id: int) -> None:
        """Take a label's surface out, if there is one."""
        part = self._parts.pop(label_id, None)
        if part is not None:
            self._renderer.RemoveActor(part.actor)

    def style_surface(
        self, label_id: int, colour: Sequence[float], opacity: float, is_visible: bool
    ) -> None:
        """Give a label's surface its colour (0 to 1) and opacity."""
        part = self._parts.get(label_id)
        if part is not None:
            look = part.actor.GetProperty()
            look.SetColor(*colour)
            look.SetOpacity(opacity)
            part.actor.SetVisibility(is_visible and opacity > 0)

    def set_plane(
        self, number: int, corners_lps: np.ndarray, grey: np.ndarray, colour: Sequence[float]
    ) -> None:
        """Show a slice: a grey (row, column) picture between four corners, with a coloured edge."""
        if number not in self._planes:
            self._planes[number] = (_picture_actor(), _edge_actor(colour))
            for actor in self._planes[number]:
                self._renderer.AddActor(actor)
        picture, edge = self._planes[number]
        for actor in (picture, edge):
            points = vtkPoints()
            points.SetData(numpy_to_vtk(np.ascontiguousarray(corners_lps, np.float32), deep=1))
            actor.GetMapper().GetInput().SetPoints(points)
            actor.VisibilityOn()
        picture.GetTexture().SetInputData(_image(grey[None]))

    def hide_planes(self) -> None:
        """Hide all slices."""
        for actors in self._planes.values():
            for actor in actors:
                actor.VisibilityOff()

    def set_volume(self, values: np.ndarray, affine: np.ndarray) -> None:
        """Take a (z, y, x) int16 scan for rendering; see `render_volume`."""
        mapper: vtkVolumeMapper
        if self.is_software:
            mapper = vtkFixedPointVolumeRayCastMapper()
        else:
            mapper = vtkOpenGLGPUVolumeRayCastMapper()
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        mapper.SetInputData(_image(values, spacing))
        mapper.AutoAdjustSampleDistancesOff()
        if self._volume is not None:
            self._renderer.RemoveVolume(self._volume)
        self._volume, self._volume_mapper = vtkVolume(), mapper
        self._volume.SetMapper(mapper)
        # The picture's own axes are x, y, z with their spacing; what is left is a rotation.
        placed = vtkMatrix4x4()
        for row in range(3):
            for column, axis in enumerate((2, 1, 0)):
                placed.SetElement(row, column, affine[row, axis] / spacing[axis])
            placed.SetElement(row, 3, affine[row, 3])
        self._volume.SetUserMatrix(placed)
        look = self._volume.GetProperty()
        look.SetInterpolationTypeToLinear()
        look.ShadeOn()
        look.SetAmbient(0.35)
        look.SetDiffuse(0.9)
        look.SetSpecular(0.15)
        look.SetScalarOpacityUnitDistance(1.0)
        self._volume.VisibilityOff()
        self._spacing_mm = float(spacing.min())
        self._renderer.AddVolume(self._volume)

    def render_volume(
        self, opacity: Sequence[Sequence[float]], colour: Sequence[Sequence[float]]
    ) -> None:
        """Render the scan by a transfer function (see `VolumePreset`); empty: not at all."""
        if self._volume is None:
            return
        self._volume.SetVisibility(bool(opacity))
        if not opacity:
            return
        opacities, colours = vtkPiecewiseFunction(), vtkColorTransferFunction()
        for value, share in opacity:
            opacities.AddPoint(value, share)
        for value, *rgb in colour:
            colours.AddRGBPoint(value, *rgb)
        self._volume.GetProperty().SetScalarOpacity(opacities)
        self._volume.GetProperty().SetColor(colours)

    # -- what is seen --------------------------------------------------------------------------

    def draw(self, camera: Camera, width: int, height: int, *, is_moving: bool) -> np.ndarray:
        """Return the picture (row, column, 3) uint8; coarser and quicker while it moves."""
        self._window.SetSize(width, height)
        for part in self._parts.values():
            part.set_moving(is_moving and self.is_software)
        self._set_pace(is_moving)
        eye = self._renderer.GetActiveCamera()
        eye.SetPosition(*camera.eye_lps)
        eye.SetFocalPoint(*camera.target_lps)
        eye.SetViewUp(*camera.up)
        self._renderer.ResetCameraClippingRange()
        self._window.Render()
        self._window.GetPixelData(0, 0, width - 1, height - 1, 0, self._pixels, 0)
        # OpenGL counts rows from below.
        return vtk_to_numpy(self._pixels).reshape(height, width, 3)[::-1]

    def surface_hit(self, ray: Ray, reach_mm: float) -> tuple[int, float] | None:
        """Return the label of the first visible surface on a ray, and its distance in mm."""
        hits = []
        for label_id, part in self._parts.items():
            distance = part.hit(ray, reach_mm) if part.actor.GetVisibility() else None
            if distance is not None:
                hits.append((distance, label_id))
        if not hits:
            return None
        distance, label_id = min(hits)
        return label_id, distance

    def surface_bounds(self, label_id: int) -> tuple[float, ...]:
        """Return (x0, x1, y0, y1, z0, z1) of a label's surface in LPS mm."""
        return tuple(self._parts[label_id].mesh.GetBounds())

    def _set_pace(self, is_moving: bool) -> None:
        mapper = self._volume_mapper
        if isinstance(mapper, vtkFixedPointVolumeRayCastMapper):
            mapper.SetImageSampleDistance(4 if is_moving else 1)
            mapper.SetSampleDistance(self._spacing_mm * (1.5 if is_moving else 0.5))
        elif isinstance(mapper, vtkOpenGLGPUVolumeRayCastMapper):
            mapper.SetImageSampleDistance(2 if is_moving else 1)
            mapper.SetSampleDistance(self._spacing_mm * (1 if is_moving else 0.5))


def surface_mesh(filled: np.ndarray, affine: np.ndarray) -> vtkPolyData:
    """Return the smooth surface where a block is half filled, in LPS mm, with normals."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    edges = vtkFlyingEdges3D()
    edges.SetInputData(_image(filled, spacing))
    edges.SetValue(0, 127.5)
    edges.ComputeNormalsOff()
    edges.ComputeGradientsOff()
    edges.ComputeScalarsOff()
    smooth = vtkWindowedSincPolyDataFilter()
    smooth.SetInputConnection(edges.GetOutputPort())
    smooth.SetNumberOfIterations(_N_SMOOTHING)
    smooth.SetPassBand(_PASS_BAND)
    smooth.NormalizeCoordinatesOn()
    smooth.BoundarySmoothingOff()
    smooth.FeatureEdgeSmoothingOff()
    smooth.NonManifoldSmoothingOn()
    smooth.Update()
    mesh = smooth.GetOutput()
    if mesh.GetNumberOfPoints():
        # The filters work in mm along the block's own axes x, y, z.
        xyz = vtk_to_numpy(mesh.GetPoints().GetData()).astype(np.float64)
        placed = xyz[:, ::-1] / spacing @ affine[:3, :3].T + affine[:3, 3]
        points = vtkPoints()
        points.SetData(numpy_to_vtk(placed.astype(np.float32), deep=1))
        mesh.SetPoints(points)
    return _with_normals(mesh)


def _coarser(mesh: vtkPolyData) -> vtkPolyData:
    """Return a surface of far fewer triangles that looks alike from afar."""
    fewer = vtkQuadricClustering()
    fewer.SetInputData(mesh)
    fewer.AutoAdjustNumberOfDivisionsOff()
    x0, x1, y0, y1, z0, z1 = mesh.GetBounds()
    extent = np.array([x1 - x0, y1 - y0, z1 - z0])
    n = np.maximum(1, np.rint(_COARSE_CELLS * extent / extent.max())).astype(int)
    fewer.SetNumberOfDivisions(*n.tolist())
    fewer.Update()
    return _with_normals(fewer.GetOutput())


def _with_normals(mesh: vtkPolyData) -> vtkPolyData:
    normals = vtkPolyDataNormals()
    normals.SetInputData(mesh)
    normals.SplittingOff()
    normals.ConsistencyOff()
    normals.Update()
    return normals.GetOutput()


def _mapper(mesh: vtkPolyData) -> vtkPolyDataMapper:
    mapper = vtkPolyDataMapper()
    mapper.SetInputData(mesh)
    mapper.ScalarVisibilityOff()
    return mapper


def _image(
    voxels: np.ndarray, spacing_zyx: Sequence[float] | np.ndarray = (1, 1, 1)
) -> vtkImageData:
    image = vtkImageData()
    image.SetDimensions(*reversed(voxels.shape))
    image.SetSpacing(*(float(s) for s in reversed(spacing_zyx)))
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(voxels).ravel(), deep=1))
    return image


def _picture_actor() -> vtkActor:
    mesh = vtkPolyData()
    cells = vtkCellArray()
    cells.InsertNextCell(4, (0, 1, 2, 3))
    mesh.SetPolys(cells)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)
    mesh.GetPointData().SetTCoords(numpy_to_vtk(corners, deep=1))
    texture = vtkTexture()
    texture.InterpolateOn()
    texture.EdgeClampOn()
    actor = vtkActor()
    actor.SetMapper(_mapper(mesh))
    actor.SetTexture(texture)
    actor.GetProperty().LightingOff()
    return actor


def _edge_actor(colour: Sequence[float]) -> vtkActor:
    mesh = vtkPolyData()
    cells = vtkCellArray()
    cells.InsertNextCell(5, (0, 1, 2, 3, 0))
    mesh.SetLines(cells)
    actor = vtkActor()
    actor.SetMapper(_mapper(mesh))
    actor.GetProperty().SetColor(*colour)
    actor.GetProperty().LightingOff()
    return actor


def _renderer_name(capabilities: str) -> str:
    """Return who draws, from what VTK reports of OpenGL."""
    lines = (line.partition(":") for line in capabilities.splitlines())
    found = {name.strip(): value.strip() for name, _, value in lines}
    return found.get("OpenGL renderer string", "OpenGL")
