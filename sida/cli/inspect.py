"""`sida inspect`: what files say of themselves, and what can be measured in them."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sida.cli.detect import STDIN, inputs_of
from sida.cli.errors import REACHED, notify
from sida.cli.options import Trust
from sida.cli.progress import progress_bar
from sida.files import Input

if TYPE_CHECKING:
    from sida.verdict import Failure, Inspection

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command()(inspect)


def inspect(
    ctx: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILES", help="Files, folders, globs, or - for standard input."),
    ] = None,
    json: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-", help="Write one line of JSON per file; - is standard output."
        ),
    ] = None,
    maps: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write maps of copied regions, noise, sharpness and error level."
        ),
    ] = None,
    personal: Annotated[
        bool,
        typer.Option("--personal", help="Include places, serial numbers and names of people."),
    ] = False,
    trust: Trust = None,
    credentials: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Content credentials of a single file, wherever they are stored."
        ),
    ] = None,
) -> None:
    """Show what files declare, and what is measured in them.

    It gives no verdict. Anyone can write a declaration unless it is signed; each line has its
    state. Each measurement has its meaning and its limits. Nothing is fetched from a network.

    Exit status: 0 every file was read, 1 some files could not be read or drawn, 2 no file was
    reached.

    \b
    Examples:
      sida inspect photo.jpg
      sida inspect pictures/ --json - | jq .contradictions
      sida inspect photo.jpg --maps maps
    """
    from sida.cli.output import json_lines
    from sida.cli.table import plain
    from sida.provenance.declared.trust import read_trust
    from sida.provenance.inspection import require_provenance
    from sida.verdict import Failure

    require_provenance()
    if not files:
        raise typer.BadParameter("found no path: give files, folders, globs or -")
    inputs = inputs_of(files, True, None)
    if credentials is not None and len(inputs) != 1:
        raise typer.BadParameter(
            f"--credentials belongs to one file, found {len(inputs)}: without it NAME.c2pa beside "
            "each is read"
        )
    trusted = None if trust is None else read_trust(trust)
    count = failed = undrawn = 0
    with json_lines(json) as write_line, progress_bar("Inspecting") as show:
        for source, result, complete in _results(inputs, maps, personal, trusted, credentials):
            count, failed = count + 1, failed + isinstance(result, Failure)
            undrawn += not complete
            ctx.meta[REACHED] = 1
            write_line(result.model_dump_json())
            if json != "-":
                typer.echo(f"{plain(source.name)}\n{_text(result)}")
            show(count, len(inputs))
    for number, participle in ((failed, "read"), (undrawn, "drawn")):
        if number:
            notify(f"{number} of {count} files could not be {participle}.")
    raise typer.Exit(1 if failed or undrawn else 0)


def _results(
    inputs: list[Input],
    maps: Path | None,
    personal: bool,
    trust: str | None,
    sidecar: Path | None,
) -> "Iterator[tuple[Input, Inspection | Failure, bool]]":
    """The findings of each file, with True where all its maps were written."""
    from sida.cli.output import output_files, write_or_notify
    from sida.errors import PictureError
    from sida.image.overlay import save_png
    from sida.provenance.inspection import examine
    from sida.provenance.measured.measurements import MAPS
    from sida.verdict import Failure, Inspection

    paths = {name: output_files(maps, "--maps", inputs, f"_{name}.png") for name in MAPS}
    for source in inputs:
        complete = True

        def draw(name: str, pixels: Any, source: Input = source) -> None:
            nonlocal complete
            path = paths[name][source]
            complete &= write_or_notify(
                source, f"map {name}", lambda temporary: save_png(temporary, pixels), path
            )

        content = sys.stdin.buffer.read() if source is STDIN else source
        try:
            picture, provenance = examine(content, personal, trust, draw if maps else None, sidecar)
        except PictureError as error:
            yield source, Failure(image=source.name, error=error.code, message=str(error)), True
            continue
        except MemoryError:
            message = "there is not enough memory to inspect the picture: make it smaller"
            yield source, Failure(image=source.name, error="out_of_memory", message=message), True
            continue
        line = Inspection(image=source.name, sha256=picture.sha256, **dict(provenance))
        yield source, line, complete


def _text(result: "Inspection | Failure") -> str:
    from sida.cli.provenance import provenance_text
    from sida.cli.table import plain
    from sida.verdict import Failure

    if isinstance(result, Failure):
        return f"  {plain(result.message)}\n"
    return provenance_text(result)
