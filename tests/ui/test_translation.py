"""Every text of the window can be translated, and every control has a name that can be read out."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QLocale, QTranslator
from PySide6.QtGui import QAccessible, QAction
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QDockWidget,
    QGraphicsView,
    QGroupBox,
    QHeaderView,
    QKeySequenceEdit,
    QLabel,
    QLineEdit,
    QMenu,
    QScrollBar,
    QWidget,
)

from app.ui import translation
from app.ui.palette import CommandPalette
from app.ui.settings_dialog import SettingsDialog
from app.ui.shortcut_dialog import ShortcutDialog
from resources.translations.extract import template, texts
from tests.conftest import REPOSITORY
from tests.ui.bench import Bench

pytestmark = pytest.mark.usefixtures("no_dialogs")

SOURCES = sorted((REPOSITORY / "app" / "ui").rglob("*.py"))
# Methods and classes whose plain texts are read by people.
SHOWN = {
    *("setText", "setToolTip", "setWindowTitle", "setPlaceholderText", "setAccessibleName"),
    *("setTitle", "setSuffix", "setPrefix", "setHeaderLabels", "setHorizontalHeaderLabels"),
    *("setInformativeText", "setIconText", "setSpecialValueText", "setStatusTip", "setWhatsThis"),
    *("addAction", "addMenu", "addItem", "addItems", "addTab", "addRow", "addButton", "addToolBar"),
    *("QLabel", "QPushButton", "QToolButton", "QCheckBox", "QRadioButton", "QAction", "QGroupBox"),
    *("QDockWidget", "QToolBar", "QTableWidgetItem", "QTreeWidgetItem", "QListWidgetItem"),
    *("Message", "ActionSpec", "information", "warning", "critical", "question", "tell"),
    *("getOpenFileName", "getSaveFileName", "getExistingDirectory", "getColor", "getText"),
}
# Units, names of things and what stands for itself in every language.
SAME_EVERYWHERE = re.compile(
    r"Maskwright|mm³?|cm[²³]?|ml|HU|px|MB|GB|PACS|CSV|PDF|DICOM|NIfTI|Ctrl|Shift|Esc|F\d+|"
    r"\{[^}]*\}|\*\.\w+|W|L|P|S|A|R|I"
)
# Ids in specs, not texts.
N_ID_ARGUMENTS = {"ActionSpec": 2}
MARK = "⟦"


def _plain_texts(path: Path) -> list[str]:
    """Return the texts that a module shows without asking for a translation."""
    found = []
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        name = call.func.id if isinstance(call.func, ast.Name) else name
        if name not in SHOWN:
            continue
        arguments = call.args[N_ID_ARGUMENTS.get(name, 0) :]
        if name == "ActionSpec":
            arguments = arguments[:1]  # what follows the text are keys and functions
        values = [*arguments, *(k.value for k in call.keywords if k.arg in ("hint", "needs"))]
        for value in values:
            found += [f"line {call.lineno}: {text!r}" for text in _literals(value)]
    return found


def _literals(node: ast.expr) -> list[str]:
    """Return literals with words in them, not those handed to a function of their own."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        rest = SAME_EVERYWHERE.sub("", node.value)
        return [node.value] if re.search(r"[^\W\d_]{2,}", rest) else []
    if isinstance(node, ast.JoinedStr):
        return [text for part in node.values for text in _literals(part)]
    if isinstance(node, ast.BinOp):
        return _literals(node.left) + _literals(node.right)
    if isinstance(node, ast.IfExp):
        return _literals(node.body) + _literals(node.orelse)
    if isinstance(node, ast.List | ast.Tuple):
        return [text for part in node.elts for text in _literals(part)]
    return []


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(REPOSITORY).as_posix())
def test_no_text_is_shown_without_asking_for_its_translation(path: Path):
    assert not _plain_texts(path)


def test_the_walk_finds_what_it_should(tmp_path):
    path = tmp_path / "panel.py"
    path.write_text(
        'a.setText("Save")\n'
        'b.setText(self.tr("Save") + f" {n} slices")\n'
        'c.setSuffix(" mm")\n'
        'ActionSpec("fit", "View", "Fit", "F", act)\n'
        'QLabel(self.tr("Fine"))\n'
    )
    found = _plain_texts(path)
    assert found == ["line 1: 'Save'", "line 2: ' slices'", "line 4: 'Fit'"]


class Marks(QTranslator):
    """Puts every text that it is asked for in brackets, and remembers it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[tuple[str, str]] = set()

    def translate(self, context: str, source: str, disambiguation=None, n: int = -1) -> str:
        if not source:
            return ""
        self.asked.add((context, source))
        return f"{MARK}{source}⟧"

    def isEmpty(self) -> bool:
        return False


@pytest.fixture
def marked(qtbot, qapp, bright_model):
    """Return a window of a language that puts everything in brackets."""
    marks = Marks()
    qapp.installTranslator(marks)
    bench = Bench(qtbot, qapp)
    bench.open()
    table = bench.window.actions_table
    for name in ("palette", "shortcuts", "settings"):
        table.run(name)
    qtbot.waitUntil(lambda: bench.window.findChild(SettingsDialog) is not None)
    yield bench.window, marks
    qapp.removeTranslator(marks)


def _shown_texts(widget: QWidget) -> list[str]:
    found = [widget.toolTip(), widget.accessibleName()]
    if isinstance(widget, QLabel | QAbstractButton):
        found.append(widget.text())
    if isinstance(widget, QGroupBox | QMenu):
        found.append(widget.title())
    if isinstance(widget, QDockWidget) or widget.isWindow():
        found.append(widget.windowTitle())
    if isinstance(widget, QLineEdit):
        found.append(widget.placeholderText())
    if isinstance(widget, QComboBox):
        found += [widget.itemText(n) for n in range(widget.count())]
    for action in widget.actions():
        found += [action.text(), action.toolTip()]
    return found


# What comes from the scan, the model or the settings, not from the window.
DATA = re.compile(r"tube|organ|lesion|Bright|test bench|.*/data/workspaces")


def test_everything_that_is_shown_is_translated(marked):
    window, _ = marked
    missing = set()
    for widget in (window, *window.findChildren(QWidget)):
        # Parts that Qt adds by itself.
        if widget.objectName().startswith("qt_") or isinstance(widget, QScrollBar):
            continue
        for text in _shown_texts(widget):
            rest = DATA.sub("", SAME_EVERYWHERE.sub("", text))
            if MARK not in text and re.search(r"[^\W\d_]{2,}", rest):
                missing.add((type(widget).__name__, text))
    assert not missing, "\n".join(map(str, sorted(missing)))


def test_everything_that_is_asked_for_is_extracted(marked):
    _, marks = marked
    extracted = {text.source for text in texts()}
    foreign = ("Q", "GraphicsScene", "ViewBox")  # of Qt and pyqtgraph
    ours = {source for context, source in marks.asked if not context.startswith(foreign)}
    assert len(ours) > 100
    assert ("privacy", "the patient's name") in {(t.context, t.source) for t in texts()}
    assert not ours - extracted, "\n".join(sorted(ours - extracted))


def test_a_translation_of_the_template_is_found_and_used(tmp_path, qapp, monkeypatch):
    release = Path(sys.executable).with_name("pyside6-lrelease")
    if not release.exists():
        pytest.skip("pyside6-lrelease is not installed")
    content = template(texts()).replace(
        '<source>Fit</source>\n        <translation type="unfinished"></translation>',
        "<source>Fit</source>\n        <translation>Einpassen</translation>",
    )
    (tmp_path / "maskwright_de.ts").write_text(content, encoding="utf-8")
    subprocess.run(
        [release, "maskwright_de.ts", "-qm", "maskwright_de.qm"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    monkeypatch.setattr(translation, "resource_path", lambda name: tmp_path)
    assert translation.install_translations(qapp, QLocale("fr")) == []
    translators = translation.install_translations(qapp, QLocale("de_AT"))
    assert QCoreApplication.translate("MainWindow", "Fit") == "Einpassen"
    for translator in translators:
        qapp.removeTranslator(translator)


# -- names that can be read out ------------------------------------------------------------------


INTERACTIVE = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QGraphicsView,
    QKeySequenceEdit,
    QLineEdit,
)


def _is_part_of_another(widget: QWidget) -> bool:
    """Return whether a widget is what another control is made of."""
    parent = widget.parentWidget()
    if widget.objectName().startswith("qt_") or isinstance(widget, QScrollBar):
        return True
    if isinstance(widget, QHeaderView):  # its sections have names, it is their table
        return True
    while parent is not None:
        if isinstance(parent, QComboBox | QAbstractSpinBox | QKeySequenceEdit | QLineEdit):
            return True
        parent = parent.parentWidget()
    return False


def test_every_control_has_a_name(bench):
    bench.open()
    for name in ("palette", "shortcuts", "settings"):
        bench.window.actions_table.run(name)
    for kind in (CommandPalette, ShortcutDialog, SettingsDialog):
        assert bench.window.findChild(kind) is not None
    nameless = set()
    for widget in bench.window.findChildren(QWidget):
        if not isinstance(widget, INTERACTIVE) or _is_part_of_another(widget):
            continue
        interface = QAccessible.queryAccessibleInterface(widget)
        name = interface.text(QAccessible.Text.Name) if interface else widget.accessibleName()
        # A sign is not a name: nobody understands "black square".
        if not re.search(r"\w", name):
            where = widget.parentWidget()
            nameless.add(
                (type(widget).__name__, widget.objectName(), type(where).__name__, widget.toolTip())
            )
    assert not nameless


def test_every_action_has_a_text(bench):
    for action in bench.window.findChildren(QAction):
        if not action.isSeparator() and action in bench.window.actions():
            assert action.text()
