"""Progress bars on standard error, where that is a terminal; nothing elsewhere."""

import contextlib
from collections.abc import Callable, Iterator

from sida.cli.quiet import error_stream

__all__ = ["progress_bar", "progress_bars"]


@contextlib.contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yields a function to be called with how many are done, and of how many if that is known."""
    with progress_bars() as show:
        yield lambda done, total: show(what, done, total)


@contextlib.contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int | None], None]]:
    """The same for work of several stages: what is done comes first, and each gets a bar."""
    stream = error_stream()
    if not stream.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
    )

    text = TextColumn("{task.description}")
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=stream), transient=True) as bars:
        stages: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int | None) -> None:
            if what not in stages:
                stages[what] = bars.add_task(what, total=total)
            bars.update(stages[what], completed=done, total=total)

        yield show
