"""`sida serve`: the detector over HTTP."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sida.cli.detect import load
from sida.cli.options import BatchSize, Device, Dtype, ModelName, Quantize, RandomWeights, Trust
from sida.cli.quiet import lift_streams
from sida.cli.scale import refuse, say_where, serve_with_ray
from sida.errors import MissingExtra

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command()(serve)


def serve(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    model: ModelName = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quantize: Quantize = None,
    batch_size: BatchSize = None,
    max_wait: Annotated[
        float, typer.Option(min=0, help="Seconds that a first batch waits to be full.")
    ] = 0.01,
    places: Annotated[
        int, typer.Option(min=1, help="Requests at once; one more is refused with 429.")
    ] = 64,
    max_upload: Annotated[float, typer.Option(min=0.01, help="Megabytes of a picture.")] = 20,
    max_pixels: Annotated[
        float, typer.Option(min=0.01, max=100, help="Megapixels of a picture.")
    ] = 40,
    time_limit: Annotated[
        float, typer.Option(min=0.1, help="Seconds for a body, and for its answer.")
    ] = 120,
    keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Ask for a key of this YAML file.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Web pages that may ask; none if left out."),
    ] = None,
    trust: Trust = None,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep judged pictures in this folder.")
    ] = None,
    random_weights: RandomWeights = None,
    engine: Annotated[
        Literal["ray"] | None, typer.Option(help="Serve with Ray Serve: replicas of the model.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A Ray cluster; auto is that of here.")
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of --engine ray: one a GPU, or a core.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Of --engine ray: all in a file for `serve deploy`."),
    ] = None,
) -> None:
    """Serve verdicts over HTTP until SIGTERM, which finishes what was accepted (status 0).

    `/docs` describes the interface. Needs `pip install 'sida[serve]'`.

    \b
    Examples:
      sida serve --port 8000
      sida serve --host 0.0.0.0 --keys keys.yaml --places 128
      sida serve --engine ray --replicas 2
    """
    if random_weights is not None and model is not None:
        raise typer.BadParameter("--model and --random-weights exclude each other: give one")
    lift_streams()  # a server's log is there to be read
    room = _room()
    from sida.evidence.trust import read_trust

    if engine is not None:
        serve_with_ray(ctx, address, replicas, config)
        return
    refuse({"address": address, "replicas": replicas, "config": config}, "needs --engine ray")
    options = room.Options(
        places=places,
        max_wait=max_wait,
        upload_bytes=int(max_upload * 1e6),
        pixels=int(max_pixels * 1e6),
        seconds=time_limit,
        keys=() if keys is None else room.read_keys(keys),
        origins=tuple(allow_origin or ()),
        trust=None if trust is None else read_trust(trust),
        keep=keep,
    )
    bound = room.bind(host, port)
    detector = load(model, random_weights, (device, dtype, quantize, batch_size or "auto"))
    place = f"[{host}]" if ":" in host else host
    at = f"http://{place}:{bound.getsockname()[1]}"
    room.serve(
        room.create_app(detector, options),
        bound,
        lambda: say_where(detector.model.name, at),
    )


def _room() -> Any:
    """`sida.serve`, and a sentence where what it needs is not installed."""
    try:
        import sida.serve
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "fastapi", "serve", "sida serve") from error
    return sida.serve
