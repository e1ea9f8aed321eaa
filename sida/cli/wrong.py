"""`sida wrong`: wrong verdicts are kept, and tried again with any model."""

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sida.assets import DEFAULT_MODEL
from sida.cli.detect import STDIN, inputs_of
from sida.cli.errors import REACHED, notify
from sida.cli.loading import load
from sida.cli.options import Device, ModelName
from sida.cli.progress import progress_bar
from sida.errors import InputError
from sida.files import user_folder

if TYPE_CHECKING:
    from sida.evaluation.wrong_cases import CheckedCase, WrongCase, WrongCases
    from sida.options import ModelOptions
    from sida.verdict import Failure, Label, Verdict

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command()(wrong)


def wrong(
    ctx: typer.Context,
    pictures: Annotated[
        list[str] | None,
        typer.Argument(metavar="PICTURES", help="Files that got a wrong verdict."),
    ] = None,
    label: Annotated[
        Literal["real", "full_synthetic", "tampered"] | None,
        typer.Option(help="The right label."),
    ] = None,
    note: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why, or where the picture is from.")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where a tampered picture was altered (white)."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Judge all kept pictures again, with --model.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the kept verdicts.")] = False,
    json: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-",
            help="With --check or --list: write one line of JSON per picture; - is standard "
            "output.",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the kept pictures (default: `wrong` in your data folder).",
        ),
    ] = None,
    model: ModelName = None,
    device: Device = "auto",
) -> None:
    """Keep pictures that got a wrong verdict, as tests.

    The picture is judged, and a copy of its file is kept with the verdict, the model's version and
    the right label; --check says later whether a model gets it right. The same file again
    replaces what was kept. Nothing leaves this machine: the default folder is
    ~/.local/share/sida/wrong on Linux, ~/Library/Application Support/sida/wrong on macOS and
    %LOCALAPPDATA%\\sida\\data\\wrong on Windows. It is a labelled set, from which `sida adapt`
    learns.

    Exit status: 0 all were kept, or with --check all are right now; 1 some are not; 2 no picture
    was reached.

    \b
    Examples:
      sida wrong photo.jpg --label real --note "our own photographer"
      sida wrong --check --model mine
      sida wrong --list
    """
    from sida.evaluation.wrong_cases import WrongCases
    from sida.options import ModelOptions

    options = ModelOptions(model=model or DEFAULT_MODEL, device=device)
    cases = WrongCases(folder or user_folder("data") / "wrong")
    if check or list_:
        if pictures or label or note or mask or (check and list_):
            raise typer.BadParameter("--check and --list stand alone: leave out what is to be kept")
        kept = cases.read()
        if not kept:
            raise InputError(
                f"no wrong verdict is kept in {str(cases.folder)!r}: keep one with `sida wrong "
                "PICTURE --label LABEL`, or name another --folder"
            )
        if list_:
            _list(kept, json)
            return
        raise typer.Exit(_check(ctx, cases, kept, options, json))
    if json is not None:
        raise typer.BadParameter("--json needs --check or --list")
    if label is None:
        raise typer.BadParameter("found no --label: give the right one, or --check or --list")
    if mask is not None and (label != "tampered" or len(pictures or ()) != 1):
        raise typer.BadParameter("--mask belongs to one picture with --label tampered")
    raise typer.Exit(_keep(ctx, cases, pictures or [], options, label, note, mask))


def _keep(
    ctx: typer.Context,
    cases: "WrongCases",
    pictures: list[str],
    options: "ModelOptions",
    label: "Label",
    note: str | None,
    mask: Path | None,
) -> int:
    """Judge pictures and keep them; the exit status."""
    from sida.cli.table import plain
    from sida.image.truth_mask import read_truth_mask
    from sida.options import Request
    from sida.verdict import Failure

    inputs = inputs_of(pictures, recursive=True, from_list=None)
    if STDIN in inputs:
        raise typer.BadParameter("- has no file to keep: name the picture's file")
    levels = None if mask is None else read_truth_mask(mask).levels
    detector = load(options)
    ctx.meta[REACHED] = 1
    failed = 0
    with progress_bar("Judging") as show:
        requests = (Request(source.path, masks="none") for source in inputs)
        results = zip(inputs, detector.run(requests), strict=True)
        for number, (source, result) in enumerate(results, 1):
            if isinstance(result, Failure):
                failed += 1
                notify(plain(f"{source.name} is not kept: {result.message}"))
                continue
            case = cases.keep(source.path, label, result, note, levels)
            remark = "" if result.label != label else ", which is right"
            typer.echo(
                plain(
                    f"{source.name}: {result.model.name} says {_said(result)}{remark}; kept as "
                    f"{cases.folder / case.image}"
                )
            )
            show(number, len(inputs))
    return 1 if failed else 0


def _check(
    ctx: typer.Context,
    cases: "WrongCases",
    kept: "list[WrongCase]",
    options: "ModelOptions",
    json: str | None,
) -> int:
    """Judge all cases again and show what is right now; the exit status."""
    from sida.cli.output import json_lines
    from sida.cli.table import columns

    detector = load(options)
    ctx.meta[REACHED] = 1
    rows, right = [], 0
    with json_lines(json) as write_line, progress_bar("Judging") as show:
        for number, checked in enumerate(cases.check(detector, kept), 1):
            right += checked.right
            write_line(_checked_line(checked))
            case = checked.case
            now = "right" if checked.right else "wrong"
            cells = (case.label.replace("_", " "), _said(case.verdict), _said(checked.result))
            rows.append((case.image, now, *cells))
            show(number, len(kept))
    if json != "-":
        headings = ("Picture", "Now", "Right label", "Kept verdict", "Verdict now")
        typer.echo(columns(headings, rows), nl=False)
    notify(f"{detector.model.name} is right about {right} of {len(kept)} kept pictures.")
    return 0 if right == len(kept) else 1


def _list(kept: "list[WrongCase]", json: str | None) -> None:
    from sida.cli.output import json_lines
    from sida.cli.table import columns

    rows = []
    with json_lines(json) as write_line:
        for case in kept:
            write_line(case.model_dump_json(by_alias=True))
            model = case.verdict.model
            version = f"{model.name} {model.version} ({model.digest[:8]})"
            right = case.label.replace("_", " ")
            rows.append((case.image, right, _said(case.verdict), version, case.note or ""))
    if json != "-":
        typer.echo(
            columns(("Picture", "Right label", "Kept verdict", "Model", "Note"), rows), nl=False
        )


def _checked_line(checked: "CheckedCase") -> str:
    """A case with what a model says now, as a line of JSON."""
    parts = {
        "case": checked.case.model_dump(mode="json", by_alias=True),
        "result": checked.result.model_dump(mode="json", by_alias=True),
        "right": checked.right,
    }
    return json_.dumps(parts)


def _said(result: "Verdict | Failure") -> str:
    from sida.verdict import Failure

    if isinstance(result, Failure):
        return result.message
    unsure = " ?" if result.inconclusive else ""
    label = result.label.replace("_", " ")
    return f"{label}, {100 * result.probabilities[result.label]:.0f} %{unsure}"
