"""`sida adapt`: a model that learns from a user's own labelled pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sida.assets import DEFAULT_MODEL
from sida.cli.errors import messages, notify
from sida.cli.options import Device, ModelName
from sida.cli.progress import progress_bars

if TYPE_CHECKING:
    from sida.train.adaptation import AdaptationReport, BeforeAndAfter

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command()(adapt)


def adapt(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDERS",
            help="Labelled pictures: real/, full_synthetic/, tampered/, or another form of a set.",
        ),
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder for the adapted model.")],
    model: ModelName = None,
    known: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Labelled pictures that the model must not get worse on; small brings its own.",
        ),
    ] = None,
    max_loss: Annotated[
        float,
        typer.Option(
            min=0, max=1, metavar="SHARE", help="Most balanced accuracy to lose on known pictures."
        ),
    ] = 0.02,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for features of pictures (default: your cache folder)."
        ),
    ] = None,
    device: Device = "auto",
) -> None:
    """Teach a model your own pictures.

    It takes 20 to 2,000 of them, of two classes or all three. The model runs once over each; then a
    small correction of its verdicts is fitted, in seconds. --out is a folder of a few KB for
    --model, which stands on the model that it was learned on. A table shows what changed: on your
    pictures, each judged by a correction that had not seen its original, and on pictures that the
    model knows. If it gets worse on these by more than --max-loss, nothing is written.

    Nothing leaves this machine. Features of pictures are kept in the cache, so that a second run
    is quick.

    Exit status: 0 the adapted model was written, 1 it would be worse on known pictures, 2 nothing
    was learned.

    \b
    Examples:
      sida adapt pictures --out mine
      sida detect photo.jpg --model mine
    """
    from sida.train.adaptation import AdaptOptions
    from sida.train.adaptation import adapt as run

    options = AdaptOptions(
        data=data,
        model=model or DEFAULT_MODEL,
        known=known,
        max_loss=max_loss,
        cache=cache,
        device=device,
    )
    with messages(), progress_bars() as show:
        adaptation = run(options, out, show)
    typer.echo(_table(adaptation.report), nl=False)
    if not adaptation.report.accepted:
        notify(
            f"Nothing was written: on known pictures the model would lose more than {max_loss:g} "
            "of balanced accuracy. Check the labels, add pictures of all classes, or allow more "
            "with --max-loss."
        )
        raise typer.Exit(1)
    notify(f"The adapted model is in {out}, for `--model {out}`.")


def _table(report: "AdaptationReport") -> str:
    """Accuracies before and after, on own and on known pictures."""
    from sida.cli.table import columns

    rows = [*_rows("Your pictures, held out", report.own), *_rows("Known pictures", report.known)]
    headings = ("Correct", "Pictures", "Before", "After", "Change (95 % interval)")
    return columns(headings, rows, right=(1, 2, 3, 4))


def _rows(title: str, figures: "BeforeAndAfter") -> list[tuple[str, ...]]:
    change = figures.change
    rows: list[tuple[str, ...]] = [
        (
            f"{title} (mean of classes)",
            str(sum(figures.count.values())),
            _percent(figures.balanced_accuracy["base"].value),
            _percent(figures.balanced_accuracy["adapter"].value),
            f"{_points(change.value)} [{_points(change.low)}, {_points(change.high)}]",
        )
    ]
    for label, before in figures.recalls["base"].items():
        after = figures.recalls["adapter"][label]
        cells = (_percent(before), _percent(after), _points(after - before))
        rows.append((f"  {label.replace('_', ' ')}", str(figures.count[label]), *cells))
    return rows


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(change: float) -> str:
    """Percentage points with their sign; what rounds to nothing has none."""
    return f"{100 * change:+.1f}" if abs(change) >= 0.0005 else "0.0"
