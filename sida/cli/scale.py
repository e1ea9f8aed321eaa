"""`sida detect --engine ray`: the same verb for any number of pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from sida.cli.edge import messages, say

__all__ = ["detect_with_ray", "refuse"]


def refuse(options: Mapping[str, object], why: str) -> None:
    """Raise a usage error for the first option that is given."""
    for name, value in options.items():
        if value is not None:
            raise typer.BadParameter(f"--{name} {why}")


def detect_with_ray(
    paths: Sequence[str], watched: frozenset[str], *, out: str | None, shard: str | None, **how: Any
) -> int:
    """Judge, say what came of it, and return the exit status; `how` is as of `sida.scale.detect`.

    Args:
        watched: labels of --fail-on.
    """
    if out is None:
        raise typer.BadParameter("--engine ray needs --out DIR, where its results go")
    if "-" in paths:
        raise typer.BadParameter("- is not for --engine ray: name files, folders or addresses")
    from sida.evaluation import Shard
    from sida.scale import detect
    from sida.verdict import LABELS

    part = Shard() if shard is None else Shard.parse(shard)
    with messages():
        judged = detect(paths, out, shard=part, **how)
    labels = "".join(f", {judged.labels.get(each, 0)} {each}" for each in LABELS)
    typer.echo(f"{out}: {judged.pictures} pictures{labels}")
    if judged.failed:
        say(f"{judged.failed} of {judged.pictures} pictures could not be judged.")
    met = any(judged.labels.get(label) for label in watched)
    return 10 if met else 1 if judged.failed else 0
