"""`sida train`: a recipe, a folder for what comes of it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sida.cli.errors import messages, notify
from sida.cli.options import Fresh, Resume
from sida.cli.progress import progress_bar

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command()(train)


def train(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG", help="A recipe: a YAML file, or the name of a packaged one."
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Overrides of the recipe, such as max_steps=100."),
    ] = None,
    *,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for checkpoints and the model or adapter.")
    ],
    fresh: Fresh = False,
    resume: Resume = False,
) -> None:
    """Train a model from a recipe.

    The same command resumes from the last checkpoint; the folder of another run is refused.

    \b
    Example:
      sida train tiny data=pictures/train validation=pictures/val --out runs/tiny
      sida train finetune heads_only=true data=pictures/own --out runs/own
    """
    from accelerate import PartialState
    from transformers.utils import logging

    from sida.train import train as run

    logging.disable_progress_bar()  # a bar of its own for every file it writes
    with messages(), progress_bar("Training") as show:
        run(
            config,
            out,
            fresh=fresh,
            overrides=tuple(overrides or ()),
            on_step=lambda step, steps, _: show(step, steps),
        )
    if not PartialState().is_main_process:
        return
    adapter, folder = out / "adapter.safetensors", out / "model"
    if adapter.is_file():
        notify(_adapted(adapter, json.loads((out / "folds.json").read_text(encoding="utf-8"))))
    else:
        notify(f"The model is in {folder}.{_measured(folder)}")


def _adapted(adapter: Path, report: dict[str, Any]) -> str:
    """Where the adapter is, how it is used, and what base and adapter reach, in sentences."""
    base, folds = report["base"]["model"], len(report["folds"])
    sentence = (
        f"The adapter is in {adapter}, for `--model {base}+{adapter}`. {_reached(report)} "
        f"on pictures held back in {folds} folds ({report['count']} in all)"
    )
    if "validation" not in report:
        return f"{sentence}."
    measured = report["validation"]
    return f"{sentence}. {_reached(measured)} on the {measured['count']} pictures for validation."


def _reached(report: dict[str, Any]) -> str:
    base, adapter = (
        f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"
        for figure in (report["balanced_accuracy"][name] for name in ("base", "adapter"))
    )
    return f"Balanced accuracy is {base} before and {adapter} after"


def _measured(folder: Path) -> str:
    """The figures that the run measured of its model, in a sentence."""
    file = folder / "validation.json"
    if not file.is_file():
        return ""
    metrics = json.loads(file.read_text(encoding="utf-8"))
    count = int(metrics.pop("count"))
    figures = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
    return f" On the {count} pictures held back, before calibration: {figures}."
