"""The models on this machine: what they are, which is used, adding and removing them."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QMessageBox,
    QPushButton,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from app.core.errors import AppError
from app.model_choice import about
from app.session import Session
from app.ui import dialogs
from app.ui.drops import dropped_paths, is_checkpoint
from models.base import InstalledModel, ModelKind

_ID = Qt.ItemDataRole.UserRole


class ModelDialog(QDialog):
    """Lists the models beside what is known about the chosen one; files may be dropped on it."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._choice = session.model_choice
        self._session = session
        self.setWindowTitle(self.tr("Models"))
        self.setAcceptDrops(True)
        self.resize(860, 560)
        self.list = QListWidget()
        self.list.setAccessibleName(self.tr("Models"))
        self.list.setIconSize(QSize(0, 0))
        self.list.setMaximumWidth(300)
        self.list.setWordWrap(True)
        self.card = QTextBrowser()
        self.card.setAccessibleName(self.tr("About the chosen model"))
        self.use = QPushButton(self.tr("Use for prompts"))
        self.check = QPushButton(self.tr("Check files"))
        self.folder = QPushButton(self.tr("Show in folder"))
        self.remove = QPushButton(self.tr("Remove…"))
        self.add = QPushButton(self.tr("Import from a file…"))
        hint = QLabel(
            self.tr("MedSAM, LiteMedSAM, V-Net and TransUNet checkpoints can be dropped here.")
        )
        hint.setObjectName("quiet")
        hint.setWordWrap(True)
        self._lay_out(hint)

        self.list.currentItemChanged.connect(lambda *_: self._show())
        self.list.itemActivated.connect(lambda _: self._use())
        self.use.clicked.connect(self._use)
        self.check.clicked.connect(lambda: self._choice.check(self._chosen().id))
        self.folder.clicked.connect(self._open_folder)
        self.remove.clicked.connect(self._remove)
        self.add.clicked.connect(self._import)
        connection = self._choice.changed.connect(lambda _: self._fill())
        self.finished.connect(lambda _: connection())
        self._fill()

    def _lay_out(self, hint: QLabel) -> None:
        left = QVBoxLayout()
        left.addWidget(self.list, 1)
        left.addWidget(hint)
        left.addWidget(self.add)
        row = QHBoxLayout()
        row.addWidget(self.use)
        row.addStretch(1)
        for button in (self.check, self.folder, self.remove):
            row.addWidget(button)
        right = QVBoxLayout()
        right.addWidget(self.card, 1)
        right.addLayout(row)
        columns = QHBoxLayout(self)
        columns.addLayout(left)
        columns.addLayout(right, 1)

    # -- what is shown -------------------------------------------------------------------------

    def _chosen(self) -> InstalledModel:
        item = self.list.currentItem()
        return self._choice.installed[item.data(_ID)]

    def _fill(self) -> None:
        """List the models again; the chosen one stays chosen."""
        item = self.list.currentItem()
        wanted = self._session.prompting.model_id if item is None else item.data(_ID)
        models = self._choice.installed
        if wanted not in models:
            wanted = self._session.prompting.model_id
        self.list.blockSignals(True)
        self.list.clear()
        for model in models.values():
            item = QListWidgetItem(f"{model.title}\n{self._in_short(model)}")
            item.setData(_ID, model.id)
            self.list.addItem(item)
            if model.id == wanted:
                self.list.setCurrentItem(item)
        self.list.blockSignals(False)
        self._show()

    def _in_short(self, model: InstalledModel) -> str:
        words = [
            self.tr("prompts") if model.kind is ModelKind.PROMPTABLE else self.tr("automatic"),
            self.tr("imported") if model.source == "imported" else self.tr("comes with Maskwright"),
        ]
        if model.id == self._session.prompting.model_id:
            words.append(self.tr("in use"))
        return ", ".join(words)

    def _show(self) -> None:
        if self.list.currentItem() is None:
            return
        model = self._chosen()
        is_promptable = model.kind is ModelKind.PROMPTABLE
        self.card.setMarkdown(about(model))
        self.use.setVisible(is_promptable)
        self.use.setEnabled(model.id != self._session.prompting.model_id)
        self.remove.setEnabled(model.source == "imported")

    # -- what is done --------------------------------------------------------------------------

    def _use(self) -> None:
        model = self._chosen()
        if model.kind is ModelKind.PROMPTABLE and model.id != self._session.prompting.model_id:
            self._choice.choose(model.id)
            self._fill()

    def _import(self) -> None:
        path = dialogs.ask_weights(self, self._session.settings.last_folder)
        if path is not None:
            self._choice.add(path)

    def _remove(self) -> None:
        model = self._chosen()
        question = self.tr("Remove {title} and its copied file ({size} MB) from this computer?")
        asked = QMessageBox.question(
            self,
            self.tr("Remove a model"),
            question.format(title=model.title, size=round(model.n_bytes / 1e6)),
        )
        if asked is not QMessageBox.StandardButton.Yes:
            return
        try:
            self._choice.remove(model.id)
        except AppError as error:
            dialogs.show_text(self, self.windowTitle(), str(error))

    def _open_folder(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._chosen().path.parent)))

    # -- Qt ------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(is_checkpoint(path) for path in dropped_paths(event.mimeData())):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        for path in filter(is_checkpoint, dropped_paths(event.mimeData())):
            event.acceptProposedAction()
            self._choice.add(path)
