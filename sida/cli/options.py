"""Options that several verbs have, said once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "Address",
    "BatchSizeOption",
    "CalibrationFile",
    "Device",
    "Dtype",
    "DtypeName",
    "Fresh",
    "FromList",
    "MaxFalsePositives",
    "ModelName",
    "Quantize",
    "RandomWeights",
    "RayEngine",
    "Recursive",
    "Resume",
    "StabilityFlag",
    "Trust",
    "Workers",
]

DtypeName = Literal["auto", "float32", "bfloat16", "float16"]

ModelName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A name from `sida models` (default: small), a folder, or a name on the hub.",
    ),
]
RandomWeights = Annotated[
    str | None,
    typer.Option(metavar="PRESET|FILE", help="Use an untrained model of these sizes instead."),
]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1, ...")]
Dtype = Annotated[
    DtypeName, typer.Option(help="Data type; auto is float32 on the CPU, bfloat16 elsewhere.")
]
Quantize = Annotated[
    str | None,
    typer.Option(metavar="METHOD", help="Quantize the language model: int8, int4 or fp8."),
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Pictures per forward pass (default: chosen to fit)."),
]
Recursive = Annotated[
    bool, typer.Option("--recursive/--no-recursive", help="Search subfolders as well.")
]
FromList = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A text file with one path per line.")
]
Trust = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="PEM certificates of the credential issuers that you trust."),
]
MaxFalsePositives = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="State altered or generated only where at most this share of real photographs "
        "scores as high, such as 0.05; everything else but real is inconclusive.",
    ),
]
CalibrationFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="For that: a file of `sida calibrate`, not the model's own."),
]
StabilityFlag = Annotated[
    bool,
    typer.Option(
        "--stability", help="Judge each picture again as messengers and sites deliver it."
    ),
]
RayEngine = Annotated[
    Literal["ray"] | None, typer.Option(help="Run on Ray, on one machine or many.")
]
Address = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="The Ray cluster; auto finds the one on this machine."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="With --engine ray: number of workers (default: one per GPU, else per core).",
    ),
]
Fresh = Annotated[
    bool,
    typer.Option("--fresh", help="Remove the results of an earlier run there, and start over."),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="No longer needed: the same command resumes a stopped run."),
]
