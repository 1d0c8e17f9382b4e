"""Linting, formatting, types, and the promises of the project files, as ordinary tests."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

CODE = [
    name
    for name in ("app", "models", "resources", "tests", "main.py")
    if (REPOSITORY / name).exists()
]
NEWCOMER = "pip install . && maskwright demo"
CONTRIBUTOR = "pip install '.[test]' && pytest"


def _run(*arguments: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, f"\n{finished.stdout}{finished.stderr}"


def test_ruff_finds_nothing():
    _run("ruff", "check", "--no-cache", *CODE)


def test_ruff_format_changes_nothing():
    _run("ruff", "format", "--check", "--no-cache", *CODE)


@pytest.mark.slow
def test_mypy_finds_nothing(tmp_path):
    _run("mypy", "--cache-dir", str(tmp_path))


def test_no_module_is_too_long():
    long = {
        path.relative_to(REPOSITORY).as_posix(): n_lines
        for name in ("app", "models", "resources")
        for path in (REPOSITORY / name).rglob("*.py")
        if (n_lines := len(path.read_text(encoding="utf-8").splitlines())) > 600
    }
    assert not long


def test_readme_and_ci_give_the_same_two_commands():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^pip install .*$", readme, flags=re.MULTILINE)
    assert commands[:2] == [NEWCOMER, CONTRIBUTOR]
    assert CONTRIBUTOR in (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_readme_names_the_system_libraries_that_ci_installs():
    ci = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    block = re.search(r"^packages=\((.*?)^\)", ci, flags=re.MULTILINE | re.DOTALL)
    assert block
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8").split()
    libraries = {name for name in block[1].split() if name.startswith("lib")}
    assert libraries
    assert not libraries - set(readme)


def test_links_inside_the_documents_lead_somewhere():
    broken = [
        f"{document.name}: {target}"
        for document in REPOSITORY.glob("*.md")
        for target in re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8"))
        if "://" not in target and not (REPOSITORY / target).exists()
    ]
    assert not broken


def test_an_installed_copy_holds_every_shipped_file():
    try:
        installed = importlib.metadata.distribution("maskwright")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("maskwright is not installed here; the tests run from the sources")
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    # What setuptools leaves beside the sources is found first, and does not say where it is from.
    is_beside_sources = Path(str(installed.locate_file(""))).resolve() == REPOSITORY
    if origin.get("dir_info", {}).get("editable") or is_beside_sources:
        pytest.skip("an editable installation has no copies")
    there = {path.as_posix() for path in installed.files or ()}
    tracked = subprocess.run(
        ["git", "ls-files", "app", "models", "resources", "main.py"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if tracked.returncode:
        pytest.skip("not a git checkout; what ships is not known")
    # Pictures of the documentation stay behind.
    shipped = {name for name in tracked.stdout.split() if not name.startswith("resources/docs/")}
    assert not shipped - there
