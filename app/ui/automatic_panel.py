"""Automatic segmentation: what to look for and where, then what was found."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QGroupBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QScrollArea,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.automatic import AutomaticChoice
from app.automatic_found import Found
from app.automatic_region import region_round
from app.core.document import Document
from app.core.errors import AppError
from app.core.geometry import Region
from app.core.prompts import BoxPrompt
from app.session import Message, Session
from app.ui import dialogs
from app.ui.label_panel import swatch
from app.ui.names import duration

# More structures than these are scrolled.
MOST_ROWS = 7
_ROLE = Qt.ItemDataRole.UserRole
_WHOLE, _BOX = range(2)


class AutomaticPanel(QScrollArea):
    """Choose a model and structures, run, stop; jump to what was found and refine it."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.automatic = session.automatic
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._build()
        self._leave_document: Callable[[], None] = lambda: None
        session.document_changed.connect(self._on_document_changed)
        session.models_changed.connect(lambda _: self._list_models())
        session.prompting.pending_changed.connect(lambda _: self._refresh())
        self.automatic.running_changed.connect(lambda _: self._refresh())
        self.automatic.found.changed.connect(lambda _: self._list_found())
        self._list_models()
        self._on_document_changed(session.document)

    # -- what can be done ----------------------------------------------------------------------

    def run(self) -> None:
        """Look for the checked structures in the scan or in the region."""
        choice = self._choice()
        if choice is not None:
            names = frozenset(self._checked())
            self._try(lambda: self.automatic.run(choice.id, names=names, roi=self._roi()))

    def go_to_selected(self) -> None:
        """Show the structure or piece that was chosen in the list."""
        found = self._selected()
        if found is not None:
            self._try(lambda: self.automatic.found.go_to(*found))

    def refine_selected(self) -> None:
        """Turn the chosen piece into a box that can be edited."""
        found = self._selected()
        if found is not None:
            self._try(lambda: self.automatic.found.refine(*found))

    def show_card(self) -> None:
        """Show what the model was trained on and how good it is."""
        choice = self._choice()
        if choice is not None:
            path = choice.model.card
            text = path.read_text(encoding="utf-8") if path.exists() else self._about(choice)
            dialogs.show_text(self, choice.title, text)

    # -- building ------------------------------------------------------------------------------

    def _build(self) -> None:
        self.model = QComboBox()
        self.model.setAccessibleName(self.tr("Automatic model"))
        self.model.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.model.setMinimumContentsLength(18)
        self.about = QLabel()
        self.about.setObjectName("quiet")
        self.about.setWordWrap(True)
        self.card = QPushButton(self.tr("Model card"))
        self.names = QListWidget()
        self.names.setAccessibleName(self.tr("Structures to look for"))
        self.names.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.all = QPushButton(self.tr("All"))
        self.none = QPushButton(self.tr("None"))
        self.where = QComboBox()
        self.where.setAccessibleName(self.tr("Where to look"))
        self.where.addItem(self.tr("Whole scan"), _WHOLE)
        self.where.addItem(self.tr("Round the last box"), _BOX)
        self.doubts = QLabel()
        self.doubts.setObjectName("warning")
        self.doubts.setWordWrap(True)
        self.start = QPushButton()
        self.start.setProperty("accent", True)
        self.stop = QPushButton(self.tr("Stop"))
        self.stop.setToolTip(self.tr("Stop and keep nothing"))
        self.keep = QPushButton(self.tr("Stop and keep"))
        self.keep.setToolTip(self.tr("Stop and keep the slices that are done"))

        look = QGroupBox(self.tr("Automatic segmentation"))
        column = QVBoxLayout(look)
        column.setContentsMargins(0, 6, 0, 0)
        head = QHBoxLayout()
        head.addWidget(self.model, 1)
        head.addWidget(self.card)
        column.addLayout(head)
        column.addWidget(self.about)
        column.addWidget(self.names)
        row = QHBoxLayout()
        row.addWidget(self.all)
        row.addWidget(self.none)
        row.addWidget(self.where, 1)
        column.addLayout(row)
        column.addWidget(self.doubts)
        column.addWidget(self.start)
        stops = QHBoxLayout()
        stops.addWidget(self.stop)
        stops.addWidget(self.keep)
        column.addLayout(stops)

        self.found = QTreeWidget()
        self.found.setAccessibleName(self.tr("Structures found"))
        self.found.setHeaderLabels([self.tr("Structure"), self.tr("ml"), self.tr("Sure")])
        self.found.setUniformRowHeights(True)
        self.found.setMinimumHeight(190)
        header = self.found.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for section in (1, 2):
            header.setSectionResizeMode(section, QHeaderView.ResizeMode.ResizeToContents)
        self.refine = QPushButton(self.tr("Refine with a box"))
        self.refine.setToolTip(
            self.tr("Draw a box round the chosen piece; boxes and clicks then correct it")
        )
        self.results = QGroupBox(self.tr("Found"))
        below = QVBoxLayout(self.results)
        below.setContentsMargins(0, 6, 0, 0)
        below.addWidget(self.found)
        below.addWidget(self.refine)

        inside = self._inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(10, 4, 10, 8)
        layout.addWidget(look)
        layout.addWidget(self.results, 1)
        layout.addStretch()
        self.setWidget(inside)

        self.model.currentIndexChanged.connect(lambda _: self._on_model())
        self.card.clicked.connect(self.show_card)
        self.all.clicked.connect(lambda: self._check_all(Qt.CheckState.Checked))
        self.none.clicked.connect(lambda: self._check_all(Qt.CheckState.Unchecked))
        self.names.itemChanged.connect(lambda _: self._refresh())
        self.where.currentIndexChanged.connect(lambda _: self._refresh())
        self.start.clicked.connect(self.run)
        self.stop.clicked.connect(lambda: self.automatic.stop())
        self.keep.clicked.connect(lambda: self.automatic.stop(keep=True))
        self.found.itemSelectionChanged.connect(self.go_to_selected)
        self.refine.clicked.connect(self.refine_selected)

    # -- keeping up ----------------------------------------------------------------------------

    def _on_document_changed(self, document: Document | None) -> None:
        self._leave_document()
        self._leave_document = lambda: None
        if document is not None:
            self._leave_document = document.changed.connect(lambda change: self._refresh())
        self._suggest_model()
        self._list_found()
        self._refresh()

    def _list_models(self) -> None:
        chosen = self.model.currentData()
        self.model.blockSignals(True)
        self.model.clear()
        for choice in self.automatic.choices:
            self.model.addItem(choice.title, choice.id)
        at = self.model.findData(chosen)
        self.model.setCurrentIndex(max(at, 0))
        self.model.blockSignals(False)
        if at < 0:
            self._suggest_model()
        self._on_model()

    def _suggest_model(self) -> None:
        """Choose the first model that the scan looks made for, unless the present one does."""
        if self.session.document is None:
            return
        present = self._choice()
        choices = self.automatic.choices
        if present is not None and not self.automatic.doubts(present.id):
            return
        for choice in choices:
            if not self.automatic.doubts(choice.id):
                self.model.setCurrentIndex(self.model.findData(choice.id))
                return

    def _on_model(self) -> None:
        choice = self._choice()
        self.names.blockSignals(True)
        self.names.clear()
        for name in choice.names if choice is not None else ():
            item = QListWidgetItem(name[:1].upper() + name[1:])
            item.setData(_ROLE, name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked)
            self.names.addItem(item)
        self.names.blockSignals(False)
        # As high as what it holds: what was found should fit below.
        rows = min(MOST_ROWS, max(1, self.names.count()))
        self.names.setFixedHeight(rows * max(20, self.names.sizeHintForRow(0)) + 8)
        self._refresh()

    def _check_all(self, state: Qt.CheckState) -> None:
        for row in range(self.names.count()):
            self.names.item(row).setCheckState(state)

    def _refresh(self) -> None:
        choice, document = self._choice(), self.session.document
        is_running = self.automatic.is_running
        has_box = self._last_box() is not None
        item = self.where.model().item(_BOX)  # type: ignore[attr-defined]
        item.setEnabled(has_box)
        if not has_box and self.where.currentData() == _BOX:
            self.where.setCurrentIndex(_WHOLE)
        self.about.setText(self.tr("No automatic model is installed.") if choice is None else "")
        doubts: tuple[str, ...] = ()
        if choice is not None:
            self.about.setText(self._about(choice))
            if document is not None:
                doubts = self.automatic.doubts(choice.id, self._roi())
        self.doubts.setText("\n".join(doubts))
        self.doubts.setVisible(bool(doubts))
        self.start.setText(self.tr("Run anyway") if doubts else self.tr("Find structures"))
        can_run = choice is not None and document is not None and bool(self._checked())
        self.start.setEnabled(can_run)
        self.start.setVisible(not is_running)
        self.stop.setVisible(is_running)
        self.keep.setVisible(is_running)
        self.card.setEnabled(choice is not None)
        for widget in (self.model, self.names, self.where, self.all, self.none):
            widget.setEnabled(choice is not None and not is_running)

    def _about(self, choice: AutomaticChoice) -> str:
        spec = choice.spec
        about = self.tr("Finds {count} structures in {modality} of: {part}.").format(
            count=len(choice.names), modality=spec.modality.value, part=spec.body_part
        )
        if self.session.document is None:
            return about
        seconds = self.automatic.expected_seconds(choice.id, self._roi())
        if seconds is None:
            return about
        return f"{about} " + self.tr("About {time} on this machine.").format(time=duration(seconds))

    def _list_found(self) -> None:
        self.found.blockSignals(True)
        self.found.clear()
        document = self.session.document
        for found in self.automatic.found.structures if document is not None else ():
            row = QTreeWidgetItem(
                [found.name, f"{found.volume_ml:.1f}", f"{100 * found.confidence:.0f} %"]
            )
            row.setData(0, _ROLE, (found, 0))
            info = document.label_table.get(found.label_id) if document is not None else None
            if info is not None:
                row.setIcon(0, swatch(info.colour))
            for section in (1, 2):
                row.setTextAlignment(section, Qt.AlignmentFlag.AlignRight)
            pieces = found.structure.pieces
            for number, piece in enumerate(pieces if len(pieces) > 1 else (), start=1):
                text = self.tr("piece {number}").format(number=number)
                child = QTreeWidgetItem([text, f"{piece.volume_ml:.1f}", ""])
                child.setData(0, _ROLE, (found, number - 1))
                child.setTextAlignment(1, Qt.AlignmentFlag.AlignRight)
                row.addChild(child)
            self.found.addTopLevelItem(row)
        self.found.blockSignals(False)
        self.results.setVisible(self.found.topLevelItemCount() > 0)
        self.refine.setEnabled(False)
        if self.found.topLevelItemCount() > 0:
            self._inside.adjustSize()
            self.ensureWidgetVisible(self.results)

    # -- inside --------------------------------------------------------------------------------

    def _choice(self) -> AutomaticChoice | None:
        model_id = self.model.currentData()
        return next((c for c in self.automatic.choices if c.id == model_id), None)

    def _checked(self) -> list[str]:
        items = [self.names.item(row) for row in range(self.names.count())]
        return [i.data(_ROLE) for i in items if i.checkState() is Qt.CheckState.Checked]

    def _selected(self) -> tuple[Found, int] | None:
        items = self.found.selectedItems()
        self.refine.setEnabled(bool(items))
        return items[0].data(0, _ROLE) if items else None

    def _last_box(self) -> BoxPrompt | None:
        document = self.session.document
        if document is None:
            return None
        prompts = (*document.prompts, *self.session.prompting.pending)
        return next((p for p in reversed(prompts) if isinstance(p, BoxPrompt)), None)

    def _roi(self) -> Region | None:
        box, document = self._last_box(), self.session.document
        if self.where.currentData() != _BOX or box is None or document is None:
            return None
        return region_round(box, document.volume.geometry)

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except AppError as error:
            self.session.message.emit(Message(str(error), is_error=True))
