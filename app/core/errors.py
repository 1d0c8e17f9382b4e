"""Errors whose text is meant for the person in front of the screen.

An `AppError` is expected: its message says what happened and what to do, in one plain sentence.
Anything else that is raised is a fault of the program. Subclasses also derive from the builtin
they refine, so that callers may catch either.
"""


class AppError(Exception):
    """An expected failure; ``str(error)`` is a sentence for the user."""


class UsageError(AppError, ValueError):
    """The command or its arguments do not make sense."""


class ReadError(AppError, OSError):
    """A file cannot be read, or cannot be placed in space."""


class TightMemoryError(ReadError):
    """A scan would hardly fit into the memory that is free; it can be tried all the same."""


class GeometryError(AppError, ValueError):
    """A voxel grid is impossible, or two grids do not fit each other."""


class OtherGridError(GeometryError):
    """Labels lie on another grid than the scan, but can be resampled onto it."""


class PromptError(AppError, ValueError):
    """A prompt lies outside the volume or is of a kind that the model does not take."""


class ModelUnavailableError(AppError, RuntimeError):
    """The model is not installed, or this machine cannot run it."""


class WeightsError(AppError, ValueError):
    """A weights file is damaged, or is not what it is said to be."""


class ExportError(AppError, OSError):
    """A result cannot be written; nothing half-written is left behind."""


class Cancelled(BaseException):
    """Ends a job silently. Derives from BaseException because cancelling is not an error."""
