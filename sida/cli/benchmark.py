"""`sida benchmark`: how fast a model runs on this machine."""

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sida.assets import DEFAULT_MODEL
from sida.cli.errors import notify
from sida.cli.loading import load, require_one_model
from sida.cli.options import BatchSizeOption, Device, Dtype, ModelName, Quantize, RandomWeights
from sida.cli.progress import progress_bar

if TYPE_CHECKING:
    from sida.benchmark import BenchmarkedModel, BenchmarkReport

__all__ = ["register"]

STAGES = {
    "read": "reading the JPEG",
    "preprocess": "cutting windows",
    "vision": "vision encoder",
    "language": "language model",
    "mask_encoder": "mask encoder",
    "mask_decoder": "mask decoder",
    "mask_resize": "mask at the picture's size",
    "text_token": "each token of an explanation",
}


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command()(benchmark)


def benchmark(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="File for the JSON; without it, --json prints."),
    ] = None,
    model: ModelName = None,
    random_weights: RandomWeights = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quantize: Quantize = None,
    batch_size: BatchSizeOption = None,
    seconds: Annotated[
        float,
        typer.Option(
            min=0.0, help="Time for each figure; every one is measured at least three times."
        ),
    ] = 5.0,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object; with FILE, write it there.")
    ] = False,
) -> None:
    """Measure throughput, latency and memory.

    The time of each stage is shown as well. With --random-weights nothing is downloaded; the speed
    is that of the trained model.

    \b
    Examples:
      sida benchmark
      sida benchmark --random-weights sida-7b --device cuda --json sida-7b.json
    """
    from sida.files import write_text

    require_one_model(model, random_weights)
    if file is not None and not json:
        raise typer.BadParameter(f"{file} is only written with --json: add it")
    from sida.benchmark import benchmark as run
    from sida.options import ModelOptions

    options = ModelOptions(
        model=model or DEFAULT_MODEL,
        random_weights=random_weights,
        device=device,
        dtype=dtype,
        quantize=quantize,
        batch_size=batch_size or "auto",
    )
    with progress_bar("Measuring") as show:
        figures = run(load(options), seconds, show)
    text = json_.dumps(figures, indent=1)
    if json and file is None:
        typer.echo(text)
        return
    typer.echo(_table(figures), nl=False)
    if file is not None:
        write_text(file, text + "\n")
        notify(f"Wrote {file}.")


def _table(figures: "BenchmarkReport") -> str:
    from sida.cli.table import columns

    machine, model, share = figures["machine"], figures["model"], figures["matrix_rate_share"]
    rows = [
        (
            "model",
            f"{model['name']}, {_format(model)}, {model['weights_bytes'] / 1e6:,.0f} MB",
        ),
        ("machine", f"{machine['device']}: {machine['processor']}, {machine['threads']} threads"),
        (
            "batch",
            f"{figures['batch_size']} pictures of {' x '.join(map(str, figures['picture']))}",
        ),
    ]
    for name, title in (("verdict", "verdicts"), ("verdict_and_mask", "verdicts with masks")):
        flops = figures["flops_per_image"][name] / 1e9
        rows.append(
            (
                title,
                f"{figures['rates'][name]:,.2f} a second: {flops:,.1f} GFLOP each, "
                f"{100 * share[name]:.0f} % of the matrix rate",
            )
        )
    latency = figures["latency_ms"]
    rows += [
        (
            "one JPEG, verdict and mask",
            f"{latency['p50']:,.0f} ms (95 of 100 within {latency['p95']:,.0f} ms)",
        ),
        ("peak memory", f"{figures['peak_memory_bytes'] / 1e6:,.0f} MB"),
        ("matrix rate", f"{figures['matrix_rate'] / 1e9:,.0f} GFLOP a second"),
    ]
    rows += [(STAGES[name], f"{value:,.2f} ms") for name, value in figures["stages_ms"].items()]
    table: str = columns(("What", "Measured"), rows)
    return table


def _format(model: "BenchmarkedModel") -> str:
    dtype = model["dtype"]
    if model["encoder_dtype"] != dtype:
        dtype = f"{dtype} (encoder {model['encoder_dtype']})"
    return " and ".join(filter(None, (dtype, model["quantize"])))
