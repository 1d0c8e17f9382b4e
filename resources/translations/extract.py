"""Collects every text of the window that can be translated, for Qt Linguist.

    python -m resources.translations.extract maskwright_de.ts

writes a template. Translate it with Qt Linguist, then ``pyside6-lrelease maskwright_de.ts`` makes
the file that belongs beside this module; the program takes the one of the system's language.

Qt's own ``lupdate`` reads ``self.tr`` but not the menus, whose functions are handed the window's
``tr``, nor the names of tools and intensity windows, which know nothing of Qt.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

REPOSITORY = Path(__file__).resolve().parents[2]
# Functions outside classes get the window's own `tr`.
_WINDOW = "MainWindow"
_PRIVACY_TEXTS = ("_IDENTIFYING", "_FOLDER")
_TOOL_TEXTS = ("title", "hint")


@dataclass(frozen=True, order=True)
class Text:
    """One text to translate, with the context in which it is looked up."""

    context: str
    source: str
    path: str
    line: int


def texts(repository: Path = REPOSITORY) -> list[Text]:
    """Return every text of the window, sorted by context."""
    found: list[Text] = []
    for path in sorted((repository / "app" / "ui").rglob("*.py")):
        found += _of_module(path, path.relative_to(repository).as_posix())
    for path in sorted((repository / "app" / "tools").glob("*.py")):
        found += _of_tools(path, path.relative_to(repository).as_posix())
    found += _of_privacy(repository / "app" / "privacy.py", "app/privacy.py")
    windows = repository / "resources" / "windows.json"
    for presets in json.loads(windows.read_text(encoding="utf-8")).values():
        if isinstance(presets, list):
            found += [Text("windows", p["name"], "resources/windows.json", 1) for p in presets]
    for path in sorted((repository / "resources" / "labels").glob("*.json")):
        title = json.loads(path.read_text(encoding="utf-8"))["title"]
        found.append(Text("presets", title, path.relative_to(repository).as_posix(), 1))
    return sorted(set(found))


def template(found: list[Text]) -> str:
    """Return the content of a .ts file (Qt's format for translators, version 2.1)."""
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<!DOCTYPE TS>", '<TS version="2.1">']
    for context in sorted({text.context for text in found}):
        lines += ["<context>", f"    <name>{escape(context)}</name>"]
        seen: dict[str, Text] = {}
        for text in found:
            if text.context == context:
                seen.setdefault(text.source, text)
        for text in seen.values():
            lines += [
                "    <message>",
                f'        <location filename="{escape(text.path)}" line="{text.line}"/>',
                f"        <source>{escape(text.source)}</source>",
                '        <translation type="unfinished"></translation>',
                "    </message>",
            ]
        lines.append("</context>")
    return "\n".join([*lines, "</TS>", ""])


def _of_privacy(path: Path, name: str) -> Iterator[Text]:
    """Yield what a file may tell about the patient, in words."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in _PRIVACY_TEXTS:
            values = node.value.values if isinstance(node.value, ast.Dict) else [node.value]
            for value in values:
                if isinstance(value, ast.Constant):
                    yield Text("privacy", str(value.value), name, value.lineno)


def _of_module(path: Path, name: str) -> Iterator[Text]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own_context = _context_of_tr(tree)
    for node, owner in _with_owner(tree, ""):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        called = node.func.id if isinstance(node.func, ast.Name) else called
        *before, last = node.args[:2]
        if called == "tr":
            context, source = owner or _WINDOW, node.args[0]
        elif called == "_tr":
            context, source = own_context, node.args[0]
        elif called == "translate" and before and isinstance(before[0], ast.Constant):
            context, source = str(before[0].value), last
        else:
            continue
        if isinstance(source, ast.Constant) and isinstance(source.value, str):
            yield Text(context, source.value, name, node.lineno)


def _of_tools(path: Path, name: str) -> Iterator[Text]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node, owner in _with_owner(tree, ""):
        if owner and isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            target = node.targets[0]
            if isinstance(target, ast.Name) and target.id in _TOOL_TEXTS:
                yield Text("tools", str(node.value.value), name, node.lineno)


def _with_owner(node: ast.AST, owner: str) -> Iterator[tuple[ast.AST, str]]:
    """Yield every node with the name of the class that it is in."""
    for child in ast.iter_child_nodes(node):
        inside = child.name if isinstance(child, ast.ClassDef) else owner
        yield child, inside
        yield from _with_owner(child, inside)


def _context_of_tr(tree: ast.Module) -> str:
    """Return the context that a module's own function `_tr` looks up."""
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and function.name == "_tr":
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.args[0], ast.Constant):
                    return str(node.args[0].value)
    return ""


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(template(texts()), encoding="utf-8")
