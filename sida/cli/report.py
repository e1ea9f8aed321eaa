"""`sida report`: pictures, or verdicts written earlier, in; one HTML file or PDF out."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sida.assets import DEFAULT_MODEL
from sida.cli.errors import REACHED, notify
from sida.cli.loading import calibration_text, certificates, load
from sida.cli.options import (
    BatchSizeOption,
    CalibrationFile,
    Device,
    Dtype,
    FromList,
    MaxFalsePositives,
    ModelName,
    Recursive,
    StabilityFlag,
    Trust,
)
from sida.cli.progress import progress_bar
from sida.errors import InputError
from sida.files import Input, find_pictures

if TYPE_CHECKING:
    from sida.options import DetectOptions, ModelOptions
    from sida.report import ReportItem

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command()(report)


def report(
    ctx: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PICTURES|PREDICTIONS",
            help="Files, folders, globs; or results: a .jsonl file, or the folder of a Ray run.",
        ),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The report to write, .html or .pdf.")],
    model: ModelName = None,
    explain: Annotated[
        bool, typer.Option("--explain/--no-explain", help="Let the model explain its verdict.")
    ] = True,
    provenance: Annotated[
        bool, typer.Option("--provenance", help="Include what each file says about its origin.")
    ] = False,
    trust: Trust = None,
    max_false_positives: MaxFalsePositives = None,
    calibration: CalibrationFile = None,
    stability: StabilityFlag = False,
    personal: Annotated[
        bool,
        typer.Option(
            "--personal", help="Include places, serial numbers and names from the metadata."
        ),
    ] = False,
    details: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Number of pictures that are shown with their evidence."
        ),
    ] = 100,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch_size: BatchSizeOption = None,
    recursive: Recursive = True,
    from_list: FromList = None,
) -> None:
    """Write a report on pictures for people.

    One file that needs no network: the verdict, how sure it is, where, why, and how it was made.
    Exit status: 0 it is complete, 1 some pictures have no verdict or no longer exist, 2 no report
    was written.

    \b
    Examples:
      sida report photo.jpg --out photo.html
      sida report pictures/ --out pictures.pdf --details 20
      sida report verdicts.jsonl --out verdicts.html
    """
    from sida.options import DetectOptions, ModelOptions
    from sida.report import batch_report, read_results, require_format
    from sida.report.results import holds_results

    require_format(out)
    files = paths or []
    earlier = [file for file in files if holds_results(file)]
    if not files and from_list is None:
        raise typer.BadParameter("found no path: give pictures or a file of verdicts")
    if earlier and (len(files) > 1 or from_list):
        raise typer.BadParameter(f"{earlier[0]} holds verdicts, which stand alone in a report")
    trusted = certificates(trust, provenance)
    own_calibration = calibration_text(calibration, max_false_positives)
    if earlier and (model or provenance or stability or max_false_positives is not None):
        raise typer.BadParameter(
            f"{earlier[0]} holds verdicts already: leave out --model, --provenance, --stability "
            "and --max-false-positives"
        )
    if personal and not (earlier or provenance):
        raise typer.BadParameter("--personal needs --provenance, which reads metadata")
    with progress_bar("Reporting") as show:
        if earlier:
            results = read_results(earlier[0])
        else:
            inputs = _existing(find_pictures(files, recursive, from_list))
            options = ModelOptions(
                model=model or DEFAULT_MODEL,
                device=device,
                dtype=dtype,
                batch_size=batch_size or "auto",
                trust=trusted,
                calibration=own_calibration,
            )
            parts = DetectOptions(
                explain=explain,
                provenance=provenance,
                stability=stability,
                max_false_positives=max_false_positives,
            )
            results = _detected(inputs, options, parts, personal)
        summary = batch_report(
            _watched(ctx, results, show), out, personal=personal, details=details
        )
    notify(f"{summary.pictures} picture{'s' * (summary.pictures != 1)}: the report is {out}.")
    for count, participle in ((summary.not_judged, "judged"), (summary.not_shown, "shown")):
        if count:
            notify(
                f"{count} of {summary.pictures} pictures could not be {participle}; "
                "the report says why."
            )
    raise typer.Exit(1 if summary.not_judged or summary.not_shown else 0)


def _existing(inputs: list[Input]) -> list[Input]:
    if not any(os.path.lexists(source.path) for source in inputs):
        raise InputError(f"no file exists, the first is {inputs[0].name!r}: check the paths")
    return inputs


def _detected(
    inputs: list[Input],
    options: "ModelOptions",
    parts: "DetectOptions",
    personal: bool,
) -> "Iterator[ReportItem]":
    """Results of pictures, as they are drawn; the model is loaded before the first."""
    from sida.options import Request
    from sida.provenance.inspection import inspect
    from sida.report import ReportItem
    from sida.verdict import Verdict

    detector = load(options)
    if parts.max_false_positives is not None:
        detector.budget(parts.max_false_positives)  # refused before the first picture
    parts = replace(parts, evidence=detector.weighs_windows)
    requests = (Request.of(source.path, parts) for source in inputs)
    for source, result in zip(inputs, detector.run(requests), strict=True):
        changes: dict[str, object] = {"image": source.name}
        if parts.provenance and personal and isinstance(result, Verdict):
            # The detector leaves it out.
            changes["provenance"] = inspect(source.path, personal=True, trust=options.trust)
        yield ReportItem(result.model_copy(update=changes), source.path)


def _watched(
    ctx: typer.Context, results: "Iterator[ReportItem]", show: Callable[[int, int | None], None]
) -> "Iterator[ReportItem]":
    """The same, counted for the progress bar and for the status of what goes wrong later."""
    from sida.verdict import Verdict

    for number, item in enumerate(results, 1):
        if isinstance(item.result, Verdict):
            ctx.meta[REACHED] = 1
        show(number, None)
        yield item
