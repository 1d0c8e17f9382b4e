"""What a person can send along with a question: versions and the device, nothing of a patient."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from PySide6.QtCore import qVersion
from PySide6.QtGui import QGuiApplication

from app import __version__
from app.session import Session

_PACKAGES = ("numpy", "SimpleITK", "pydicom", "openvino", "torch", "PySide6-Essentials")


def diagnostics(session: Session) -> str:
    """Return versions, device and the kind of scan, without names, paths or pixels."""
    lines = [
        f"Maskwright {__version__}",
        f"{platform.platform()}, Python {platform.python_version()}",
        f"Qt {qVersion()} on {QGuiApplication.platformName()}",
        f"Device: {session.model_choice.device_text or 'not chosen yet'}",
        f"Model: {session.prompting.model_id}",
    ]
    lines += [f"{name} {_version(name)}" for name in _PACKAGES]
    if session.document is not None:
        volume = session.document.volume
        spacing = ", ".join(f"{s:.4g}" for s in volume.geometry.spacing_zyx)
        lines.append(
            f"Scan: {volume.modality.value}, {volume.voxels.shape} {volume.voxels.dtype}, "
            f"spacing {spacing} mm, read as {volume.source_orientation}"
        )
    return "\n".join(lines)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "is not installed"
