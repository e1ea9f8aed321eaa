"""Writes docs/cli.md from what `--help` prints, and docs/recipe.md from the keys of a recipe.

    python docs/generate.py

`make docs` runs it; a test fails while a page is not current.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

from sida.cli import app
from sida.train.config import TrainConfig

FOLDER = Path(__file__).parent
CLI_HEAD = """# The command line

This page is written by `make docs` from what each `--help` prints.

Exit statuses, the same everywhere: 0 everything was done; 1 some pictures could not be judged, and
each has its line; 2 nothing was processed, and one sentence says why;
10 `--fail-on` was met (it outranks 1); 130 stopped by Ctrl-C. Results go to standard
output; progress and messages go to standard error, a progress bar only on a terminal.
"""
RECIPE_HEAD = """# Keys of a recipe

This page is written by `make docs`. A recipe is a YAML file with these keys, or a packaged name;
`sida train NAME key=value group.key=value …` changes them; other keys are refused.

| key | default | what it is |
|---|---|---|
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


def command_line() -> str:
    """The whole page of commands."""
    return "\n".join([CLI_HEAD, *(section(words) for words in pages(typer.main.get_command(app)))])


def keys(model: type[BaseModel], group: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Dotted keys of settings and their fields, groups before their members."""
    for name, field in model.model_fields.items():
        yield group + name, field
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from keys(kind, f"{group}{name}.")


def recipe() -> str:
    """The whole page of a recipe's keys."""
    return RECIPE_HEAD + "".join(
        f"| `{key}` | {shown(f)} | {f.description} |\n" for key, f in keys(TrainConfig)
    )


def shown(field: FieldInfo) -> str:
    """A default as YAML has it."""
    value = field.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel):
        return ""
    return f"`{json.dumps(value)}`"


PAGES = {"cli.md": command_line, "recipe.md": recipe}

if __name__ == "__main__":
    for name, render in PAGES.items():
        (FOLDER / name).write_text(render(), encoding="utf-8")
