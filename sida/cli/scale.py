"""`--engine ray` of `sida detect` and `sida serve`: the same verbs on one machine or on many."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from sida.cli.edge import messages, say

__all__ = ["detect_with_ray", "refuse", "say_where", "serve_with_ray"]


def refuse(options: Mapping[str, object], why: str) -> None:
    """Raise a usage error for the first option that is given."""
    for name, value in options.items():
        if value is not None:
            raise typer.BadParameter(f"--{name} {why}")


def detect_with_ray(
    paths: Sequence[str],
    watched: frozenset[str],
    *,
    out: str | None,
    shard: str | None,
    **options: Any,
) -> int:
    """Run `sida.scale.detect` with its options, say what came of it, return the exit status.

    Args:
        watched: labels of --fail-on.
    """
    if out is None:
        raise typer.BadParameter("--engine ray needs --out DIR, where its results go")
    if "-" in paths:
        raise typer.BadParameter("- is not for --engine ray: name files, folders or addresses")
    from sida.cli.table import plain
    from sida.evaluation import Shard
    from sida.scale import detect
    from sida.verdict import LABELS

    part = Shard() if shard is None else Shard.parse(shard)
    with messages():
        judged = detect(paths, out, shard=part, **options)
    labels = "".join(f", {judged.labels.get(each, 0)} {each}" for each in LABELS)
    typer.echo(f"{out}: {judged.pictures} pictures{labels}")
    for failure in judged.failures:
        say(plain(f"{failure.image}: {failure.message}"))
    if judged.failed > len(judged.failures) > 0:
        say(f"... and {judged.failed - len(judged.failures)} more; their rows have `message`.")
    if judged.failed:
        say(f"{judged.failed} of {judged.pictures} pictures could not be judged.")
    met = any(judged.labels.get(label) for label in watched)
    return 10 if met else 1 if judged.failed else 0


def serve_with_ray(
    given: Mapping[str, Any], address: str | None, replicas: int | None, config: Path | None
) -> None:
    """Serve as the options that were typed say, or as the file does."""
    from sida.scale import serving
    from sida.serve import ServeSettings

    launch = {"engine", "address", "config", *(["replicas"] if config is None else [])}
    given = {name: value for name, value in given.items() if name not in launch}
    if config is not None:
        refuse(
            {name.replace("_", "-"): value for name, value in given.items()},
            "is for --config FILE to say",
        )
        plan = serving.read_plan(config)
    else:
        at = {name: value for name, value in given.items() if name in ("host", "port")}
        settings = {name: value for name, value in given.items() if name not in at}
        plan = serving.Plan(ServeSettings(**settings), **at)
    with messages():
        serving.serve(plan, say_where, address=address, replicas=replicas)


def say_where(model: str, address: str) -> None:
    """What a service says when it answers."""
    say(f"Serving {model} at {address}; its interface: {address}/docs")
