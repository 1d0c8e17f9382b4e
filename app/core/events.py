"""Events of the domain: plain callables, no Qt, no threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto
from typing import Generic, TypeVar

from app.core.geometry import Region

T = TypeVar("T")


class Event(Generic[T]):
    """A list of listeners that get a frozen payload.

    A listener may only record what happened and schedule its own work; it must not change the
    document, which is in the middle of telling everybody.
    """

    def __init__(self) -> None:
        self._listeners: list[Callable[[T], None]] = []

    def connect(self, listener: Callable[[T], None]) -> Callable[[], None]:
        """Add a listener; return a function that removes it."""
        self._listeners.append(listener)

        def disconnect() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return disconnect

    def emit(self, payload: T) -> None:
        """Call every listener, in the order in which they were connected."""
        for listener in tuple(self._listeners):
            listener(payload)


class Aspect(Flag):
    """What part of a document changed."""

    NONE = 0
    VOXELS = auto()
    PROMPTS = auto()
    LABELS = auto()
    HISTORY = auto()
    VOLUME = auto()
    ANNOTATIONS = auto()


@dataclass(frozen=True)
class Change:
    """What changed, and where; ``source`` lets a view skip the echo of its own edit."""

    aspects: Aspect
    region: Region | None = None
    source: object = None

    def __or__(self, other: Change) -> Change:
        regions = [r for r in (self.region, other.region) if r is not None]
        region = regions[0] if regions else None
        if len(regions) == 2:
            region = regions[0].union(regions[1])
        return Change(self.aspects | other.aspects, region, self.source or other.source)
