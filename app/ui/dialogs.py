"""Every question to the user, one function each, so that tests can answer in their place."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QColorDialog,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QLabel,
    QListWidget,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)

from app.session import Question, SeriesInfo
from app.ui.names import disclosure_names

_IMAGE_PATTERNS = "*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd *.dcm"
IMAGES = f"Images and workspaces ({_IMAGE_PATTERNS} *.maskwright);;All files (*)"
WORKSPACES = "Workspaces (*.maskwright)"
WEIGHTS = "Checkpoints (*.pth *.pt *.bin *.safetensors *.tar);;All files (*)"
MASKS = (
    "NIfTI (*.nii.gz *.nii);;NRRD (*.nrrd);;MetaImage (*.mha);;"
    "DICOM segmentation (*.dcm);;DICOM RT structure set (*.rtstruct.dcm)"
)
EXPORTS = "STL (*.stl);;PLY (*.ply);;OBJ (*.obj);;ITK-SNAP (*.label.txt);;JSON (*.prompts.json)"


class Unsaved(Enum):
    """What to do with work that was not saved."""

    SAVE = auto()
    DISCARD = auto()
    CANCEL = auto()


class Telling(Enum):
    """What to do about a file that would tell who the patient is."""

    LEAVE_OUT = auto()
    SAVE = auto()
    CANCEL = auto()


def _tr(text: str) -> str:
    return QCoreApplication.translate("dialogs", text)


def ask_image(parent: QWidget, folder: str) -> Path | None:
    """Return the file to open; None if the user thought better of it."""
    name, _ = QFileDialog.getOpenFileName(parent, _tr("Open image"), folder, IMAGES)
    return Path(name) if name else None


def ask_weights(parent: QWidget, folder: str) -> Path | None:
    """Return the checkpoint to import."""
    name, _ = QFileDialog.getOpenFileName(parent, _tr("Import model"), folder, WEIGHTS)
    return Path(name) if name else None


def ask_folder(parent: QWidget, folder: str) -> Path | None:
    """Return the DICOM folder to open."""
    name = QFileDialog.getExistingDirectory(parent, _tr("Open DICOM folder"), folder)
    return Path(name) if name else None


def ask_save(parent: QWidget, suggestion: Path) -> Path | None:
    """Return where to save the mask."""
    return _ask_new_file(parent, _tr("Save mask"), suggestion, MASKS)


def ask_export(parent: QWidget, suggestion: Path) -> Path | None:
    """Return where to write surfaces, prompts or the names of labels."""
    return _ask_new_file(
        parent, _tr("Export surfaces, label names or prompts"), suggestion, EXPORTS
    )


def ask_save_table(parent: QWidget, suggestion: Path) -> Path | None:
    """Return where to save a table."""
    return _ask_new_file(parent, _tr("Save table"), suggestion, _tr("Tables") + " (*.csv)")


def ask_save_report(parent: QWidget, suggestion: Path) -> Path | None:
    """Return where to save a report."""
    return _ask_new_file(parent, _tr("Export report"), suggestion, "PDF (*.pdf);;CSV (*.csv)")


def ask_save_workspace(parent: QWidget, suggestion: Path) -> Path | None:
    """Return where to keep the work from now on."""
    return _ask_new_file(parent, _tr("Save workspace as"), suggestion, WORKSPACES)


def ask_save_picture(parent: QWidget, suggestion: Path) -> Path | None:
    """Return where to save a picture of a view."""
    return _ask_new_file(parent, _tr("Save picture"), suggestion, _tr("Pictures") + " (*.png)")


def _ask_new_file(parent: QWidget, title: str, suggestion: Path, kinds: str) -> Path | None:
    """Return where to write a file, with an ending of its kind; None if it is not to be written.

    Parameters
    ----------
    kinds : str
        As Qt has them: ``Name (*.one *.other);;Name (*.third)``. A name without any of these
        endings gets the first of the kind that was chosen.
    """
    name, kind = QFileDialog.getSaveFileName(parent, title, str(suggestion), kinds)
    if not name:
        return None
    path = Path(name)
    if path.name.lower().endswith(tuple(_endings(kinds))):
        return path
    path = path.with_name(path.name + (_endings(kind) or _endings(kinds))[0])
    # The dialog asked about the name as it was typed.
    return path if not path.exists() or ask_replace(parent, path) else None


def _endings(kinds: str) -> list[str]:
    return re.findall(r"\*(\.[\w.]+)", kinds)


def ask_replace(parent: QWidget, path: Path) -> bool:
    """Return whether a file that is there already may be replaced."""
    box = QMessageBox(parent)
    box.setWindowTitle(_tr("Replace the file?"))
    box.setText(_tr("There is a file “{name}” already.").format(name=path.name))
    replace = box.addButton(_tr("Replace"), QMessageBox.ButtonRole.DestructiveRole)
    cancel = box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(cancel)
    box.exec()
    return box.clickedButton() is replace


def ask_mask(parent: QWidget, folder: str) -> Path | None:
    """Return the mask to import."""
    patterns = _tr("Masks") + f" ({_IMAGE_PATTERNS});;" + _tr("All files") + " (*)"
    name, _ = QFileDialog.getOpenFileName(parent, _tr("Import mask"), folder, patterns)
    return Path(name) if name else None


def ask_workspace(parent: QWidget, folder: str) -> Path | None:
    """Return the workspace to open."""
    name, _ = QFileDialog.getOpenFileName(parent, _tr("Open workspace"), folder, WORKSPACES)
    return Path(name) if name else None


def ask_moved_image(parent: QWidget, name: str, folder: Path) -> Path | None:
    """Return where the image of a workspace is now: a file, or a folder of DICOM files."""
    box = QMessageBox(parent)
    box.setWindowTitle(_tr("Where is the image?"))
    box.setText(
        _tr("The image of this workspace, “{name}”, is not where it was.").format(name=name)
    )
    file = box.addButton(_tr("Choose file…"), QMessageBox.ButtonRole.AcceptRole)
    dicom = box.addButton(_tr("Choose DICOM folder…"), QMessageBox.ButtonRole.AcceptRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.exec()
    if box.clickedButton() is file:
        return ask_image(parent, str(folder))
    return ask_folder(parent, str(folder)) if box.clickedButton() is dicom else None


def ask_series(parent: QWidget, series: tuple[SeriesInfo, ...]) -> SeriesInfo | None:
    """Return one of several series."""
    dialog = QDialog(parent)
    dialog.setWindowTitle(_tr("Choose a series"))
    dialog.setMinimumWidth(560)
    choices = QListWidget()
    choices.setAccessibleName(_tr("Series"))
    for info in series:
        choices.addItem(describe_series(info))
    choices.setCurrentRow(0)
    buttons = QDialogButtonBox(
        QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel
    )
    buttons.accepted.connect(dialog.accept)
    buttons.rejected.connect(dialog.reject)
    choices.itemDoubleClicked.connect(dialog.accept)
    layout = QVBoxLayout(dialog)
    heading = QLabel(series_heading(series))
    heading.setWordWrap(True)
    layout.addWidget(heading)
    layout.addWidget(choices)
    layout.addWidget(buttons)
    if dialog.exec() != QDialog.DialogCode.Accepted:
        return None
    return series[choices.currentRow()]


def series_heading(series: tuple[SeriesInfo, ...]) -> str:
    """Return what is said above the series that are offered."""
    if len(series) > 1:
        return _tr("This folder holds several series.")
    reason = series[0].reason.partition(" Export the series")[0]
    return reason + _tr(" It can be opened resampled to a regular grid; masks then lie on that.")


def describe_series(info: SeriesInfo) -> str:
    """Return one line about a series."""
    size = " × ".join(str(n) for n in info.size_xyz)
    spacing = " × ".join(f"{s:.2f}" for s in info.spacing_mm)
    return f"{info.modality}   {info.description or '-'}   {size}   {spacing} mm"


def ask_unsaved(parent: QWidget) -> Unsaved:
    """Return what to do before work is left that could not be kept on the disk."""
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Warning)
    box.setWindowTitle(_tr("Work that is not kept"))
    box.setText(_tr("Your latest work on this scan is in memory only."))
    box.setInformativeText(
        _tr("It could not be kept on the disk. Save the mask to a file elsewhere, or it is lost.")
    )
    save = box.addButton(_tr("Save mask…"), QMessageBox.ButtonRole.AcceptRole)
    discard = box.addButton(_tr("Lose it"), QMessageBox.ButtonRole.DestructiveRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(save)
    box.exec()
    clicked = box.clickedButton()
    if clicked is save:
        return Unsaved.SAVE
    return Unsaved.DISCARD if clicked is discard else Unsaved.CANCEL


def ask_telling(parent: QWidget, question: Question) -> Telling:
    """Return what to do about a file that would tell who the patient is."""
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Warning)
    box.setWindowTitle(_tr("Who the patient is"))
    box.setText(
        _tr("“{name}” would tell: {what}.").format(
            name=question.path.name, what=", ".join(disclosure_names(question.told))
        )
    )
    leave_out = None
    if question.leave_out is not None:
        box.setInformativeText(
            _tr("It can be saved without. What links it to its scan, such as UIDs, stays.")
        )
        leave_out = box.addButton(_tr("Save without"), QMessageBox.ButtonRole.AcceptRole)
    elif any(d.is_in_name for d in question.told):
        box.setInformativeText(
            _tr("The name of the file, a label or a step tells it. Rename it, or save anyway.")
        )
    save = box.addButton(_tr("Save anyway"), QMessageBox.ButtonRole.DestructiveRole)
    cancel = box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(leave_out or cancel)
    box.exec()
    clicked = box.clickedButton()
    if clicked is save:
        return Telling.SAVE
    return Telling.LEAVE_OUT if clicked is leave_out else Telling.CANCEL


def ask_colour(parent: QWidget, colour: tuple[int, int, int]) -> tuple[int, int, int] | None:
    """Return another colour for a label."""
    chosen = QColorDialog.getColor(QColor(*colour), parent)
    if not chosen.isValid():
        return None
    return chosen.red(), chosen.green(), chosen.blue()


def show_once(parent: QWidget, kind: type[QDialog], make: Callable[[], QDialog]) -> None:
    """Show a dialog beside the window until it is closed; one of its kind at a time."""
    for dialog in parent.findChildren(kind):
        dialog.activateWindow()
        return
    dialog = make()
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.show()


def show_text(parent: QWidget, title: str, text: str) -> None:
    """Show a text until it is closed."""
    box = QMessageBox(parent)
    box.setWindowTitle(title)
    box.setText(text)
    box.exec()
