"""`sida convert`: weights between the published layout and ours."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from sida.cli.errors import messages, notify
from sida.cli.options import DtypeName

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command()(convert)


def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="A folder in either layout, a name on the hub, or DeepSpeed checkpoints of the "
            "published training.",
        ),
    ],
    to: Annotated[Literal["ours", "published"], typer.Option(help="The layout to write.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder.")],
    dtype: Annotated[
        DtypeName,
        typer.Option(help="Data type of the weights; auto keeps that of the source."),
    ] = "auto",
    base: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For DeepSpeed checkpoints: the weights that training started from.",
        ),
    ] = None,
) -> None:
    """Convert weights between the published layout and ours.

    It works shard by shard, in little memory. Checkpoints of the published training can be
    converted to either layout; their low-rank updates are merged.

    \b
    Example:
      sida convert saberzl/SIDA-7B --to ours --out sida-7b
      sida convert runs/sida/ckpt_model --base xinlai/LISA-7B-v1 --to ours --out mine
    """
    import torch

    from sida.model.convert import convert as run

    with messages():
        run(source, to, out, None if dtype == "auto" else getattr(torch, dtype), base)
    notify(f"Wrote {out} in {'our' if to == 'ours' else 'the published'} layout.")
