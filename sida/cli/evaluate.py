"""`sida evaluate`: labelled data in; predictions, figures, tables and a page out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sida.assets import DEFAULT_MODEL
from sida.cli.errors import REACHED, messages, notify
from sida.cli.loading import calibration_text, load
from sida.cli.options import (
    Address,
    BatchSizeOption,
    CalibrationFile,
    Device,
    Dtype,
    Fresh,
    MaxFalsePositives,
    ModelName,
    RayEngine,
    Resume,
    Workers,
)
from sida.cli.progress import progress_bars
from sida.cli.ray_engine import reject

if TYPE_CHECKING:
    from sida.evaluation.predictions import Predictor
    from sida.evaluation.result import Result
    from sida.evaluation.tables import Sheet
    from sida.model.budget import BudgetCalibration

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command()(evaluate)


def evaluate(
    ctx: typer.Context,
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DATA", help="Labelled sets: folders, parquet, manifests, names on the hub."
        ),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="A folder for predictions and figures.")],
    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            "--from", metavar="FILE", help="Measure this predictions.jsonl; repeat for each shard."
        ),
    ] = None,
    model: ModelName = None,
    protocol: Annotated[
        Literal["end_to_end", "published"],
        typer.Option(help="Masks as a user gets them, or masks of all truly tampered pictures."),
    ] = "end_to_end",
    published_formulas: Annotated[
        bool,
        typer.Option(
            "--published-formulas", help="Add the figures that the published script prints."
        ),
    ] = False,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Also evaluate with every perturbation.")
    ] = False,
    perturbation: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Also evaluate with this perturbation, such as jpeg_70."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES",
            help="Names of the classes 0, 1, 2, if they are not real,full_synthetic,tampered; "
            "or of a baseline's labels, such as fake=full_synthetic,nature=real.",
        ),
    ] = None,
    explanations: Annotated[
        bool, typer.Option("--explanations", help="Let the model explain; measure its texts.")
    ] = False,
    stability: Annotated[
        bool,
        typer.Option(
            "--stability", help="Judge six deliveries of each picture; measure what changes."
        ),
    ] = False,
    similarity: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Compare the meaning of texts with this sentence-embedding model."
        ),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC",
            help="Also measure hf:FOLDER_OR_NAME, command:CMD or csv:FILE, and compare.",
        ),
    ] = None,
    max_false_positives: MaxFalsePositives = None,
    calibration: CalibrationFile = None,
    leakage: Annotated[
        bool,
        typer.Option(
            "--leakage/--no-leakage", help="First test whether file formats reveal the class."
        ),
    ] = True,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Evaluate this share of the blocks; merge shares with --from."
        ),
    ] = None,
    fresh: Fresh = False,
    resume: Resume = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch_size: BatchSizeOption = None,
    engine: RayEngine = None,
    address: Address = None,
    workers: Workers = None,
) -> None:
    """Measure how well a model does on labelled pictures.

    Predictions are written first, and figures are computed from them. The same command resumes
    a stopped run. Exit status 1: some pictures could not be evaluated; they are counted and named.

    \b
    Examples:
      sida evaluate pictures/val --out evaluation
      sida evaluate --from evaluation/predictions.jsonl --protocol published --out published
      sida evaluate pictures/val --shard 1/2 --out part1
      sida evaluate pictures/val --baseline csv:scores.csv --out compared
      sida evaluate pictures/val --max-false-positives 0.05 --calibration mine.json --out budget
    """
    from sida.evaluation import Options, Shard
    from sida.evaluation import evaluate as run
    from sida.image.perturbation import PERTURBATIONS
    from sida.options import ModelOptions

    if predictions and model is not None:
        raise typer.BadParameter("--from measures finished predictions: leave out --model")
    if predictions:
        reject({"engine": engine}, "makes predictions, and --from measures finished ones")
    if engine is None:
        reject({"address": address, "workers": workers}, "needs --engine ray")
    numbers, words = _labels(labels or [])
    own_calibration = calibration_text(calibration, max_false_positives)
    model_options = ModelOptions(
        model=model or DEFAULT_MODEL, device=device, dtype=dtype, batch_size=batch_size or "auto"
    )
    options = Options(
        protocol=protocol,
        published_formulas=published_formulas,
        perturbations=tuple(
            dict.fromkeys([*(PERTURBATIONS if robustness else ()), *(perturbation or ())])
        ),
        split=split,
        labels=numbers,
        shard=Shard.parse(shard) if shard is not None else Shard(),
        leakage=leakage,
        explanations=explanations,
        stability=stability,
        similarity=similarity,
        baselines=tuple(baseline or ()),
        baseline_labels=words,
        device=device,
        max_false_positives=max_false_positives,
        calibration=_calibration(own_calibration, None if predictions else model_options.model)
        if max_false_positives is not None
        else None,
    )

    def load_predictor() -> "Predictor":
        from sida.evaluation.detector_predictor import DetectorPredictor

        ctx.meta[REACHED] = 2
        return DetectorPredictor(load(model_options), options.detect)

    with messages(), progress_bars() as show:
        shared: dict[str, Any] = {"options": options, "fresh": fresh, "on_progress": show}
        if engine is not None:
            from sida.scale import evaluate as run_with_ray

            shared |= {"model": model_options, "address": address, "workers": workers}
            results = run_with_ray(data or [], out, **shared)
        else:
            results = run(
                data or [],
                out,
                predictor=load_predictor,
                predictions=predictions or (),
                **shared,
            )
    for name, result in results.items():
        _print(name, result)
    _finish(results, out)


def _calibration(text: str | None, model: str | None) -> "BudgetCalibration | None":
    """The user's own calibration, or that in the folder of the model that is to be evaluated."""
    from sida.model.budget import BudgetCalibration
    from sida.model.checkpoint import stored_calibration

    if text is not None:
        return BudgetCalibration.parse(text, "The calibration")
    return None if model is None else stored_calibration(model)


def _labels(values: list[str]) -> tuple[str | None, dict[str, str]]:
    """The labels that numbers of the set stand for, and those that words of baselines do."""
    from sida.evaluation.baselines import parse_labels

    numbers = [value for value in values if "=" not in value]
    if len(numbers) > 1:
        raise typer.BadParameter("--labels names the classes twice: give it once")
    words = {
        word: name for value in values if "=" in value for word, name in parse_labels(value).items()
    }
    return (numbers[0] if numbers else None), words


def _print(name: str, result: "Result") -> None:
    """The tables of a set, as people read them."""
    from sida.evaluation.tables import sheets

    model = result.rows.model
    title = f"{model.name if model else 'nothing'} on {name}, protocol {result.protocol}"
    typer.echo(f"{title}: {len(result.rows.truth)} pictures")
    for sheet in sheets(result):
        _echo(sheet)


def _echo(sheet: "Sheet") -> None:
    from sida.cli.table import columns

    right = tuple(range(1, len(sheet.headings))) if len(sheet.headings) > 2 else ()
    table = columns(sheet.headings, sheet.rows, right=right)
    typer.echo(f"\n{sheet.title}\n{table}", nl=False)


def _finish(results: "dict[str, Result]", out: Path) -> None:
    """The joint table, what could not be judged, and the exit status."""
    from sida.evaluation.tables import joint

    if len(results) > 1:
        _echo(joint(results))
    for result in results.values():
        for note in result.rows.notes:
            notify(note)
        for failure in result.rows.failures:
            notify(f"not judged: {failure.image}: {failure.message}")
        for name, baseline in result.baselines.items():
            if failures := baseline.rows.failures:
                first = failures[0].message
                notify(f"{len(failures)} pictures without a verdict of {name}; the first: {first}")
    notify(f"Predictions, metrics.json, tables and index.html are in {out}.")
    everything = [
        part for result in results.values() for part in (result, *result.baselines.values())
    ]
    if any(part.rows.failures for part in everything):
        raise typer.Exit(1)
