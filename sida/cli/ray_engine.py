"""`--engine ray` of `sida detect` and `sida serve`: the same verbs on one machine or on many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sida.cli.errors import messages, notify

if TYPE_CHECKING:
    from sida.options import DetectOptions, ModelOptions

__all__ = ["RayInputs", "announce", "detect_with_ray", "reject", "serve_with_ray"]


def reject(options: Mapping[str, object], reason: str) -> None:
    """Raise a usage error for the first option that is given."""
    for name, value in options.items():
        if value is not None:
            raise typer.BadParameter(f"--{name} {reason}")


@dataclass(frozen=True)
class RayInputs:
    """Paths as they were typed, and the options that choose among their pictures."""

    paths: Sequence[str]
    recursive: bool
    from_list: Path | None
    limit: int | None
    sample: float | None
    shard: str | None


def detect_with_ray(
    inputs: RayInputs,
    watched: frozenset[str],
    model: "ModelOptions",
    options: "DetectOptions",
    *,
    out: str | None,
    address: str | None,
    workers: int | None,
    fresh: bool,
) -> int:
    """Run `sida.scale.detect`, say what came of it, return the exit status.

    Args:
        watched: labels of --fail-on.
    """
    if out is None:
        raise typer.BadParameter("--engine ray needs --out DIR, where its results go")
    if "-" in inputs.paths:
        raise typer.BadParameter("- is not for --engine ray: name files, folders or addresses")
    from sida.cli.table import plain
    from sida.evaluation import Shard
    from sida.scale import Selection, detect
    from sida.verdict import LABELS

    shard = Shard() if inputs.shard is None else Shard.parse(inputs.shard)
    with messages():
        selection = Selection(
            inputs.recursive, inputs.from_list, inputs.limit, inputs.sample, shard
        )
        summary = detect(
            inputs.paths,
            out,
            model=model,
            options=options,
            selection=selection,
            address=address,
            workers=workers,
            fresh=fresh,
        )
    outcomes = (*LABELS, "inconclusive") if "inconclusive" in summary.labels else LABELS
    labels = "".join(f", {summary.labels.get(label, 0)} {label}" for label in outcomes)
    typer.echo(f"{out}: {summary.pictures} pictures{labels}")
    for failure in summary.failures:
        notify(plain(f"{failure.image}: {failure.message}"))
    if summary.failed > len(summary.failures) > 0:
        notify(f"... and {summary.failed - len(summary.failures)} more; their rows have `message`.")
    if summary.failed:
        notify(f"{summary.failed} of {summary.pictures} pictures could not be judged.")
    matched = any(summary.labels.get(label) for label in watched)
    return 10 if matched else 1 if summary.failed else 0


def serve_with_ray(
    options: Mapping[str, object],
    host: str,
    port: int,
    address: str | None,
    replicas: int | None,
    config: Path | None,
) -> None:
    """Serve as the options that were typed say, or as the file does."""
    from sida.scale import serving
    from sida.serve import ServeSettings

    launch = {"engine", "address", "config", *(["replicas"] if config is None else [])}
    options = {name: value for name, value in options.items() if name not in launch}
    if config is not None:
        reject(
            {name.replace("_", "-"): value for name, value in options.items()},
            "belongs in the file of --config",
        )
        plan = serving.read_plan(config)
    else:
        settings = {k: value for k, value in options.items() if k not in ("host", "port")}
        plan = serving.Plan(ServeSettings.model_validate(settings), host, port)
    with messages():
        serving.serve(plan, announce, address=address, replicas=replicas)


def announce(model: str, address: str) -> None:
    """Say where the service answers."""
    notify(f"Serving {model} at {address}; its interface: {address}/docs")
