"""Options that several verbs have, said once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "Address",
    "BatchSize",
    "Device",
    "Dtype",
    "DtypeName",
    "Engine",
    "Fresh",
    "FromList",
    "ModelName",
    "Quantize",
    "RandomWeights",
    "Recursive",
    "Resume",
    "Trust",
    "Workers",
]

DtypeName = Literal["auto", "float32", "bfloat16", "float16"]

ModelName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="A name of `sida models` (small if left out), a folder, or a hub name."
    ),
]
RandomWeights = Annotated[
    str | None,
    typer.Option(metavar="PRESET|FILE", help="An untrained model of these sizes instead."),
]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1, ...")]
Dtype = Annotated[
    DtypeName, typer.Option(help="Number type; auto is float32 on the CPU, else bfloat16.")
]
Quantize = Annotated[
    str | None, typer.Option(metavar="KIND", help="Smaller language model: int8, int4 or fp8.")
]
BatchSize = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Pictures a pass; chosen if left out.")
]
Recursive = Annotated[
    bool, typer.Option("--recursive/--no-recursive", help="Look into folders of folders.")
]
FromList = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A text file with a path a line.")
]
Trust = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Certificates (PEM) of issuers of credentials that you trust."
    ),
]
Engine = Annotated[
    Literal["ray"] | None, typer.Option(help="Work with Ray, on one machine or on many.")
]
Address = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="A Ray cluster; auto is that of here.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Of --engine ray: one a GPU, or a core.")
]
Fresh = Annotated[
    bool,
    typer.Option("--fresh", help="Remove what an earlier run left there, and begin anew."),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Not needed: the same command goes on where it stopped."),
]
