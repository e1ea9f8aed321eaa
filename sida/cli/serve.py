"""`sida serve`: the detector over HTTP."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sida.cli.loading import load, require_one_model
from sida.cli.options import (
    Address,
    BatchSizeOption,
    CalibrationFile,
    Device,
    Dtype,
    MaxFalsePositives,
    ModelName,
    Quantize,
    RandomWeights,
    Trust,
)
from sida.cli.ray_engine import announce, reject, serve_with_ray
from sida.cli.silence import lift_streams
from sida.errors import MissingExtra

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command()(serve)


def serve(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    model: ModelName = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quantize: Quantize = None,
    batch_size: BatchSizeOption = None,
    max_wait: Annotated[
        float | None,
        typer.Option(
            min=0, help="Seconds that a first batch waits for more pictures (default: 0.01)."
        ),
    ] = None,
    places: Annotated[
        int | None,
        typer.Option(min=1, help="Requests served at once (default: 64); more get a 429."),
    ] = None,
    max_upload: Annotated[
        float | None,
        typer.Option(min=0.01, help="Largest file, in megabytes (default: 20)."),
    ] = None,
    max_pixels: Annotated[
        float | None,
        typer.Option(min=0.01, max=100, help="Largest picture, in megapixels (default: 40)."),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="Seconds for receiving a body and for answering it (default: 120)."
        ),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Require a key listed in this YAML file.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Web origins that browsers may call from (CORS)."),
    ] = None,
    trust: Trust = None,
    max_false_positives: MaxFalsePositives = None,
    calibration: CalibrationFile = None,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep uploaded pictures in this folder.")
    ] = None,
    random_weights: RandomWeights = None,
    engine: Annotated[
        Literal["ray"] | None,
        typer.Option(help="Serve with Ray Serve, with replicas of the model."),
    ] = None,
    address: Address = None,
    replicas: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="With --engine ray: number of replicas (default: one per GPU, else per core).",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="With --engine ray: all settings, in a file for `serve deploy`."
        ),
    ] = None,
) -> None:
    """Serve verdicts over HTTP. SIGTERM answers the accepted requests and ends with status 0.

    `/docs` describes the API. Needs `pip install 'sida[serve]'`.

    \b
    Examples:
      sida serve --port 8000
      sida serve --host 0.0.0.0 --keys keys.yaml --places 128
      sida serve --engine ray --replicas 2
    """
    require_one_model(model, random_weights)
    lift_streams()  # a server's log is there to be read
    service = _service()
    options = {
        name: value
        for name, value in ctx.params.items()
        if getattr(ctx.get_parameter_source(name), "name", None) == "COMMANDLINE"
    }
    if engine is not None:
        serve_with_ray(options, host, port, address, replicas, config)
        return
    reject({"address": address, "replicas": replicas, "config": config}, "needs --engine ray")
    settings = service.ServeSettings(
        **{name: value for name, value in options.items() if name not in ("host", "port")}
    )
    bound = service.bind(host, port)
    detector = load(settings.model_options())
    url_host = f"[{host}]" if ":" in host else host
    url = f"http://{url_host}:{bound.getsockname()[1]}"
    service.serve(
        service.create_app(detector, settings),
        bound,
        lambda: announce(detector.model.name, url),
    )


def _service() -> Any:
    """`sida.serve`, and a sentence where what it needs is not installed."""
    try:
        import sida.serve
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "fastapi", "serve", "sida serve") from error
    return sida.serve
