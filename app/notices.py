"""What the session tells the user: what is running, and sentences about what happened."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from app.core.errors import AppError, TightMemoryError
from app.core.events import Event

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Status:
    """What is running, for the status bar. ``fraction`` is None when its length is unknown."""

    text: str = ""
    fraction: float | None = None
    can_cancel: bool = False

    @property
    def is_busy(self) -> bool:
        return bool(self.text)


@dataclass(frozen=True)
class Message:
    """A sentence for the user.

    Attributes
    ----------
    text : str
    is_error : bool
        It stays until it is closed.
    action : str
        What the user may do about it, for a button; "" for nothing.
    act : callable
        Does it.
    """

    text: str
    is_error: bool = False
    action: str = ""
    act: Callable[[], None] = lambda: None


class Notices:
    """Collects what runs under a key each, and passes sentences on.

    Events
    ------
    status_changed : Status
        The latest thing that still runs; an empty one when nothing does.
    message : Message
    """

    def __init__(self) -> None:
        self.status_changed: Event[Status] = Event()
        self.message: Event[Message] = Event()
        self._running: dict[str, Status] = {}

    def begin(self, what: str, text: str, *, can_cancel: bool = False) -> None:
        """Show that something runs."""
        self._set(what, Status(text, None, can_cancel))

    def tell_idle(self, what: str, text: str, fraction: float) -> None:
        """Show how far something is that makes way for everything else, in the status, too."""
        self._running.pop(what, None)
        self._running = {what: Status(text, fraction), **self._running}
        self._emit()

    def end(self, what: str) -> None:
        """Show that it no longer runs."""
        if self._running.pop(what, None) is not None:
            self._emit()

    def progress(self, what: str, text: str) -> Callable[[float, str], None]:
        """Return a callback for a job's progress."""

        def report(fraction: float, detail: str) -> None:
            full = f"{text}: {detail}" if detail else text
            self._set(what, Status(full, fraction, can_cancel=True))

        return report

    def tell(self, sentence: str) -> None:
        """Pass a sentence on."""
        self.message.emit(Message(sentence))

    def offer(self, sentence: str, action: str, act: Callable[[], None]) -> None:
        """Pass on what went wrong, with something that the user may do about it."""
        self.message.emit(Message(sentence, is_error=True, action=action, act=act))

    def failed_to_open(self, anyway: Callable[[], None]) -> Callable[[BaseException, str], None]:
        """Return a callback as `failed` does; where memory is tight it offers ``anyway``."""
        other = self.failed("open")

        def failed(error: BaseException, trace: str) -> None:
            if not isinstance(error, TightMemoryError):
                other(error, trace)
                return
            self.end("open")
            self.offer(str(error), "Open it anyway", anyway)

        return failed

    def failed(self, what: str) -> Callable[[BaseException, str], None]:
        """Return a callback for a job's failure: an expected one is told, a fault is logged."""

        def failed(error: BaseException, trace: str) -> None:
            self.end(what)
            if isinstance(error, AppError):
                self.message.emit(Message(str(error), is_error=True))
                return
            if isinstance(error, MemoryError):
                logger.info("Out of memory in %s:\n%s", what, trace)
                sentence = (
                    "There was not enough memory for this; your work is untouched. Close other "
                    "programs or open a smaller part of the scan, then try again."
                )
                self.message.emit(Message(sentence, is_error=True))
                return
            logger.error("Unexpected failure in %s:\n%s", what, trace)
            sentence = (
                "Something unexpected went wrong; your work is untouched. "
                f"({type(error).__name__}; details are in the log.)"
            )
            self.message.emit(Message(sentence, is_error=True))

        return failed

    def _set(self, what: str, status: Status) -> None:
        self._running.pop(what, None)
        self._running[what] = status
        self._emit()

    def _emit(self) -> None:
        self.status_changed.emit(next(reversed(self._running.values()), Status()))
