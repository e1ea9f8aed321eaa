"""Progress bars on standard error, where that is a terminal; nothing elsewhere."""

import contextlib
from collections.abc import Callable, Iterator

from sida.cli.silence import error_stream

__all__ = ["progress_bar", "progress_bars"]


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yields a function to be called with how many are done, and of how many if that is known."""
    with progress_bars() as show:
        yield lambda count, total: show(title, count, total)


@contextlib.contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int | None], None]]:
    """The same for work of several stages: what is done comes first, and each gets a bar."""
    stream = error_stream()
    if not stream.isatty():
        yield lambda title, count, total: None
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

        def show(title: str, count: int, total: int | None) -> None:
            if title not in stages:
                stages[title] = bars.add_task(title, total=total)
            bars.update(stages[title], completed=count, total=total)

        yield show
