"""Writes docs/cli.md from what `--help` prints: python docs/generate_cli.py

`make docs` runs it; a test fails while the page is not current.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from sida.cli import app

PAGE = Path(__file__).with_name("cli.md")
HEAD = """# The command line

This page is written by `make docs` from what each `--help` prints.

Exit statuses, the same everywhere: 0 all was done; 1 some pictures could not be judged, each has
its line; 2 nothing was reached, one sentence says why; 10 `--fail-on` was met (it outranks 1);
130 stopped by Ctrl-C. Results go to standard output; progress and messages go to standard error,
a progress bar only on a terminal.
"""


def pages(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command, groups before their members."""
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from pages(inner, (*words, name))


def section(words: tuple[str, ...]) -> str:
    """One command's heading and help."""
    shown = CliRunner().invoke(app, [*words, "--help"], prog_name="sida", env={"COLUMNS": "100"})
    heading = f"## sida {' '.join(words)}\n\n" if words else ""
    return f"{heading}```text\n{shown.output.strip()}\n```\n"


def render() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(section(words) for words in pages(typer.main.get_command(app)))])


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
