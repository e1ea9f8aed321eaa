"""The command line: one file a verb, thin: parse, call the library, print.

A verb's file has `register(app)`, which adds its command to the app; it loads torch only inside it.
"""

from typing import Annotated

import typer

import sida
from sida.cli import (
    adapt,
    benchmark,
    calibrate,
    chat,
    convert,
    data,
    detect,
    evaluate,
    forge,
    inspect,
    models,
    pairs,
    report,
    serve,
    train,
    wrong,
)
from sida.cli.errors import Verbs

__all__ = ["app", "main"]

app = typer.Typer(
    name="sida",
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(enabled: bool) -> None:
    if enabled:
        typer.echo(f"sida {sida.__version__}")
        raise typer.Exit


@app.callback()
def sida_(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Is a picture real, fully synthetic or tampered? Where, and why?

    \b
    Example:
      sida detect photo.jpg --explain
    """


for verb in (
    *(detect, chat, inspect, report, pairs, serve),
    *(data, forge, train, adapt, wrong, evaluate, calibrate, models, convert, benchmark),
):
    verb.register(app)


def main() -> None:
    """Run the command `sida`."""
    app()
