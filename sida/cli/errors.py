"""Errors turned into sentences and exit statuses, in one place for all verbs.

0 every picture judged   1 some could not be   2 nothing was reached   10 --fail-on met
130 stopped by Ctrl-C    141 the reader of our output went away (`| head`)

An error that ends a run is 2 before anything was judged; after that it is 1, and 10 where
--fail-on was met already.
"""

import contextlib
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from sida.cli.silence import error_stream, lift, quiet
from sida.errors import SidaError

__all__ = ["REACHED", "Verbs", "messages", "notify", "sentence"]

REACHED = "sida.reached"
"""Key of `ctx.meta`: the exit status of an error from now on. A verb that judges sets it."""

_DEBUG = "sida.debug"


def notify(message: str) -> None:
    """Print a line for a person on standard error."""
    # Not typer's echo, which writes past a progress bar that is being drawn.
    print(" ".join(message.split()), file=error_stream(), flush=True)


@contextlib.contextmanager
def messages() -> Iterator[None]:
    """Show what the library logs of its progress, on standard error; for verbs that take long."""
    logger, handler = logging.getLogger("sida"), logging.StreamHandler(error_stream())
    level, logger.propagate = logger.level, False  # --debug would show each message twice
    logger.addHandler(handler)
    logger.setLevel(min(logging.INFO, logger.getEffectiveLevel()))
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = True


class Verbs(TyperGroup):
    """The group of all verbs: adds `--debug` to each, and turns what goes wrong into one line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        _add_debug(self)

    def invoke(self, ctx: Any) -> Any:
        with quiet():
            try:
                return super().invoke(ctx)
            except (typer.Exit, typer.Abort):
                raise
            except BrokenPipeError:
                _drop_output()
                raise typer.Exit(141) from None
            except KeyboardInterrupt:
                notify("Stopped.")
                raise typer.Exit(130) from None
            except Exception as error:
                if _is_usage(error):
                    raise  # typer prints these, with status 2
                raise typer.Exit(_report(error, ctx)) from None


def _report(error: Exception, ctx: typer.Context) -> int:
    """Print the sentence for an error and return its exit status."""
    if ctx.meta.get(_DEBUG):
        print("".join(traceback.format_exception(error)), end="", file=error_stream())
    text = sentence(error)
    for note in getattr(error, "__notes__", []):  # such as how a run can be resumed
        text = f"{text.removesuffix('.')}. {note}"
    notify(f"Error: {text}")
    return int(ctx.meta.get(REACHED, 2))


def sentence(error: Exception) -> str:
    """The sentence for a person: what went wrong, and what to do."""
    if isinstance(error, SidaError):
        return str(error)
    if isinstance(error, OSError):
        path = "" if error.filename is None else f" ({error.filename})"
        return f"reading or writing failed{path}: {error.strerror or error}."
    if _lacks_memory(error):
        return (
            "there is not enough memory: try a smaller --batch-size (of a training run, "
            "micro_batch_size=1), or a smaller model."
        )
    return (
        f"this is a defect of sida ({type(error).__name__}: {error}). Please report it "
        "where you found sida, with what the same command prints with --debug."
    )


def _lacks_memory(error: Exception) -> bool:
    """True where memory did not suffice, on any device."""
    if "torch" not in sys.modules:
        return isinstance(error, MemoryError)
    from sida.inference.device import out_of_memory

    return out_of_memory(error)


def _is_usage(error: Exception) -> bool:
    """Typer's own errors about options: they know their exit status and how to print themselves."""
    return hasattr(error, "exit_code") and hasattr(error, "show")


def _add_debug(command: Any) -> None:
    """Give `--debug` to a verb, or to each verb of a group."""
    if isinstance(command, TyperCommand):
        command.params += typer.main.get_command(_DEBUG_APP).params
    for inner in getattr(command, "commands", {}).values():
        _add_debug(inner)


def _start_debugging(ctx: typer.Context, enabled: bool) -> None:
    if enabled:
        ctx.meta[_DEBUG] = True
        lift()
        warnings.simplefilter("default")
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
        logging.getLogger("sida").setLevel(logging.DEBUG)


_DEBUG_APP = typer.Typer(add_completion=False)


@_DEBUG_APP.command()
def _debug(
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            is_eager=True,
            expose_value=False,
            callback=_start_debugging,
            help="Show tracebacks of errors, and the log of the library.",
        ),
    ] = False,
) -> None:
    """Holds the option that every verb gets, so that no verb has to repeat it."""


def _drop_output() -> None:
    """Point standard output at nothing, so that the last flush does not fail again."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # a test's standard output has no file behind it
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
