"""Plug-ins: one file more is one item more, and a broken file does not hide the others."""

from __future__ import annotations

import sys

import pytest

from app.core.registry import Registry
from app.exporters import EXPORTERS
from app.tools import TOOLS
from models.base import MODEL_FORMATS

MODULE = """
from {package} import ITEMS

class Item:
    id = "{id}"

ITEMS.register(Item())
"""


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Return a package that holds a registry and two good modules around a broken one."""
    name = "plugins_under_test"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text(
        f"from app.core.registry import Registry\nITEMS = Registry('{name}')\n"
    )
    (folder / "a_good.py").write_text(MODULE.format(package=name, id="first"))
    (folder / "b_broken.py").write_text("raise RuntimeError('no such codec')\n")
    (folder / "c_good.py").write_text(MODULE.format(package=name, id="second"))
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__(name)
    for module in [m for m in sys.modules if m.partition(".")[0] == name]:
        del sys.modules[module]


def test_every_module_registers_and_the_broken_one_is_recorded(plugins, caplog):
    with caplog.at_level("ERROR"):
        assert list(plugins.ITEMS.load()) == ["first", "second"]
    assert plugins.ITEMS.broken == {"plugins_under_test.b_broken": "RuntimeError: no such codec"}
    assert "no such codec" in caplog.text
    plugins.ITEMS.load()  # a second time imports, and logs, nothing


def test_an_identifier_is_taken_once(plugins, caplog):
    with caplog.at_level("ERROR"):
        items = plugins.ITEMS.load()
    with pytest.raises(ValueError, match="'first' is registered twice"):
        plugins.ITEMS.register(items["first"])
    with pytest.raises(TypeError):
        items["third"] = items["first"]


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        (TOOLS, {"navigate", "box", "point", "scribble", "brush"}),
        (EXPORTERS, {"mesh"}),
        (MODEL_FORMATS, set()),
    ],
    ids=["tools", "exporters", "models"],
)
def test_everything_that_ships_loads(registry: Registry, expected):
    items = registry.load()
    assert items
    assert registry.broken == {}
    assert expected <= set(items)
    assert all(item.id == name for name, item in items.items())
