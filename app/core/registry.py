"""Plug-in points: every module of one package is imported once, and registers what it has."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

logger = logging.getLogger(__name__)


class HasId(Protocol):
    """Anything with an identifier."""

    @property
    def id(self) -> str:
        """Unique within one registry."""


T = TypeVar("T", bound=HasId)


class Registry(Generic[T]):
    """Items found by importing every module of one package, once.

    Attributes
    ----------
    broken : dict of module name to reason
        Modules that could not be imported; shown in the About box, and a test fails on them.
    """

    def __init__(self, package: str) -> None:
        self.broken: dict[str, str] = {}
        self._package = package
        self._items: dict[str, T] = {}
        self._is_loaded = False

    def register(self, item: T) -> T:
        """Add an item and return it; ValueError if its id is taken."""
        if item.id in self._items:
            raise ValueError(f"{self._package}: the id {item.id!r} is registered twice.")
        self._items[item.id] = item
        return item

    def load(self) -> Mapping[str, T]:
        """Return all items by id, importing the package's modules the first time."""
        if not self._is_loaded:
            self._is_loaded = True
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                name = f"{self._package}.{module.name}"
                try:
                    importlib.import_module(name)
                except Exception as error:
                    self.broken[name] = f"{type(error).__name__}: {error}"
                    logger.exception("Could not load %s", name)
        return MappingProxyType(self._items)
