"""The import table, executed: who may import what, and what never gets loaded by the way."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

# The longest matching prefix of a file's path wins. The standard library is allowed
# everywhere, except the modules in THREADS, which have to be named.
MAY_IMPORT = {
    "app/__init__.py": set(),
    "app/core": {"app.core", "numpy"},
    "app/io": {"app.core", "app.io", "numpy", "SimpleITK", "pydicom"},
    "app/exporters": {
        "app.core",
        "app.io",
        "app.exporters",
        "app.measuring",
        "numpy",
        "SimpleITK",
        "pydicom",
        "highdicom",
    },
    "app/measuring": {"app.core", "app.evaluation", "app.measuring", "numpy", "scipy"},
    "app/exporting.py": {"app.core", "app.io", "app.exporters"},
    "app/tools": {"app.core", "app.editing", "app.tools", "app.session", "numpy"},
    "app/editing": {"app.core", "app.editing", "numpy", "scipy", "SimpleITK"},
    "app/settings.py": {"app.core", "platformdirs"},
    "app/workspace": {
        "app.core",
        "app.io",
        "app.memory",
        "app.notices",
        "app.workspace",
        "numpy",
    },
    "app/importing.py": {"app.core", "app.io", "app.notices", "numpy"},
    "app/label_presets.py": {"app.core", "app.io", "resources"},
    "app/label_editing.py": {"app.core", "app.notices", "numpy", "scipy"},
    "app/beside.py": {"app.core", "app.io", "app.notices", "numpy", "scipy"},
    "app/timings.py": set(),
    "app/automatic_labels.py": {"app.core", "models.automatic.spec", "numpy"},
    "app/automatic_region.py": {"app.core"},
    "app/automatic_found.py": {"app.core", "app.prompting", "models.automatic.result"},
    "app/automatic.py": {
        "app.automatic_found",
        "app.automatic_labels",
        "app.core",
        "app.notices",
        "app.prompt_jobs",
        "app.prompting",
        "app.timings",
        "models",
        "numpy",
    },
    "app/session.py": {
        "app",
        "app.automatic",
        "app.beside",
        "app.core",
        "app.io",
        "app.editing",
        "app.encoding",
        "app.exporting",
        "app.importing",
        "app.label_editing",
        "app.mask_editing",
        "app.measurements",
        "app.model_choice",
        "app.notices",
        "app.opening",
        "app.volume_figures",
        "app.previewing",
        "app.prompting",
        "app.recent",
        "app.review",
        "app.saving",
        "app.settings",
        "app.tuning",
        "app.view3d",
        "app.view_keeping",
        "app.timings",
        "app.workspace",
        "models",
    },
    "app/report_letters.py": {"reportlab"},
    "app/reporting.py": {
        "app.core",
        "app.io",
        "app.measuring",
        "app.report_letters",
        "numpy",
        "scipy",
        "reportlab",
        "PIL",
    },
    "app/volume_figures.py": {
        "app",
        "app.core",
        "app.io",
        "app.notices",
        "app.prompting",
        "app.reporting",
        "app.saving",
        "app.volume_range",
        "models",
    },
    "app/volume_range.py": {"app.core", "app.evaluation", "models", "numpy"},
    "app/measurements.py": {"app.core", "app.io", "app.measuring", "app.notices", "numpy"},
    "app/alternatives.py": {"app.core", "models", "numpy"},
    "app/prompting.py": {
        "app.core",
        "app.encoding",
        "app.notices",
        "app.previewing",
        "app.prompt_jobs",
        "models",
    },
    "app/prompt_jobs.py": {
        "app.alternatives",
        "app.core",
        "app.notices",
        "app.previewing",
        "models",
    },
    "app/model_choice.py": {
        "app.core",
        "app.encoding",
        "app.notices",
        "app.prompting",
        "app.settings",
        "models",
    },
    "app/opening.py": {
        "app.core",
        "app.io",
        "app.memory",
        "app.notices",
        "app.workspace",
        "models",
    },
    "app/confidence.py": {"app.core", "models", "numpy"},
    "app/review.py": {"app.confidence", "app.core", "models", "numpy"},
    "app/recent.py": {"app.core", "app.notices", "app.settings", "numpy"},
    "app/tuning.py": {"app.core", "app.notices", "app.settings", "models"},
    "app/encoding.py": {"app.core", "app.notices", "models"},
    "app/previewing.py": {"app.core", "models", "numpy"},
    "app/mask_editing.py": {"app.core", "app.editing", "app.notices"},
    "app/notices.py": {"app.core", "numpy"},
    "app/view_keeping.py": {"app.core", "app.prompting", "app.review", "app.workspace"},
    "app/view3d": {"app.core", "app.notices", "app.view3d", "numpy", "resources"},
    # In a process of its own: see `test_vtk_is_never_loaded_into_the_program`.
    "app/view3d/scene.py": {"app.view3d", "numpy", "vtkmodules"},
    "app/jobs.py": {"app.core", "PySide6.QtCore", "threading", "queue"},
    "app/evaluation": {
        "app.core",
        "app.evaluation",
        "app.io",
        "app.session",
        "models",
        "numpy",
        "scipy",
    },
    "app/segmenting.py": {"app.core", "app.io", "models", "numpy"},
    "app/memory.py": {"app.core"},
    "app/saving.py": {"app.core", "app.exporting", "app.notices", "app.privacy"},
    "app/privacy.py": {"app.core", "app.exporting", "app.io", "pydicom"},
    "app/benchmark.py": {"app", "models", "resources", "numpy"},
    "app/application.py": {"app", "models", "PySide6", "torch"},
    "app/demo.py": {"app", "models", "resources", "numpy", "PySide6"},
    "app/window_benchmark.py": {"app", "PySide6", "numpy"},
    "app/cli": {"app", "models", "resources", "numpy", "typer", "rich"},
    "app/ui": {
        "app",
        "app.beside",
        "app.label_presets",
        "app.automatic",
        "app.automatic_found",
        "app.automatic_region",
        "app.core",
        "app.editing",
        "app.measurements",
        "app.measuring",
        "app.model_choice",
        "app.session",
        "app.notices",
        "app.review",
        "app.tools",
        "app.settings",
        "app.ui",
        "app.view3d",
        "models.base",
        "resources",
        "numpy",
        "PySide6",
        "pyqtgraph",
    },
    "models": {
        "app.core",
        "models",
        "resources",
        "numpy",
        "scipy",
        "openvino",
        "safetensors",
        "segment_anything",
        "torch",
    },
    "models/automatic/peers.py": {"app.core", "models", "monai", "torch"},
    "models/base.py": {"app.core", "models.base", "models.cache", "models.runtime", "numpy"},
    "models/networks": {"models.networks", "segment_anything", "torch"},
    "models/training": {
        "app.core",
        "models",
        "resources",
        "PIL",
        "monai",
        "nibabel",
        "numpy",
        "openvino",
        "safetensors",
        "scipy",
        "skimage",
        "torch",
    },
    "resources": {"resources"},
    "resources/samples": {"resources.samples", "numpy", "scipy", "SimpleITK"},
    "main.py": {"app", "models", "PySide6", "torch"},
}
# `app` alone stands for everything in it only where a whole layer above builds on it.
WHOLE_APP = {
    "app/application.py",
    "app/benchmark.py",
    "app/cli",
    "app/demo.py",
    "app/window_benchmark.py",
    "main.py",
}
THREADS = {"threading", "queue", "concurrent", "multiprocessing", "asyncio", "_thread"}
QT_THREADS = re.compile(r"\b(QThread|QRunnable|QThreadPool)\b")
SOURCES = sorted(
    path
    for name in ("app", "models", "resources", "main.py")
    for path in [REPOSITORY / name, *(REPOSITORY / name).rglob("*.py")]
    if path.suffix == ".py" and path.is_file()
)


def _rule(name: str) -> str:
    """Return the longest prefix in the table that covers a file, or an empty string."""
    covering = [
        prefix
        for prefix in MAY_IMPORT
        if name in {prefix, f"{prefix}.py"} or name.startswith((f"{prefix}/", f"{prefix}_"))
    ]
    return max(covering, key=len, default="")


def _imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield (dotted name, line) of each import; `from a import b` counts as a.b.

    What stands under ``if TYPE_CHECKING`` counts too: a layer's types are part of its contract.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def _is_allowed(imported: str, rule: str) -> bool:
    root = imported.partition(".")[0]
    allowed = MAY_IMPORT[rule]
    if root in sys.stdlib_module_names and root not in THREADS:
        return True
    for prefix in allowed:
        if prefix == "app" and rule not in WHOLE_APP:
            if imported.startswith("app.__"):  # only the version
                return True
        elif imported == prefix or imported.startswith(f"{prefix}."):
            return True
    return False


def test_there_is_something_to_check():
    assert len(SOURCES) > 20


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(REPOSITORY).as_posix())
def test_imports_follow_the_table(path: Path):
    name = path.relative_to(REPOSITORY).as_posix()
    rule = _rule(name)
    assert rule, f"{name} has no line in MAY_IMPORT"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wrong = [f"line {n}: {what}" for what, n in _imports(tree) if not _is_allowed(what, rule)]
    assert not wrong, f"{name} (rule {rule!r}) imports {'; '.join(wrong)}"


@pytest.mark.parametrize(
    ("name", "imported", "expected"),
    [
        ("app/core/geometry.py", "numpy", True),
        ("app/core/geometry.py", "SimpleITK", False),
        ("app/core/geometry.py", "threading", False),
        ("app/session.py", "app.ui.main_window", False),
        ("app/session.py", "app.__version__", True),
        ("app/ui/slice_view.py", "models.base.ModelSpec", True),
        ("app/ui/slice_view.py", "models.engine", False),
        ("app/ui/slice_view.py", "torch", False),
        ("app/cli.py", "app.io.reader", True),
        ("models/base.py", "torch", False),
        ("models/networks/vnet.py", "models.engine", False),
        ("app/jobs.py", "threading", True),
    ],
)
def test_the_table_says_what_it_should(name, imported, expected):
    assert _is_allowed(imported, _rule(name)) is expected


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(REPOSITORY).as_posix())
def test_qt_threads_are_named_in_one_file_only(path: Path):
    if path == REPOSITORY / "app" / "jobs.py":
        return
    assert not QT_THREADS.search(path.read_text(encoding="utf-8"))


def _module(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


def _loaded_by(*modules: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter holds after importing modules."""
    code = (
        f"import {', '.join(modules)}\n"
        "import sys\n"
        "sys.stdout.write(' '.join({name.partition('.')[0] for name in sys.modules}))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return set(finished.stdout.split())


def test_core_loads_numpy_alone():
    core = [_module(path) for path in SOURCES if path.is_relative_to(REPOSITORY / "app" / "core")]
    heavy = {"PySide6", "SimpleITK", "openvino", "pydicom", "scipy", "torch"}
    assert not _loaded_by(*core) & heavy


@pytest.mark.parametrize("module", ["app.session", "models.base", "models.engine"])
def test_neither_qt_nor_torch_comes_along(module):
    assert not _loaded_by(module) & {"PySide6", "torch"}


def test_the_window_starts_without_what_only_edits_need():
    assert not _loaded_by("app.session", "app.tools.lasso") & {"scipy", "SimpleITK"}


def test_vtk_is_never_loaded_into_the_program():
    # Everything but the process that draws, and the command line's `__main__`-like modules.
    names = [
        _module(path)
        for path in SOURCES
        if path.is_relative_to(REPOSITORY / "app" / "ui")
        or path.is_relative_to(REPOSITORY / "app" / "view3d")
    ]
    names.remove("app.view3d.scene")
    assert {"app.ui.scene_panel", "app.view3d.server"} < set(names)
    assert "vtkmodules" not in _loaded_by("app.application", *names)


def test_the_command_line_starts_without_qt_and_torch():
    assert not _loaded_by("app.cli") & {"PySide6", "torch", "openvino"}


def test_a_release_has_one_version():
    from app import __version__

    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    assert 'attr = "app.__version__"' in text
    assert __version__ not in text
