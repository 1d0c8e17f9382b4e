"""The command line: which commands there are, and how they end.

Commands import what they need when they run, so that ``maskwright info`` loads neither Qt nor
torch. What a command raises decides the exit status; see `app.cli_common.exit_code`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated

import typer

from app import __version__
from app.cli_auto import auto
from app.cli_common import CANCELLED, DONE, FAULT, USAGE, exit_code, say
from app.cli_images import convert, info, segment
from app.cli_measure import bench, evaluate
from app.cli_models import models_app, train
from app.core.errors import AppError, Cancelled, ReadError, UsageError

# `typer.BadParameter` is public; what it derives from is not, and has moved between versions.
_TyperError: type[Exception] = typer.BadParameter.__mro__[2]

cli = typer.Typer(
    name="maskwright",
    help="Box-to-mask segmentation of CT and MRI. Without a command, `maskwright [PATH]` opens the "
    "window.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli.command()(info)
cli.command()(segment)
cli.command()(auto)
cli.command()(convert)
cli.add_typer(models_app, name="models")
cli.command()(evaluate)
cli.command()(train)
cli.command()(bench)


@cli.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and the log.")] = False,
) -> None:
    """Take the options of every command; `--debug` may stand anywhere and is handled in `main`."""


@cli.command()
def demo(
    headless: Annotated[bool, typer.Option("--headless", help="Without a display.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where results are saved.")
    ] = None,
) -> None:
    """Segment the shipped sample: box, mask, carried through, saved."""
    from app.demo import run_demo

    raise typer.Exit(run_demo(out, headless))


@cli.command(hidden=True)
def window(path: Annotated[Path | None, typer.Argument()] = None) -> None:
    """Open the window, with a file, a DICOM folder or a workspace."""
    if path is not None and not path.exists():
        if path.name == str(path) and not path.suffix:
            names = ", ".join(_command_names())
            raise UsageError(
                f"“{path}” is neither a command nor a file. Commands: {names}; see "
                "`maskwright --help`."
            )
        raise ReadError(f"“{path}” does not exist.")
    from app.application import run_window

    raise typer.Exit(run_window(path))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; the table is in ``app/cli_common.py``."""
    words, is_debug = _without_debug(list(sys.argv[1:] if arguments is None else arguments))
    if is_debug:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    else:
        sys.excepthook = _tell_fault
    if not words or (not words[0].startswith("-") and words[0] not in _command_names()):
        words = ["window", *words]
    try:
        if words == ["--version"]:
            typer.echo(f"Maskwright {__version__}")
            return DONE
        # Not `cli(...)`, which would put typer's own hook for exceptions in place of ours.
        command = typer.main.get_command(cli)
        code = int(command(words, prog_name="maskwright", standalone_mode=False) or DONE)
    except AppError as error:
        if is_debug:
            logging.getLogger(__name__).debug("", exc_info=error)
        say(f"maskwright: {error}")
        return exit_code(error)
    except _TyperError as error:
        say(f"maskwright: {_sentence(error)} See `{_help_command(error)}`.")
        return USAGE
    except (typer.Abort, KeyboardInterrupt, Cancelled):
        code = CANCELLED
    except BrokenPipeError:
        # Whoever read the output has gone; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAULT
    if code == CANCELLED:
        say("maskwright: Cancelled.")
    return code


# -- inside -------------------------------------------------------------------------------------


def _command_names() -> list[str]:
    commands = [c.name or getattr(c.callback, "__name__", "") for c in cli.registered_commands]
    groups = [str(g.name) for g in cli.registered_groups]
    return [*(c for c in commands if c != "window"), *groups]


def _without_debug(words: list[str]) -> tuple[list[str], bool]:
    end = words.index("--") if "--" in words else len(words)
    kept = [w for w in words[:end] if w != "--debug"] + words[end:]
    return kept, len(kept) < len(words)


def _sentence(error: Exception) -> str:
    format_message = getattr(error, "format_message", None)
    text = str(format_message() if format_message else error).strip()
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _help_command(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "maskwright"
    return f"{path} --help"


def _tell_fault(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Tell what nobody expected in one sentence; Python then exits with 1."""
    if isinstance(error, MemoryError):
        say("maskwright: There is not enough memory for this. Close other programs and try again.")
        return
    say(
        f"maskwright: Something unexpected went wrong ({kind.__name__}: {error}). Nothing was "
        "saved; run the command again with --debug for details."
    )
