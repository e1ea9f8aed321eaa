"""`sida models`: the models with a name, and which of them are on this machine."""

import json as json_
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

__all__ = ["register"]

JUDGES = "class, mask"
EXPLAINS = "class, mask, explanation"


class PublishedFolder(NamedTuple):
    """Number of its weights, those of the vision tower aside, and what the model gives."""

    parameters: int
    gives: str


PUBLISHED = {
    "sida-7b": PublishedFolder(7_410_228_531, JUDGES),
    "sida-13b": PublishedFolder(13_703_156_019, JUDGES),
    "sida-7b-description": PublishedFolder(7_410_236_723, EXPLAINS),
    "sida-13b-description": PublishedFolder(13_703_166_259, EXPLAINS),
    "lisa-7b": PublishedFolder(7_401_559_344, "base for training, judges nothing"),
}


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command()(models)


def models(
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per model.")] = False,
) -> None:
    """List the named models.

    --model takes one of these names, a folder, or any name on the hub.

    A model that is not on this machine is downloaded when it is first used.

    \b
    Examples:
      sida models
      sida models --json
    """
    rows = _rows()
    if json:
        for row in rows:
            typer.echo(json_.dumps(row))
        return
    from sida.cli.table import columns

    headings = ("Model", "Weights", "Parameters", "In bfloat16", "Gives", "On this machine")
    cells = [_cells(row) for row in rows]
    typer.echo(columns(headings, cells, right=(2, 3)), nl=False)


def _rows() -> list[dict[str, str | int | None]]:
    from sida.assets import EMBEDDED, HUB_NAMES

    rows: list[dict[str, str | int | None]] = [
        {
            "name": name,
            "weights": "embedded",
            "parameters": _count(folder),
            "gives": EXPLAINS,
            "folder": str(folder),
        }
        for name, folder in EMBEDDED.items()
    ]
    for name, hub in HUB_NAMES.items():
        facts, cached = PUBLISHED[name], _folder(hub)
        path = None if cached is None else str(cached)
        rows.append({"name": name, "weights": hub, **facts._asdict(), "folder": path})
    return rows


def _cells(row: dict[str, str | int | None]) -> tuple[str, ...]:
    count = int(row["parameters"] or 0)
    here = "no" if row["folder"] is None else "yes"
    return (
        *(str(row["name"]), str(row["weights"])),
        *(f"{count / 1e6:,.1f} million", f"{2 * count / 1e6:,.1f} MB"),
        *(str(row["gives"]), here),
    )


def _count(folder: Path) -> int:
    """Parameters of a folder of ours, from the headers of its files alone."""
    from math import prod

    from safetensors import safe_open

    from sida.model.weights import weight_files

    total = 0
    for file in weight_files(folder):
        with safe_open(file, "numpy") as tensors:
            total += sum(prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())  # noqa: SIM118
    return total


def _folder(hub: str) -> Path | None:
    """The folder of a hub name in the cache, where all of it has arrived."""
    from huggingface_hub import try_to_load_from_cache

    if not isinstance(try_to_load_from_cache(hub, "config.json"), str):
        return None  # the thorough look would load torch first
    from sida.model.hub import cached

    return cached(hub)
