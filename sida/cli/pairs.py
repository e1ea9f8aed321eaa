"""`sida data pair` and `sida compare`: what was changed between an original and its edit."""

import json as json_
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sida.cli.data import data
from sida.cli.errors import notify
from sida.cli.progress import progress_bar
from sida.errors import InputError

if TYPE_CHECKING:
    from sida.pairs import PairedSet

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verbs to the app."""
    data.command()(pair)
    app.command()(compare)


def pair(
    original: Annotated[
        Path, typer.Argument(metavar="ORIGINAL", help="A picture, or a folder of originals.")
    ],
    edited: Annotated[
        Path, typer.Argument(metavar="EDITED", help="The edited picture, or a folder of them.")
    ],
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="File for the JSON; without it, or -, --json prints."),
    ] = None,
    *,
    out: Annotated[
        Path,
        typer.Option(metavar="MASK.png|SET", help="The mask; for folders, a new labelled set."),
    ],
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON, a line per pair; with FILE, write it there.")
    ] = False,
) -> None:
    """Find what was changed between an original and its edit.

    It does so to the pixel. The two may differ in size, crop, a small rotation and compression. The
    relation is local (a region was altered), whole (all of it was re-rendered), same, or unrelated;
    the mask (0, 255) has the edited picture's size.

    Two folders: each edited picture is compared with the original of its name, or else with the
    most similar one. Pairs in which a region was altered become a labelled set: tampered
    pictures with masks, and their originals. Status 1 if some pictures could not be compared.

    \b
    Examples:
      sida data pair original.jpg edited.jpg --out mask.png --json
      sida data pair originals edited --out pairs
    """
    if file is not None and not json:
        raise typer.BadParameter(f"{file} is only written with --json: add it")
    target = file if json and file is not None else "-" if json else None
    if original.is_dir() or edited.is_dir():
        _pair_folders(original, edited, out, target)
    else:
        _pair_pictures(original, edited, out, target)


def _pair_pictures(original: Path, edited: Path, out: Path, json: str | None) -> None:
    from sida.image.overlay import save_png
    from sida.pairs import compare as run
    from sida.pairs.wording import headline

    if out.suffix.lower() != ".png":
        raise InputError(f"the mask is written as .png, found {str(out)!r}: give it that suffix")
    found = run(original, edited)
    save_png(out, found.mask)
    _deliver([found.as_json()], [f"{headline(found)}; the mask is {out}."], json)


def _pair_folders(originals: Path, edited: Path, out: Path, json: str | None) -> None:
    from sida.pairs import pair_folders

    with progress_bar("Comparing") as progress:
        paired = pair_folders(originals, edited, out, progress)
    _deliver([each.as_json() for each in paired.results], _summary(paired, out), json)
    for result in paired.problems:
        notify(str(result.problem))
    if paired.problems:
        raise typer.Exit(1)


def _summary(paired: "PairedSet", out: Path) -> list[str]:
    return [
        f"{len(paired.results)} pairs: {paired.summary}.",
        f"Those with an altered region and their originals, {paired.pictures} pictures, "
        f"are in {out}.",
    ]


def _deliver(
    lines: Sequence[Mapping[str, object]], sentences: Sequence[str], json: str | None
) -> None:
    """Print for people unless standard output belongs to the JSON."""
    from sida.files import write_text

    text = "".join(json_.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    if json == "-":
        typer.echo(text, nl=False)
        return
    if json is not None:
        write_text(json, text)
    for sentence in sentences:
        typer.echo(sentence)


def compare(
    original: Annotated[Path, typer.Argument(metavar="A", help="The original.")],
    edited: Annotated[Path, typer.Argument(metavar="B", help="The edited picture.")],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page to write, .html.")],
) -> None:
    """Show what was changed between two pictures.

    One HTML file that needs no network: both pictures, aligned to slide and blink, the mask, and
    numbers. `sida data pair` writes a mask and JSON.

    \b
    Example:
      sida compare original.jpg edited.jpg --out compared.html
    """
    from sida.image.read import read_picture
    from sida.pairs import compare as run
    from sida.pairs.comparison_page import comparison_page
    from sida.pairs.wording import headline

    if out.suffix.lower() != ".html":
        raise InputError(f"the page is written as .html, found {str(out)!r}: give it that suffix")
    first, second = read_picture(original), read_picture(edited)
    found = run(first, second)
    comparison_page(first, second, found).write(out)
    notify(f"{headline(found)}; the page is {out}.")
