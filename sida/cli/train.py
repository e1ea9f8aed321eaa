"""`sida train`: a recipe, a folder for what comes of it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sida.cli.edge import messages, say
from sida.cli.progress import progress_bar

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command()(train)


def train(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A recipe: a YAML file, or a packaged name.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Changes to the recipe, such as max_steps=100."),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where checkpoints and the model go.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint.")
    ] = False,
) -> None:
    """Train a model by a recipe.

    \b
    Example:
      sida train tiny data=pictures/train validation=pictures/val --out runs/tiny
    """
    from sida.train import train as run

    with messages(), progress_bar("Training") as show:
        run(
            config,
            out,
            resume=resume,
            overrides=tuple(overrides or ()),
            on_step=lambda step, steps, _: show(step, steps),
        )
    folder = out / "model"
    say(f"The model is in {folder}.{_measured(folder)}")


def _measured(folder: Path) -> str:
    """What the run measured of its model, in a sentence."""
    file = folder / "validation.json"
    if not file.is_file():
        return ""
    metrics = json.loads(file.read_text(encoding="utf-8"))
    count = int(metrics.pop("count"))
    listed = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
    return f" On the {count} pictures for validation: {listed}."
