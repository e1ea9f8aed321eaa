"""Silence of other libraries on the terminal; `--debug` lifts it.

They speak in four ways: warnings, logging (also with handlers of their own), what they print to
standard error, and what native code writes to it past Python.
"""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO

__all__ = ["error_stream", "lift", "lift_streams", "quiet"]

AUDIBLE = ("sida", "uvicorn")
"""Loggers that are heard: ours, and the service's, which says what a defect was."""

CHATTER = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TQDM_DISABLE": "1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "OPENCV_LOG_LEVEL": "ERROR",
}

_streams = contextlib.ExitStack()
_all = contextlib.ExitStack()
_error_stream: TextIO | None = None


def error_stream() -> TextIO:
    """Standard error as it was before others were silenced: where our own lines go."""
    return _error_stream or sys.stderr


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence libraries while the block runs, or until it is lifted."""
    with _all, _streams:
        _all.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        _all.enter_context(_quiet_logging())
        for name, value in CHATTER.items():
            os.environ.setdefault(name, value)
        _streams.enter_context(_quiet_standard_error())
        yield


def lift() -> None:
    """Let everything through."""
    _streams.close()
    _all.close()


def lift_streams() -> None:
    """Let what is written to standard error through; for verbs whose processes write there, too."""
    _streams.close()


@contextlib.contextmanager
def _quiet_logging() -> Iterator[None]:
    """Levels and root handlers would not do: libraries bring handlers and levels of their own."""
    call = logging.Logger.callHandlers

    def call_own(logger: logging.Logger, record: logging.LogRecord) -> None:
        package = record.name.partition(".")[0]
        if package not in AUDIBLE:
            return
        call(logger, record)
        is_lost = _error_stream is not None and not logging.getLogger(package).handlers
        if is_lost and record.levelno >= logging.WARNING:  # written to the silenced stream
            print(record.getMessage(), file=_error_stream, flush=True)

    logging.Logger.callHandlers = call_own  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        logging.Logger.callHandlers = call  # type: ignore[method-assign]


@contextlib.contextmanager
def _quiet_standard_error() -> Iterator[None]:
    """`sys.stderr`, and the file behind it where it is the process's own."""
    global _error_stream
    before = sys.stderr
    with contextlib.ExitStack() as stack:
        null = stack.enter_context(open(os.devnull, "w"))
        stream: TextIO = before
        if before is sys.__stderr__ and _number(stream) == 2:
            stream.flush()
            descriptor = os.dup(2)
            stream = open(descriptor, "w", 1, stream.encoding, stream.errors)  # noqa: SIM115
            os.dup2(null.fileno(), 2)
            stack.callback(_restore, stream, descriptor)
        sys.stderr, _error_stream = null, stream
        try:
            yield
        finally:
            sys.stderr, _error_stream = before, None


def _restore(stream: TextIO, descriptor: int) -> None:
    stream.flush()
    os.dup2(descriptor, 2)
    stream.close()


def _number(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):  # a test's, which has no file behind it
        return None
