"""`sida calibrate`: real photographs in; a file that budgets of false accusations rest on out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sida.assets import DEFAULT_MODEL
from sida.cli.errors import notify
from sida.cli.loading import load
from sida.cli.options import BatchSizeOption, Device, Dtype, ModelName
from sida.cli.progress import progress_bar

if TYPE_CHECKING:
    from sida.evaluation.budget_calibration import CalibrationRun
    from sida.model.budget import BudgetCalibration

__all__ = ["register"]

BUDGETS = (0.01, 0.02, 0.05, 0.10, 0.20)
LARGER = (100, 1000)
"""Numbers of photographs, for what more of them would give."""
NAMED = 10
"""Photographs without a score that are named."""


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command()(calibrate)


def calibrate(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Real photographs, or a labelled set; of that, its real ones."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The calibration to write, .json.")],
    model: ModelName = None,
    as_is: Annotated[
        bool,
        typer.Option(
            "--as-is",
            help="Score photographs only as they are: four times as fast, and no "
            "promise for pictures that come through messengers.",
        ),
    ] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="For use with `sida detect --fast`.")
    ] = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch_size: BatchSizeOption = None,
) -> None:
    """Learn from real photographs how high a score must be.

    --max-false-positives of detect, evaluate, report and serve takes the file with --calibration.
    30 photographs are enough for a budget of 0.1. They should be like those you will ask about, and
    the model must not have been trained on them. The same command resumes a stopped run.

    \b
    Examples:
      sida calibrate photographs/ --out calibration.json
      sida detect photo.jpg --max-false-positives 0.1 --calibration calibration.json
    """
    from sida.evaluation.budget_calibration import AS_IS, DELIVERED
    from sida.evaluation.budget_calibration import calibrate as run
    from sida.forge.photographs import find_photographs
    from sida.options import ModelOptions

    photographs = find_photographs(folder)
    options = ModelOptions(
        model=model or DEFAULT_MODEL,
        device=device,
        dtype=dtype,
        batch_size=batch_size or "auto",
        fast=fast,
    )
    with progress_bar("Scoring") as show:
        deliveries = (AS_IS,) if as_is else DELIVERED
        result = run(load(options), photographs, folder.resolve().name, out, deliveries, show)
    _notify_left_out(result)
    typer.echo(_table(result.calibration), nl=False)
    notify(f"The scores of {result.calibration.photographs} photographs are in {out}.")


def _notify_left_out(run: "CalibrationRun") -> None:
    """A line for each photograph that has no score, for the first of them."""
    left_out = {**run.failures, **run.unsuitable}
    for name, reason in list(left_out.items())[:NAMED]:
        notify(f"left out: {name}: {reason}")
    if len(left_out) > NAMED:
        notify(f"... and {len(left_out) - NAMED} more")


def _table(calibration: "BudgetCalibration") -> str:
    """The thresholds of some budgets, and what more photographs would give."""
    from sida.cli.table import columns

    larger = [count for count in LARGER if count > calibration.photographs]
    headings = ["Budget", "Threshold", f"Real above it (of {calibration.photographs})"]
    headings += [f"if it were of {count}" for count in larger]
    rows = [
        (f"{budget:g}", *_row(calibration, budget), *(_interval(count, budget) for count in larger))
        for budget in BUDGETS
    ]
    table = columns(headings, rows)
    return (
        f"{table}\nReal above it: the share of further real photographs that will score above the "
        "threshold, with a probability of 95 %.\nThe smallest budget that "
        f"{calibration.photographs} photographs can promise is {calibration.smallest_budget:g}.\n"
    )


def _row(calibration: "BudgetCalibration", budget: float) -> tuple[str, str]:
    from sida.model.conformal import smallest_count

    needed = smallest_count(budget)
    if needed > calibration.photographs:
        return "-", f"needs {needed} photographs"
    threshold = calibration.budget(budget).threshold
    return f"{threshold:.6g}", _interval(calibration.photographs, budget)


def _interval(count: int, budget: float) -> str:
    from sida.model.conformal import share_interval, smallest_count

    if count < smallest_count(budget):
        return "-"
    low, high = share_interval(count, budget)
    return f"{100 * low:.1f} to {100 * high:.1f} %"
